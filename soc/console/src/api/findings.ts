import type { List, Severity, Text } from './types';

export const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'] as const;
export const FINDING_STATES = ['open', 'verified', 'repair', 'fixed', 'closed', 'exception', 'false_positive'] as const;
export type FindingState = (typeof FINDING_STATES)[number];

/** One weakness of one asset at one place. */
export interface Finding {
  id: string;
  tenant: string;
  item?: string;
  name?: string;
  system?: string;
  unit?: string;
  zone?: string;
  host: string;
  port?: number;
  protocol?: string;
  service?: string;
  path?: string;
  weakness: string;
  aliases: List<string>;
  cwes: List<string>;
  title: Text;
  text: Text;
  solution: Text;
  class: Text;
  level: Severity;
  score?: number;
  epss?: number;
  state: FindingState;
  owner?: string;
  engines: List<string>;
  checks: List<string>;
  evidence?: string;
  links: List<string>;
  /** 0 to 100. */
  priority: number;
  why: Text;
  exploited?: boolean;
  attacked_at?: string;
  alerts?: List<string>;
  first_seen: string;
  last_seen: string;
  due_at?: string;
  overdue?: boolean;
  closed_at?: string;
  until?: string;
  reopened?: number;
}
export interface FindingDetail extends Finding {
  history: List<{ at: string; actor: string; action: string; comment?: string; change?: string; undone?: boolean }>;
  /** Those all of whose findings the reader sees. */
  orders: List<FindingOrder>;
}
export const FINDING_ORDER_STATES = ['open', 'done', 'withdrawn'] as const;
/** A work order of findings. */
export interface FindingOrder {
  id: string;
  tenant: string;
  title: string;
  owner?: string;
  due_at?: string;
  overdue?: boolean;
  state: (typeof FINDING_ORDER_STATES)[number];
  made_by: string;
  made_at: string;
  ended_at?: string;
  note?: string;
  /** What undo names to take back that it was made, and that it ended. */
  change?: string;
  done_change?: string;
  findings: number;
  /** Findings that have yet to be repaired. */
  left: number;
}
export interface FindingOrderDetail {
  order: FindingOrder;
  members: List<Finding>;
  history: List<{ at: string; actor: string; text: Text }>;
}
export interface FindingFigures {
  counting: number;
  overdue: number;
  attacked: number;
  by_state: Record<string, number>;
  by_level: Record<string, number>;
  assets: number;
  known: number;
  looked_at: number;
  units: List<{ unit: string; name?: string; counting: number; overdue: number; closed: number; known: number; looked_at: number; repair_days: number }>;
  /** `open` is what counted at the end of the day by level, of today now. */
  trend: List<{ day: string; new: number; closed: number; open: Partial<Record<Severity, number>> }>;
  engines: Record<string, number>;
  repair_days: Record<string, number>;
}
/** How a unit repairs its findings week by week, and how lately its assets were looked at. */
export interface UnitProgress {
  unit: string;
  name?: string;
  counting: number;
  overdue: number;
  /** Within these weeks, as closed_late and repair_days are. */
  closed: number;
  closed_late: number;
  repair_days: number;
  known: number;
  looked_at: { within_7_days: number; within_30_days: number; within_90_days: number; older: number; never: number };
  last_looked_at?: string;
  weeks: List<{ week: string; new: number; closed: number; repair_days: number }>;
}
/** How far inventories are judged by the library of vulnerabilities. */
export interface Judgement {
  hosts: number;
  waiting: number;
  uncovered: number;
  failed: number;
  packages: number;
  items: List<{ id: string; tenant: string; item?: string; name: string; platform: string; judged_at: string; packages: number; findings: number; covered: boolean; baseline: { passed: number; failed: number; unknown: number }; error?: string }>;
}
export interface FindingsDone {
  change?: string;
  findings: number;
}

/** Where on its host a finding is. */
export function placeOf(f: Finding): string {
  return [f.port ? `${f.port}/${f.protocol || 'tcp'}` : '', f.service, f.path].filter(Boolean).join(' ');
}

/** A template of vulnerability-scan reports. */
export interface FindingTemplate {
  id: string;
  name: Text;
  shipped?: boolean;
  default?: boolean;
  by?: string;
  at?: string;
}

/** A report that was taken in. */
export interface FindingReport {
  change: string;
  tenant?: string;
  name: string;
  engine: string;
  actor: string;
  at: string;
  hosts: number;
  new: number;
  again: number;
  reopened: number;
  gone: number;
  undone?: boolean;
}

/** What came of a report, or would. */
export interface FindingImport {
  change?: string;
  new: number;
  again: number;
  reopened: number;
  gone: number;
  unknown: List<string>;
  engine: string;
  hosts: number;
  found: number;
  skipped: number;
  services: List<{ address: string; port: number; protocol: string; name?: string }>;
  offered: number;
  sample: List<{ host: string; port?: number; check: string; title: string; level?: Severity; cve?: string }>;
}
