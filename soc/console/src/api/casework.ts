import type { Incident, List, Text } from './types';

export interface Task {
  id: string;
  incident: string;
  title: string;
  detail?: string;
  owner?: string;
  /** Unix milliseconds, as all times here. */
  due?: number;
  done_by?: string;
  done_at?: number;
  outcome?: string;
  removed_at?: number;
}
export interface PlanStep {
  title: string;
  detail?: string;
  within_minutes?: number;
  owner?: string;
}
export interface Plan {
  id: string;
  revision: number;
  name: string;
  description?: string;
  techniques?: List<string>;
  steps: List<PlanStep>;
  updated_by: string;
  updated_at: number;
  deleted_at?: number;
  why?: List<Text>;
}
export interface EvidenceItem {
  id: string;
  kind: 'file' | 'events' | 'query';
  name: string;
  media: string;
  size: number;
  sha256: string;
  reason: string;
  added_by: string;
  added_at: number;
  withdrawn_at?: number;
}
export interface EvidenceList {
  items: List<EvidenceItem>;
  hidden: number;
  fault?: string;
}
export interface PacketEnd {
  address: string;
  port?: number;
}
export interface PacketConversation {
  protocol: string;
  a: PacketEnd;
  b: PacketEnd;
  packets: number;
  bytes_from_a: number;
  bytes_from_b: number;
  first: string;
  last: string;
  names?: string[];
}
export interface CapturedPackets {
  item: EvidenceItem;
  total: number;
  format: 'pcap' | 'pcapng';
  packets: number;
  bytes: number;
  conversations: List<PacketConversation>;
  fault?: string;
}
/** Media type of evidence that is a packet capture. */
export const MEDIA_CAPTURE = 'application/vnd.tcpdump.pcap';
export const OBSERVABLE_TYPES = ['ip', 'domain', 'url', 'hash', 'file', 'user'] as const;
export interface Observable {
  type: (typeof OBSERVABLE_TYPES)[number];
  value: string;
  alerts: number;
  note?: string;
  added_by?: string;
  sightings: List<string>;
}
export interface Likeness {
  id: string;
  score: number;
  why: List<Text>;
  incident: Incident;
}
export interface StatutoryReport {
  id: string;
  kind: 'first' | 'summary';
  revision: number;
  state: 'draft' | 'submitted' | 'approved' | 'sent';
  level: string;
  operator: string;
  known_at: number;
  due?: number;
  clock: 'none' | 'running' | 'late' | 'met' | 'missed';
  answers: Record<string, string>;
  refused?: string;
  approved_by?: string;
  receipt?: string;
}
export interface StatutoryTerms {
  source: string;
  levels: List<{ key: string; zh: string; en: string }>;
  operators: List<{ key: string; zh: string; en: string; to: string }>;
  fields: List<{ key: string; zh: string; en: string; first: boolean; asks: string }>;
}
export interface StatutoryList {
  items: List<StatutoryReport>;
  draft: { level: string; operator: string; known_at: number; answers: Record<string, string> };
}
export interface DisposalRecord {
  seq: number;
  object: string;
  of: 'alert' | 'incident';
  tenant: string;
  title: string;
  time: string;
  kind: string;
  actor: string;
  text: Text;
}
