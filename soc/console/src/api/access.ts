/** Who may see and do what: users, units, roles, groups, grants, as the API answers them. */
import type { List, Text, User } from './types';

/** Oneself: a user, and what may be done now. */
export interface Me extends Account {
  /** Operation ids; absent on a server that only knows scopes. */
  permissions?: List<string>;
  separation?: boolean;
  setup_needed?: boolean;
}

export interface Account extends User {
  email?: string;
  phone?: string;
  /** Id of the organisation the user belongs to. */
  unit?: string;
  tags?: List<string>;
  avatar_url?: string;
  /** On one user's own record. */
  groups?: List<Group>;
  grants?: List<Grant>;
  /** The data scope as an expression; empty is everything the tenants allow. */
  reach?: string;
  /** Where the account comes from: local, or an identity provider's id. */
  source?: string;
  locked?: boolean;
  locked_until?: string | null;
  valid_from?: string | null;
  valid_until?: string | null;
  updated_at?: string;
}

export interface Unit {
  id: string;
  parent?: string;
  name: Text;
  code?: string;
  region?: string;
  industry?: string;
  kind?: string;
  /** Id of the organisation that supports this one. */
  supports?: string;
  labels?: List<string>;
  /** An expression nobody in the unit sees beyond. */
  ceiling?: string;
  users?: number;
  path?: List<string>;
}

export interface Operation {
  id: string;
  scope: string;
  method: string;
  path: string;
  summary?: string;
  tag?: string;
  confinable?: boolean;
  /** Further scopes that permit it: reading that two of the powers need. */
  also?: List<string>;
}

export interface Role {
  id: string;
  name: Text;
  description?: Text;
  scopes?: List<string>;
  operations?: List<string>;
  /** May act on the own unit and below only. */
  delegated?: boolean;
  built_in?: boolean;
  users?: number;
  /** Users who have it directly, and grants of it; on the detail alone. */
  holders?: number;
}

export type GroupKind = 'group' | 'post' | 'project';
export interface Group {
  id: string;
  kind: GroupKind;
  name: Text;
  unit?: string;
  description?: Text | string;
  members?: number;
}

/** A role for a user or a group, bound in time and place. */
export interface Grant {
  id: string;
  role: string;
  user?: string;
  group?: string;
  not_before?: string | null;
  not_after?: string | null;
  /** 1 is Monday. */
  weekdays?: List<number>;
  from?: string;
  to?: string;
  networks?: List<string>;
  reason?: string;
  granted_by?: string;
  created_at?: string;
  /** Now, for requests from the holder's places. */
  in_force?: boolean;
}

export interface Explanation {
  allow: boolean;
  operation: string;
  scope?: string;
  confined?: boolean;
  reasons: List<{ code: string; role?: string; grant?: string; roles?: List<string>; powers?: List<string> }>;
}

/** What a batch did, and what it could not. */
export interface BatchAnswer {
  done?: List<string>;
  failed?: List<{ id: string; status?: number; detail?: string }>;
}

export interface ImportAnswer {
  created: number;
  updated: number;
  unchanged: number;
  dry_run?: boolean;
  errors?: List<{ row?: number; column?: string; message: string }>;
  /** Generated passwords, shown this once. */
  passwords?: List<{ username: string; password: string }>;
}

export interface Setup {
  completed: boolean;
  by?: string;
  at?: string | null;
  separation?: boolean;
}

/** One document of soc/settings. */
export interface Setting {
  name: string;
  /** Who may change it. */
  scope: string;
  value: Record<string, unknown>;
  default: Record<string, unknown>;
}
export interface SettingVersion {
  seq: number;
  at: string;
  by: string;
  value: Record<string, unknown>;
}

export interface Branding {
  name?: Text;
  login_notice?: Text;
  logo_url?: string;
  default?: boolean;
}

export interface ReachTenant {
  slug: string;
  name: Text;
  coverage: 'whole' | 'part';
  unit?: string;
  region?: string;
  industry?: string;
  labels?: List<string>;
}
/** What a scope expression would let one see. */
export interface ReachCheck {
  valid: boolean;
  canonical?: string;
  error?: { position: number; message: string } | null;
  unknown?: List<string>;
  tenants?: List<ReachTenant>;
  whole?: number;
  part?: number;
  units?: number;
}
/** What one user sees: the tenants, the own scope and the ceilings together. */
export interface ReachPreview {
  expression?: string;
  tenants_listed?: List<string>;
  ceilings?: List<{ unit: string; name: Text; expression: string }>;
  everything?: boolean;
  nothing?: boolean;
  tenants?: List<ReachTenant>;
  whole?: number;
  part?: number;
  units?: List<{ id: string; name: Text }>;
  regions?: List<string>;
  industries?: List<string>;
}

export interface Session {
  id: string;
  user_id?: string;
  username?: string;
  current?: boolean;
  client?: string;
  address?: string;
  last_address?: string;
  channel?: string;
  created_at?: string;
  last_seen_at?: string;
  expires_at?: string;
  idle_until?: string | null;
  findings?: List<string>;
}
export interface Device {
  id: string;
  client?: string;
  address?: string;
  created_at?: string;
  last_seen_at?: string;
  expires_at?: string;
  current?: boolean;
}
export interface Factors {
  policy: 'optional' | 'required';
  required?: boolean;
  totp: { enabled: boolean; created_at?: string };
  webauthn: List<{ id: string; name: string; created_at?: string; last_used_at?: string; synced?: boolean }>;
  recovery_codes_left?: number;
}
/** Where and when somebody usually signs in, and what differed lately. */
export interface Habits {
  habits?: List<{ kind: 'network' | 'client' | 'hour' | 'channel'; value: string; count: number; last_at?: string }>;
  recent?: List<{ at: string; event: string; address?: string; client?: string; channel?: string; findings?: List<string> }>;
}
export interface Lock {
  id: string;
  kind: 'account' | 'address' | 'pair' | 'device';
  account?: string;
  user_id?: string;
  address?: string;
  failures: number;
  locked_until?: string | null;
  last_at?: string;
}

/** A master key by its id; the key itself never leaves the server. */
export interface MasterKey {
  id: string;
  created: string;
  /** New secrets are sealed with this one. */
  current: boolean;
  /** How many values are sealed with it, by kind. */
  sealed?: Record<string, number> | null;
}
