import { Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useItemSearch, useWords, type Item } from '../../api/cmdb';
import { get } from '../../api/client';
import { list } from '../../api/types';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';

/** One item, or several, found by typing its name or address. The value is its id. */
export function ItemPicker({
  value,
  onChange,
  classes = [],
  id,
  label,
  placeholder,
  multiple,
  disabled,
  autoFocus,
  tenant,
}: {
  value?: string | string[];
  onChange?: (id: string & string[], item?: Item) => void;
  classes?: readonly string[];
  id?: string;
  label?: string;
  placeholder?: string;
  multiple?: boolean;
  disabled?: boolean;
  autoFocus?: boolean;
  /** Items of this tenant alone. */
  tenant?: string;
}) {
  const { t } = useSettings();
  const words = useWords();
  const [q, setQ] = useState('');
  const found = useItemSearch(useSettled(q.trim(), 200), classes, true, tenant);
  const chosen = (Array.isArray(value) ? value : value ? [value] : []).filter(Boolean);
  // A value from elsewhere is an id alone: its name is asked for.
  const named = useQuery({
    enabled: chosen.length > 0,
    queryKey: ['cmdb', 'names', chosen.join()],
    queryFn: async () => Promise.all(chosen.map((x) => get<Item>(`/cmdb/items/${encodeURIComponent(x)}`).catch(() => ({ id: x, name: x, class: '' }) as Item))),
    staleTime: 60_000,
  });
  const items = new Map<string, Item>();
  for (const i of [...list(named.data), ...list(found.data)]) items.set(i.id, i);
  const shown = [...new Set([...list(found.data).map((i) => i.id), ...chosen])].flatMap((x) => items.get(x) ?? []);
  return (
    <Select
      id={id}
      aria-label={label}
      mode={multiple ? 'multiple' : undefined}
      showSearch
      allowClear
      autoFocus={autoFocus}
      disabled={disabled}
      value={(multiple ? chosen : (chosen[0] ?? undefined)) as string & string[]}
      onChange={(v?: string & string[]) => onChange?.((v ?? (multiple ? [] : '')) as string & string[], typeof v === 'string' ? items.get(v) : undefined)}
      onSearch={setQ}
      filterOption={false}
      loading={found.isFetching}
      placeholder={placeholder ?? t('ci.pick')}
      notFoundContent={found.isFetching ? null : t('ci.pickNone')}
      optionLabelProp="title"
      options={shown.map((i) => ({
        value: i.id,
        title: i.name || i.id,
        label: (
          <span className="row" style={{ gap: 8 }}>
            <span className="ellipsis">{i.name || i.id}</span>
            <span className="faint nowrap" style={{ marginLeft: 'auto', fontSize: 12 }}>
              {words.className(i.class)} {list(i.addresses)[0] ?? ''} {i.zone && i.zone !== 'default' ? i.zone : ''}
            </span>
          </span>
        ),
      }))}
      style={{ width: '100%' }}
    />
  );
}
