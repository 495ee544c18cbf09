/** Flows as the API answers them. Bytes and packets are estimates: what was sampled, times the rate of sampling. */
import type { List } from './types';

export const FLOW_BY = ['host', 'source', 'destination', 'service', 'protocol', 'conversation', 'exporter', 'interface', 'as', 'port'] as const;
export type FlowBy = (typeof FLOW_BY)[number];
export const FLOW_METRICS = ['bytes', 'packets', 'flows'] as const;
export type FlowMetric = (typeof FLOW_METRICS)[number];

/** One end: an address within its zone, with the asset behind it where the reader may see that. */
export interface Peer {
  zone: string;
  address: string;
  internal: boolean;
  ci?: { id: string; name: string; class?: string; tenant?: string; criticality?: number; system?: { id: string; name: string } | null } | null;
}
export interface FlowItem {
  key: string;
  zone?: string;
  peer?: Peer;
  a?: Peer;
  b?: Peer;
  service?: string;
  port?: number;
  transport?: string;
  exporter?: string;
  interface?: string;
  as?: { number: number; name?: string };
}
export interface TopItem extends FlowItem {
  bytes: number;
  packets: number;
  flows: number;
  share: number;
}
export interface Sums {
  bytes: number;
  packets: number;
  flows: number;
}
export interface Top {
  items: List<TopItem>;
  total: Sums;
  took_ms?: number;
}
export interface FlowSeries {
  step_ms: number;
  times: List<string>;
  series: List<FlowItem & { values: number[] }>;
  other: List<number>;
  total: List<number>;
}
export interface Conversation {
  zone: string;
  a: Peer;
  b: Peer;
  bytes_ab: number;
  bytes_ba: number;
  packets: number;
  flows: number;
  services: List<Service>;
  first_seen: string;
  last_seen: string;
}
export interface Service {
  port: number;
  transport: string;
  name?: string;
}
export interface MapNode extends Peer {
  id: string;
  depth: number;
}
export interface MapEdge {
  client: string;
  server: string;
  port: number;
  transport: string;
  service?: string;
  bytes_to_server: number;
  bytes_to_client: number;
  packets: number;
  flows: number;
  first_seen: string;
  last_seen: string;
  days: number;
}
export interface FlowMap {
  center: List<string>;
  nodes: List<MapNode>;
  edges: List<MapEdge>;
  truncated: boolean;
}
export interface Usage {
  port: number;
  transport: string;
  service?: string;
  peers: number;
  internal_peers: number;
  bytes_in: number;
  bytes_out: number;
  flows: number;
  first_seen: string;
  last_seen: string;
}
export interface Profile {
  peer: Peer;
  first_seen?: string;
  last_seen?: string;
  offers: List<Usage>;
  uses: List<Usage>;
  hours: List<{ time: string; bytes_in: number; bytes_out: number; flows: number }>;
  new_peers: List<{ peer: Peer; role: 'client' | 'server'; port: number; transport: string; service?: string; first_seen: string; bytes: number }>;
  peers: { internal: number; external: number };
}
export interface Exporter {
  exporter: string;
  zone: string;
  kind: string;
  domain: number;
  flows: number;
  datagrams: number;
  sequence_gaps: number;
  lost: number;
  templates: number;
  waiting: number;
  undecoded: number;
  sampling: number;
  last_seen: string;
}
