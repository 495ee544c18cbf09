import type { Matcher } from './silences';
import type { List, Text } from './types';

/** A rule by which alerts become one incident. */
export interface MergeRule {
  id: string;
  name: string;
  description?: string;
  /** attack and fault are ways of the suite, of which only off can be changed. */
  kind: 'attack' | 'fault' | 'alerts';
  shipped: boolean;
  off?: boolean;
  order: number;
  /** All alerts where there are none. */
  matchers?: List<Matcher>;
  /** Labels whose values must be equal. */
  by?: List<string>;
  /** Seconds from the end of one alert to the beginning of the next, at most. */
  window: number;
  /** Asks for texts that are alike. */
  similar?: { on: string; at_least: number };
  /** Alerts that make one incident. */
  least: number;
  tenants?: List<string>;
  version: number;
  updated_at?: string;
  updated_by?: string;
}
export type MergeRuleVersion = MergeRule & { deleted?: boolean };
export interface MergePreview {
  days: number;
  alerts: number;
  matched: number;
  before: number;
  after: number;
  groups: number;
  ratio: number;
  truncated?: boolean;
  samples: List<{ by?: Record<string, string>; alerts: number; first_seen: string; last_seen: string; title: Text; alert_ids?: List<string> }>;
}
export interface Compression {
  firings: number;
  alerts: number;
  incidents: number;
  /** Alerts that no incident holds. */
  alone: number;
  /** Firings for each incident or alert alone; 0 where there are none. */
  ratio: number;
}
export interface CompressionReport extends Compression {
  days: List<Compression & { day: string }>;
  rules: List<Compression & { rule_id: string; title: Text }>;
}

/** A rule as it is written, without what the server adds. */
export function mergeBody(r: MergeRule) {
  return { name: r.name, description: r.description, off: r.off, matchers: r.matchers ?? [], by: r.by ?? [], window: r.window || 900, similar: r.similar, least: r.least || 2, tenants: r.tenants ?? [] };
}
