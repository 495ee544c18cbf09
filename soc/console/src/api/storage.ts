/** Storage, usage, health and backups of the suite itself, as the API answers them. */
import type { List, Severity, Text } from './types';

export interface Condition {
  id: string;
  kind: string;
  key: string;
  severity: Severity;
  title: Text;
  detail: Text;
  advice?: Text;
  since: string;
  last_seen?: string;
  cleared_at?: string | null;
  alert_id?: string;
}

export interface Disk {
  mount: string;
  path: string;
  holds: List<string>;
  total_bytes: number;
  used_bytes: number;
  free_bytes: number;
  reserve_bytes: number;
  free_percent: number;
}
export interface StorageClass {
  name: string;
  days: number;
  security: boolean;
  minimum_days: number;
  rows: number;
  bytes: number;
  /** Of these, in the cold folder. */
  cold_bytes: number;
  cold_after_days: number;
  bytes_per_event: number;
  partitions: number;
  oldest?: string;
  newest?: string;
  tenants: List<string>;
}
export interface StorageTenant {
  slug: string;
  name: Text;
  class: string;
  rows_today: number;
  events_per_day: number;
  raw_bytes_per_day: number;
  stored_bytes: number;
  growth_bytes_per_day: number | null;
}
export interface Storage {
  now: string;
  disks: List<Disk>;
  /** null where nothing grows, or too little is known yet. */
  days_left: number | null;
  growth_bytes_per_day: number | null;
  history_days: number;
  days_left_alert: number;
  classes: List<StorageClass>;
  tenants: List<StorageTenant>;
  parts: Record<string, number>;
  legal_minimum_days: number;
  /** null where no cold folder is configured. */
  cold: { folder: string; due: number } | null;
}
export interface Partition {
  class: string;
  day: string;
  rows?: number;
  bytes: number;
  protected?: boolean;
  reason?: string;
}
export interface ClearPreview {
  free_bytes: number;
  target_bytes: number;
  partitions: List<Partition>;
  frees_bytes: number;
  refused: List<{ class: string; day: string; reason: string }>;
}

export interface Intake {
  events_per_second: number;
  bytes_per_second: number;
  events_total: number;
  queue_batches: number;
  queue_bytes: number;
  lag_seconds: number;
  engine: { up: boolean; ready: boolean; restarts: number };
  disk_full: boolean;
  drops: List<{ reason: string; total: number; last_at?: string | null }>;
  refused: List<{ reason: string; total: number }>;
  altered_total?: number;
  reduced_total?: number;
  history: List<{ at: string; events_per_second: number; lag_seconds: number; queue_batches: number }>;
}
export interface IntakeSource {
  id: string;
  tenant?: string;
  collector: string;
  zone?: string;
  peer: string;
  name?: string;
  ci_id?: string;
  events_per_second: number;
  events_today: number;
  events_total: number;
  bytes_total: number;
  first_seen: string;
  last_seen: string;
  silent_since?: string | null;
  usual_gap_seconds?: number;
}
export interface SlowSearch {
  at: string;
  user: string;
  query: string;
  from: string;
  to: string;
  took_ms: number;
  rows: number;
  outcome: 'ok' | 'timeout' | 'cancelled' | 'error';
  tenant?: string;
}

export interface Quota {
  bytes_per_day: number;
  events_per_day: number;
  warn_percent: number;
  at_limit: 'accept' | 'refuse';
}
export type QuotaState = 'ok' | 'warning' | 'reached' | 'refusing';
export interface QuotaNow {
  tenant: string;
  /** false: the default counts. */
  own: boolean;
  quota: Quota;
  today: { day: string; events: number; raw_bytes: number; refused_events: number; refused_bytes: number };
  percent: number | null;
  state: QuotaState;
  resets_at: string;
}
export interface TenantUsage {
  tenant: string;
  zone: string;
  items: List<{ day: string; events: number; raw_bytes: number; stored_bytes: number; refused_events: number; refused_bytes: number }>;
}
export interface RetentionClass {
  name: string;
  days: number;
  security?: boolean;
  tenants?: number;
}
export interface RetentionPreview {
  from: { name: string; days: number };
  to: { name: string; days: number };
  allowed: boolean;
  reason?: string;
  effects: List<Text>;
}
export interface RemovedTenant {
  slug: string;
  name: Text;
  removed_at: string;
  removed_by: string;
  reason?: string;
  restorable_until: string;
  restorable: boolean;
}

export interface Backup {
  name: string;
  started?: string;
  finished?: string;
  version?: string;
  host?: string;
  trigger?: 'schedule' | 'api' | 'command';
  by?: string;
  bytes?: number;
  files?: number;
  stored_bytes?: number;
  copied_bytes?: number;
  encrypted?: boolean;
  /** Events in the lake's files; later ones are on the bus's copy. */
  rows?: number;
  /** Events by tenant up to the start; empty where the suite stood still. */
  tenants?: List<{ tenant: string; events: number }>;
  verified?: string;
  damaged?: List<string>;
  fault?: string;
}
export interface BackupJob {
  kind: 'backup' | 'verify' | 'prune';
  name: string;
  state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  phase: 'waiting' | 'lake' | 'bus' | 'state' | 'copying' | 'checking' | 'pruning' | 'done';
  started: string;
  finished?: string;
  files_done: number;
  files_total: number;
  bytes_done: number;
  /** 0: not known yet. */
  bytes_total: number;
  copied_bytes: number;
  rate: number;
  error?: string;
}
export interface Backups {
  configured: boolean;
  dir: string;
  encrypted: boolean;
  free_bytes: number;
  total_bytes: number;
  items: List<Backup>;
  running: BackupJob | null;
  last: BackupJob | null;
  schedule: { enabled: boolean; cron: string; keep: number; rate_mib: number; verify: boolean };
  next_run: string | null;
  overdue: boolean;
  problem?: string;
}

/** Of metrics/query_range: Prometheus's matrix. */
export interface Matrix {
  result: List<{ metric: Record<string, string>; values: [number, string][] }>;
}
