import type { Alert, List } from './types';

/** One condition on an alert's labels, as Alertmanager spells it: = != =~ !~. */
export interface Matcher {
  name: string;
  value: string;
  isRegex: boolean;
  isEqual: boolean;
}
export interface Silence {
  id: string;
  matchers: List<Matcher>;
  starts_at: string;
  ends_at: string;
  updated_at: string;
  created_by: string;
  comment: string;
  state: 'pending' | 'active' | 'expired';
  /** null: all tenants. */
  tenants: List<string>;
  /** Whether the caller covers all it mutes. */
  editable: boolean;
  /** Absent for one that is once. */
  recurrence?: SilenceRecurrence;
  /** What it mutes is dropped and counted, not kept. */
  no_data?: boolean;
  /** Who answers for it. */
  owner?: string;
  /** Contact point that is told an hour before it ends and when it has. */
  receiver?: string;
  /** Firings that it dropped. */
  dropped: number;
  /** The next five times at most: from, to. */
  times: List<[from: string, to: string]>;
}
export interface SilenceRecurrence {
  /** RRULE of RFC 5545. */
  rule: string;
  /** How long each time lasts. */
  seconds: number;
  /** IANA time zone. */
  zone: string;
}
export interface SilencePreview {
  total: number;
  items: List<Alert>;
  /** Alerts of the last seven days that the matchers accept. */
  week: number;
  /** Of these, those that fell into its times. */
  muted: number;
  /** The next five times at most, of one that recurs: from, to. */
  times?: List<[from: string, to: string]>;
}
/** While an alert fires that `source` accepts, alerts that `target` accepts with equal values of the labels in `equal` notify nobody. */
export interface Inhibition {
  id: string;
  name: string;
  description?: string;
  source: List<Matcher>;
  target: List<Matcher>;
  equal?: List<string>;
  /** For whose alerts it is; absent for all. */
  tenants?: List<string>;
  /** Kept, and not in force. */
  off?: boolean;
  updated_at: string;
  updated_by: string;
}
export const SILENCE_STATES = ['active', 'pending', 'expired'] as const;
