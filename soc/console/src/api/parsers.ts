import type { List } from './types';

export const PACK_CLASSES = ['security', 'network', 'application', 'os'] as const;
export type PackClass = (typeof PACK_CLASSES)[number];

export interface PackInfo {
  /** vendor/product. */
  id: string;
  vendor: string;
  product: string;
  module: string;
  class: PackClass;
  reference: string;
  /** builtin, own, or a folder of the configuration. */
  source: string;
  logs: List<{ id: string; name: string; dataset: string; built_in: boolean }>;
}
export interface PackProblem {
  path: string;
  line?: number;
  reason: string;
}
export interface Packs {
  items: List<PackInfo>;
  products: number;
  log_types: number;
  problems: List<PackProblem>;
}
export interface PackText {
  id: string;
  origin: string;
  source: string;
  samples: string;
}
export interface PackDraft {
  pattern: string;
  lines: number;
  example: string;
  captures: List<string>;
}
export interface Unread {
  tenant: string;
  peer?: string;
  file?: string;
  program?: string;
  lines: number;
  first: string;
  last: string;
  examples: List<string>;
  drafts: List<PackDraft>;
}
export interface PackVersion {
  pack: string;
  revision: number;
  at: string;
  by: string;
  action: 'created' | 'changed' | 'restored' | 'deleted';
  note: string;
  source: string;
  samples: string;
  golden: string;
}
export interface OwnPack extends PackVersion {
  versions: List<PackVersion>;
}
export interface Judgement {
  valid: boolean;
  problems: List<PackProblem>;
  faults: List<{ line: number; reason: string }>;
  readings: List<{ line: string; log_type: string; event: string }>;
  claims: List<{ pack: string; lines: number; line: string }>;
  overrides: boolean;
}

export const ownPath = (id: string) => `/parsers/own/${id.split('/').map(encodeURIComponent).join('/')}`;
export const packPath = (id: string) => `/parsers/packs/${id.split('/').map(encodeURIComponent).join('/')}`;
