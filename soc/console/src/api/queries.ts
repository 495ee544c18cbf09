import { useQuery } from '@tanstack/react-query';
import { ApiError, get } from './client';
import { list, type Overview, type Page, type Tenant, type User } from './types';

export const ME = ['me'] as const;

export function useMe() {
  return useQuery({
    queryKey: ME,
    queryFn: ({ signal }) => get<User>('/me', {}, signal),
    staleTime: 60_000,
    // Nothing shows without it: keep asking while the server is away.
    refetchInterval: (q) => (q.state.error instanceof ApiError && q.state.error.status !== 401 ? 5_000 : false),
  });
}

/** Whether the signed-in user may act with this scope. The server decides; this only spares a button that would fail. */
export function useCan(): (scope: 'read' | 'respond' | 'admin') => boolean {
  const me = useMe().data;
  const scopes = list(me?.scopes);
  return (scope) => scopes.includes(scope) || scopes.includes('admin') || list(me?.roles).includes('admin');
}

export function useOverview() {
  return useQuery({ queryKey: ['overview'], queryFn: ({ signal }) => get<Overview>('/overview', {}, signal), refetchInterval: 5_000 });
}

export function useTenants() {
  return useQuery({
    queryKey: ['tenants'],
    queryFn: async ({ signal }) => list((await get<Page<Tenant>>('/tenants', { limit: 1000 }, signal)).items),
    staleTime: 300_000,
  });
}
