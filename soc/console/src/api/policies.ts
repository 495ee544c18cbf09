/** Policies, what they decided, and maintenance windows, as the API tells of them. */
import type { List, Text } from './types';

export interface PolicyPackage {
  name: string;
  /** The suite asks it; the others serve those that it asks. */
  asked: boolean;
  source: string;
  paths: List<string>;
  revision: string;
  signed_by?: string;
  reads?: List<string>;
}
export interface PolicyProblem {
  path: string;
  line?: number;
  reason: string;
  /** The last good state is in force in its place. */
  kept: boolean;
}
export interface PolicyStatus {
  since: string;
  packages: List<PolicyPackage>;
  problems: List<PolicyProblem>;
  require_signature: boolean;
  keys: List<string>;
  stats: { decisions: number; cached: number; failed: number };
  mean_us: number;
  log_dropped: number;
}
export interface PolicyDecision {
  seq: number;
  decision_id: string;
  path: string;
  timestamp: string;
  bundles: Record<string, { revision: string }>;
  input: unknown;
  result?: { priority?: string; open?: boolean; reasons?: List<Text> };
  error?: string;
  metrics: Record<string, number>;
  custom: { tenant: string; alert?: string; input_digest: string; cached: boolean };
}

export const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

export interface MaintenanceWindow {
  id: string;
  name: string;
  reason?: string;
  start?: string;
  end?: string;
  weekly?: { days: Weekday[]; from: string; to: string; zone: string };
  items?: List<string>;
  systems?: List<string>;
  tenants?: List<string>;
  off?: boolean;
  active?: boolean;
  until?: string;
}
