import type { List, Text } from './types';

/** What is hidden, in which fields, how, and from whom not. */
export interface MaskingRule {
  id: string;
  name: Text;
  description?: string;
  enabled: boolean;
  /** Built-in rules cannot be removed. */
  builtin: boolean;
  /** Names; a trailing * is a prefix; none is every text of the event. */
  fields: List<string>;
  /** RE2; '' is the whole value. */
  pattern?: string;
  check?: '' | 'luhn' | 'id-card';
  method: 'full' | 'keep' | 'hash';
  /** Characters that stay at both ends, of keep. */
  first?: number;
  last?: number;
  exempt_roles: List<string>;
  updated_at?: string;
  updated_by?: string;
}
export type MaskingDraft = Omit<MaskingRule, 'id' | 'builtin' | 'updated_at' | 'updated_by'>;
export interface MaskingPreview {
  items: List<{ before: string; after: string; changed: boolean }>;
}
