import { useQuery } from '@tanstack/react-query';
import { get } from '../../api/client';
import { list, type Histogram, type List, type LogEvent, type SearchAnswer } from '../../api/types';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { lineOf } from '../../logic/event';
import { number } from '../../logic/format';
import { Failed } from '../states';

/** What a filter would have sent in the last hour: how much, and the newest of it. A fault in the filter shows here. */
export function FilterPreview({ filter, tenant, metrics }: { filter: string; tenant: string; metrics: boolean }) {
  const { t, locale } = useSettings();
  const typed = filter.trim();
  const settled = useSettled(typed, 400);
  const query = settled || (metrics ? '{__name__!=""}' : '*');
  const logs = useQuery({
    queryKey: ['forward-preview', query, tenant],
    enabled: !metrics,
    queryFn: async ({ signal }) => {
      const asked = { query, tenant, since: '1h' };
      const [count, rows] = await Promise.all([get<Histogram>('/search/histogram', { ...asked, buckets: 1 }, signal), get<SearchAnswer>('/search', { ...asked, limit: 4, history: false }, signal)]);
      return { n: count.total, rows: list(rows.items) };
    },
    retry: false,
  });
  const series = useQuery({
    queryKey: ['forward-preview-metrics', query],
    enabled: metrics,
    queryFn: async ({ signal }) => {
      const r = await get<{ result: List<{ value: [number, string] }> }>('/metrics/query', { query: `count(last_over_time(${query}[1h]))` }, signal);
      return { n: Number(list(r.result)[0]?.value[1] ?? 0), rows: [] as LogEvent[] };
    },
    retry: false,
  });
  const found = metrics ? series : logs;
  return (
    <div className="panel" data-testid="filter-preview" style={{ padding: '8px 12px' }} aria-live="polite">
      <div className="dim">{t('forward.preview')}</div>
      {found.error ? (
        <Failed small error={found.error} what="forward.preview" />
      ) : !found.data || settled !== typed ? (
        // Figures of another filter would mislead.
        <b className="faint">…</b>
      ) : found.data.n === 0 ? (
        <b>{t('forward.previewNone')}</b>
      ) : (
        <>
          <b>{t(metrics ? 'forward.previewSeries' : 'forward.previewLogs', { n: number(found.data.n, locale) })}</b>
          <ul className="plainlist mono">
            {found.data.rows.map((r, i) => (
              <li key={i} className="ellipsis dim">
                {lineOf(r)}
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}
