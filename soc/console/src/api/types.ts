import type { Judged, Party, Phase, Verdict } from './judgement';
import type { RuleCost, RuleThrottle } from './rules';

/**
 * The REST API's objects as the console reads them (/api/v1/openapi.json).
 * Names and units are the server's. A list may arrive as null where it is
 * empty, hence List.
 */

export type List<T> = T[] | null | undefined;
/** A text in the suite's two languages. */
export interface Text {
  zh?: string;
  en?: string;
}
export interface Page<T> {
  items: List<T>;
  total?: number;
  /** Cursor of the next page; empty on the last. */
  next?: string;
}

export type Severity = 'critical' | 'high' | 'medium' | 'low' | 'informational';
export type Status = 'open' | 'acknowledged' | 'closed';
export type Resolution = 'true_positive' | 'false_positive' | 'benign' | 'test' | 'duplicate';
export const SEVERITIES: Severity[] = ['critical', 'high', 'medium', 'low', 'informational'];
export const STATUSES: Status[] = ['open', 'acknowledged', 'closed'];
export const RESOLUTIONS: Resolution[] = ['true_positive', 'false_positive', 'benign', 'test', 'duplicate'];

export interface User {
  id: string;
  username: string;
  display_name: string;
  roles: List<string>;
  scopes: List<string>;
  all_tenants: boolean;
  tenants: List<string>;
  locale?: string;
  must_change_password?: boolean;
  must_enrol_factor?: boolean;
  disabled?: boolean;
  created_at?: string;
  last_login_at?: string | null;
}

export interface Token {
  id: string;
  name: string;
  tenant?: string;
  scopes: List<string>;
  /** Whose it is, where a user made it. */
  owner?: string;
  created_at?: string;
  created_by?: string;
  expires_at?: string | null;
  last_used_at?: string | null;
  last_address?: string;
  addresses?: List<string>;
  /** Present once, in the answer to its creation. */
  token?: string;
}

export interface Tenant {
  slug: string;
  name: Text;
  domain?: string;
  protection_level?: number;
  account_id?: number;
  systems?: number | List<unknown>;
  /** Id of the organisation it belongs to. */
  unit?: string;
  region?: string;
  industry?: string;
  labels?: List<string>;
}

export interface RuleRef {
  id: string;
  /** When it was last changed, as it says itself. */
  version?: string;
  /** SHA-256 of its text. */
  hash?: string;
  title: Text;
  sentence?: Text;
  advice?: Text;
  level: Severity;
  kind: string;
  tactics?: List<string>;
  techniques?: List<string>;
  tags?: List<string>;
  /** Article of the knowledge base. */
  knowledge?: string;
  /** Which of the rule's outputs counts. */
  output?: string;
}

export interface Pair {
  field: string;
  value: string;
}
export interface Evidence extends Pair {
  selection: string;
}

export interface CIRef {
  id: string;
  name: string;
  class?: string;
  criticality?: number;
  owner?: string;
  labels?: List<string>;
}
export interface SystemRef {
  id: string;
  name: string;
}

export interface TimelineEntry {
  time: string;
  kind: string;
  actor?: string;
  text?: Text;
  data?: Record<string, unknown> | null;
}

export interface Alert extends Judged {
  id: string;
  tenant: string;
  rule: RuleRef;
  title: Text;
  severity: Severity;
  priority: string;
  reasons?: List<Text>;
  status: Status;
  first_seen: string;
  last_seen: string;
  /** Events behind the alert. */
  count: number;
  occurrences?: number | List<Occurrence>;
  group?: List<Pair>;
  source_ip?: string;
  user?: string;
  ci?: CIRef | null;
  system?: SystemRef | null;
  owner?: string;
  assignee?: string;
  incident_id?: string;
  evidence?: List<Evidence>;
  event_ids?: List<string>;
  fields?: Record<string, unknown> | null;
  tactics?: List<string>;
  techniques?: List<string>;
  created_at: string;
  acknowledged_at?: string | null;
  acknowledged_by?: string;
  closed_at?: string | null;
  closed_by?: string;
  resolution?: Resolution | '';
  timeline?: List<TimelineEntry>;
  /** It changes between firing and recovered again and again: nobody is told until it is calm. */
  /** Security level of the data that it is about, 1 to 5. */
  data_level?: number;
  /** What its severity was before that level raised it. */
  raised_from?: Severity;
  /** Name of the risk of focus that it tells of, and what its severity was before that raised it. */
  focus?: string;
  focus_from?: Severity;
  /** It is gathered with others until then, or kept only, by a period of the policy of generation. */
  gathered_until?: string;
  kept_only?: boolean;
  period?: string;
  /** About a key asset, as it was when the alert fired last. */
  key?: boolean;
  /** Id of the suppression that met it. */
  suppressed_by?: string;
  flapping?: { since: string; changes: number; last: string; recovered: boolean };
  /** Of its firings, those beyond the limit of intake, counted and not worked. */
  counted?: number;
  /** Given by people. */
  tags?: List<string>;
  /** In lists: the reader has not looked at it. */
  unread?: boolean;
  /** Ids of the silences that mute it now. */
  silenced_by?: List<string>;
  /** Rules of inhibition that mute it now; without alert_id where the alert that mutes it is another tenant's. */
  inhibited_by?: List<{ rule_id: string; rule: string; alert_id?: string }>;
  /** The maintenance windows that its last event fell into. */
  maintenance?: List<{ id: string; name: string; until: string }>;
  /** The priority policy says that nobody is told of it. */
  muted?: boolean;
  /** Labels that the priority policy gave it. */
  routing?: Record<string, string> | null;
  /** What silences match it by. */
  labels?: Record<string, string> | null;
}
export interface Occurrence {
  id: string;
  time: string;
  count: number;
  event_ids?: List<string>;
}

export interface SLA {
  ack_due?: string | null;
  resolve_due?: string | null;
  acked_at?: string | null;
  resolved_at?: string | null;
  state: 'ok' | 'due_soon' | 'paused' | 'breached' | 'met';
  paused_at?: string | null;
  paused_for?: string;
  fault?: 'online' | 'offline';
  propose_due?: string | null;
  proposed_at?: string | null;
}

/** The item an incident of faults is thought to come from. */
export interface Root {
  /** Absent, as name and class, where it is another tenant's. */
  item_id?: string;
  name?: string;
  class?: string;
  /** It has alerts of its own in this incident. */
  alerted: boolean;
  /** It tells nothing itself: most of what depends on it fails. */
  inferred: boolean;
  since: string;
  reason: Text;
  /** Failing items in this incident. */
  items: number;
  /** Of these, how many lie downstream of it. */
  affected: number;
  /** Share of all items that fail around it that it explains, 0 to 1. */
  coverage: number;
}

export interface Incident {
  id: string;
  tenant: string;
  title: Text;
  severity: Severity;
  priority: string;
  status: Status;
  ci?: CIRef | null;
  system?: SystemRef | null;
  owner?: string;
  assignee?: string;
  opened_at: string;
  first_seen: string;
  last_seen: string;
  alert_count: number;
  /** The highest security level of the data that its alerts are about. */
  data_level?: number;
  /** One of its alerts is about a key asset. */
  key?: boolean;
  /** The worst of its alerts. */
  verdict?: Verdict;
  /** Phases of the kill chain that its alerts reached. */
  phases?: List<Phase>;
  attackers?: List<Party>;
  victims?: List<Party>;
  /** Addresses the intrusion comes from. */
  actors?: List<string>;
  acknowledged_by?: string;
  tactics?: List<string>;
  techniques?: List<string>;
  reasons?: List<Text>;
  /** The priority that follows from its alerts. */
  judged_priority?: string;
  /** An analyst's own priority. */
  override?: { priority: string; reason: string; by: string; at: string } | null;
  /** Of an incident of faults: the item that is thought to have brought the others down. */
  root?: Root | null;
  /** Out of the lists since then. */
  archived_at?: string | null;
  archived_by?: string;
  /** The merge rule that made it, and the labels that its alerts have in common. */
  merge?: { rule_id: string; rule: string; by?: Record<string, string> };
  counted?: number;
  /** The incident that goes on in its place. */
  merged_into?: string;
  merged_from?: List<string>;
  sla?: SLA | null;
  resolution?: Resolution | '';
  alerts?: List<Alert>;
  timeline?: List<TimelineEntry>;
}

export interface Delivery {
  id: string | number;
  receiver: string;
  incident_id: string;
  url_host?: string;
  attempt: number;
  status: 'delivered' | 'retrying' | 'failed';
  http_status?: number;
  error?: string;
  at: string;
  next_at?: string | null;
}

export interface SourceHealth {
  id: string;
  kind: string;
  listen?: string;
  state: 'ok' | 'error' | 'off';
  error?: string;
  received: number;
  rejected: number;
  dropped: number;
  bytes: number;
  last_seen?: string | null;
  /** Records a second over the last ten. */
  rate?: number;
  /** Of the input that it is of; absent for those of the configuration. */
  input?: string;
  name?: string;
  tenant?: string;
}

export interface Overview {
  me: { incidents_open: number; incidents_mine: number; incidents_breaching: number };
  alerts: { open: number; unacknowledged: number; by_severity?: Partial<Record<Severity, number>> | null };
  incidents: List<Incident>;
  latest_alerts: List<Alert>;
  intake: {
    events_total: number;
    events_per_second: number;
    queue_messages: number;
    lag_seconds: number;
    dropped_total: number;
  };
  tenants_with_events_24h: number;
  sources: List<SourceHealth>;
}

export interface RuleInfo {
  id: string;
  title: Text;
  level: Severity;
  kind: string;
  status: 'active' | 'rejected' | 'disabled';
  reason?: string;
  path: string;
  line?: number;
  tactics?: List<string>;
  techniques?: List<string>;
  tags?: List<string>;
  hits?: number;
  /** Under which correlations may count it, beside its id. */
  name?: string;
  /** Of a correlation: what it counts, by name or id. */
  counts?: List<string>;
  origin?: 'builtin' | 'folder' | 'own';
  /** Of an own rule: id of the main rule of its file, under which it is changed. */
  main?: string;
  revision?: number;
  updated_at?: string;
  updated_by?: string;
  off?: { by: string; at: string; reason?: string } | null;
  /** Matches an hour over the last day, the oldest first. */
  trend?: List<number>;
  cost?: RuleCost | null;
  throttle?: RuleThrottle | null;
  /** YAML text, on the detail alone. */
  source?: string;
}

/** One flat event: dotted field names, values as stored. */
export type LogEvent = Record<string, unknown>;
export interface SearchAnswer {
  items: List<LogEvent>;
  truncated?: boolean;
  took_ms?: number;
}
export interface Histogram {
  step_ms: number;
  buckets: List<{ time: string; count: number }>;
  total: number;
}

export interface CMDBClass {
  class: string;
  name: Text;
  attributes?: List<unknown>;
}
export interface CMDBItem {
  id: string;
  class: string;
  name: string;
  tenant?: string;
  zone?: string;
  addresses?: List<string>;
  hostnames?: List<string>;
  criticality?: number;
  owner?: string;
  labels?: List<string>;
  system?: string;
  organisation?: string;
  attributes?: Record<string, unknown> | null;
  updated_at?: string;
  /** Related items, on the detail alone: by kind of relation. */
  relations?: Record<string, unknown> | List<unknown>;
}
export interface ImportReport {
  created: number;
  updated: number;
  unchanged: number;
  dry_run: boolean;
}
export interface ImportError {
  row?: number;
  column?: string;
  message: string;
}

/** RFC 9457. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  instance?: string;
  request_id?: string;
  /** Tells apart what the status alone does not, such as wrong_credentials. */
  code?: string;
  captcha_required?: boolean;
  /** The rule of the password policy that was not met. */
  rule?: string;
  challenge?: string;
  factors?: List<string>;
  expires_at?: string;
  retry_after?: number;
  errors?: List<ImportError & { location?: string; value?: unknown }>;
}

export function list<T>(l: List<T>): T[] {
  return l ?? [];
}
