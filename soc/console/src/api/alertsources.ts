import type { Text } from './types';

export const SOURCE_KINDS = ['webhook', 'alertmanager', 'kafka', 'mail', 'events'] as const;
export type SourceKind = (typeof SOURCE_KINDS)[number];
export const SOURCE_STATES = ['ok', 'idle', 'silent', 'unmapped', 'error', 'broken', 'disabled'] as const;
export type SourceState = (typeof SOURCE_STATES)[number];

/** What a source says otherwise than its template. */
export interface Mapping {
  alerts?: string;
  fields?: Record<string, string>;
  labels?: string;
  severity?: Record<string, string>;
  status?: Record<string, string>;
  times?: string[];
  zone?: string;
  expires?: string;
}

export interface Correction {
  field: string;
  op: string;
  from?: string;
  pattern?: string;
  with?: string;
  values?: Record<string, string>;
  when?: { field: string; pattern: string };
}

export interface SourceContent {
  name: string;
  description?: string;
  kind: SourceKind;
  enabled: boolean;
  tenant?: string;
  network_zone?: string;
  template: string;
  mapping?: Mapping;
  corrections?: Correction[];
  silent_after?: string;
  kafka?: { brokers: string[]; topics: string[]; group?: string; from?: string; tls?: boolean; ca?: string; mechanism?: string; username?: string };
  events?: { filter: string; from?: string };
  mail?: { senders?: string[] };
  cloud?: { topic: string; hosts?: string[] };
}

export interface SourceHealth {
  state: SourceState;
  messages: number;
  alerts: number;
  failed: number;
  discarded: number;
  dead_letters: number;
  dropped: number;
  firing: number;
  last_at?: string;
  failed_at?: string;
  error?: string;
  every_seconds?: number;
  silent_after_seconds?: number;
  running_since?: string;
}

export interface AlertSource extends SourceContent {
  id: string;
  builtin?: boolean;
  secrets_set: string[] | null;
  revision: number;
  updated_at?: string;
  updated_by?: string;
  removed_at?: string;
  health: SourceHealth;
}

/** A source with its token, which is told once. */
export interface NewSource {
  source: AlertSource;
  token: string;
  path: string;
  mail?: string;
}

export interface SourceTemplate extends Mapping {
  id: string;
  version: number;
  kinds: SourceKind[];
  title: Text;
  description?: Text;
  setup?: Text;
  reference?: string;
  format: string;
  envelope?: string;
  sample?: string;
  own?: boolean;
  by?: string;
  at?: string;
  yaml?: string;
  versions?: SourceTemplate[] | null;
}

export interface SourceField {
  name: string;
  type: string;
  title: Text;
  as?: string;
  own?: boolean;
}

export interface MappedAlert {
  fingerprint: string;
  status: 'firing' | 'resolved';
  name: string;
  title: Text;
  description?: Text;
  severity: string;
  starts_at: string;
  ends_at?: string;
  fields: Record<string, string>;
  labels: Record<string, string>;
}

/** One message of a preview. */
export interface Sampled {
  alerts: MappedAlert[] | null;
  discarded: string[] | null;
  failed: string[] | null;
  placed: { tenant: string; fields: Record<string, string> }[] | null;
  message?: number;
  body: string;
  error?: string;
}

export interface SourceMessage {
  id: number;
  at: string;
  last_at: string;
  times: number;
  state: 'mapped' | 'failed' | 'discarded';
  alerts: number;
  reasons: string[] | null;
  meta: Record<string, string>;
  body: string;
  cut?: boolean;
  binary?: boolean;
}
