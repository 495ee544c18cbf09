import type { List, Text } from './types';

/** How far an attack got, from the least to the worst. */
export const VERDICTS = ['failed', 'attempt', 'success', 'compromised'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** The phases of Lockheed Martin's kill chain in their order. */
export const PHASES = ['reconnaissance', 'weaponization', 'delivery', 'exploitation', 'installation', 'command-and-control', 'actions-on-objectives'] as const;
export type Phase = (typeof PHASES)[number];

export const DIRECTIONS = ['inbound', 'outbound', 'lateral', 'internal', 'external'] as const;
export type Direction = (typeof DIRECTIONS)[number];

export const THREATS = ['outbound', 'lateral', 'external', 'tunnel', 'website'] as const;
export type Threat = (typeof THREATS)[number];

/** One side of an attack. */
export interface Party {
  ip?: string;
  name?: string;
  user?: string;
  zone?: string;
  item?: string;
  system?: string;
  tenant?: string;
}

/** Codes of the tiers of a risk of GB/Z 20986-2007. */
export interface Risk {
  class?: string;
  subclass?: string;
  type?: string;
}

/** What is made of an alert beside its priority. */
export interface Judged {
  verdict?: Verdict;
  verdict_reason?: Text;
  phases?: List<Phase>;
  attacker?: Party;
  victim?: Party;
  direction?: Direction;
  threat?: Threat;
  attack?: string;
  risk?: Risk;
}

export interface RiskClass {
  code: string;
  name: Text;
  successor?: Text;
  below?: List<RiskClass>;
}

export interface Taxonomy {
  risks: List<RiskClass>;
  attacks: List<{ id: string; name: Text; risk: string; fields: string[] }>;
  tactics: Record<string, Text> | null;
  techniques: Record<string, Text> | null;
}

export interface Facet {
  value: string;
  alerts: number;
}

export interface Attacks {
  alerts: number;
  counted: number;
  attacks: { attack: string; name: Text; alerts: number; events: number; open: number; last_seen: string; verdicts: Facet[]; information: { field: string; values: Facet[] }[] }[];
  verdicts: Facet[];
  phases: Facet[];
  directions: Facet[];
  threats: Facet[];
  risks: Facet[];
}
