import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import type { Asked } from '../../api/search';
import { list, type LogEvent, type SearchAnswer } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { serviceName } from '../../logic/flows';
import { bytes, duration, number } from '../../logic/format';
import { MOST_LINES, conversationsQuery, figure, kept, tracesQuery, words, type Signal } from '../../logic/signals';
import { traceLink } from '../../logic/trace';
import { Empty, Failed, Skeleton } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { Token } from '../token';
import { ErrorCount } from '../traces/marks';
import { useDesk } from './desk';

/** The span and tenants of a search as other pages take them. */
function elsewhere(url: URLSearchParams): string {
  const p = new URLSearchParams();
  for (const k of ['since', 'start', 'end', 'tenant']) if (url.get(k)) p.set(k, url.get(k) as string);
  return p.toString();
}

/** The flows or traces of which a record matches the search, summed up by the store. */
export function SignalView({ signal, asked, bad }: { signal: Exclude<Signal, 'logs'>; asked: Asked; /** The query is wrong, which is said where it is written. */ bad: boolean }) {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const query = (signal === 'flows' ? conversationsQuery : tracesQuery)(asked.query);
  const answer = useQuery({
    queryKey: ['signal', { ...asked, query }],
    queryFn: async ({ signal: stop }) => list((await get<SearchAnswer>('/search', { ...asked, query, limit: MOST_LINES, history: false }, stop)).items),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const rows = answer.data;
  const page = signal === 'flows' ? '/flows' : '/traces';
  return (
    <div className="panel results" data-testid={`signal-${signal}`}>
      {bad ? (
        <Empty title={t('search.bad')} why={t('search.help')} />
      ) : answer.error && !rows ? (
        <Failed error={answer.error} what={`signal.${signal}`} retry={() => void answer.refetch()} />
      ) : !rows ? (
        <Skeleton lines={14} />
      ) : rows.length === 0 ? (
        <Empty title={t(`signal.no.${signal}`)} why={t(`signal.noWhy.${signal}`)}>
          <Button onClick={() => setUrl({ since: '24h', start: undefined, end: undefined }, true)}>{t('search.widen')}</Button>
          <Link to={page}>
            <Button>{t(`signal.page.${signal}`)}</Button>
          </Link>
        </Empty>
      ) : (
        <>
          <div className="tailbar">
            <b data-testid="signal-count">{t(rows.length >= MOST_LINES ? `signal.first.${signal}` : `signal.count.${signal}`, { n: rows.length })}</b>
            <span className="faint">{t(`signal.why.${signal}`)}</span>
            <Link style={{ marginLeft: 'auto' }} to={`${page}?${elsewhere(url)}`}>
              {t(`signal.page.${signal}`)}
            </Link>
          </div>
          {signal === 'flows' ? <Conversations rows={rows} /> : <Traces rows={rows} />}
        </>
      )}
    </div>
  );
}

const said = (r: LogEvent, field: string) => String(r[field] ?? '');

function Conversations({ rows }: { rows: readonly LogEvent[] }) {
  const { t, locale } = useSettings();
  const end = (r: LogEvent, field: string) =>
    said(r, field) ? (
      <Token field={field} value={said(r, field)}>
        {said(r, field)}
      </Token>
    ) : (
      <span className="faint">–</span>
    );
  return (
    <DataTable
      label={t('signal.flows')}
      rows={rows}
      rowKey={(r) => ['source.ip', 'destination.ip', 'server.port', 'network.transport'].map((f) => said(r, f)).join(' ')}
      columns={[
        { key: 'source', title: t('signal.source'), render: (r) => end(r, 'source.ip') },
        { key: 'destination', title: t('signal.destination'), render: (r) => end(r, 'destination.ip') },
        { key: 'service', title: t('flows.service'), render: (r) => serviceName({ port: figure(r['server.port']), transport: said(r, 'network.transport') }) },
        { key: 'bytes', title: t('flowmetric.bytes'), num: true, render: (r) => bytes(figure(r.bytes), locale) },
        { key: 'packets', title: t('flowmetric.packets'), num: true, render: (r) => number(figure(r.packets), locale) },
        { key: 'flows', title: t('flowmetric.flows'), num: true, render: (r) => number(figure(r.flows), locale) },
        { key: 'first', title: t('col.firstSeen'), num: true, render: (r) => <When time={said(r, 'first')} /> },
        { key: 'last', title: t('col.lastSeen'), num: true, render: (r) => <When time={said(r, 'last')} /> },
      ]}
    />
  );
}

function Traces({ rows }: { rows: readonly LogEvent[] }) {
  const { t, locale } = useSettings();
  const desk = useDesk();
  return (
    <DataTable
      label={t('signal.traces')}
      rows={rows}
      rowKey={(r) => said(r, 'trace.id')}
      columns={[
        {
          key: 'first',
          title: t('signal.firstSpan'),
          render: (r) => {
            const first = kept(r.first);
            return (
              <Link to={traceLink(said(r, 'trace.id'))} className="peer">
                <b style={{ fontWeight: 550 }}>{first['service.name'] || '–'}</b> <span className="mono">{first['span.name'] ?? ''}</span>
              </Link>
            );
          },
        },
        { key: 'longest', title: t('signal.longest'), num: true, render: (r) => duration(figure(r.longest), locale) },
        { key: 'errors', title: t('traces.errors'), num: true, render: (r) => <ErrorCount n={figure(r.errors)} /> },
        { key: 'spans', title: t('signal.spans'), num: true, render: (r) => number(figure(r.spans), locale) },
        {
          key: 'services',
          title: t('traces.services'),
          render: (r) => (
            <span className="tags">
              {words(r.services).map((s) => (
                <button key={s} className="plain tag" title={t('search.inOut', { x: s })} onClick={(e) => desk?.filter('service.name', s, e.altKey)}>
                  {s}
                </button>
              ))}
            </span>
          ),
        },
        { key: 'start', title: t('traces.started'), num: true, render: (r) => <When time={said(r, 'start')} /> },
      ]}
    />
  );
}
