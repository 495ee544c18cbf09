import type { List } from './types';

/** A kind of risk that matters now. */
export interface RiskOfFocus {
  name: string;
  off?: boolean;
  tenants?: List<string>;
  when: string[];
  raise?: boolean;
}
export const MODES = ['once', 'every', 'at', 'keep'] as const;
/** When alerts of a kind are told of. */
export interface RaisingPeriod {
  name: string;
  off?: boolean;
  tenants?: List<string>;
  when?: List<string>;
  mode: (typeof MODES)[number];
  minutes?: number;
  times?: List<string>;
  days?: List<number>;
}
export interface RaisingPolicy {
  focus: RiskOfFocus[];
  periods: RaisingPeriod[];
}
interface Share {
  name: string;
  alerts: number;
  raised?: number;
  times?: number;
  sample: List<string>;
}
export interface GenerationPreview {
  days: number;
  alerts: number;
  focus: number;
  at_once: number;
  gathered: number;
  kept: number;
  tellings: number;
  by_focus: List<Share>;
  by_period: List<Share>;
  truncated: boolean;
}
/** What conditions may name. */
export const NAMES = ['attack', 'data_level', 'direction', 'industry', 'item_class', 'item_label', 'key_asset', 'phase', 'priority', 'region', 'risk', 'rule', 'rule_tag', 'severity', 'system', 'tactic', 'technique', 'tenant', 'threat', 'unit', 'verdict'];
