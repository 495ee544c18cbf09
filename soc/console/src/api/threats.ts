import type { Facet } from './judgement';
import type { List, Text } from './types';

/** The views that threats are analysed by, in the server's order. */
export const THREAT_VIEWS = ['deception', 'advanced', 'external', 'lateral', 'outbound', 'tunnel', 'website-trojan', 'search-hijack', 'sensitive-words', 'availability', 'attackers', 'exposure'] as const;
export type ThreatViewName = (typeof THREAT_VIEWS)[number];

interface ThreatSum {
  view: string;
  alerts: number;
  open: number;
  events: number;
  /** Not closed, critical or high. */
  grave: number;
  /** The attack succeeded, or its victim is compromised. */
  reached: number;
}
export interface ThreatView extends ThreatSum {
  /** Parameters of the list of alerts. */
  filter: Record<string, string>;
}
export interface NamedFacet extends Facet {
  name: Text;
}
export interface ThreatFigures extends ThreatSum {
  false_positives: number;
  attackers: number;
  victims: number;
  severities: List<Facet>;
  verdicts: List<Facet>;
  phases: List<Facet>;
  attacks: List<Facet>;
  tenants: List<Facet>;
  by: List<Facet>;
  on: List<Facet>;
  masked?: boolean;
  systems: List<NamedFacet>;
  rules: List<NamedFacet>;
  course: List<{ from: string; alerts: number }>;
}
