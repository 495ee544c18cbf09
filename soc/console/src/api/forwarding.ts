import type { List } from './types';

export const TARGET_KINDS = ['elasticsearch', 'kafka', 'syslog', 'loki', 'remote-write'] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];
export const TARGET_STATES = ['ok', 'catching_up', 'retrying', 'paused', 'blocked', 'away'] as const;
export type TargetState = (typeof TARGET_STATES)[number];

export interface Elasticsearch {
  urls: List<string>;
  index: string;
  auth: 'none' | 'basic' | 'api-key';
  username?: string;
  api_key_id?: string;
  template: boolean;
  gzip: boolean;
}
export interface Kafka {
  brokers: List<string>;
  topic: string;
  tls: boolean;
  mechanism: '' | 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
  username?: string;
  compression: 'zstd' | 'lz4' | 'snappy' | 'gzip' | 'none';
}
export interface Syslog {
  address: string;
  transport: 'tls' | 'tcp' | 'udp';
  format: 'rfc5424' | 'cef';
  facility: number;
}
export interface Loki {
  url: string;
  tenant?: string;
  auth: 'none' | 'basic' | 'bearer';
  username?: string;
  labels?: Record<string, string> | null;
}
export interface RemoteWrite {
  url: string;
  auth: 'none' | 'basic' | 'bearer';
  username?: string;
}

/** What a target says: what is sent where. */
export interface TargetContent {
  name: string;
  description?: string;
  kind: TargetKind;
  enabled: boolean;
  /** LogsQL without pipes; for remote write a selector of series. Empty is everything. */
  filter: string;
  /** Slugs by comma; '' is all its owner reaches. */
  tenant: string;
  /** Where a new one begins. */
  from?: 'now' | 'beginning';
  /** Sends the raw text too. */
  original: boolean;
  elasticsearch?: Elasticsearch | null;
  kafka?: Kafka | null;
  syslog?: Syslog | null;
  loki?: Loki | null;
  remote_write?: RemoteWrite | null;
  tls?: { ca?: string; server_name?: string; client_certificate?: string } | null;
}

export interface Target extends TargetContent {
  id: string;
  revision: number;
  owner?: { id: string; username: string };
  mine?: boolean;
  /** Secrets that are stored; they are never read back. */
  secrets_set: List<string>;
  created_at: string;
  updated_at: string;
  status: {
    state: TargetState;
    error?: string;
    since?: string | null;
    position?: { epoch: string; sequence: number; index: number } | null;
    position_at?: string | null;
    lag_events: number;
    lag_seconds: number;
    sent: number;
    sent_bytes: number;
    /** Events a second over the last minute. */
    rate: number;
    last_sent_at?: string | null;
    repeated: number;
    dead_letters: number;
    where: string;
  };
}

export interface TargetTest {
  ok: boolean;
  took_ms: number;
  detail: string;
  error: string;
}
export interface DeadLetter {
  id: number;
  event: string;
  reason: string;
  at: string;
}
export interface TargetImport {
  created: List<string>;
  updated: List<string>;
  failed: Record<string, string> | null;
}
