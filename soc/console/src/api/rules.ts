import type { Evidence, List, Pair, RuleInfo, Text } from './types';

/** What a rule costs and brings, measured all the time. */
export interface RuleCost {
  asked: number;
  hits: number;
  seconds: number;
  share: number;
  load: number;
  selectivity: number;
  hit_rate: number;
  last_hit?: string;
}
export interface RuleThrottle {
  state: 'flood' | 'set_aside' | 'failed';
  since: string;
  until?: string;
  held?: number;
  unseen?: number;
  reason: Text;
}
export interface Rule extends RuleInfo {
  /** The text that is changed and kept: of an own rule the whole file. */
  file: string;
  rules: List<string>;
  meaning: Text;
}
export interface RuleVersion {
  revision?: number;
  at: string;
  by?: string;
  action: 'created' | 'changed' | 'deleted' | 'restored' | 'imported' | 'outside' | 'enabled' | 'disabled';
  note?: string;
  source?: string;
  id: string;
  title?: string;
}
export interface Finding {
  line: number;
  column: number;
  severity: 'error' | 'warning';
  message: string;
  rule?: string;
}
export interface Verdict {
  ok: boolean;
  findings: List<Finding>;
  rules: List<{ id: string; title: string; kind: string; logsource?: string; line: number; fields: List<string>; meaning: Text }>;
  main: string;
}
export interface TrialProgress {
  events: number;
  matches: number;
  reached: string;
  share: number;
}
export interface Firing {
  rule: string;
  time: string;
  tenant: string;
  sentence: Text;
  count: number;
  group: List<Pair>;
  evidence: List<Evidence>;
  event_ids: List<string>;
  fields: Record<string, unknown> | null;
}
/** What a rule makes of events that somebody pasted. */
export interface Pasted {
  matched: number;
  firings: List<Firing>;
  events: List<{
    line: number;
    raw: string;
    fields: Record<string, string> | null;
    rules: List<{ rule: string; matches: boolean; elsewhere?: boolean; evidence: List<Evidence>; selections: List<{ name: string; holds: boolean; evidence: List<Evidence> }> }>;
  }>;
}
export interface TrialOutcome extends TrialProgress {
  start: string;
  end: string;
  firings: number;
  alerts: number;
  buckets: List<number>;
  samples: List<Firing>;
  whole: boolean;
  stopped?: 'rows' | 'time' | 'matches' | 'cancelled';
  seconds: number;
  per_second: number;
}
export interface ImportReport {
  created: number;
  changed: number;
  same: number;
  skipped: number;
  invalid: number;
  dry_run: boolean;
  files: List<{ file: string; result: 'created' | 'changed' | 'same' | 'skipped' | 'invalid'; ids: List<string>; title?: string; line?: number; reason?: string }>;
}
export interface CatalogueField {
  name: string;
  type: 'keyword' | 'text' | 'number' | 'ip' | 'date' | 'boolean';
  group: string;
  title: Text;
  description: Text;
  seen: number;
}

/** What became of a correlation's open windows when it changed. */
export interface Closing {
  at: string;
  rule: string;
  title: Text;
  why: 'gone' | 'recount' | 'rejudge' | 'older';
  groups: number;
  kept: number;
  reason: Text;
}
/** What the correlations hold, and what they lost. */
export interface Windows {
  groups: number;
  bytes: number;
  limit: number;
  evicted: number;
  evicted_by: Record<string, number> | null;
  late: number;
  cut: number;
  no_number: number;
  closed_groups: number;
  closed: List<Closing>;
}
export interface RuleSet {
  version: string;
  in_force: boolean;
  windows: Windows;
}
