import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Form, Select } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { SURFACE_KINDS, type ScanRun, type SurfaceChange, type SurfaceFigures, type SurfaceHost, type SurfaceImport } from '../../api/scans';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute, bytes, duration, number, type Locale } from '../../logic/format';
import { parseWords } from '../../logic/urlstate';
import { FormDialog } from '../../parts/dialog';
import { Duplicates } from '../../parts/exposure/duplicates';
import { Listing } from '../../parts/listing';
import { useTenantName } from '../../parts/names';
import { Head } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Failed, Loaded } from '../../parts/states';
import { DataTable, type Column } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';
import { When } from '../../parts/time';

const RENEW = ['surface'];

/** What the network shows of hosts: what changed (?kind=, ?days=, ?open=1, ?run=), what there is (?tab=hosts&q=&unknown=1), which items are one host (?tab=duplicates), and two scans side by side (?tab=compare&before=&after=). */
export default function Surface() {
  const { t } = useSettings();
  const can = useCan();
  const tabs = [
    { key: 'changes' as const, title: t('surface.tab.changes') },
    ...(can('list-surface-hosts') ? [{ key: 'hosts' as const, title: t('surface.tab.hosts') }] : []),
    ...(can('list-surface-duplicates') ? [{ key: 'duplicates' as const, title: t('surface.tab.duplicates') }] : []),
    ...(can('compare-scan-runs') ? [{ key: 'compare' as const, title: t('surface.tab.compare') }] : []),
  ];
  const tab = useTab(tabs);
  const figures = useQuery({ queryKey: ['surface', 'figures'], queryFn: ({ signal }) => get<SurfaceFigures>('/surface/figures', {}, signal), refetchInterval: 60_000 });
  return (
    <div className="page">
      <Head title={t('page.surface')} sub={figures.data ? t('surface.figures', { h: figures.data.hosts, u: figures.data.unknown, o: figures.data.open_changes }) : t('surface.lead')} />
      <Tabs tabs={tabs} label={t('page.surface')} />
      {tab === 'changes' && <Changes />}
      {tab === 'hosts' && <Hosts />}
      {tab === 'duplicates' && <Duplicates />}
      {tab === 'compare' && <Compare />}
    </div>
  );
}

function useColumns(): Column<SurfaceChange>[] {
  const { t } = useSettings();
  const tenantName = useTenantName();
  return [
    { key: 'kind', title: t('surface.change'), render: (c) => t(`surface.kind.${c.kind}`) },
    {
      key: 'where',
      title: t('surface.where'),
      render: (c) => (
        <>
          {c.item ? (
            <Link className="mono" to={`/cmdb/${encodeURIComponent(c.item)}`}>
              {c.address}
            </Link>
          ) : (
            <span className="mono">{c.address}</span>
          )}
          {c.port ? <span className="mono">{` ${c.protocol ?? 'tcp'}/${c.port}`}</span> : null}
          <div className="faint">
            {tenantName(c.tenant)} · {c.zone}
          </div>
        </>
      ),
    },
    { key: 'before', title: t('surface.before'), render: (c) => c.before || <span className="faint">–</span> },
    { key: 'after', title: t('surface.after'), render: (c) => c.after || <span className="faint">–</span> },
  ];
}

function Changes() {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const columns = useColumns();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const kinds = parseWords(url, 'kind', SURFACE_KINDS);
  const days = url.get('days') ?? '1';
  const open = url.get('open') === '1';
  const run = url.get('run') ?? '';
  const cursor = url.get('cursor') ?? '';
  const filter = { kind: kinds.join(',') || undefined, days: Number(days) || undefined, open: open || undefined, run: run || undefined, cursor: cursor || undefined, limit: 100 };
  const query = useQuery({ queryKey: ['surface', 'changes', JSON.stringify(filter)], queryFn: ({ signal }) => get<Page<SurfaceChange>>('/surface/changes', filter, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const set = (x: Record<string, string | undefined>) => {
    setChosen(new Set());
    setUrl({ ...x, cursor: undefined });
  };
  const narrowed = kinds.length > 0 || days !== '0' || open || run !== '';
  const ids = [...chosen].map(Number).filter((n) => n > 0);
  return (
    <>
      <div className="filters" role="search">
        {(
          [
            ['1', 'surface.yesterday'],
            ['7', 'surface.week'],
            ['0', 'surface.any'],
          ] as const
        ).map(([d, key]) => (
          <button key={d} className="plain toggle" aria-pressed={days === d} onClick={() => set({ days: d === '1' ? undefined : d })}>
            {t(key)}
          </button>
        ))}
        <span className="sep" aria-hidden="true" />
        <button className="plain toggle" aria-pressed={open} onClick={() => set({ open: open ? undefined : '1' })}>
          {t('surface.open')}
        </button>
        <span className="sep" aria-hidden="true" />
        {SURFACE_KINDS.map((k) => (
          <button key={k} className="plain toggle" aria-pressed={kinds.includes(k)} onClick={() => set({ kind: (kinds.includes(k) ? kinds.filter((x) => x !== k) : [...kinds, k]).join(',') || undefined })}>
            {t(`surface.kind.${k}`)}
          </button>
        ))}
        {run && (
          <span className="chip">
            <span className="mono">{run}</span>
            <button className="plain" aria-label={t('do.delete')} onClick={() => set({ run: undefined })}>
              ×
            </button>
          </span>
        )}
        {ids.length > 0 && (
          <Button
            type="primary"
            onClick={() =>
              void act(() => post('/surface/changes/acknowledge', { ids }), { said: t('surface.acked'), renew: RENEW }).then((ok) => {
                if (ok) setChosen(new Set());
              })
            }
          >
            {t('surface.ack')} · {t('surface.chosen', { n: ids.length })}
          </Button>
        )}
      </div>
      <Listing
        query={query}
        what="surface.tab.changes"
        lines={8}
        empty={
          <Empty title={t('surface.noChanges')} why={t(narrowed ? 'surface.noneWhy' : 'surface.noChangesWhy')}>
            <Link className="ant-btn ant-btn-default" to="/scans?tab=tasks">
              {t('surface.toScans')}
            </Link>
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('surface.tab.changes')}
            rows={rows}
            rowKey={(c) => String(c.id)}
            choice={can('acknowledge-surface-changes') ? { ids: chosen, set: setChosen, name: (c) => `${t(`surface.kind.${c.kind}`)} ${c.address}` } : undefined}
            columns={[...columns, { key: 'at', title: t('scan.at'), render: (c) => (c.run ? <Link to={`/scans/${encodeURIComponent(c.run)}`}><When time={c.at} /></Link> : <When time={c.at} />) }, { key: 'ack', title: t('surface.ack'), render: (c) => c.acknowledged_by || <span className="faint">–</span> }]}
          />
        )}
      </Listing>
    </>
  );
}

const STATES = ['present', 'stale', 'vanished'] as const;
const place = (h: SurfaceHost) => JSON.stringify([h.tenant, h.zone, h.address]);

function Hosts() {
  const { t } = useSettings();
  const can = useCan();
  const tenantName = useTenantName();
  const { tell } = useAct();
  const [url, setUrl] = useUrl();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [importing, setImporting] = useState(false);
  const [came, setCame] = useState<SurfaceImport | null>(null);
  const q = url.get('q') ?? '';
  const state = STATES.find((s) => s === url.get('state'));
  const unknown = url.get('unknown') === '1';
  const cursor = url.get('cursor') ?? '';
  const filter = { q: q || undefined, state, unknown: unknown || undefined, cursor: cursor || undefined, limit: 100 };
  const query = useQuery({ queryKey: ['surface', 'hosts', JSON.stringify(filter)], queryFn: ({ signal }) => get<Page<SurfaceHost>>('/surface/hosts', filter, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const narrowed = q !== '' || state !== undefined || unknown;
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('surface.search')} />
        {STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s, cursor: undefined })}>
            {t(`surface.state.${s}`)}
          </button>
        ))}
        <button className="plain toggle" aria-pressed={unknown} onClick={() => setUrl({ unknown: unknown ? undefined : '1', cursor: undefined })}>
          {t('surface.onlyUnknown')}
        </button>
        {chosen.size > 0 && (
          <Button type="primary" onClick={() => setImporting(true)}>
            {t('surface.import')} · {t('surface.chosen', { n: chosen.size })}
          </Button>
        )}
      </div>
      {came && (
        <div className="notice" role="status">
          {t('surface.imported', { h: came.hosts, s: came.software, k: came.known })} {list(came.refused).length > 0 && <span className="warn">{t('surface.refused', { n: list(came.refused).length, x: list(came.refused).join('; ') })}</span>}
        </div>
      )}
      <Listing
        query={query}
        what="surface.tab.hosts"
        lines={8}
        empty={
          <Empty title={t(narrowed ? 'scan.none' : 'surface.noHosts')} why={narrowed ? undefined : t('surface.noHostsWhy')}>
            {!narrowed && (
              <Link className="ant-btn ant-btn-default" to="/scans?tab=tasks">
                {t('surface.toScans')}
              </Link>
            )}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('surface.tab.hosts')}
            rows={rows}
            rowKey={place}
            choice={can('import-surface-hosts') ? { ids: chosen, set: setChosen, name: (h) => h.address } : undefined}
            columns={[
              {
                key: 'host',
                title: t('surface.host'),
                render: (h) => (
                  <>
                    <span className="mono">{h.address}</span> {list(h.names).join(' ')}
                    <div className="faint">
                      {tenantName(h.tenant)} · {h.zone} {h.mac && <span className="mono">· {h.mac}</span>} {h.vendor}
                    </div>
                  </>
                ),
              },
              { key: 'os', title: t('surface.os'), render: (h) => h.os || <span className="faint">–</span> },
              {
                key: 'services',
                title: t('surface.services'),
                render: (h) => (
                  <>
                    {[...new Set(list(h.services).map((s) => s.category))].map((c) => (
                      <div key={c}>
                        <span className="tag">{t(`surface.cat.${c}`)}</span>{' '}
                        {list(h.services)
                          .filter((s) => s.category === c)
                          .map((s) => [`${s.protocol}/${s.port}`, s.product || s.service, s.version, s.title].filter(Boolean).join(' '))
                          .join('，')}
                      </div>
                    ))}
                    <DeepReading of={h} />
                  </>
                ),
              },
              { key: 'item', title: t('surface.asset'), render: (h) => (h.item ? <Link className="nowrap" title={h.item} to={`/cmdb/${encodeURIComponent(h.item)}`}>{t('surface.known')}</Link> : <span className="warn nowrap">{t('surface.unknown')}</span>) },
              { key: 'state', title: t('surface.state'), render: (h) => (
                  <span className="status">
                    <i className={`dot ${h.state === 'present' ? 'ok' : h.state === 'stale' ? 'warn' : 'off'}`} aria-hidden="true" />
                    {t(`surface.state.${h.state}`)}
                  </span>
                ) },
              { key: 'seen', title: t('surface.seen'), render: (h) => <When time={h.last_seen} age /> },
            ]}
          />
        )}
      </Listing>
      {importing && (
        <FormDialog<{ services?: boolean }>
          title={t('surface.import')}
          ok={t('surface.import')}
          initial={{ services: true }}
          submit={async (v) => {
            const hosts = [...chosen].map((x) => {
              const [tenant, zone, address] = JSON.parse(x) as [string, string, string];
              return { tenant, zone, address };
            });
            setCame(await post<SurfaceImport>('/surface/import', { hosts, services: v.services ?? false }));
            setChosen(new Set());
            tell({ renew: RENEW });
          }}
          close={() => setImporting(false)}
        >
          <p>{t('surface.importWhy')}</p>
          <Form.Item name="services" valuePropName="checked">
            <Checkbox>{t('surface.importServices')}</Checkbox>
          </Form.Item>
        </FormDialog>
      )}
    </>
  );
}

function Compare() {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const columns = useColumns();
  const before = url.get('before') ?? '';
  const after = url.get('after') ?? '';
  const runs = useQuery({ queryKey: ['scans', 'runs', 'all'], queryFn: ({ signal }) => get<Page<ScanRun>>('/scan-runs', { limit: 500 }, signal) });
  const query = useQuery({ queryKey: ['surface', 'compare', before, after], enabled: before !== '' && after !== '', queryFn: ({ signal }) => get<Page<SurfaceChange>>('/surface/comparison', { before, after }, signal) });
  const options = list(runs.data?.items)
    .filter((r) => r.ended_at && r.kind !== 'retest')
    .map((r) => ({ value: r.id, label: `${r.name} · ${r.zone} · ${absolute(r.started_at ?? r.created_at)}` }));
  return (
    <>
      <div className="filters">
        <Select showSearch optionFilterProp="label" style={{ width: 360 }} placeholder={t('surface.earlier')} aria-label={t('surface.earlier')} value={before || undefined} options={options} onChange={(v: string) => setUrl({ before: v })} />
        <Select showSearch optionFilterProp="label" style={{ width: 360 }} placeholder={t('surface.later')} aria-label={t('surface.later')} value={after || undefined} options={options} onChange={(v: string) => setUrl({ after: v })} />
      </div>
      <div className="panel" style={{ overflowX: 'auto' }}>
        {runs.error && !runs.data ? (
          <Failed error={runs.error} what="scan.tab.runs" retry={() => void runs.refetch()} />
        ) : before === '' || after === '' ? (
          <Empty title={t('surface.choose')} why={t('surface.chooseWhy')}>
            {runs.data && options.length < 2 && (
              <Link className="ant-btn ant-btn-default" to="/scans?tab=tasks">
                {t('surface.toScans')}
              </Link>
            )}
          </Empty>
        ) : (
          <Loaded query={query} what="surface.tab.compare" lines={6}>
            {(d) => (list(d.items).length === 0 ? <Empty title={t('surface.same')} /> : <DataTable label={t('surface.tab.compare')} rows={list(d.items).map((c, i) => ({ ...c, id: i }))} rowKey={(c) => String(c.id)} columns={columns} />)}
          </Loaded>
        )}
      </div>
    </>
  );
}

/** A number by the unit at the end of its name. */
function measured(name: string, n: number, locale: Locale): string {
  if (name.endsWith('_bytes')) return bytes(n, locale);
  if (name.endsWith('_seconds')) return duration(n * 1e9, locale);
  if (name.endsWith('_ratio')) return `${number(Math.round(n * 1000) / 10, locale)} %`;
  return number(n, locale);
}

/** What deep discovery read on a host itself: how it does, and what listens there. */
function DeepReading({ of }: { of: SurfaceHost }) {
  const { t, locale } = useSettings();
  const numbers = Object.entries(of.metrics ?? {}).sort(([a], [b]) => a.localeCompare(b));
  const programs = list(of.programs);
  if (numbers.length + programs.length === 0) return null;
  return (
    <details>
      <summary className="faint">{t('surface.deep', { n: numbers.length, p: programs.length })}</summary>
      {numbers.map(([name, n]) => (
        <div key={name}>
          <span className="mono">{name.replace(/_(bytes|seconds|ratio)$/, '')}</span> {measured(name, n, locale)}
        </div>
      ))}
      {programs.map((p) => (
        <div key={`${p.address} ${p.port}`} className="mono">
          {p.address}:{p.port} {[p.program, p.version].filter(Boolean).join(' ')}
        </div>
      ))}
    </details>
  );
}
