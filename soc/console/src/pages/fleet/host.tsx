import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Fragment, useState, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { ApiError, get } from '../../api/client';
import { hostPath, type FleetHostDetail, type FleetInventory, type HostContainer } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Alert, type Page } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute, bytes, number } from '../../logic/format';
import { useContainerColumns } from '../../parts/fleet/containers';
import { HostActions, OrderDialog } from '../../parts/fleet/hosts';
import { FIGURES } from '../../parts/fleet/figures';
import { ConfigMark, HostMark, Labels } from '../../parts/fleet/marks';
import { OperationLog } from '../../parts/fleet/others';
import { MetricChart } from '../../parts/metricchart';
import { TenantName } from '../../parts/names';
import { Head, Panel, Updated } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Empty, Failed, Loaded, Stale } from '../../parts/states';
import { DataTable, type Column } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';
import { When } from '../../parts/time';

const PARTS = ['basic', 'metrics', 'inputs', 'inventory', 'alerts', 'log'] as const;

function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <dl className="facts information">
      {rows.map(([k, v]) => (
        <Fragment key={k}>
          <dt>{k}</dt>
          <dd>{v}</dd>
        </Fragment>
      ))}
    </dl>
  );
}

function Basics({ of: x }: { of: FleetHostDetail }) {
  const { t, locale } = useSettings();
  const f = x.facts;
  return (
    <Panel title={t('fleet.basic')}>
      {list(x.reasons).map((r) => (
        <div key={r.part} className="notice warn">
          {r.part}: {r.text}
        </div>
      ))}
      {x.configuration.refused && <div className="notice warn">{x.configuration.refused}</div>}
      <Facts
        rows={[
          [t('col.status'), <HostMark key="s" host={x} />],
          [t('fleet.tenant'), <TenantName key="t" slug={x.tenant} />],
          [t('fleet.f.address'), <span key="a" className="mono">{list(x.addresses).join(', ')}</span>],
          [t('fleet.col.os'), `${x.platform || x.os} ${x.release} ${x.arch}`],
          [t('fleet.f.kernel'), f.kernel || '–'],
          [t('fleet.f.hardware'), `${f.model ?? ''} ${t('fleet.f.cores', { n: f.cores, m: bytes(f.memory, locale), d: bytes(f.disk, locale) })}`],
          [t('fleet.labels'), <Labels key="l" of={list(x.labels)} />],
          [t('fleet.configuration'), <ConfigMark key="c" of={x.configuration} />],
          [t('fleet.prof.one'), x.profile_name ? <Link key="p" to="/agents?tab=profiles">{x.profile_name}</Link> : '–'],
          [t('fleet.f.tasks'), list(x.tasks).map((y) => y.name).join(', ') || '–'],
          [t('fleet.f.usage'), x.agent_memory_bytes === 0 ? '–' : t('fleet.f.usageOf', { c: number(Math.round(x.agent_cpu_percent * 100) / 100, locale), m: bytes(x.agent_memory_bytes, locale) })],
          [t('fleet.f.queue'), t('fleet.f.queueOf', { b: bytes(x.queue.bytes, locale), s: number(x.queue.oldest_seconds, locale), l: number(x.queue.dropped_lines, locale), m: number(x.queue.dropped_metrics, locale) })],
          [t('fleet.f.modules'), [`icewatch-agent ${x.version}`, ...Object.entries(x.modules).map(([k, v]) => `${k} ${v}`)].join(', ')],
          [t('fleet.f.certificate'), absolute(x.certificate.not_after)],
          [t('fleet.f.enrolled'), `${absolute(x.enrolled_at)} ${x.enrolled_by}`],
          [t('fleet.col.seen'), x.seen_at ? <When key="w" time={x.seen_at} age /> : '–'],
          [t('fleet.f.item'), x.item ? <Link key="i" to={`/cmdb/${encodeURIComponent(x.item)}`}>{t('fleet.f.openItem')}</Link> : '–'],
        ]}
      />
    </Panel>
  );
}

const SINCE = ['1h', '6h', '24h', '7d'] as const;

function Metrics({ of: x }: { of: FleetHostDetail }) {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const since = SINCE.find((y) => y === url.get('since')) ?? '6h';
  const own = `agent_id="${x.id}"`;
  const percent = (n: number) => `${Math.round(n * 10) / 10} %`;
  const size = (n: number) => bytes(n, locale);
  const runs = new Set(list(x.inputs).map((i) => i.plugin));
  const figures = FIGURES.filter((f) => runs.has(f.plugin));
  if (figures.length === 0) return <Empty title={t('fleet.noFigures')} why={t('fleet.noFiguresWhy')} />;
  return (
    <>
      <div className="filters" role="group" aria-label={t('fleet.since')}>
        {SINCE.map((x) => (
          <button key={x} className="plain toggle" aria-pressed={since === x} onClick={() => setUrl({ since: x === '6h' ? undefined : x })}>
            {t(`fleet.since.${x}`)}
          </button>
        ))}
      </div>
      <div style={{ display: 'grid', gap: 12, gridTemplateColumns: 'repeat(auto-fit, minmax(min(420px, 100%), 1fr))' }}>
      {figures.map(({ title, query, by, ...f }) => (
        <Panel key={title} title={t(title)}>
          <MetricChart query={query.replaceAll('OWN', own)} since={since} label={t(title)} say={f.percent ? percent : f.bytes ? size : undefined} name={by ? (m) => m[by] ?? '' : undefined} />
        </Panel>
      ))}
      </div>
    </>
  );
}

function Inputs({ of: x }: { of: FleetHostDetail }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const [doing, setDoing] = useState<{ kind: 'start' | 'stop'; input: string } | null>(null);
  return (
    <Panel title={t('fleet.inputs')} flush>
      {list(x.inputs).length === 0 ? (
        <Empty small title="–" />
      ) : (
        <DataTable
          label={t('fleet.inputs')}
          rows={list(x.inputs)}
          rowKey={(r) => r.name}
          columns={[
            { key: 'name', title: t('fleet.name'), render: (r) => <>{r.name} <span className="faint">{r.extension ? `${r.extension.package} ${r.extension.version}` : r.plugin}</span></> },
            { key: 'state', title: t('col.status'), render: (r) => t(`fleet.in.${(['running', 'failing', 'held', 'stopped'].includes(r.state) ? r.state : 'running') as 'running'}`) },
            { key: 'rate', title: t('fleet.in.rate'), num: true, render: (r) => number(r.rate, locale) },
            {
              key: 'process',
              title: t('fleet.plug.process'),
              render: (r) =>
                r.extension ? (
                  `${r.extension.cpu_percent.toFixed(1)} % · ${bytes(r.extension.memory_bytes, locale)} · ${t('fleet.plug.restarts')} ${r.extension.restarts} · ${t('fleet.plug.errors')} ${r.extension.errors}`
                ) : (
                  <span className="faint">–</span>
                ),
            },
            { key: 'error', title: t('fleet.log.detail'), render: (r) => r.error || <span className="faint">–</span> },
            {
              key: 'do',
              title: '',
              num: true,
              render: (r) =>
                can('create-fleet-job') && (
                  <Button size="small" aria-label={`${t(r.state === 'stopped' ? 'fleet.do.start' : 'fleet.do.stop')} ${r.name}`} onClick={() => setDoing({ kind: r.state === 'stopped' ? 'start' : 'stop', input: r.name })}>
                    {t(r.state === 'stopped' ? 'fleet.task.start' : 'fleet.task.stop')}
                  </Button>
                ),
            },
          ]}
        />
      )}
      {doing && <OrderDialog kind={doing.kind} input={doing.input} hosts={[x.id]} close={() => setDoing(null)} />}
    </Panel>
  );
}

const SHOWN = 200;

function Inventory({ id }: { id: string }) {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['fleet-inventory', id], queryFn: ({ signal }) => get<FleetInventory>(`/fleet/hosts/${encodeURIComponent(id)}/inventory`, {}, signal), refetchInterval: 15_000, retry: false });
  const containers = useContainerColumns<HostContainer>();
  if (query.error instanceof ApiError && query.error.status === 404) return <Empty title={t('fleet.noInventory')} why={t('fleet.noInventoryWhy')} />;
  if (query.error && !query.data) return <Failed error={query.error} what="fleet.inventory" retry={() => void query.refetch()} />;
  const table = <T,>(title: 'processes' | 'ports' | 'packages' | 'users' | 'services' | 'containers' | 'certificates' | 'disks', rows: readonly T[], rowKey: (r: T) => string, columns: Column<T>[]) =>
    rows.length > 0 && (
      <Panel key={title} title={`${t(`fleet.inv.${title}`)} ${number(rows.length, locale)}`} flush>
        <DataTable label={t(`fleet.inv.${title}`)} rows={rows.slice(0, SHOWN)} rowKey={rowKey} columns={columns} />
      </Panel>
    );
  const text = <T,>(key: string, title: string, render: (r: T) => ReactNode, num = false): Column<T> => ({ key, title, render, num });
  return (
    <Loaded query={query} what="fleet.inventory" lines={6}>
      {(x) => (
        <>
          <p className="faint">{t('fleet.taken', { x: absolute(x.taken * 1000) })}</p>
          {table('processes', [...list(x.processes)].sort((a, b) => b.memory_bytes - a.memory_bytes), (r) => String(r.pid), [
            text('pid', 'PID', (r) => r.pid, true),
            text('name', t('fleet.name'), (r) => <span title={r.command}>{r.name}</span>),
            text('user', t('fleet.inv.users'), (r) => r.user),
            text('cpu', t('fleet.m.cpu'), (r) => `${number(Math.round(r.cpu_percent * 10) / 10, locale)} %`, true),
            text('mem', t('fleet.inv.memory'), (r) => bytes(r.memory_bytes, locale), true),
          ])}
          {table('ports', list(x.ports), (r) => `${r.protocol}${r.address}${r.port}`, [text('port', t('fleet.inv.ports'), (r) => <span className="mono">{`${r.protocol} ${r.address}:${r.port}`}</span>), text('process', t('fleet.inv.processes'), (r) => r.process), text('service', t('fleet.inv.services'), (r) => `${r.service ?? ''} ${r.version ?? ''}`)])}
          {table('disks', list(x.disks), (r) => r.mount, [text('mount', t('fleet.inv.disks'), (r) => <span className="mono">{r.mount}</span>), text('type', t('fleet.pkg.platform'), (r) => `${r.device} ${r.type}`), text('size', t('fleet.pkg.size'), (r) => `${bytes(r.used, locale)} / ${bytes(r.size, locale)}`, true)])}
          {table('services', list(x.services), (r) => r.name, [text('name', t('fleet.name'), (r) => r.name), text('state', t('col.status'), (r) => r.state)])}
          {table('containers', list(x.containers), (r) => r.id, containers)}
          {table('users', list(x.users), (r) => r.name, [text('name', t('fleet.name'), (r) => r.name), text('id', 'ID', (r) => r.id), text('groups', t('fleet.groups'), (r) => list(r.groups).join(', ')), text('shell', 'Shell', (r) => r.shell)])}
          {table('certificates', list(x.certificates), (r) => r.path + r.subject, [text('path', t('fleet.name'), (r) => <span className="mono">{r.path}</span>), text('subject', t('fleet.log.detail'), (r) => r.subject), text('until', t('fleet.expires'), (r) => absolute(r.not_after * 1000), true)])}
          {table('packages', list(x.packages), (r) => `${r.name}${r.version}${r.arch}`, [text('name', t('fleet.name'), (r) => r.name), text('version', t('fleet.version'), (r) => r.version), text('source', t('fleet.pkg.platform'), (r) => r.source)])}
        </>
      )}
    </Loaded>
  );
}


function HostAlerts({ of: x }: { of: FleetHostDetail }) {
  const { t, tx } = useSettings();
  // What names the host or one of its addresses.
  const query = useQuery({ queryKey: ['alerts', 'host', x.id], queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { status: 'open', q: x.name, limit: 50 }, signal), refetchInterval: 10_000 });
  const rows = list(query.data?.items);
  return (
    <Panel title={t('fleet.alerts')} flush>
      <Loaded query={query} what="fleet.alerts" lines={4}>
        {() =>
          rows.length === 0 ? (
            <Empty small title={t('fleet.noAlerts')} />
          ) : (
            <DataTable
              label={t('fleet.alerts')}
              rows={rows}
              rowKey={(a) => a.id}
              columns={[
                { key: 'severity', title: t('col.severity'), render: (a) => <SeverityMark level={a.severity} /> },
                { key: 'title', title: t('col.what'), render: (a) => <Link to={`/alerts/${encodeURIComponent(a.id)}`}>{tx(a.title)}</Link> },
                { key: 'count', title: t('col.count'), num: true, render: (a) => a.count },
                { key: 'last', title: t('col.lastSeen'), num: true, render: (a) => <When time={a.last_seen} age /> },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}

/** One host: what it is, how it fares, what runs on it, what was done to it. */
export default function FleetHostPage() {
  const { t } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const { id = '' } = useParams();
  const query = useQuery({ queryKey: ['fleet-host', id], queryFn: ({ signal }) => get<FleetHostDetail>(hostPath(id).replace('/agents', '/fleet'), {}, signal), refetchInterval: 3_000 });
  const tabs = PARTS.map((key) => ({ key, title: t(`fleet.${key}`) }));
  const tab = useTab(tabs);
  return (
    <div className="page">
      <Head title={query.data?.name ?? t('fleet.host')} sub={<Link to="/agents">{t('page.agents')}</Link>}>
        <Updated at={query.dataUpdatedAt} />
        {query.data && can('create-fleet-job') && <HostActions hosts={[id]} name={query.data.name} done={(gone) => gone && void navigate('/agents')} />}
      </Head>
      <Tabs tabs={tabs} label={t('fleet.host')} />
      <Stale query={query} />
      <Loaded query={query} what="fleet.host" lines={8}>
        {(x) => (
          <>
            {tab === 'basic' && <Basics of={x} />}
            {tab === 'metrics' && <Metrics of={x} />}
            {tab === 'inputs' && <Inputs of={x} />}
            {tab === 'inventory' && <Inventory id={id} />}
            {tab === 'alerts' && <HostAlerts of={x} />}
            {tab === 'log' && <OperationLog host={id} />}
          </>
        )}
      </Loaded>
    </div>
  );
}
