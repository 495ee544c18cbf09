import { useSettings } from '../../app/settings';
import { useUrl } from '../../app/hooks';
import { parseRange, rangeParams } from '../../logic/urlstate';
import { Head } from '../../parts/page';
import { RangePicker } from '../../parts/range';
import { Tabs, useTab } from '../../parts/tabs';
import { Conversations } from './conversations';
import { Exporters } from './exporters';
import { MapTab } from './map';
import { SPAN } from './span';
import { TopTalkers } from './top';

/** Who talks to whom, how much, and since when. */
export default function Flows() {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const tabs = [
    { key: 'top', title: t('flows.top') },
    { key: 'conversations', title: t('flows.conversations') },
    { key: 'map', title: t('flows.map') },
    { key: 'exporters', title: t('flows.exporters') },
  ] as const;
  const tab = useTab(tabs);
  const usual = tab === 'map' ? '30d' : SPAN;
  return (
    <div className="page">
      <Head title={t('page.flows')}>{tab !== 'exporters' && <RangePicker value={parseRange(url, usual)} custom={tab !== 'map'} choices={tab === 'map' ? ['24h', '7d', '30d', '90d'] : ['15m', '1h', '4h', '24h', '7d']} onChange={(r) => setUrl(rangeParams(r, usual), true)} />}</Head>
      <Tabs tabs={tabs} label={t('page.flows')} />
      {tab === 'top' && <TopTalkers />}
      {tab === 'conversations' && <Conversations />}
      {tab === 'map' && <MapTab />}
      {tab === 'exporters' && <Exporters />}
    </div>
  );
}
