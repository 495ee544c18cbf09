/** Entities as the API answers them: who they are, what they did, what was judged of them. */
import type { HistoryEntry, Item } from './cmdb';
import type { Direction, Facet, Party, Verdict } from './judgement';
import type { List, Severity, Status, Text } from './types';
import type { EntityRef } from '../logic/entity';

export const CONCLUSIONS = ['malicious', 'attacker', 'compromised', 'suspicious', 'benign', 'exercise', 'withdrawn'] as const;
export type Conclusion = (typeof CONCLUSIONS)[number];
export const JUDGED_RISKS = ['critical', 'high', 'medium', 'low'] as const;

export interface EntityJudgement extends EntityRef {
  seq: number;
  tenant: string;
  conclusion: Conclusion;
  risk: '' | (typeof JUDGED_RISKS)[number];
  tags: List<string>;
  watched: boolean;
  until?: string;
  note?: string;
  alert?: string;
  by: string;
  at: string;
  in_force: boolean;
  sightings: number;
  last_seen?: string;
}

export interface EntityItem extends Item {
  system_ref?: { id: string; name: string; class: string };
  organisation_ref?: { id: string; name: string; class: string };
  score?: number;
  level?: 'low' | 'medium' | 'high' | 'compromised';
}

export interface EntityHead {
  entity: EntityRef;
  shown: string;
  items: List<EntityItem>;
  members?: number;
  partial?: boolean;
  internal?: boolean;
  judgement?: EntityJudgement;
  alerts_total: number;
  incidents_total: number;
  related: List<EntityRef>;
}

export interface EntityBehaviour {
  start: string;
  end: string;
  query: string;
  events: number;
  first?: string;
  last?: string;
  step_ms: number;
  times: List<string>;
  kinds: List<{ kind: string; events: number; values: List<number> }>;
  signins: Record<string, number>;
  facets: List<{ field: string; rows: number; others: number; values: List<{ value: string; hits: number }> }>;
  place?: { country?: string; code?: string; city?: string; as?: string };
}

export interface EntitySide {
  item?: string;
  name?: string;
  ip?: string;
  internal?: boolean;
}

export interface ChainLink {
  id: string;
  title: Text;
  severity: Severity;
  verdict?: Verdict;
  status: Status;
  phase?: string;
  tactics: List<string>;
  techniques: List<string>;
  attacker?: Party;
  victim?: Party;
  direction?: Direction;
  incident_id?: string;
  first_seen: string;
  last_seen: string;
  count: number;
}

export interface EntityPortrait {
  role: string;
  partial?: boolean;
  alerts: number;
  events: number;
  open: number;
  acknowledged: number;
  closed: number;
  true_positives: number;
  false_positives: number;
  incidents: number;
  severities: List<Facet>;
  verdicts: List<Facet>;
  phases: List<Facet>;
  techniques: List<Facet>;
  tactics: List<Facet>;
  attacks: List<Facet>;
  others: List<Facet>;
  rules: List<{ rule: string; title: Text; alerts: number }>;
  first_seen?: string;
  last_seen?: string;
  chain: List<ChainLink>;
  judged: List<{ alert: string; title: Text; resolution: string; by: string; at: string }>;
  suspicion?: { asset: EntitySide; by: EntitySide; from?: string; to: string; alert: string; why: List<string>; seen: number };
}

export interface EntityPeer {
  address: string;
  name?: string;
  item?: string;
  internal: boolean;
  country?: string;
  code?: string;
  abroad: boolean;
  out: number;
  in: number;
  bytes: number;
  services: List<string>;
  first: string;
  last: string;
}

export interface EntityPeers {
  items: List<EntityPeer>;
  total: number;
  abroad: number;
  internal: number;
  partial?: boolean;
  addresses: List<string>;
}

export interface EntityHistory {
  names: List<{ field: string; value: string; events: number; first: string; last: string }>;
  changes: List<HistoryEntry>;
}

export interface EntitySeen {
  events: number;
  first?: string;
  last?: string;
}
