import { Select } from 'antd';
import { Link } from 'react-router-dom';
import { useQuery } from '@tanstack/react-query';
import { get } from '../../api/client';
import { hostPath, type FleetConfiguration, type FleetGroup, type FleetHost, type HostState, type Selector } from '../../api/fleet';
import { useTenants } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';

const DOTS: Record<HostState, string> = { online: 'ok', degraded: 'warn', tripped: 'warn', offline: 'bad', never: 'idle', revoked: 'idle' };

/** How a host fares, in a word beside its dot. */
export function HostMark({ host }: { host: Pick<FleetHost, 'state' | 'wrong'> }) {
  const { t } = useSettings();
  return (
    <span className="status" title={host.wrong}>
      <i className={`dot ${DOTS[host.state]}`} />
      {t(`fleet.state.${host.state}`)}
    </span>
  );
}

export function HostLink({ id, name }: { id: string; name: string }) {
  return <Link to={hostPath(id)}>{name || id}</Link>;
}

export function Labels({ of }: { of: readonly string[] }) {
  if (of.length === 0) return <span className="faint">–</span>;
  return (
    <span className="row wrap" style={{ gap: 4 }}>
      {of.map((l) => (
        <code key={l}>{l}</code>
      ))}
    </span>
  );
}

/** What a host runs, and whether it is what it should run. */
export function ConfigMark({ of }: { of: FleetHost['configuration'] }) {
  const { t } = useSettings();
  return (
    <span title={of.refused}>
      {of.name ?? t('fleet.config.default')}
      {of.version > 0 && <span className="faint"> · {t('fleet.config.version', { n: of.version })}</span>}
      {!of.applied && <span style={{ color: of.refused ? 'var(--high)' : 'var(--medium)' }}> · {t(of.refused ? 'fleet.config.refused' : 'fleet.config.pending')}</span>}
    </span>
  );
}

export function SelectorText({ of }: { of: Selector }) {
  const { t } = useSettings();
  const groups = useGroups().data;
  const parts = [...list(of.groups).map((g) => list(groups?.items).find((x) => x.id === g)?.name ?? g), ...list(of.labels)];
  return <>{of.everybody ? t('fleet.cfg.everybody') : parts.length ? parts.join(' + ') : t('fleet.cfg.forNobody')}</>;
}

export const useGroups = () => useQuery({ queryKey: ['fleet-groups'], queryFn: ({ signal }) => get<Page<FleetGroup>>('/fleet/groups', { limit: 1000 }, signal), refetchInterval: 5_000 });
export const useConfigurations = () => useQuery({ queryKey: ['fleet-configurations'], queryFn: ({ signal }) => get<Page<FleetConfiguration>>('/fleet/configurations', { limit: 1000 }, signal), refetchInterval: 2_000 });

interface Field {
  value?: string;
  onChange?: (v: string) => void;
  id?: string;
}

/** One tenant. With `all`, the suite's whole may be meant too. */
export function TenantPicker({ value, onChange, id, all, disabled }: Field & { all?: boolean; disabled?: boolean }) {
  const { t, tx } = useSettings();
  const tenants = useTenants();
  return (
    <Select
      id={id}
      showSearch
      disabled={disabled}
      value={value}
      onChange={onChange}
      optionFilterProp="search"
      loading={tenants.isPending}
      options={[...(all ? [{ value: '', label: t('fleet.tenantAll'), search: '' }] : []), ...(tenants.data ?? []).map((x) => ({ value: x.slug, label: tx(x.name) || x.slug, search: `${x.slug} ${x.name.zh ?? ''} ${x.name.en ?? ''}` }))]}
      style={{ width: '100%' }}
    />
  );
}

export function FleetGroupPicker({ value, onChange, id, tenant, extra = [] }: Field & { tenant?: string; extra?: { value: string; label: string }[] }) {
  const groups = useGroups();
  return <Select id={id} allowClear={extra.length === 0} value={value} onChange={(v?: string) => onChange?.(v ?? '')} loading={groups.isPending} options={[...extra, ...list(groups.data?.items).filter((g) => !tenant || g.tenant === tenant).map((g) => ({ value: g.id, label: g.name }))]} style={{ width: '100%' }} />;
}

export function ConfigurationPicker({ value, onChange, id, tenant }: Field & { tenant?: string }) {
  const { t } = useSettings();
  const all = useConfigurations();
  return <Select id={id} value={value ?? ''} onChange={onChange} loading={all.isPending} options={[{ value: '', label: t('fleet.configurationAuto') }, ...list(all.data?.items).filter((c) => !c.tenant || c.tenant === tenant).map((c) => ({ value: c.id, label: c.name }))]} style={{ width: '100%' }} />;
}
