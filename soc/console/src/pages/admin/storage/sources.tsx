import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Link } from 'react-router-dom';
import { del, get } from '../../../api/client';
import { useCan } from '../../../api/queries';
import type { IntakeSource } from '../../../api/storage';
import { list, type Page } from '../../../api/types';
import { useAct } from '../../../app/act';
import { useUrl } from '../../../app/hooks';
import { useSettings } from '../../../app/settings';
import { bytes, clock, number } from '../../../logic/format';
import { TenantName } from '../../../parts/names';
import { SearchBox } from '../../../parts/search';
import { Empty, Loaded, Stale } from '../../../parts/states';
import { DataTable } from '../../../parts/table';
import { When } from '../../../parts/time';

const STATES = ['all', 'active', 'silent'] as const;

/** Every sender of events: how much, since when, and who has fallen silent. */
export function Sources() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const state = STATES.find((s) => s === url.get('state')) ?? 'all';
  const query = useQuery({
    queryKey: ['intake-sources', q, state],
    queryFn: ({ signal }) => get<Page<IntakeSource>>('/intake/sources', { q, state, limit: 500 }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 5_000,
  });
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('intake.findSource')} />
        {STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: s === 'all' ? undefined : s })}>
            {t(`sourcestate.${s}`)}
          </button>
        ))}
        <span className="dim">{query.data?.total !== undefined && t('intake.sourcesN', { n: query.data.total })}</span>
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="storage.sources" lines={10}>
          {(d) =>
            list(d.items).length === 0 ? (
              <Empty title={t('intake.noSources')} why={t('sources.emptyWhy')} />
            ) : (
              <DataTable
                label={t('storage.sources')}
                rows={[...list(d.items)].sort((a, b) => Number(!!b.silent_since) - Number(!!a.silent_since) || b.events_per_second - a.events_per_second)}
                rowKey={(s) => s.id}
                columns={[
                  {
                    key: 'name',
                    title: t('intake.source'),
                    render: (s) => (
                      <>
                        {s.ci_id ? <Link to={`/cmdb/${encodeURIComponent(s.ci_id)}`}>{s.name || s.peer}</Link> : <b style={{ fontWeight: 550 }}>{s.name || s.peer}</b>} {s.name && <span className="mono faint">{s.peer}</span>}
                      </>
                    ),
                  },
                  { key: 'tenant', title: t('col.tenant'), render: (s) => <TenantName slug={s.tenant} /> },
                  { key: 'collector', title: t('sources.kind'), render: (s) => s.collector },
                  {
                    key: 'state',
                    title: t('sources.state'),
                    render: (s) =>
                      s.silent_since ? (
                        <span className="late" title={s.usual_gap_seconds ? t('intake.usualGap', { x: clock(s.usual_gap_seconds * 1000, locale) }) : undefined}>
                          {t('intake.silent')} <When time={s.silent_since} age />
                        </span>
                      ) : (
                        <span className="status">
                          <span className="dot ok" />
                          {t('source.ok')}
                        </span>
                      ),
                  },
                  { key: 'eps', title: t('intake.eps'), num: true, render: (s) => number(s.events_per_second, locale) },
                  { key: 'today', title: t('storage.today'), num: true, render: (s) => number(s.events_today, locale) },
                  { key: 'total', title: t('storage.events'), num: true, render: (s) => number(s.events_total, locale) },
                  { key: 'bytes', title: t('sources.bytes'), num: true, render: (s) => bytes(s.bytes_total, locale) },
                  { key: 'last', title: t('sources.lastSeen'), num: true, render: (s) => <When time={s.last_seen} age /> },
                  {
                    key: 'do',
                    title: '',
                    render: (s) =>
                      can('configure') &&
                      s.silent_since && (
                        <Button size="small" title={t('intake.forgetWhy')} onClick={() => void act(() => del(`/intake/sources/${encodeURIComponent(s.id)}`), { said: t('intake.forgotten', { x: s.name || s.peer }), renew: ['intake-sources', 'conditions'] })}>
                          {t('intake.forget')}
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </>
  );
}
