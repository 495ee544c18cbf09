import { Button } from 'antd';
import { useCan } from '../../api/queries';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { Configurations } from '../../parts/fleet/configurations';
import { Containers } from '../../parts/fleet/containers';
import { DeployDialog, Deployments } from '../../parts/fleet/deployments';
import { Hosts } from '../../parts/fleet/hosts';
import { Groups, Jobs, OperationLog, Tokens } from '../../parts/fleet/others';
import { Packages } from '../../parts/fleet/packages';
import { Plugins } from '../../parts/fleet/plugins';
import { Profiles } from '../../parts/fleet/profiles';
import { Tasks, Templates } from '../../parts/fleet/tasks';
import { Thresholds } from '../../parts/fleet/thresholds';
import { Head } from '../../parts/page';
import { Tabs, useTab } from '../../parts/tabs';

const PARTS = ['hosts', 'containers', 'tasks', 'templates', 'configurations', 'profiles', 'groups', 'jobs', 'deployments', 'packages', 'plugins', 'thresholds', 'tokens', 'log'] as const;

/** The agents on hosts, and all that steers them. */
export default function Fleet() {
  const { t } = useSettings();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const tabs = PARTS.filter((k) => (k !== 'tokens' || can('list-fleet-tokens')) && (k !== 'deployments' || can('list-fleet-deployments'))).map((key) => ({ key, title: t(`fleet.${key}`) }));
  const tab = useTab(tabs);
  return (
    <div className="page">
      <Head title={t('page.agents')} sub={t('fleet.lead')}>
        {can('create-fleet-deployment') && <Button onClick={() => setUrl({ deploy: '1' })}>{t('fleet.dep.new')}</Button>}
        {can('create-fleet-token') && (
          <Button type="primary" onClick={() => setUrl({ tab: undefined, new: '1' })}>
            {t('fleet.add')}
          </Button>
        )}
      </Head>
      <Tabs tabs={tabs} label={t('fleet.tabs')} />
      {tab === 'hosts' && <Hosts />}
      {tab === 'containers' && <Containers />}
      {tab === 'tasks' && <Tasks />}
      {tab === 'templates' && <Templates />}
      {tab === 'configurations' && <Configurations />}
      {tab === 'profiles' && <Profiles />}
      {tab === 'groups' && <Groups />}
      {tab === 'jobs' && <Jobs />}
      {tab === 'deployments' && <Deployments />}
      {tab === 'thresholds' && <Thresholds />}
      {tab === 'packages' && <Packages />}
      {tab === 'plugins' && <Plugins />}
      {tab === 'tokens' && <Tokens />}
      {tab === 'log' && <OperationLog object={url.get('object') ?? undefined} />}
      {url.get('deploy') === '1' && <DeployDialog close={() => setUrl({ deploy: undefined })} />}
    </div>
  );
}
