import { Input } from 'antd';
import { useMemo, useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { serverNow } from '../../api/client';
import type { Within } from '../../api/traces';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { traceId, traceLink } from '../../logic/trace';
import { parseRange, rangeBounds, rangeParams } from '../../logic/urlstate';
import { Head } from '../../parts/page';
import { RangePicker } from '../../parts/range';
import { TenantFilter } from '../../parts/tenantfilter';
import { Tabs, useTab } from '../../parts/tabs';
import { TraceMap } from './map';
import { TraceSearch } from './search';

export const SPAN = '1h';
const SPANS = ['15m', '1h', '4h', '24h', '7d', '30d'];

/** Requests on their way through the services: found, drawn as a map, one by one. */
export default function Traces() {
  const { t } = useSettings();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const tabs = [
    { key: 'search', title: t('traces.tab.search') },
    { key: 'map', title: t('traces.tab.map') },
  ] as const;
  const tab = useTab(tabs);
  const range = parseRange(url, SPAN);
  const tenant = url.get('tenant') ?? '';
  const [round, setRound] = useState(0);
  const key = JSON.stringify(range);
  // Pinned to the moment of asking, so that the list, the dots and the map speak of the same span.
  const within = useMemo<Within>(() => {
    const [from, to] = rangeBounds(range, serverNow());
    // Spans are stamped by their senders, whose clocks run a little ahead.
    return { start: new Date(from).toISOString(), end: new Date('since' in range ? to + 60_000 : to).toISOString(), tenant };
  }, [key, tenant, round]); // eslint-disable-line react-hooks/exhaustive-deps
  return (
    <div className="page">
      <Head title={t('page.traces')}>
        <Input
          aria-label={t('traces.open')}
          placeholder={t('traces.open')}
          className="mono"
          style={{ width: 170 }}
          onPressEnter={(e) => {
            const id = traceId(e.currentTarget.value);
            if (id) navigate(traceLink(id));
          }}
        />
        <TenantFilter value={tenant} onChange={(v) => setUrl({ tenant: v }, true)} />
        <RangePicker value={range} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />
      </Head>
      <Tabs tabs={tabs} label={t('page.traces')} />
      {tab === 'search' ? <TraceSearch within={within} again={() => setRound((n) => n + 1)} widen={() => setUrl(rangeParams({ since: '24h' }, SPAN), true)} /> : <TraceMap within={within} />}
    </div>
  );
}
