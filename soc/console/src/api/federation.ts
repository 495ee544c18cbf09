/** Identity providers the suite trusts, and applications that trust the suite. */
import type { List, Text } from './types';

export type ProviderKind = 'oidc' | 'saml' | 'ldap';
export interface MappingRule {
  claim?: string;
  value: string;
  roles?: List<string>;
  tenants?: List<string>;
  unit?: string;
}
export interface SyncRun {
  id: string;
  provider?: string;
  started_at: string;
  ended_at?: string | null;
  by?: string;
  full?: boolean;
  dry_run?: boolean;
  state: 'running' | 'ok' | 'refused' | 'failed' | 'interrupted';
  detail?: string;
  progress?: { read?: number; done?: number };
  report?: Record<string, number>;
  problems?: List<{ object: string; problem: string }>;
  changes?: List<{ object: string; change: string; detail?: string }>;
}
export interface IdentityProvider {
  id: string;
  kind: ProviderKind;
  name: Text;
  enabled: boolean;
  base_url?: string;
  oidc?: Record<string, unknown>;
  saml?: Record<string, unknown>;
  ldap?: Record<string, unknown>;
  attributes?: Record<string, string>;
  mapping?: { create?: boolean; default_roles?: List<string>; default_unit?: string; default_tenants?: List<string>; rules?: List<MappingRule> };
  sync?: { enabled?: boolean; interval?: string; full_interval?: string; max_vanished_percent?: number; units?: string; root_unit?: string; separator?: string };
  last_sync?: SyncRun | null;
}
export interface ProviderTest {
  ok: boolean;
  checks: List<{ name: string; ok: boolean; detail?: string }>;
}

export interface PortalCard {
  id: string;
  name: Text;
  description?: Text;
  category?: string;
  icon_url?: string;
  url?: string;
  version?: string;
  position?: number;
}
export interface Application extends PortalCard {
  open: boolean;
  version_url?: string;
  created_at?: string;
  created_by?: string;
  audience?: { everyone?: boolean; roles?: List<string>; groups?: List<string>; users?: List<string> };
  client?: {
    type: 'none' | 'confidential' | 'public';
    auth_method?: string;
    redirect_uris?: List<string>;
    post_logout_redirect_uris?: List<string>;
    grant_types?: List<string>;
    scopes?: List<string>;
    consent?: boolean;
    secret_created_at?: string | null;
  };
  permissions?: { operations?: List<string>; tenants?: List<string> };
  keys?: List<{ kid: string; algorithm: string; subject?: string; fingerprint?: string; not_after?: string; retires_at?: string }>;
}
export interface AppMenu {
  key: string;
  title: Text;
  path: string;
  kind: 'menu' | 'button';
  roles: List<string>;
  children: List<AppMenu>;
}
export interface ApplicationConfiguration {
  issuer?: string;
  discovery?: string;
  client_id?: string;
  scopes?: List<string>;
  redirect_uris?: List<string>;
}
