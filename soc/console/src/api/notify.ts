import type { List } from './types';

/** A setting of a channel, as the server describes it. */
export interface ContactField {
  name: string;
  type: 'text' | 'long' | 'number' | 'switch' | 'list' | 'pairs' | 'choice';
  secret: boolean;
  required: boolean;
  choices?: List<string>;
  default?: string;
  zh: string;
  en: string;
}
export interface Gateway {
  key: string;
  zh: string;
  en: string;
  vars?: List<string>;
}
export interface ContactKind {
  name: string;
  zh: string;
  en: string;
  limits: List<string>;
  fields: List<ContactField>;
  gateways?: List<Gateway>;
}
/** How links in notifications acknowledge an incident: there are none, whoever opens one signs in, the link is enough. */
export type Acknowledge = 'none' | 'signed_in' | 'anyone';
export interface ContactPoint {
  name: string;
  kind: string;
  settings: Record<string, unknown>;
  note: string;
  send_resolved: boolean;
  tenants: List<string>;
  every: boolean;
  language: 'zh' | 'en';
  wording: string;
  disabled: boolean;
  acknowledge: Acknowledge;
  origin: 'config' | 'api';
  editable: boolean;
  used_by: List<string>;
}
export interface Tried {
  ok: boolean;
  http_status?: number;
  error?: string;
  retry?: boolean;
  duration_ms: number;
}
export interface Route {
  id?: string;
  name?: string;
  description?: string;
  disabled?: boolean;
  matchers?: string[];
  receivers?: string[];
  nobody?: boolean;
  continue?: boolean;
  group_by?: string[];
  group_wait?: string;
  group_interval?: string;
  repeat_interval?: string;
  mute_time_intervals?: string[];
  active_time_intervals?: string[];
  direct?: boolean;
  no_resolved?: boolean;
  escalate_after?: string;
  escalate_to?: string[];
  routes?: Route[];
}
export interface Interval {
  name: string;
  time_intervals: { times?: { start_time: string; end_time: string }[]; weekdays?: string[]; days_of_month?: string[]; months?: string[]; years?: string[]; location?: string }[];
}
export interface Tree {
  root: Route;
  intervals: Interval[];
}
export interface TreeVersion {
  version: number;
  scope: string;
  tree: Tree;
  note: string;
  at: string;
  by: string;
}
export interface Hit {
  scope: string;
  route: string;
  path: List<string>;
  receivers: List<string>;
  group_labels: Record<string, string>;
  group_wait: string;
  group_interval: string;
  repeat_interval: string;
  held_by?: string;
}
export interface Where {
  labels: Record<string, string>;
  routes: List<Hit>;
  every: List<string>;
  muted: List<string>;
}
export interface ImportedRouting {
  contact_points: List<{ name: string; kind: string; state: 'new' | 'exists' | 'invalid'; error?: string }>;
  problems: List<{ line: number; what: string; reason: string }>;
}
export interface Words {
  title: string;
  plain: string;
  markdown: string;
}
export interface Wording {
  version: number;
  name: string;
  language: 'zh' | 'en';
  kind: string;
  text: Words;
  removed: boolean;
  at: string;
  by: string;
}
export interface WordingHelp {
  defaults: Record<'zh' | 'en', Words>;
  functions: List<string>;
  data: Record<string, unknown>;
}
export interface WordingPreview {
  title: string;
  plain: string;
  markdown: string;
  html: string;
  error?: { part: string; line: number; reason: string };
}
export interface Delivery {
  id: string;
  receiver: string;
  channel: string;
  incident_id: string;
  tenant: string;
  kind: string;
  title: string;
  route: string;
  people: List<string>;
  state: 'pending' | 'delivered' | 'failed';
  attempts: number;
  error: string;
  created_at: string;
  next_at?: string;
  settled_at?: string;
  sent_again_by?: string;
}
export interface DeliveryDetail extends Delivery {
  replayable: boolean;
  body: Record<string, unknown>;
  log: List<{ attempt: number; at: string; status: string; http_status?: number; host: string; error: string; next_at?: string; merged_into?: string }>;
}
export const DELIVERY_STATES = ['pending', 'delivered', 'failed'] as const;

/** A route as a line of a list. */
export interface RouteLine {
  id: string;
  path: List<string>;
  description: string;
  /** direct sends alerts themselves; incident sends those of incidents alone. */
  type: 'direct' | 'incident';
  matchers: List<string>;
  receivers: List<string>;
  merge_by: List<string>;
  enabled: boolean;
  updated_at: string;
  updated_by: string;
}
