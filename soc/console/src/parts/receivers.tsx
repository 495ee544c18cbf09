import { useQuery } from '@tanstack/react-query';
import { Select } from 'antd';
import { get } from '../api/client';
import type { ContactPoint } from '../api/notify';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';

/** Contact points by name. Who may not list them types the names. */
export function ReceiversPicker({ id, value, onChange, label }: { id?: string; value: readonly string[]; onChange: (names: string[]) => void; label?: string }) {
  const can = useCan();
  const contacts = useQuery({ enabled: can('list-contact-points'), queryKey: ['contacts'], queryFn: ({ signal }) => get<Page<ContactPoint>>('/contact-points', {}, signal), staleTime: 60_000 });
  return (
    <Select
      id={id}
      mode="tags"
      aria-label={label}
      value={[...value]}
      onChange={onChange}
      tokenSeparators={[',', '，', ' ']}
      loading={contacts.isFetching}
      options={list(contacts.data?.items).map((c) => ({ value: c.name, label: c.note ? `${c.name} · ${c.note}` : c.name }))}
      style={{ width: '100%' }}
    />
  );
}
