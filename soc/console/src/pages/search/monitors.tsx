import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Switch } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import type { Monitor, MonitorRun } from '../../api/search';
import { list, type List, type Page, type Severity } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { joined, number } from '../../logic/format';
import { scheduleId } from '../../logic/schedule';
import { Ask } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { MonitorForm } from '../../parts/search/monitorform';
import { SeverityMark } from '../../parts/severity';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable, type Column } from '../../parts/table';
import { When } from '../../parts/time';

const STATES = ['active', 'disabled', 'paused'] as const;
const path = (m: Pick<Monitor, 'id'>) => `/search-monitors/${encodeURIComponent(m.id)}`;

/** Log monitoring rules: searches that run by a schedule and raise an alert, or write a file, when their condition is met. */
export default function Monitors() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const state = STATES.find((s) => s === url.get('state'));
  const mine = url.get('mine') === '1';
  const chosen = url.get('rule') ?? '';
  const [ids, setIds] = useState<Set<string>>(new Set());
  const [editing, setEditing] = useState<Monitor | null>(null);
  const [removing, setRemoving] = useState<Monitor[]>([]);
  const making = url.get('new') === '1';
  const query = useQuery({
    queryKey: ['monitors', q, state, mine],
    queryFn: async ({ signal }) => list((await get<Page<Monitor>>('/search-monitors', { q, state, mine: mine || undefined, limit: 500 }, signal)).items),
    placeholderData: keepPreviousData,
    refetchInterval: 5_000,
  });
  const rows = list(query.data);
  const open = rows.find((m) => m.id === chosen);
  const write = can('respond');
  const batch = async (action: 'enable' | 'disable' | 'delete', some: readonly string[]) => {
    let refused: { id: string; reason: string }[] = [];
    const ok = await act(
      async () => {
        refused = list((await post<{ done: List<string>; failed: List<{ id: string; reason: string }> }>('/search-monitors/batch', { ids: some, action })).failed);
        if (refused.length > 0) throw new Error(refused.map((f) => `${rows.find((r) => r.id === f.id)?.name ?? f.id}: ${f.reason}`).join('; '));
      },
      { said: t(`monitor.done.${action}`, { n: some.length }), renew: ['monitors'] },
    );
    if (ok) setIds(new Set());
  };
  const columns = (all: Column<Monitor>[]) => (open ? all.filter((c) => !['when', 'then', 'next', 'owner'].includes(c.key)) : all);
  return (
    <div className="page">
      <Head title={t('page.monitors')} sub={query.data ? t('monitor.count', { n: rows.length }) : ''}>
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('monitor.new')}
          </Button>
        )}
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('monitor.find')} />
        {STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`monitorstate.${s}`)}
          </button>
        ))}
        <button className="plain toggle" aria-pressed={mine} onClick={() => setUrl({ mine: mine ? undefined : '1' })}>
          {t('saved.mine')}
        </button>
      </div>
      <Stale query={query} />
      <div className="withdetail">
        <div className="panel" style={{ overflowX: 'auto' }}>
          <Loaded query={query} what="page.monitors" lines={8}>
            {() =>
              rows.length === 0 ? (
                <Empty title={t('monitor.none')} why={t('monitor.noneWhy')}>
                  {write && <Button onClick={() => setUrl({ new: '1' })}>{t('monitor.new')}</Button>}
                </Empty>
              ) : (
                <>
                  <DataTable
                    label={t('page.monitors')}
                    rows={rows}
                    rowKey={(m) => m.id}
                    marked={chosen}
                    onRow={(m) => setUrl({ rule: m.id === chosen ? undefined : m.id })}
                    choice={write ? { ids, set: setIds, name: (m) => m.name } : undefined}
                    columns={columns([
                      {
                        key: 'name',
                        title: t('col.name'),
                        render: (m) => (
                          <>
                            <button className="plain link" onClick={() => setUrl({ rule: m.id })}>
                              <b style={{ fontWeight: 550 }}>{m.name}</b>
                            </button>
                            {m.search_changed && <span className="tag">{t('monitor.searchChanged')}</span>}
                            <div className="mono dim ellipsis" style={{ maxWidth: 420 }} title={m.query}>
                              {m.query || '*'}
                            </div>
                          </>
                        ),
                      },
                      { key: 'when', title: t('monitor.schedule'), render: (m) => <Schedule cron={m.schedule} /> },
                      { key: 'if', title: t('monitor.condition'), render: (m) => <Condition monitor={m} /> },
                      { key: 'then', title: t('monitor.then'), render: (m) => (m.action.kind === 'alert' ? <SeverityMark level={(m.action.severity ?? 'medium') as Severity} /> : t('monitor.action.export')) },
                      { key: 'health', title: t('monitor.last'), render: (m) => <LastRun monitor={m} /> },
                      { key: 'next', title: t('monitor.nextRun'), render: (m) => (m.next_at && m.state === 'active' ? <When time={m.next_at} age /> : <span className="faint">–</span>) },
                      { key: 'owner', title: t('tokens.owner'), render: (m) => m.owner?.name || m.owner?.username || '–' },
                      {
                        key: 'on',
                        title: t('monitor.enabled'),
                        render: (m) => (
                          <span className="row">
                            <Switch
                              size="small"
                              disabled={!m.editable}
                              checked={m.enabled}
                              aria-label={`${t('monitor.enabled')}: ${m.name}`}
                              onChange={(on) => void batch(on ? 'enable' : 'disable', [m.id])}
                            />
                            {write && (
                              <Dropdown
                                trigger={['click']}
                                menu={{
                                  items: [
                                    { key: 'edit', label: t('do.edit'), disabled: !m.editable, onClick: () => setEditing(m) },
                                    { key: 'copy', label: t('do.copy'), onClick: () => void act(() => post(`${path(m)}/copy`, { name: t('monitor.copyOf', { x: m.name }) }), { said: t('saved.copied', { x: m.name }), renew: ['monitors'] }) },
                                    { key: 'run', label: t('monitor.run'), disabled: !m.editable, onClick: () => void act(() => post(`${path(m)}/run`), { said: t('monitor.running', { x: m.name }), renew: ['monitors', 'monitor-runs'] }) },
                                    { key: 'delete', label: t('do.delete'), disabled: !m.editable, onClick: () => setRemoving([m]) },
                                  ],
                                }}
                              >
                                <Button size="small" type="text" aria-label={t('do.actions', { x: m.name })}>
                                  ⋯
                                </Button>
                              </Dropdown>
                            )}
                          </span>
                        ),
                      },
                    ])}
                  />
                  {ids.size > 0 && (
                    <div className="batch">
                      <b>{t('do.selected', { n: ids.size })}</b>
                      <Button onClick={() => void batch('enable', [...ids])}>{t('monitor.enableN', { n: ids.size })}</Button>
                      <Button onClick={() => void batch('disable', [...ids])}>{t('monitor.disableN', { n: ids.size })}</Button>
                      <Button onClick={() => setRemoving(rows.filter((r) => ids.has(r.id)))}>{t('monitor.deleteN', { n: ids.size })}</Button>
                    </div>
                  )}
                </>
              )
            }
          </Loaded>
        </div>
        {open && <Runs key={open.id} monitor={open} edit={open.editable && write ? () => setEditing(open) : undefined} close={() => setUrl({ rule: undefined })} />}
      </div>
      {making && <MonitorForm from={{ query: url.get('query') ?? '', search: url.get('search') ?? '', group: url.get('group') ?? '', tenant: url.get('tenant') ?? '' }} close={() => setUrl({ new: undefined, query: undefined, search: undefined, group: undefined, tenant: undefined })} />}
      {editing && <MonitorForm monitor={editing} close={() => setEditing(null)} />}
      {removing.length > 0 && (
        <Ask
          title={t('monitor.deleteN', { n: removing.length })}
          why={t('monitor.deleteWhy', { x: joined(removing.map((m) => m.name), locale) })}
          ok={t('do.delete')}
          close={() => setRemoving([])}
          submit={() => (removing.length === 1 ? act(() => del(path(removing[0] as Monitor)), { said: t('monitor.done.delete', { n: 1 }), renew: ['monitors'] }) : batch('delete', removing.map((m) => m.id)))}
        />
      )}
    </div>
  );
}

function Schedule({ cron }: { cron: string }) {
  const { t } = useSettings();
  const id = scheduleId(cron);
  return id ? <span className="nowrap">{t(`schedule.${id as '1m'}`)}</span> : <code className="nowrap">{cron}</code>;
}

function Condition({ monitor: m }: { monitor: Monitor }) {
  const { t, locale } = useSettings();
  return (
    <span className="nowrap">
      {m.condition.kind === 'rows' ? t('monitor.kind.rows') : <code>{m.condition.field}</code>} {m.condition.op} {number(m.condition.value, locale)}
      <span className="faint"> / {m.window}</span>
    </span>
  );
}

function Outcome({ run }: { run: MonitorRun }) {
  const { t } = useSettings();
  const dot = { met: 'acknowledged', not_met: 'ok', failed: 'error', running: 'open' }[run.outcome];
  return (
    <span className="status" title={run.error}>
      <span className={`dot ${dot}`} />
      {t(`outcome.${run.outcome}`)}
    </span>
  );
}

function LastRun({ monitor: m }: { monitor: Monitor }) {
  const { t } = useSettings();
  if (m.state === 'paused') return <span className="late" title={m.paused_reason}>{t('monitorstate.paused')}</span>;
  if (!m.last_run) return <span className="faint">{t('monitor.notYet')}</span>;
  return (
    <span className="row" style={{ gap: 6 }}>
      <Outcome run={m.last_run} /> <span className="faint">{m.last_run.started_at && <When time={m.last_run.started_at} age />}</span>
    </span>
  );
}

/** What a rule found each time, and what it looked for. */
function Runs({ monitor: m, edit, close }: { monitor: Monitor; edit?: () => void; close: () => void }) {
  const { t, locale } = useSettings();
  const { act } = useAct();
  const query = useQuery({
    queryKey: ['monitor-runs', m.id],
    queryFn: async ({ signal }) => list((await get<Page<MonitorRun>>(`${path(m)}/runs`, { limit: 50 }, signal)).items),
    refetchInterval: 3_000,
  });
  return (
    <aside className="panel drawer" aria-label={m.name} style={{ width: 440 }}>
      <header>
        <h2>{m.name}</h2>
        <span className="end">
          {m.editable && (
            <Button size="small" onClick={() => void act(() => post(`${path(m)}/run`), { said: t('monitor.running', { x: m.name }), renew: ['monitor-runs'] })}>
              {t('monitor.run')}
            </Button>
          )}
          {edit && (
            <Button size="small" onClick={edit}>
              {t('do.edit')}
            </Button>
          )}
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body">
        {m.paused_reason && <div className="notice warn">{m.paused_reason}</div>}
        {m.description && <p className="dim">{m.description}</p>}
        <code className="cmd">{m.query || '*'}</code>
        <h3 className="dim" style={{ fontSize: 12 }}>
          {t('monitor.runs')}
        </h3>
        <Loaded query={query} what="monitor.runs" lines={6} small>
          {(runs) =>
            runs.length === 0 ? (
              <Empty small title={t('monitor.notYet')} />
            ) : (
              <table className="data" data-testid="runs">
                <tbody>
                  {runs.map((r) => (
                    <tr key={r.id}>
                      <td>
                        <When time={r.started_at ?? r.due_at} />
                        {r.manual && <span className="tag">{t('monitor.manual')}</span>}
                        {(r.missed ?? 0) > 0 && <div className="faint">{t('monitor.missed', { n: r.missed ?? 0 })}</div>}
                      </td>
                      <td>
                        <Outcome run={r} />
                        {r.error && <div className="faint">{r.error}</div>}
                      </td>
                      <td className="num">
                        {r.window_start && r.window_end ? (
                          <Link to={`/search?${new URLSearchParams({ query: m.query, start: r.window_start, end: r.window_end, tenant: m.tenant ?? '', group: m.group ?? '' })}`}>{number(r.rows ?? 0, locale)}</Link>
                        ) : (
                          number(r.rows, locale)
                        )}
                        {r.export_id && (
                          <div>
                            <Link to="/search/exports">{t('page.exports')}</Link>
                          </div>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </div>
    </aside>
  );
}

