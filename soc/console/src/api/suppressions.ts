import type { List, Text } from './types';

/** An exception from rules: what it meets is kept, closed, and told to nobody. */
export interface SuppressionBody {
  name: string;
  /** Ids of rules; any rule where there is none. */
  rules?: List<string>;
  assets?: { items?: List<string>; classes?: List<string>; systems?: List<string> };
  tenants?: List<string>;
  /** Searches and a condition as in a Sigma rule. */
  detection?: Record<string, unknown>;
  owner?: string;
  reason: string;
  expires: string;
  receiver?: string;
  disabled?: boolean;
}
export interface Suppression extends SuppressionBody {
  id: string;
  state: 'active' | 'disabled' | 'expired';
  version: number;
  updated_at: string;
  updated_by: string;
  effect: { firings: number; events: number; last_day?: string; days: List<{ day: string; firings: number }> };
  /** That it suppressed and that are still kept. */
  alerts: number;
}
export interface SuppressionVersion extends SuppressionBody {
  version: number;
  updated_at: string;
  updated_by: string;
  deleted?: boolean;
}
export interface SuppressionPreview {
  from: string;
  until: string;
  complete: boolean;
  estimated: boolean;
  firings: number;
  suppressed: number;
  alerts: number;
  unsure: number;
  unsure_alerts: number;
  already: number;
  rules: List<{ id: string; title: Text; firings: number; suppressed: number }>;
  assets: List<{ id?: string; name: string; class?: string; system?: string; criticality?: number; suppressed: number }>;
  days: List<{ day: string; firings: number; suppressed: number }>;
  samples: List<{ at: string; tenant: string; rule: string; title: Text; asset?: string; events: number; event_id?: string; fields: Record<string, string> }>;
  warnings: List<{ kind: string; text: Text; alerts?: List<string>; rules?: List<string> }>;
}

/** What of a suppression is written. */
export function suppressionBody(s: SuppressionBody): SuppressionBody {
  const { name, rules, assets, tenants, detection, owner, reason, expires, receiver, disabled } = s;
  return { name, rules, assets, tenants, detection, owner, reason, expires, receiver, disabled };
}
