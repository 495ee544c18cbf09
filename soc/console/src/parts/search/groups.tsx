import { Select } from 'antd';
import { useLogGroups, type LogGroup } from '../../api/search';
import { useSettings } from '../../app/settings';

/** Names from the top directory down: 市局 / 边界防火墙. */
export function groupPath(groups: readonly LogGroup[], id: string): string {
  const names: string[] = [];
  for (let g = groups.find((x) => x.id === id); g && names.length < 20; g = groups.find((x) => x.id === g?.parent)) names.unshift(g.name);
  return names.join(' / ');
}

export function useGroupName(): (id: string | undefined) => string {
  const groups = useLogGroups().data ?? [];
  return (id) => (id ? groupPath(groups, id) || id : '');
}

export function useGroupChoices(): { value: string; label: string }[] {
  const groups = useLogGroups().data ?? [];
  return groups.filter((g) => g.kind === 'group' && g.usable).map((g) => ({ value: g.id, label: groupPath(groups, g.id) }));
}

/** Which log group to search in; everything one may see where none is chosen. */
export function GroupPicker({ value, onChange, id, width = 180 }: { value?: string; onChange?: (id: string) => void; id?: string; width?: number | string }) {
  const { t } = useSettings();
  const options = useGroupChoices();
  return (
    <Select
      id={id}
      allowClear
      showSearch
      aria-label={t('groups.one')}
      placeholder={t('groups.any')}
      optionFilterProp="label"
      value={value || undefined}
      onChange={(v?: string) => onChange?.(v ?? '')}
      options={options}
      notFoundContent={<span className="faint">{t('groups.none')}</span>}
      popupMatchSelectWidth={false}
      style={{ width }}
    />
  );
}
