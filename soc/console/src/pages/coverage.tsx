import { DownloadOutlined } from '@ant-design/icons';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Link } from 'react-router-dom';
import { del, get, request } from '../api/client';
import type { Coverage, CoverageGap, CoveragePart, CoverageSource, CoverageState, UnfedRules } from '../api/coverage';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { download } from '../logic/export';
import { number } from '../logic/format';
import { TenantName } from '../parts/names';
import { Head, Panel, Updated } from '../parts/page';
import { SearchBox } from '../parts/search';
import { SeverityMark } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

const STATES = ['all', 'silent', 'flood', 'new', 'ok'] as const;

function State({ state, since }: { state: CoverageState; since?: string | null }) {
  const { t } = useSettings();
  if (state === 'silent' || state === 'flood') {
    return (
      <span className="late">
        {t(`coverage.${state}`)} <When time={since} age />
      </span>
    );
  }
  return (
    <span className="status" title={state === 'new' ? t('coverage.newWhy') : undefined}>
      <i className={`dot ${state === 'ok' ? 'ok' : 'off'}`} />
      {t(`coverage.${state}`)}
    </span>
  );
}

/** What needs somebody, in one line. */
function Glance({ c }: { c: Coverage }) {
  const { t, locale } = useSettings();
  const [, setUrl] = useUrl();
  const sum = (f: (p: CoveragePart) => number): number => list(c.tenants).reduce((n, p) => n + f(p), 0);
  const silent = sum((p) => p.silent);
  const flood = sum((p) => p.flood);
  const nothing = list(c.tenants).filter((p) => p.sources === 0).length;
  const lacking = list(c.gaps).reduce((n, g) => n + g.assets, 0);
  return (
    <div className="filters" data-testid="coverage-glance" style={{ fontSize: 15, gap: 16 }}>
      {silent > 0 ? (
        <button className="plain late" style={{ fontWeight: 600 }} onClick={() => setUrl({ state: 'silent' })}>
          {silent === 1 ? t('coverage.silent1') : t('coverage.silentN', { n: number(silent, locale) })}
        </button>
      ) : (
        <span className="status">
          <i className="dot ok" />
          {t('coverage.allWell')}
        </span>
      )}
      {flood > 0 && (
        <button className="plain late" onClick={() => setUrl({ state: 'flood' })}>
          {t('coverage.floodN', { n: number(flood, locale) })}
        </button>
      )}
      {nothing > 0 && <span>{t('coverage.nothingN', { n: number(nothing, locale) })}</span>}
      {lacking > 0 && <span>{t('coverage.gapsN', { n: number(lacking, locale) })}</span>}
    </div>
  );
}

function Tenants({ rows }: { rows: CoveragePart[] }) {
  const { t, locale } = useSettings();
  // Who is silent comes first, then who sends nothing at all.
  const order = [...rows].sort((a, b) => b.silent - a.silent || b.flood - a.flood || Number(a.sources > 0) - Number(b.sources > 0) || a.tenant.localeCompare(b.tenant));
  return (
    <DataTable
      label={t('coverage.tenants')}
      rows={order}
      rowKey={(p) => p.tenant}
      columns={[
        { key: 'tenant', title: t('col.tenant'), render: (p) => <Link to={`/coverage?tenant=${encodeURIComponent(p.tenant)}`}>{<TenantName slug={p.tenant} />}</Link> },
        {
          key: 'state',
          title: t('coverage.state'),
          render: (p) =>
            p.sources === 0 ? (
              <span className="faint">{t('coverage.never')}</span>
            ) : p.silent > 0 ? (
              <span className="late">{p.silent === 1 ? t('coverage.silent1') : t('coverage.silentN', { n: number(p.silent, locale) })}</span>
            ) : (
              <State state="ok" />
            ),
        },
        { key: 'sources', title: t('coverage.sources'), num: true, render: (p) => number(p.sources, locale) },
        { key: 'datasets', title: t('coverage.datasets'), num: true, render: (p) => number(p.datasets, locale) },
        { key: 'rate', title: t('coverage.rate'), num: true, render: (p) => number(p.events_per_second, locale) },
        { key: 'usual', title: t('coverage.usual'), num: true, render: (p) => number(p.usual_per_second, locale) },
        { key: 'since', title: t('coverage.since'), num: true, render: (p) => <When time={p.since} /> },
        { key: 'last', title: t('coverage.last'), num: true, render: (p) => <When time={p.last_seen} age /> },
      ]}
    />
  );
}

function Gaps({ c }: { c: Coverage }) {
  const { t, locale } = useSettings();
  const systems = new Map(list(c.systems).map((s) => [s.system, s.name]));
  if (list(c.gaps).length === 0) return <Empty small title={t('coverage.noGaps')} why={t('coverage.noGapsWhy')} />;
  return (
    <DataTable
      label={t('coverage.gaps')}
      rows={list(c.gaps)}
      rowKey={(g: CoverageGap) => `${g.tenant} ${g.system} ${g.log}`}
      columns={[
        { key: 'tenant', title: t('col.tenant'), render: (g) => <TenantName slug={g.tenant} /> },
        { key: 'system', title: t('coverage.system'), render: (g) => (g.system ? <Link to={`/cmdb/${encodeURIComponent(g.system)}`}>{systems.get(g.system) ?? g.system}</Link> : <span className="faint">{t('coverage.noSystem')}</span>) },
        { key: 'log', title: t('coverage.log'), render: (g) => t(`coverage.log.${g.log}`) },
        { key: 'assets', title: t('coverage.lacking'), num: true, render: (g) => t('coverage.someOf', { n: number(g.assets, locale), of: number(g.of, locale) }) },
        { key: 'some', title: '', render: (g) => <span className="dim">{list(g.some).slice(0, 5).join(', ')}{list(g.some).length > 5 ? ' …' : ''}</span> },
      ]}
    />
  );
}

/** Rules that cannot fire, for no event of their log source comes. */
function Rules() {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const query = useQuery({ queryKey: ['coverage-rules'], queryFn: ({ signal }) => get<UnfedRules>('/coverage/rules', { limit: 200 }, signal), enabled: can('list-coverage-rules'), refetchInterval: 60_000 });
  if (!can('list-coverage-rules')) return null;
  return (
    <Panel title={t('coverage.rules')} end={<span className="dim">{query.data ? `${t('coverage.rulesOf', { n: number(query.data.total, locale), of: number(query.data.of, locale) })} · ${t('coverage.rulesWhy')}` : ''}</span>} flush>
      <Loaded query={query} what="coverage.rules" lines={4}>
        {(d) =>
          list(d.items).length === 0 ? (
            <Empty small title={t('coverage.rulesNone')} />
          ) : (
            <div style={{ maxHeight: 420, overflow: 'auto' }}>
              <DataTable
                label={t('coverage.rules')}
                rows={list(d.items)}
                rowKey={(r) => r.id}
                columns={[
                  { key: 'rule', title: t('coverage.rule'), render: (r) => <Link to={`/rules/${encodeURIComponent(r.id)}`}>{tx(r.title) || r.id}</Link> },
                  { key: 'level', title: t('col.severity'), render: (r) => <SeverityMark level={r.level} /> },
                  { key: 'path', title: '', render: (r) => <span className="mono faint">{r.path}</span> },
                ]}
              />
            </div>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Sources() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const tenant = url.get('tenant') ?? '';
  const state = STATES.find((s) => s === url.get('state')) ?? 'all';
  const query = useQuery({
    queryKey: ['coverage-sources', q, state, tenant],
    queryFn: ({ signal }) => get<Page<CoverageSource>>('/coverage/sources', { q, state, tenant, limit: 500 }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
  });
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('coverage.find')} />
        {STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: s === 'all' ? undefined : s })}>
            {t(`coverage.${s}`)}
          </button>
        ))}
        {tenant && (
          <button className="plain toggle" aria-pressed onClick={() => setUrl({ tenant: undefined })}>
            <TenantName slug={tenant} /> ×
          </button>
        )}
        <span className="dim">{query.data?.total !== undefined && number(query.data.total, locale)}</span>
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="coverage.what" lines={10}>
          {(d) =>
            list(d.items).length === 0 ? (
              q || tenant || state !== 'all' ? (
                <Empty title={t('coverage.noMatch')} />
              ) : (
                <Empty title={t('coverage.empty')} why={t('coverage.emptyWhy')}>
                  <Link to="/connect">{t('coverage.connect')}</Link>
                </Empty>
              )
            ) : (
              <DataTable
                label={t('coverage.sources')}
                rows={list(d.items)}
                rowKey={(s) => s.id}
                columns={[
                  {
                    key: 'source',
                    title: t('coverage.source'),
                    render: (s) => (
                      <>
                        {s.item ? <Link to={`/cmdb/${encodeURIComponent(s.item)}`}>{s.item_name || s.source}</Link> : <b style={{ fontWeight: 550 }}>{s.source || s.collector}</b>}{' '}
                        {s.peer && s.peer !== s.source && <span className="mono faint">{s.peer}</span>}
                      </>
                    ),
                  },
                  { key: 'dataset', title: t('coverage.dataset'), render: (s) => <span className="mono">{s.dataset}</span> },
                  { key: 'state', title: t('coverage.state'), render: (s) => <State state={s.state} since={s.since} /> },
                  { key: 'tenant', title: t('col.tenant'), render: (s) => <TenantName slug={s.tenant} /> },
                  { key: 'system', title: t('coverage.system'), render: (s) => s.system_name || <span className="faint">–</span> },
                  { key: 'owner', title: t('coverage.owner'), render: (s) => s.owner || <span className="faint">–</span> },
                  { key: 'rate', title: t('coverage.rate'), num: true, render: (s) => <span title={t('coverage.usualWhy')}>{number(s.events_per_second, locale)}</span> },
                  { key: 'usual', title: t('coverage.usual'), num: true, render: (s) => <span title={t('coverage.usualWhy')}>{number(s.usual_per_second, locale)}</span> },
                  { key: 'since', title: t('coverage.since'), num: true, render: (s) => <When time={s.first_seen} /> },
                  { key: 'last', title: t('coverage.last'), num: true, render: (s) => <When time={s.last_seen} age /> },
                  {
                    key: 'do',
                    title: '',
                    render: (s) =>
                      can('forget-coverage-source') &&
                      s.state === 'silent' && (
                        <Button size="small" title={t('coverage.forgetWhy')} onClick={() => void act(() => del(`/coverage/sources/${encodeURIComponent(s.id)}`), { said: t('coverage.forgotten', { x: s.item_name || s.source }), renew: ['coverage', 'coverage-sources', 'conditions'] })}>
                          {t('coverage.forget')}
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

/** Which systems send what, since when, who is silent, and which logs are missing. */
export default function CoveragePage() {
  const { t } = useSettings();
  const { act } = useAct();
  const [url] = useUrl();
  const tenant = url.get('tenant') ?? '';
  const query = useQuery({ queryKey: ['coverage', tenant], queryFn: ({ signal }) => get<Coverage>('/coverage', { tenant }, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const save = () =>
    act(async () => {
      const res = await request('GET', '/coverage/export', { query: { tenant, state: url.get('state') ?? 'all', q: url.get('q') ?? '' } });
      download('coverage.csv', 'text/csv;charset=utf-8', `\ufeff${await res.text()}`);
    });
  return (
    <div className="page">
      <Head title={t('page.coverage')}>
        <Updated at={query.dataUpdatedAt} />
        <Button icon={<DownloadOutlined />} onClick={() => void save()}>
          {t('coverage.export')}
        </Button>
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="coverage.what" lines={2}>
        {(c) => <Glance c={c} />}
      </Loaded>
      <Sources />
      <Loaded query={query} what="coverage.what" lines={10}>
        {(c) => (
          <div style={{ display: 'grid', gap: 12, marginTop: 12 }}>
            <Panel title={t('coverage.gaps')} end={<span className="dim">{c.partial ? t('coverage.partial') : t('coverage.gapsWhy')}</span>} flush>
              <Gaps c={c} />
            </Panel>
            {!tenant && <Rules />}
            <Panel title={t('coverage.tenants')} flush>
              <Tenants rows={list(c.tenants)} />
            </Panel>
          </div>
        )}
      </Loaded>
    </div>
  );
}
