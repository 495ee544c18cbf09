import { useCan } from '../../../api/queries';
import { useSettings } from '../../../app/settings';
import { Head } from '../../../parts/page';
import { Tabs, useTab } from '../../../parts/tabs';
import { IntakeTab } from './intake';
import { Slow } from './slow';
import { Sources } from './sources';
import { SpaceTab } from './space';

/** How the suite itself fares: room on disk, intake, its sources, its slow searches. */
export default function StoragePage() {
  const { t } = useSettings();
  const can = useCan();
  const tabs = [
    { key: 'space', title: t('storage.space') },
    { key: 'intake', title: t('storage.intake') },
    { key: 'sources', title: t('storage.sources') },
    ...(can('system') || can('audit') ? [{ key: 'slow', title: t('storage.slow') } as const] : []),
  ] as const;
  const tab = useTab(tabs);
  return (
    <div className="page">
      <Head title={t('page.storage')} />
      <Tabs tabs={tabs} label={t('page.storage')} />
      {tab === 'space' && <SpaceTab />}
      {tab === 'intake' && <IntakeTab />}
      {tab === 'sources' && <Sources />}
      {tab === 'slow' && <Slow />}
    </div>
  );
}
