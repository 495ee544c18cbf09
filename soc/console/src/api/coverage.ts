import type { List, Severity, Text } from './types';

/** What a tenant, or a business system of it, sends. */
export interface CoveragePart {
  tenant: string;
  system?: string;
  name?: string;
  sources: number;
  silent: number;
  flood: number;
  new: number;
  datasets: number;
  events_per_second: number;
  usual_per_second: number;
  since?: string | null;
  last_seen?: string | null;
}
export type LogKind = 'host' | 'database' | 'web' | 'network' | 'security';
/** A kind of log that is expected of assets, and does not come. */
export interface CoverageGap {
  tenant: string;
  system: string;
  log: LogKind;
  assets: number;
  of: number;
  some: List<string>;
}
export interface Coverage {
  at: string;
  tenants: List<CoveragePart>;
  systems: List<CoveragePart>;
  gaps: List<CoverageGap>;
  partial: boolean;
}
export type CoverageState = 'ok' | 'silent' | 'flood' | 'new';
export interface CoverageSource {
  id: string;
  tenant: string;
  dataset: string;
  source: string;
  collector?: string;
  peer?: string;
  item?: string;
  item_name?: string;
  system?: string;
  system_name?: string;
  owner?: string;
  state: CoverageState;
  since?: string | null;
  first_seen: string;
  last_seen: string;
  events_per_second: number;
  usual_per_second: number;
}
/** A rule that cannot fire for want of data. */
export interface UnfedRule {
  id: string;
  title: Text;
  level: Severity;
  path: string;
}
export interface UnfedRules {
  items: List<UnfedRule>;
  total: number;
  of: number;
}
