import { Select } from 'antd';
import { useTenants } from '../api/queries';
import { useSettings } from '../app/settings';

/** Tenants to look at, by comma; none is all of them. Nothing to choose where there is one. */
export function TenantFilter({ value, onChange }: { value: string; onChange: (v: string) => void }) {
  const { t, tx } = useSettings();
  const tenants = useTenants().data ?? [];
  if (tenants.length < 2) return null;
  return (
    <Select
      mode="multiple"
      allowClear
      aria-label={t('alerts.filterTenant')}
      placeholder={t('search.allTenants')}
      value={value ? value.split(',') : []}
      onChange={(v: string[]) => onChange(v.join(','))}
      optionFilterProp="label"
      options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))}
      maxTagCount={1}
      maxTagTextLength={8}
      popupMatchSelectWidth={280}
      style={{ width: 170 }}
    />
  );
}
