import { useQuery } from '@tanstack/react-query';
import type { Branding } from './access';
import { get } from './client';
import type { List } from './types';

/** What the frame needs beyond the pages' own data. */
export interface UI {
  watermark?: { enabled: boolean; opacity?: number; lines?: List<string>; show_time?: boolean };
  page_timeout_seconds?: number;
}

/** Asked again each minute, so that a policy takes effect without a reload. */
export function useUI() {
  return useQuery({ queryKey: ['ui'], queryFn: ({ signal }) => get<UI>('/ui', {}, signal), refetchInterval: 60_000, staleTime: 30_000, retry: false });
}

/** The platform's name and logo; public, as the sign-in page shows them. */
export function useBranding() {
  return useQuery({ queryKey: ['branding'], queryFn: ({ signal }) => get<Branding>('/branding', {}, signal), staleTime: 300_000, retry: false });
}

/** What a new password must be, and what sign-in offers; public. */
export interface AuthPolicy {
  password?: { min_length?: number; max_length?: number; classes?: number; min_strength?: number; history?: number; max_age_days?: number };
  passwordless?: boolean;
  page_timeout_seconds?: number;
}
export function useAuthPolicy() {
  return useQuery({ queryKey: ['auth-policy'], queryFn: ({ signal }) => get<AuthPolicy>('/auth/policy', {}, signal), staleTime: 60_000, retry: false });
}
