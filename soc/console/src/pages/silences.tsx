import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useRef, useState } from 'react';
import { BASE, get, post, upload } from '../api/client';
import { useCan } from '../api/queries';
import { SILENCE_STATES, type Silence } from '../api/silences';
import { list, type Alert, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useNow, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { absolute, clock, joined } from '../logic/format';
import { repeatOf } from '../logic/recurrence';
import { againOf, copyOf, matcherText, matchersFor } from '../logic/silence';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { SearchBox } from '../parts/search';
import { SilenceForm } from '../parts/silences/form';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

/** What is muted now, will be and was. ?new=1 makes one, ?alert=ID makes one that fits the alert. */
export default function Silences() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act, tell } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const state = SILENCE_STATES.find((s) => s === url.get('state'));
  const fromAlert = url.get('alert') ?? '';
  const [editing, setEditing] = useState<Silence | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const write = can('respond');
  const query = useQuery({
    queryKey: ['silences', state, q],
    queryFn: ({ signal }) => get<Page<Silence>>('/silences', { state, q, limit: 500 }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 5_000,
  });
  const alert = useQuery({ queryKey: ['alert', fromAlert], enabled: fromAlert !== '', queryFn: ({ signal }) => get<Alert>(`/alerts/${encodeURIComponent(fromAlert)}`, {}, signal) });
  const making = url.get('new') === '1' && (!fromAlert || !alert.isPending);
  const rows = list(query.data?.items);
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  const expire = (s: Silence) =>
    void act(() => post(`/silences/${encodeURIComponent(s.id)}/expire`), {
      said: t('silence.expired'),
      renew: ['silences', 'alerts', 'alert'],
      // Taken back: the same, under a new id, until the same end.
      undo: () => void act(() => post('/silences', againOf(s)), { said: t('silence.saved'), renew: ['silences', 'alerts', 'alert'] }),
    });
  const takeIn = async (f: File | undefined) => {
    if (!f) return;
    await act(async () => {
      const r = await upload<{ created: number; updated: number; skipped: number }>('/silences/import', {}, await f.text(), 'application/json');
      tell({ said: t('silence.imported', { c: r.created, u: r.updated, s: r.skipped }), renew: ['silences', 'alerts'] });
    });
  };
  return (
    <div className="page">
      <Head title={t('page.silences')} sub={t('silence.lead')}>
        <a href={`${BASE}/silences/export`} download className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }}>
          {t('silence.export')}
        </a>
        {write && (
          <>
            <input ref={file} type="file" accept=".json" className="visually-hidden" tabIndex={-1} aria-hidden="true" onChange={(e) => void takeIn(e.target.files?.[0]).then(() => file.current && (file.current.value = ''))} />
            <Button onClick={() => file.current?.click()}>{t('silence.import')}</Button>
            <Button type="primary" onClick={() => setUrl({ new: '1' })}>
              {t('silence.new')}
            </Button>
          </>
        )}
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('silence.find')} />
        {SILENCE_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`silence.state.${s}`)}
          </button>
        ))}
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="silence.what" lines={6}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('silence.empty')} why={t('silence.emptyWhy')}>
                {write && <Button onClick={() => setUrl({ new: '1' })}>{t('silence.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.silences')}
                rows={rows}
                rowKey={(s) => s.id}
                marked={url.get('sel') ?? undefined}
                columns={[
                  { key: 'state', title: t('col.status'), render: (s) => <State silence={s} /> },
                  {
                    key: 'matchers',
                    title: t('silence.matchers'),
                    render: (s) => (
                      <span className="tags">
                        {list(s.matchers).map((m, i) => (
                          <span key={i} className="tag mono" title={matcherText(m)}>
                            <span className="ellipsis" style={{ maxWidth: 320 }}>
                              {matcherText(m)}
                            </span>
                          </span>
                        ))}
                      </span>
                    ),
                  },
                  {
                    key: 'comment',
                    title: t('silence.comment'),
                    render: (s) => (
                      <>
                        <span style={{ overflowWrap: 'anywhere' }}>{s.comment}</span>
                        <span className="tags">
                          {s.recurrence && (
                            <span className="tag" title={`${s.recurrence.rule} · ${s.recurrence.zone}`}>
                              {repeatText(s.recurrence.rule, t)}
                            </span>
                          )}
                          {s.no_data && <span className="tag">{s.dropped > 0 ? t('silence.dropped', { n: s.dropped }) : t('silence.noData')}</span>}
                        </span>
                      </>
                    ),
                  },
                  { key: 'tenants', title: t('silence.tenants'), render: (s) => (s.tenants ? joined(s.tenants.map(tenantName), locale) : <span className="dim">{t('silence.allTenants')}</span>) },
                  { key: 'owner', title: t('silence.owner'), render: (s) => <span title={`${t('silence.by')} ${s.created_by}`}>{s.owner || s.created_by}</span> },
                  { key: 'from', title: t('silence.from'), num: true, render: (s) => <When time={s.starts_at} /> },
                  { key: 'until', title: t('silence.until'), num: true, render: (s) => <When time={s.ends_at} /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (s) =>
                      write && (
                        <span className="row" style={{ justifyContent: 'flex-end' }} title={s.editable ? undefined : t('silence.locked')}>
                          <Button size="small" disabled={!s.editable} onClick={() => setEditing(s)}>
                            {t(s.state === 'expired' ? 'silence.again' : 'do.edit')}
                          </Button>
                          {s.state !== 'expired' && (
                            <Button size="small" disabled={!s.editable} onClick={() => expire(s)}>
                              {t('silence.expire')}
                            </Button>
                          )}
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {making && write && (
        <SilenceForm draft={{ matchers: alert.data ? matchersFor(alert.data) : [], comment: '', tenants: alert.data ? [alert.data.tenant] : [] }} alert={alert.data} close={() => setUrl({ new: undefined, alert: undefined })} />
      )}
      {editing && <SilenceForm silence={editing} draft={copyOf(editing)} close={() => setEditing(null)} />}
    </div>
  );
}

/** When one comes again, in words. */
function repeatText(rule: string, t: ReturnType<typeof useSettings>['t']): string {
  const r = repeatOf(rule);
  if (r.kind === 'weekly') return r.weekdays.map((d) => t(`repeat.day.${d}`)).join(' ');
  if (r.kind === 'monthly') return `${t('repeat.monthly')} ${r.day === -1 ? t('repeat.lastDay') : t('repeat.dayN', { n: r.day })}`;
  return r.kind === 'daily' ? t('repeat.daily') : rule;
}

function State({ silence: s }: { silence: Silence }) {
  const { t, locale } = useSettings();
  const now = useNow(1);
  // One that recurs is active within its times alone.
  const [from, to] = list(s.times)[0] ?? [];
  const end = s.recurrence && to ? to : s.ends_at;
  return (
    <span className="status">
      <i className={`dot ${s.state === 'active' ? 'acknowledged' : s.state === 'pending' ? 'open' : 'closed'}`} />
      <span>
        {t(s.recurrence && s.state === 'pending' ? 'silence.waits' : `silence.state.${s.state}`)}
        {s.state === 'active' && <div className="faint">{t('silence.left', { t: clock(Date.parse(end) - now, locale) })}</div>}
        {s.recurrence && s.state === 'pending' && from && <div className="faint">{t('silence.nextTime', { t: absolute(from).slice(5, 16) })}</div>}
      </span>
    </span>
  );
}
