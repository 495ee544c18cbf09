import { Select } from 'antd';
import { useState } from 'react';
import { useGroups, useRoles, useUserSearch } from '../api/directory';
import { useTenants } from '../api/queries';
import { useSettled } from '../app/hooks';
import { useSettings } from '../app/settings';
import { Person } from './person';

interface Field<V> {
  value?: V;
  onChange?: (v: V) => void;
  id?: string;
  disabled?: boolean;
  placeholder?: string;
}

/** One user, found by typing. */
export function UserPicker({ value, onChange, id, placeholder, by = 'id' }: Field<string> & { by?: 'id' | 'username' }) {
  const { t } = useSettings();
  const [q, setQ] = useState('');
  const found = useUserSearch(useSettled(q, 200));
  return (
    <Select
      id={id}
      showSearch
      allowClear
      value={value || undefined}
      onChange={(v?: string) => onChange?.(v ?? '')}
      onSearch={setQ}
      filterOption={false}
      loading={found.isFetching}
      placeholder={placeholder ?? t('users.search')}
      notFoundContent={found.isFetching ? null : t('users.empty')}
      options={(found.data ?? []).map((u) => ({ value: u[by], label: <Person user={u} /> }))}
      style={{ width: '100%' }}
    />
  );
}

export function RolesPicker({ value, onChange, id, disabled, label }: Field<string[]> & { label?: string }) {
  const { tx } = useSettings();
  const roles = useRoles();
  return (
    <Select
      id={id}
      aria-label={label}
      mode="multiple"
      disabled={disabled}
      value={value}
      onChange={onChange}
      optionFilterProp="search"
      loading={roles.isPending}
      options={(roles.data ?? []).map((r) => ({ value: r.id, label: tx(r.name) || r.id, search: `${r.id} ${r.name.zh ?? ''} ${r.name.en ?? ''}`, title: tx(r.description) }))}
      style={{ width: '100%' }}
    />
  );
}

export function RolePicker({ value, onChange, id, placeholder }: Field<string>) {
  const { tx } = useSettings();
  const roles = useRoles();
  return (
    <Select
      id={id}
      showSearch
      value={value || undefined}
      placeholder={placeholder}
      onChange={onChange}
      optionFilterProp="search"
      loading={roles.isPending}
      options={(roles.data ?? []).map((r) => ({ value: r.id, label: tx(r.name) || r.id, search: `${r.id} ${r.name.zh ?? ''} ${r.name.en ?? ''}` }))}
      style={{ width: '100%' }}
    />
  );
}

export function GroupPicker({ value, onChange, id }: Field<string>) {
  const { t, tx } = useSettings();
  const groups = useGroups();
  return (
    <Select
      id={id}
      showSearch
      allowClear
      value={value || undefined}
      onChange={(v?: string) => onChange?.(v ?? '')}
      optionFilterProp="search"
      loading={groups.isPending}
      notFoundContent={t('groups.empty')}
      options={(groups.data ?? []).map((g) => ({ value: g.id, label: `${tx(g.name) || g.id} · ${t(`groupkind.${g.kind}`)}`, search: `${g.id} ${g.name.zh ?? ''} ${g.name.en ?? ''}` }))}
      style={{ width: '100%' }}
    />
  );
}

/** Tenants by name, or all of them. */
export function TenantsPicker({ value, onChange, id, disabled }: Field<string[]>) {
  const { t, tx } = useSettings();
  const tenants = useTenants();
  return (
    <Select
      id={id}
      mode="multiple"
      disabled={disabled}
      value={value}
      // “All” stands alone: choosing it drops the others, choosing another drops it.
      onChange={(v: string[]) => onChange?.(v.includes('*') && !(value ?? []).includes('*') ? ['*'] : v.filter((x) => x !== '*' || v.length === 1))}
      optionFilterProp="search"
      loading={tenants.isPending}
      options={[
        { value: '*', label: t('users.allTenants'), search: `* ${t('users.allTenants')}` },
        ...(tenants.data ?? []).map((x) => ({ value: x.slug, label: tx(x.name) || x.slug, search: `${x.slug} ${x.name.zh ?? ''} ${x.name.en ?? ''}` })),
      ]}
      style={{ width: '100%' }}
    />
  );
}

/** Free words as tags. */
export function WordsInput({ value, onChange, id, placeholder }: Field<string[]>) {
  return <Select id={id} mode="tags" open={false} suffixIcon={null} value={value ?? []} onChange={onChange} tokenSeparators={[',', '，', ' ', '\n']} placeholder={placeholder} style={{ width: '100%' }} />;
}
