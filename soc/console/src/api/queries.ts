import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import type { Me } from './access';
import { ApiError, get } from './client';
import { list, type Overview, type Page, type Tenant } from './types';

export const ME = ['me'] as const;

/** Who is signed in. Asked for once before anything is drawn. */
export const me = { queryKey: ME, queryFn: ({ signal }: { signal: AbortSignal }) => get<Me>('/me', {}, signal), staleTime: 60_000 };

export function useMe() {
  return useQuery({
    ...me,
    // Nothing shows without it: keep asking while the server is away.
    refetchInterval: (q) => (q.state.error instanceof ApiError && q.state.error.status !== 401 ? 5_000 : false),
  });
}

/**
 * Whether the signed-in user may do something: a scope, or an operation's id.
 * The server decides; this only spares a button that would fail.
 */
export function useCan(): (what: string) => boolean {
  const me = useMe().data;
  return useMemo(() => {
    const held = new Set([...list(me?.scopes), ...list(me?.permissions)]);
    return (what) => held.has(what) || held.has('admin');
  }, [me]);
}

export function useOverview(enabled = true) {
  return useQuery({ enabled, queryKey: ['overview'], queryFn: ({ signal }) => get<Overview>('/overview', {}, signal), refetchInterval: 5_000 });
}

export function useTenants() {
  const can = useCan();
  return useQuery({
    // A background question that is refused would only fill the audit log.
    enabled: can('list-tenants'),
    queryKey: ['tenants'],
    queryFn: async ({ signal }) => list((await get<Page<Tenant>>('/tenants', { limit: 1000 }, signal)).items),
    staleTime: 300_000,
  });
}
