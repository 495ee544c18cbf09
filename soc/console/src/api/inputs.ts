import type { List, SourceHealth } from './types';

/** JSON Schema of a setting, as the server writes it from the source's own configuration. */
export interface Schema {
  type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';
  description?: string;
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  'x-secret'?: boolean;
  'x-order'?: string[];
  'x-group'?: string;
}

export interface InputKind {
  kind: string;
  /** fetch reaches out, listen waits for senders, local reads the server's own machine. */
  way: 'fetch' | 'listen' | 'local';
  /** A test reaches the source and shows records. */
  trial: boolean;
  schema: Schema;
}

export type Settings = Record<string, unknown>;

export interface InputContent {
  name: string;
  kind: string;
  tenant?: string;
  zone?: string;
  tags?: List<string>;
  note?: string;
  enabled: boolean;
  settings?: Settings;
}

export interface InputView extends InputContent {
  id: string;
  secrets_set: List<string>;
  revision: number;
  created_at: string;
  created_by: string;
  updated_at: string;
  updated_by: string;
  deleted_at?: string;
  health: SourceHealth;
}

export interface Explained {
  recognised: boolean;
  pack: string;
  log_type: string;
  dataset: string;
  event: Record<string, unknown>;
}

export interface InputTrial {
  ok: boolean;
  steps: List<string>;
  error?: string;
  seconds: number;
  read: List<{ text: string; read?: Explained }>;
}

export interface InputsImported {
  created: List<string>;
  updated: List<string>;
  unchanged: List<string>;
  waiting: Record<string, string> | null;
  failed: Record<string, string> | null;
}
