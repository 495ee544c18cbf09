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
}
export interface SilencePreview {
  total: number;
  items: List<Alert>;
}
export const SILENCE_STATES = ['active', 'pending', 'expired'] as const;
