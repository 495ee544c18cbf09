import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Fragment } from 'react';
import { get } from '../../api/client';
import type { ContainerService, FleetContainer, FleetContainerFigures } from '../../api/fleet';
import { list, type Page } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute, number } from '../../logic/format';
import { Listing } from '../listing';
import { TenantName } from '../names';
import { SearchBox } from '../search';
import { Empty } from '../states';
import { DataTable, type Column } from '../table';
import { When } from '../time';
import { HostLink } from './marks';

const STATES = ['running', 'exited', 'paused', 'created', 'restarting', 'waiting', 'dead', 'unknown'] as const;
const PAGE = 100;

type Shown = Pick<FleetContainer, 'id' | 'name' | 'image' | 'state' | 'engine' | 'health' | 'reason' | 'exit_code' | 'restarts' | 'started' | 'pod' | 'namespace' | 'service' | 'version' | 'services' | 'ports'>;

function StateMark({ of: c }: { of: Shown }) {
  const { t } = useSettings();
  const state = STATES.find((s) => s === c.state) ?? 'unknown';
  const dot = c.health === 'unhealthy' || state === 'dead' ? 'bad' : state === 'running' ? 'ok' : state === 'exited' && !c.exit_code ? 'idle' : 'warn';
  const more = [c.health && t(`fleet.ctr.health.${(['healthy', 'unhealthy', 'starting'].includes(c.health) ? c.health : 'starting') as 'healthy'}`), c.exit_code ? t('fleet.ctr.exit', { n: c.exit_code }) : '', c.reason === 'out of memory' ? t('fleet.ctr.memory') : c.reason, c.restarts ? t('fleet.ctr.restarts', { n: c.restarts }) : ''].filter(Boolean);
  return (
    <>
      <span className="status">
        <i className={`dot ${dot}`} />
        {t(`fleet.ctr.state.${state}`)}
      </span>
      {more.length > 0 && <div className={c.health === 'unhealthy' ? undefined : 'faint'} style={c.health === 'unhealthy' ? { color: 'var(--high)' } : undefined}>{more.join(' · ')}</div>}
    </>
  );
}

function ServiceLine({ of: s }: { of: ContainerService }) {
  const { t } = useSettings();
  return (
    <div className={s.listening ? undefined : 'faint'} title={s.listening ? undefined : t('fleet.ctr.named')}>
      {s.service || s.process || t('fleet.ctr.unknown')} {s.version}{' '}
      <span className="mono faint">
        {s.port}/{s.protocol}
        {s.published && ` ← ${s.published}`}
      </span>
      {s.process && s.process !== s.service && s.service && <span className="faint"> ({s.process})</span>}
    </div>
  );
}

/** What is told of a container wherever it is listed. */
export function useContainerColumns<T extends Shown>(): Column<T>[] {
  const { t } = useSettings();
  return [
    {
      key: 'name',
      title: t('fleet.ctr.container'),
      render: (c) => (
        <>
          <b style={{ fontWeight: 550 }}>{c.name || c.id.slice(0, 12)}</b>
          <div className="faint ellipsis" style={{ maxWidth: 280 }} title={c.id}>
            {c.pod ? `${c.namespace}/${c.pod}` : c.id.slice(0, 12)}
          </div>
        </>
      ),
    },
    { key: 'state', title: t('col.status'), render: (c) => <StateMark of={c} /> },
    {
      key: 'services',
      title: t('fleet.ctr.services'),
      render: (c) => (list(c.services).length > 0 ? list(c.services).map((s) => <ServiceLine key={`${s.protocol}${s.port}`} of={s} />) : <span className="faint">–</span>),
    },
    {
      key: 'image',
      title: t('fleet.ctr.image'),
      render: (c) => (
        <span className="mono" style={{ overflowWrap: 'anywhere' }}>
          {c.image || '–'}
        </span>
      ),
    },
    { key: 'started', title: t('fleet.ctr.started'), num: true, render: (c) => (c.started ? <When time={new Date(c.started * 1000).toISOString()} age /> : '–') },
  ];
}

/** The containers of all hosts: states, services found in them, hosts. */
export function Containers() {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const figures = useQuery({ queryKey: ['fleet-container-figures'], queryFn: ({ signal }) => get<FleetContainerFigures>('/fleet/container-figures', {}, signal), refetchInterval: 10_000 });
  const asked = { q: url.get('q'), state: url.get('state'), service: url.get('service'), host: url.get('host'), cursor: url.get('cursor') };
  const query = useQuery({ queryKey: ['fleet-containers', asked], queryFn: ({ signal }) => get<Page<FleetContainer>>('/fleet/containers', { ...asked, limit: PAGE }, signal), placeholderData: keepPreviousData, refetchInterval: 10_000 });
  const narrowed = Boolean(asked.q || asked.state || asked.service || asked.host);
  const shared = useContainerColumns<FleetContainer>();
  const clear = () => setUrl({ q: undefined, state: undefined, service: undefined, host: undefined, cursor: undefined });
  const f = figures.data;
  const narrow = (name: 'state' | 'service', value: string, label: string, n: number) => (
    <button key={value} className="plain toggle" aria-pressed={asked[name] === value} onClick={() => setUrl({ [name]: asked[name] === value ? undefined : value, cursor: undefined })}>
      {label} {number(n, locale)}
    </button>
  );
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('fleet.ctr.find')} />
        {f && (
          <>
            <span className="faint">{t('fleet.ctr.sum', { n: f.total, h: f.hosts, i: f.images })}</span>
            {STATES.filter((s) => f.states[s]).map((s) => narrow('state', s, t(`fleet.ctr.state.${s}`), f.states[s] ?? 0))}
            {Object.keys(f.services).length > 0 && <span className="sep" aria-hidden="true" />}
            {Object.entries(f.services)
              .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
              .slice(0, 12)
              .map(([s, n]) => narrow('service', s, s, n))}
          </>
        )}
        {asked.host && <Button onClick={() => setUrl({ host: undefined })}>{t('fleet.ctr.allHosts')}</Button>}
      </div>
      <Listing
        query={query}
        what="fleet.containers"
        empty={
          narrowed ? (
            <Empty title={t('fleet.ctr.none')}>
              <Button onClick={clear}>{t('do.clear')}</Button>
            </Empty>
          ) : (
            <Empty title={t('fleet.ctr.empty')} why={t('fleet.ctr.emptyWhy')} />
          )
        }
      >
        {(rows) => (
          <DataTable
            label={t('fleet.containers')}
            rows={rows}
            rowKey={(c) => `${c.agent} ${c.id}`}
            columns={[
              ...shared,
              {
                key: 'host',
                title: t('fleet.host'),
                render: (c) => (
                  <Fragment>
                    <HostLink id={c.agent} name={c.host} />
                    {!c.online && <div style={{ color: 'var(--medium)' }}>{t('fleet.ctr.offline')}</div>}
                  </Fragment>
                ),
              },
              { key: 'tenant', title: t('fleet.tenant'), render: (c) => <TenantName slug={c.tenant} /> },
              { key: 'taken', title: t('fleet.ctr.taken'), num: true, render: (c) => <span title={absolute(c.taken)}><When time={c.taken} age /></span> },
            ]}
          />
        )}
      </Listing>
    </>
  );
}
