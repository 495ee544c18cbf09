/** The audit log as the API answers it. */
import type { List } from './types';

export interface Change {
  field: string;
  before?: unknown;
  after?: unknown;
}
export interface AuditRecord {
  seq: number;
  time: string;
  actor: string;
  action: string;
  object?: string;
  result: 'ok' | 'failed' | 'denied';
  address?: string;
  tenant?: string;
  unit?: string;
  request_id?: string;
  session_id?: string;
  channel?: string;
  client?: string;
  detail?: string;
  changes?: List<Change>;
  /** How often a merged repetition came; absent is once. */
  count?: number;
  hash?: string;
}
export interface AuditCheck {
  ok: boolean;
  records: number;
  first_seq?: number;
  last_seq?: number;
  head?: string;
  checkpoints?: number;
  unsigned?: number;
  keys?: List<{ id: string; public_key?: string; created_at?: string }>;
  breaks?: List<{ seq: number; place: 'record' | 'checkpoint' | 'end'; reason: string }>;
}
export type StepKind = 'sign-in' | 'sign-out' | 'change' | 'read' | 'denied' | 'failed';
export interface TrackSession {
  session_id?: string;
  channel?: string;
  address?: string;
  addresses?: List<string>;
  client?: string;
  start: string;
  end: string;
  duration_seconds?: number;
  changes?: number;
  reads?: number;
  denied?: number;
  failed?: number;
  steps: List<{ record: AuditRecord; kind: StepKind; gap_seconds?: number }>;
}
export interface AuditTrack {
  user: string;
  from: string;
  to: string;
  truncated?: boolean;
  total?: number;
  sessions: List<TrackSession>;
}
export interface Forwarding {
  enabled: boolean;
  targets: List<{ name: string; kind: string; address?: string; position?: number; head?: number; lag?: number; lag_seconds?: number; state: 'ok' | 'retrying' | 'off'; error?: string; last_sent?: string; sent_total?: number }>;
}
