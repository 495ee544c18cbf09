import type { Clause } from './search';
import type { List } from './types';

/** What is done to the events that a condition holds for, before they are stored. */
export interface ProcessingRule {
  id: string;
  name: string;
  description?: string;
  enabled: boolean;
  /** '' is everybody's. */
  tenant?: string;
  when: Clause;
  tags: List<string>;
  labels: List<{ name: string; value: string }>;
  /** Hidden for good; see masking rules for what its parts mean. */
  mask?: { fields: List<string>; pattern: string; check: '' | 'luhn' | 'id-card'; method: 'full' | 'keep'; first: number; last: number } | null;
  fold?: { keys: List<string>; seconds: number } | null;
  drop?: boolean;
  revision: number;
  updated_at: string;
  updated_by: string;
  /** Events it was applied to since the engine started. */
  applied: number;
}
export type ProcessingDraft = Omit<ProcessingRule, 'id' | 'revision' | 'updated_at' | 'updated_by' | 'applied'>;
export interface ProcessingPage {
  items: List<ProcessingRule>;
  operators: List<string>;
  folded: number;
  dropped: number;
}
export interface ProcessingPreview {
  events: number;
  kept: number;
  sample: List<Record<string, unknown>>;
}

/** The rule as it is written. */
export function processingDraft(r: ProcessingDraft): ProcessingDraft {
  const { name, description, enabled, tenant, when, tags, labels, mask, fold, drop } = r;
  return { name, description: description ?? '', enabled, tenant: tenant ?? '', when, tags: tags ?? [], labels: labels ?? [], mask: mask ?? null, fold: fold ?? null, drop: drop ?? false };
}
