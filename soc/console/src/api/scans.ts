import type { ItemRef } from './cmdb';
import type { List } from './types';

export const RANGE_STATES = ['asked', 'approved', 'rejected', 'withdrawn', 'expired'] as const;
/** Addresses that may be scanned, or are to be. */
export interface ScanRange {
  id: string;
  tenant: string;
  zone: string;
  cidr: string;
  exclusions: List<string>;
  reason: string;
  state: (typeof RANGE_STATES)[number];
  asked_by: string;
  asked_at: string;
  decided_by?: string;
  decided_at?: string;
  note?: string;
  expires_at: string;
}

export const TASK_KINDS = ['discover', 'check', 'deep'] as const;
export interface ScanCredential {
  kind: string;
  name: string;
  user?: string;
  secret?: string;
  host?: string;
  port?: number;
  held?: boolean;
}
export interface ScanTaskDraft {
  tenant: string;
  name: string;
  kind: (typeof TASK_KINDS)[number];
  zone?: string;
  targets?: List<string>;
  query?: string;
  tcp?: List<string>;
  udp?: List<string>;
  probes?: List<string>;
  checks?: List<string>;
  unsafe?: boolean;
  rate?: { packets?: number; per_host?: number; hosts?: number };
  windows?: List<{ days?: number[]; from: string; to: string; zone?: string }>;
  hours?: number;
  attempts?: number;
  credentials?: List<ScanCredential>;
  scanner?: string;
  label?: string;
  cron?: string;
  time_zone?: string;
  calendar?: string;
  unknown?: string;
  disabled?: boolean;
}
export interface ScanTask extends ScanTaskDraft {
  id: string;
  created_at: string;
  created_by: string;
  updated_at: string;
  updated_by: string;
  begun_at?: string;
  next_at?: string;
  fault?: string;
  last_run?: string;
  last_state?: string;
}

export const RUN_STATES = ['waiting', 'running', 'paused', 'cancelling', 'judging', 'done', 'cancelled', 'expired', 'failed'] as const;
export type RunState = (typeof RUN_STATES)[number];
export interface ScanRun {
  id: string;
  task?: string;
  name: string;
  kind: 'discover' | 'check' | 'retest' | 'deep';
  tenant: string;
  zone: string;
  state: RunState;
  reason?: string;
  trigger: 'hand' | 'schedule' | 'retest';
  by?: string;
  scanner?: string;
  ranges: List<string>;
  exclusions: List<string>;
  targets: number;
  created_at: string;
  started_at?: string;
  ended_at?: string;
  heard_at?: string;
  progress: { stage?: string; hosts_done: number; hosts_total: number; probes_done: number; probes_total: number; checks_done: number; checks_total: number; found: number; services: number; weaknesses: number; refused: number };
  new_findings: number;
  known_findings: number;
  closed_findings: number;
  discovery: { hosts: number; known: number; created: number; updated: number; offered: number; software: number; stale: number; vanished: number; conflicts: number; changes: number; duplicates: number; merged: number; import?: number; notes: List<string> };
  notes: List<string>;
}
export interface ScanResult {
  seq: number;
  kind: string;
  at: string;
  data: Record<string, unknown>;
}
export interface Scanner {
  id: string;
  name: string;
  tenant: string;
  state: string;
  reason?: string;
  labels: List<string>;
  version?: string;
  checks: number;
  queued: number;
  runs: number;
  seen_at?: string;
  local?: List<string>;
}

export const ENGINE_KINDS = ['nessus', 'greenbone', 'http'] as const;
/** A scanner of another maker. */
export interface ScanEngine {
  id: string;
  tenant: string;
  name: string;
  kind: (typeof ENGINE_KINDS)[number];
  url: string;
  jump_url?: string;
  zone?: string;
  ca?: string;
  user?: string;
  scan?: string;
  cron?: string;
  check_path?: string;
  launch_path?: string;
  status_path?: string;
  done_text?: string;
  report_path?: string;
  format?: string;
  mapping?: string;
  disabled?: boolean;
  secret_held: boolean;
  state: 'unchecked' | 'ok' | 'failing';
  error?: string;
  version?: string;
  checked_at?: string;
  launched_at?: string;
  pending?: boolean;
  fetched_at?: string;
  new_findings: number;
  known_findings: number;
  change?: string;
  updated_at: string;
  updated_by: string;
}
export interface EngineScan {
  id: string;
  name: string;
  state: string;
  done: boolean;
}

export const SURFACE_KINDS = ['host_new', 'host_unknown', 'host_silent', 'host_back', 'port_opened', 'port_closed', 'software_changed', 'site_new', 'site_changed', 'site_gone', 'certificate_changed', 'certificate_expiring', 'certificate_expired'] as const;
export type SurfaceKind = (typeof SURFACE_KINDS)[number];
export interface SurfaceChange {
  id?: number;
  tenant: string;
  zone: string;
  run?: string;
  at: string;
  kind: SurfaceKind;
  address: string;
  item?: string;
  port?: number;
  protocol?: string;
  before?: string;
  after?: string;
  acknowledged_by?: string;
  acknowledged_at?: string;
}
export const CATEGORIES = ['web', 'database', 'middleware', 'remote', 'mail', 'file', 'management', 'other'] as const;
export interface SurfaceService {
  port: number;
  protocol: string;
  service?: string;
  category: (typeof CATEGORIES)[number];
  product?: string;
  version?: string;
  url?: string;
  status?: number;
  title?: string;
  subject?: string;
  expires_at?: string;
}
export interface SurfaceHost {
  tenant: string;
  zone: string;
  address: string;
  item?: string;
  names: List<string>;
  mac?: string;
  vendor?: string;
  os?: string;
  found_by: List<string>;
  services: List<SurfaceService>;
  /** How it did when deep discovery read it last; the unit is at the end of the name. */
  metrics?: Record<string, number>;
  /** What listens on it, as deep discovery read it there. */
  programs?: List<{ address: string; port: number | string; program?: string; version?: string }>;
  state: 'present' | 'stale' | 'vanished';
  missed?: number;
  first_seen: string;
  last_seen: string;
  run: string;
}
export interface SurfaceFigures {
  hosts: number;
  unknown: number;
  states: Record<string, number>;
  categories: Record<string, number>;
  changes: Record<string, number>;
  open_changes: number;
}
export interface SurfaceImport {
  hosts: number;
  known: number;
  software: number;
  import?: number;
  refused: List<string>;
}

export const DUPLICATE_STATES = ['open', 'merged', 'dismissed', 'undone'] as const;
/** Two items of the CMDB that a discovery holds to be one host. */
export interface SurfaceDuplicate {
  id: string;
  tenant: string;
  zone: string;
  /** The item that would stay, or stayed, and the other. */
  keep: ItemRef;
  gone: ItemRef;
  marks: List<'serial_number' | 'machine_id' | 'snmp_engine' | 'mac' | 'hostname'>;
  certain: boolean;
  state: (typeof DUPLICATE_STATES)[number];
  run: string;
  seen_at: string;
  decided_by?: string;
  decided_at?: string;
  note?: string;
  /** Id of the CMDB's merge, which undo names. */
  merge?: string;
}
/** Two items that became one, or would. */
export interface CmdbMerge {
  id?: string;
  keep: ItemRef;
  gone: ItemRef;
  fields: List<{ field: string; keep?: string; gone?: string; value?: string; keep_source?: string; gone_source?: string; conflict?: boolean }>;
  relations: number;
  dropped?: number;
  referring: List<ItemRef>;
}

/** How much of a scan is done, of what is known to be done: hosts first, then checks. */
export function share(p: ScanRun['progress']): number | undefined {
  const done = p.hosts_done + p.checks_done;
  const total = p.hosts_total + p.checks_total;
  return total > 0 ? Math.min(100, Math.floor((100 * done) / total)) : undefined;
}

/** A package of nuclei templates that scanners fetch. */
export interface TemplatesPackage {
  sha256: string;
  name: string;
  size: number;
  count: number;
  note?: string;
  by: string;
  at: string;
}
