/** The small lists nearly every administration page needs to turn ids into names. */
import { useQuery } from '@tanstack/react-query';
import { useSettings } from '../app/settings';
import type { Account, Group, Operation, Role, Unit } from './access';
import { get } from './client';
import { useCan } from './queries';
import { list, type Page } from './types';
import { zh, type Key } from '../locales/zh';

/** How many items of a directory are read at once: the API's limit. */
const ALL = 1000;

/** Every item of a listing, page after page. */
export async function all<T>(path: string, query: Record<string, string | number | undefined>, signal?: AbortSignal): Promise<T[]> {
  const items: T[] = [];
  let cursor = '';
  do {
    const page = await get<Page<T>>(path, { limit: ALL, ...query, cursor }, signal);
    items.push(...list(page.items));
    cursor = page.next ?? '';
  } while (cursor);
  return items;
}

export function useUnits() {
  return useQuery({ queryKey: ['units'], queryFn: ({ signal }) => all<Unit>('/units', {}, signal) });
}
export function useRoles(enabled = true) {
  return useQuery({ queryKey: ['roles'], queryFn: ({ signal }) => all<Role>('/roles', {}, signal), staleTime: 30_000, enabled });
}
export function useGroups(enabled = true) {
  return useQuery({ queryKey: ['groups'], queryFn: ({ signal }) => all<Group>('/groups', {}, signal), staleTime: 30_000, enabled });
}
export function useOperations() {
  return useQuery({ queryKey: ['operations'], queryFn: ({ signal }) => all<Operation>('/access/operations', {}, signal), staleTime: 600_000 });
}
/** Accounts that match a few typed letters, for pickers. */
export function useUserSearch(q: string) {
  const can = useCan();
  return useQuery({
    queryKey: ['users', 'search', q],
    queryFn: async ({ signal }) => list((await get<Page<Account>>('/users', { q, limit: 20 }, signal)).items),
    staleTime: 30_000,
    enabled: can('list-users'),
  });
}

/** Names by id, in the reader's language; the id itself while nothing else is known. */
export function useUnitName(): (id: string | undefined) => string {
  const { tx } = useSettings();
  const units = useUnits().data;
  return (id) => (id ? tx(units?.find((u) => u.id === id)?.name) || id : '');
}
export function useRoleName(): (id: string) => string {
  const { t, tx } = useSettings();
  const can = useCan();
  // Who may not list roles still knows the built-in ones by name.
  const roles = useRoles(can('list-roles')).data;
  return (id) => tx(roles?.find((r) => r.id === id)?.name) || (`role.${id}` in zh ? t(`role.${id}` as Key) : id);
}
export function useGroupName(): (id: string) => string {
  const { tx } = useSettings();
  const can = useCan();
  const groups = useGroups(can('list-groups')).data;
  return (id) => tx(groups?.find((g) => g.id === id)?.name) || id;
}
