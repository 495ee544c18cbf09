import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Input } from 'antd';
import { useEffect, useState } from 'react';
import { Link, useParams, useNavigate } from 'react-router-dom';
import { del, get, post } from '../api/client';
import { useCan } from '../api/queries';
import { SCENARIO_RENEW, scenarioPath, type ScenarioState, type Share } from '../api/scenarios';
import { list, type Alert, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useSettled, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { download } from '../logic/export';
import { number } from '../logic/format';
import { zoneName } from '../logic/zone';
import { CloseDialog, AssignButton, useAlertActions } from '../parts/acting';
import { VerdictMark } from '../parts/judgement';
import { TenantName } from '../parts/names';
import { Head, Panel, Updated } from '../parts/page';
import { RiskMark } from '../parts/risk';
import { DayBars } from '../parts/scenarios/bars';
import { ScenarioForm } from '../parts/scenarios/form';
import { ScenarioHistory } from '../parts/scenarios/manage';
import { SeverityMark, StatusMark } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { When } from '../parts/time';

const DAYS = [1, 7, 30, 90];
const ALL = 'open,acknowledged,closed';

/** One scenario: whom it concerns, what is known of them, its alerts to be verified on the spot. The URL holds the time and the search. */
export default function ScenarioPage() {
  const { id = '' } = useParams();
  const { t, tx, locale } = useSettings();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const write = useCan()('update-scenario');
  const { act } = useAct();
  const [editing, setEditing] = useState(false);
  const [history, setHistory] = useState(false);
  const days = DAYS.find((n) => String(n) === url.get('days')) ?? 0;
  const search = { q: url.get('q') ?? '', unit: url.get('unit') ?? '', ip: url.get('ip') ?? '', system: url.get('system') ?? '', ci: url.get('ci') ?? '', status: url.get('status') ?? '' };
  const key = JSON.stringify([days, search]);
  const query = useQuery({
    queryKey: ['scenario', id, key],
    queryFn: ({ signal }) => get<ScenarioState>(scenarioPath(id), { days, zone: zoneName(), ...search }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 60_000,
  });
  const s = query.data;
  const remove = () =>
    s &&
    void act(() => del(scenarioPath(id)), {
      said: t('scenario.deleted', { x: tx(s.name) }),
      renew: SCENARIO_RENEW,
      undo: () => void act(() => post(`${scenarioPath(id)}/restore`, { version: s.version }), { said: t('scenario.restored', { x: tx(s.name) }), renew: SCENARIO_RENEW }),
    }).then((ok) => ok && navigate('/scenarios'));
  const exported = async () => {
    const file = await get<{ yaml: string }>('/scenarios/export', { id });
    download(`icewatch-scenario-${id}.yml`, 'application/yaml', file.yaml);
  };
  const shares = (title: string, rows: readonly Share[], more: Column<Share>[], narrow?: (x: Share) => void) => (
    <Panel title={`${title} ${number(rows.length, locale)}`} flush>
      {rows.length === 0 ? (
        <Empty small title={t('scenario.none')} />
      ) : (
        <div style={{ maxHeight: 300, overflow: 'auto' }} tabIndex={0} role="group" aria-label={title}>
          <DataTable
            label={title}
            rows={rows}
            rowKey={(x) => x.key}
            columns={[
              ...more,
              { key: 'alerts', title: t('scenario.alerts'), num: true, render: (x) => number(x.alerts, locale) },
              { key: 'risks', title: t('scenario.risks'), num: true, render: (x) => number(x.risks, locale) },
              { key: 'sev', title: t('scenario.severity'), render: (x) => x.severity && <SeverityMark level={x.severity} /> },
              { key: 'ok', title: t('scenario.succeeded'), num: true, render: (x) => number(x.succeeded, locale) },
              {
                key: 'do',
                title: '',
                num: true,
                render: (x) =>
                  narrow && (
                    <button className="plain" aria-label={t('scenario.filterOnly', { x: x.name || x.key })} title={t('scenario.filterOnly', { x: x.name || x.key })} onClick={() => narrow(x)}>
                      ⌕
                    </button>
                  ),
              },
            ]}
          />
        </div>
      )}
    </Panel>
  );
  const known: Column<Share>[] = [
    { key: 'risk', title: t('scenario.cmdbRisk'), render: (x) => x.risk && <RiskMark score={x.score ?? 0} level={x.risk} /> },
    { key: 'findings', title: t('scenario.findings'), num: true, render: (x) => (x.risk ? number(x.findings ?? 0, locale) : '') },
  ];
  return (
    <div className="page">
      <Head title={s ? tx(s.name) : t('page.scenarios')} sub={s && (tx(s.description) || '')}>
        <Updated at={query.dataUpdatedAt} />
        {[0, ...DAYS].map((n) => (
          <button key={n} className="plain toggle" aria-pressed={days === n} onClick={() => setUrl({ days: n === 0 ? undefined : String(n) })}>
            {n === 0 ? t('scenario.daysSelf') : t('scenario.days', { n })}
          </button>
        ))}
        <Button onClick={() => setHistory(true)}>{t('scenario.history')}</Button>
        <Button onClick={() => void act(exported)}>{t('scenario.export')}</Button>
        {write && s?.editable && (
          <>
            {!s.shipped && <Button onClick={remove}>{t('inhibit.delete')}</Button>}
            <Button type="primary" onClick={() => setEditing(true)}>
              {t('do.edit')}
            </Button>
          </>
        )}
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="scenario.what" lines={12}>
        {(d) => {
          const f = d.figures;
          return (
            <div className="stack" style={{ gap: 14 }}>
              {list(d.notes).map((x, i) => (
                <div key={i} className="notice warn">
                  {tx(x)}
                </div>
              ))}
              <section className="panel" style={{ padding: 14 }}>
                <div className="cols" style={{ alignItems: 'center' }}>
                  <div className="gauges" style={{ gridTemplateColumns: 'repeat(auto-fit, minmax(90px, 1fr))' }}>
                    {(
                      [
                        ['alerts', f.alerts],
                        ['attacks', f.alerts - f.risks],
                        ['risks', f.risks],
                        ['succeeded', f.succeeded],
                        ['openN', f.open],
                        ['incidents', f.incidents],
                      ] as const
                    ).map(([k, n]) => (
                      <div key={k}>
                        <div className="v" data-testid={`scenario-${k}`}>
                          {number(n, locale)}
                        </div>
                        <div className="l">{t(`scenario.${k}`)}</div>
                      </div>
                    ))}
                  </div>
                  <DayBars figures={f} height={56} />
                </div>
                {list(d.tags).length > 0 && (
                  <div className="tags" style={{ marginTop: 8 }}>
                    {list(d.tags).map((x) => (
                      <span key={x} className="tag">
                        # {x}
                      </span>
                    ))}
                  </div>
                )}
                <details style={{ marginTop: 8 }}>
                  <summary className="dim">{t('scenario.definition')}</summary>
                  <dl className="facts" style={{ marginTop: 6 }}>
                    <dt>{t('scenario.any')}</dt>
                    <dd className="mono">
                      {list(d.any).map((l, i) => (
                        <div key={i}>{list(l).join(' · ')}</div>
                      ))}
                    </dd>
                    {list(d.risks).length > 0 && (
                      <>
                        <dt>{t('scenario.risks')}</dt>
                        <dd className="mono">
                          {list(d.risks).map((l, i) => (
                            <div key={i}>{list(l).join(' · ')}</div>
                          ))}
                        </dd>
                      </>
                    )}
                    {d.objects && (
                      <>
                        <dt>{t('scenario.objects')}</dt>
                        <dd className="mono">{d.objects}</dd>
                      </>
                    )}
                    {d.items && (
                      <>
                        <dt>{t('scenario.itemsFilter')}</dt>
                        <dd className="mono">{d.items}</dd>
                      </>
                    )}
                    <dt>{t('scenario.period')}</dt>
                    <dd>{d.days}</dd>
                  </dl>
                </details>
              </section>
              <Search search={search} set={(x) => setUrl(x)} />
              {f.more && <p className="dim">{t('scenario.cut')}</p>}
              <div className="halves">
                {shares(
                  t('scenario.systems'),
                  list(f.systems),
                  [
                    { key: 'name', title: t('scenario.name'), render: (x) => <Link to={`/portraits/${encodeURIComponent(x.key)}`}>{x.name || x.key}</Link> },
                    { key: 'level', title: t('scenario.graded'), render: (x) => (x.protection_level ? t('scenario.level', { n: x.protection_level }) : '') },
                    ...known,
                  ],
                  (x) => setUrl({ system: x.key }),
                )}
                {shares(t('scenario.units'), list(f.units), [{ key: 'name', title: t('scenario.name'), render: (x) => x.name || x.key }, ...known], (x) => setUrl({ unit: x.key }))}
                {shares(t('scenario.items'), list(f.items), [{ key: 'name', title: t('scenario.name'), render: (x) => <Link to={`/cmdb/${encodeURIComponent(x.key)}`}>{x.name || x.key}</Link> }, ...known], (x) => setUrl({ ci: x.key }))}
                {shares(t('scenario.accounts'), list(f.accounts), [{ key: 'name', title: t('scenario.name'), render: (x) => <span className="mono">{x.key}</span> }], (x) => setUrl({ q: x.key }))}
                {shares(t('scenario.regions'), list(f.regions), [{ key: 'name', title: t('scenario.name'), render: (x) => x.name || x.key }])}
              </div>
              <Events id={id} from={f.from} search={search} />
            </div>
          );
        }}
      </Loaded>
      {editing && s && <ScenarioForm scenario={s} close={() => setEditing(false)} />}
      {history && s && <ScenarioHistory scenario={s} close={() => setHistory(false)} />}
    </div>
  );
}

type Wanted = Record<'q' | 'unit' | 'ip' | 'system' | 'ci' | 'status', string>;

/** The combined search: by unit, address and words, beside what was clicked in the lists. */
function Search({ search, set }: { search: Wanted; set: (x: Record<string, string | undefined>) => void }) {
  const { t } = useSettings();
  const field = (name: 'q' | 'unit' | 'ip', label: string, width: number) => <Field key={name} label={label} width={width} value={search[name]} set={(v) => set({ [name]: v || undefined })} />;
  const chip = (name: 'system' | 'ci', label: string) =>
    search[name] && (
      <span className="chip" key={name}>
        <span className="ellipsis">
          {label} {search[name]}
        </span>
        <button className="plain" aria-label={t('do.remove', { x: label })} onClick={() => set({ [name]: undefined })}>
          ✕
        </button>
      </span>
    );
  return (
    <div className="filters" role="search">
      {field('unit', t('scenario.searchUnit'), 170)}
      {field('ip', t('scenario.searchIP'), 150)}
      {field('q', t('scenario.searchQ'), 220)}
      {(['open,acknowledged', 'closed'] as const).map((st) => (
        <button key={st} className="plain toggle" aria-pressed={search.status === st} onClick={() => set({ status: search.status === st ? undefined : st })}>
          {st === 'closed' ? t('status.closed') : t('scenario.openN')}
        </button>
      ))}
      {chip('system', t('scenario.systems'))}
      {chip('ci', t('scenario.items'))}
      {Object.values(search).some(Boolean) && (
        <Button type="link" size="small" onClick={() => set({ q: undefined, unit: undefined, ip: undefined, system: undefined, ci: undefined, status: undefined })}>
          {t('do.clear')}
        </Button>
      )}
    </div>
  );
}

function Field({ label, width, value, set }: { label: string; width: number; value: string; set: (v: string) => void }) {
  const [text, setText] = useState(value);
  const settled = useSettled(text.trim(), 350);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (settled !== value && settled === text.trim()) set(settled);
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps
  return <Input allowClear style={{ width }} aria-label={label} placeholder={label} value={text} onChange={(e) => setText(e.target.value)} />;
}

/** The scenario's alerts: verified on the spot, traced from here. */
function Events({ id, from, search }: { id: string; from: string; search: Wanted }) {
  const { t, tx, locale } = useSettings();
  const respond = useCan()('respond');
  const filter = { scenario: id, since: from, status: search.status || ALL, q: search.q, unit: search.unit, ip: search.ip, system: search.system, ci: search.ci, suppressed: 'none' };
  const key = JSON.stringify(filter);
  const query = useQuery({ queryKey: ['alerts', 'scenario', key], queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { ...filter, limit: 50 }, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const rows = list(query.data?.items);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => setChosen(new Set()), [key]);
  const [closing, setClosing] = useState(false);
  const actions = useAlertActions();
  const ids = rows.filter((r) => chosen.has(r.id)).map((r) => r.id);
  const after = (work: Promise<unknown>) => void work.then(() => setChosen(new Set()));
  useKeys({ e: () => respond && ids.length > 0 && setClosing(true), a: () => respond && ids.length > 0 && after(actions.acknowledge(ids)), f: () => respond && ids.length > 0 && after(actions.close(ids, 'false_positive', '')) });
  const { system, ci, ...rest } = filter;
  const link = `/alerts?${new URLSearchParams(Object.entries({ ...rest, ci: ci || system, since: '90d', suppressed: '' }).filter(([, v]) => v))}`;
  return (
    <Panel
      title={`${t('scenario.events')} ${query.data ? number(query.data.total ?? rows.length, locale) : ''}`}
      end={
        <span className="row">
          {ids.length > 0 && respond && (
            <>
              <b>{t('scenario.chosen', { n: ids.length })}</b>
              <Button size="small" type="primary" onClick={() => after(actions.acknowledge(ids))}>
                {t('alerts.ackN', { n: ids.length })}
              </Button>
              <AssignButton assign={(x) => after(actions.assign(ids, x))} />
              <Button size="small" onClick={() => after(actions.close(ids, 'false_positive', ''))}>
                {t('resolution.false_positive')}
              </Button>
              <Button size="small" onClick={() => setClosing(true)}>
                {t('alerts.closeN', { n: ids.length })}
              </Button>
            </>
          )}
          <Link to={link}>{t('scenario.inList')}</Link>
        </span>
      }
      flush
    >
      <Loaded query={query} what="alerts.what" lines={6} small>
        {() =>
          rows.length === 0 ? (
            <Empty small title={t('scenario.quiet')} why={t('scenario.quietWhy')} />
          ) : (
            <div style={{ overflowX: 'auto' }}>
              <DataTable
                label={t('scenario.events')}
                rows={rows}
                rowKey={(a) => a.id}
                choice={respond ? { ids: chosen, set: setChosen, name: (a) => tx(a.title) } : undefined}
                columns={[
                  { key: 'sev', title: t('col.severity'), render: (a) => <SeverityMark level={a.severity} /> },
                  { key: 'what', title: t('col.what'), render: (a) => <Link to={`/alerts/${encodeURIComponent(a.id)}`}>{tx(a.title)}</Link> },
                  { key: 'verdict', title: t('judged.verdict'), render: (a) => <VerdictMark value={a.verdict} reason={tx(a.verdict_reason)} /> },
                  {
                    key: 'who',
                    title: t('scenario.who'),
                    render: (a) => (
                      <span className="mono">
                        {a.attacker?.ip || a.source_ip || '–'} → {a.ci?.name || a.victim?.name || a.victim?.ip || '–'}
                      </span>
                    ),
                  },
                  { key: 'system', title: t('col.system'), render: (a) => a.system?.name || <TenantName slug={a.tenant} /> },
                  { key: 'incident', title: t('page.incidents'), render: (a) => a.incident_id && <Link className="mono" to={`/incidents/${encodeURIComponent(a.incident_id)}`}>{a.incident_id}</Link> },
                  { key: 'status', title: t('col.status'), render: (a) => <StatusMark status={a.status} /> },
                  { key: 'last', title: t('col.lastSeen'), num: true, render: (a) => <When time={a.last_seen} age /> },
                  { key: 'trace', title: '', num: true, render: (a) => <Trace alert={a} /> },
                ]}
              />
            </div>
          )
        }
      </Loaded>
      {closing && <CloseDialog title={t('alerts.closeN', { n: ids.length })} cancel={() => setClosing(false)} submit={(r, c) => actions.close(ids, r, c).then(() => setChosen(new Set()))} />}
    </Panel>
  );
}

/** Where to look for how it came about: its logs, who has to do with whom, the attack's story. */
function Trace({ alert: a }: { alert: Alert }) {
  const { t } = useSettings();
  const address = a.attacker?.ip || a.source_ip || a.victim?.ip || '';
  const words = [a.attacker?.ip || a.source_ip, a.victim?.ip].filter(Boolean).map((x) => `"${x}"`);
  const start = new Date(Date.parse(a.first_seen) - 3_600_000).toISOString();
  const end = new Date(Date.parse(a.last_seen) + 3_600_000).toISOString();
  const seed = address ? `ip:${address}` : a.ci?.id ? `item:${a.ci.id}` : a.user ? `user:${a.user}` : '';
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: [
          { key: 'logs', label: <Link to={`/search?${new URLSearchParams({ q: words.join(' ') || (a.ci ? `"${a.ci.name}"` : '*'), start, end })}`}>{t('scenario.traceLogs')}</Link> },
          ...(seed ? [{ key: 'graph', label: <Link to={`/graph?${new URLSearchParams({ seed, start, end })}`}>{t('scenario.traceGraph')}</Link> }] : []),
          { key: 'story', label: <Link to={a.incident_id ? `/incidents/${encodeURIComponent(a.incident_id)}` : `/alerts/${encodeURIComponent(a.id)}`}>{t('scenario.traceStory')}</Link> },
        ],
      }}
    >
      <Button size="small">{t('scenario.trace')} ▾</Button>
    </Dropdown>
  );
}
