import type { List, Severity, Text } from './types';

/** A vulnerability in a list. */
export interface VulnLine {
  id: string;
  aliases: List<string>;
  title: Text;
  level?: Severity;
  score?: number;
  class: Text;
  weaknesses: List<string>;
  /** 0 to 1. */
  epss?: number;
  exploited: boolean;
  rejected?: boolean;
  published?: string;
  modified?: string;
}
export interface VersionRange {
  from?: string;
  after?: string;
  fixed?: string;
  last?: string;
}
export interface Vulnerability extends VulnLine {
  text: Text;
  solution: Text;
  scores: List<{ version: string; score: number; vector?: string; by?: string }>;
  likelihood?: { score: number; percentile: number; day?: string };
  known_exploited?: { since?: string; due?: string; ransomware?: boolean; action?: Text };
  references: List<{ url: string; kind?: string }>;
  products: List<string>;
  affected: List<{ ecosystem: string; package: string; status?: 'open' | 'not-affected' | 'undetermined'; ranges?: List<VersionRange>; versions?: List<string>; note?: string }>;
  sources: List<{ name: string; ref: string; modified?: string }>;
}
export interface VulnFigures {
  total: number;
  exploited: number;
  by_level: Record<string, number>;
  by_source: Record<string, number>;
  epss_day?: string;
}
export interface VulnImport {
  id: string;
  name: string;
  format?: string;
  state: 'uploading' | 'queued' | 'checking' | 'importing' | 'done' | 'failed' | 'cancelled';
  error?: string;
  size: number;
  received: number;
  checked: number;
  written: number;
  added: number;
  actor: string;
  created_at: string;
  ended_at?: string;
}

/** Affected versions as a reader writes them. */
export function rangeText(r: VersionRange): string {
  const low = r.from ? `≥ ${r.from}` : r.after ? `> ${r.after}` : '';
  const high = r.fixed ? `< ${r.fixed}` : r.last ? `≤ ${r.last}` : '';
  return [low, high].filter(Boolean).join(' ');
}
