import type { List, Resolution, Severity } from './types';

/** Work orders in other systems, rules of disposal, notices and daily reports. Times are Unix milliseconds. */

export const ORDER_STATES = ['sending', 'open', 'working', 'done', 'rejected', 'failed'] as const;
export type OrderState = (typeof ORDER_STATES)[number];

export interface Order {
  id: string;
  connection: string;
  connection_name: string;
  /** Id of an alert or incident. */
  object: string;
  tenant: string;
  title?: string;
  /** Its number in the other system. */
  external?: string;
  link?: string;
  state: OrderState;
  their_state?: string;
  handler?: string;
  note?: string;
  made_by: string;
  made_at: number;
  /** Id of the disposal rule that made it. */
  reason?: string;
  synced_at?: number;
  error?: string;
  waiting: number;
}
export interface OrderMessage {
  id: number;
  delivery: string;
  kind: 'create' | 'update';
  state: 'pending' | 'delivered' | 'failed';
  attempts: number;
  http_status?: number;
  error?: string;
  made_at: number;
  next_at?: number;
  settled_at?: number;
}
export interface OrderDetail {
  order: Order;
  messages: List<OrderMessage>;
}
export interface OrderTarget {
  id: string;
  name: string;
  description?: string;
}

/** A template of an HTTP request. */
export interface OrderRequest {
  method?: string;
  url?: string;
  headers?: Record<string, string>;
  body?: string;
  /** Instead of a body: their field and a template of its value. */
  fields?: Record<string, string>;
}
export const ANSWER_PARTS = ['id', 'state', 'handler', 'note', 'link', 'order', 'success'] as const;
export type OrderAnswer = Partial<Record<(typeof ANSWER_PARTS)[number], string>>;
export const THEIR_STATES = ['open', 'working', 'done', 'rejected'] as const;
export interface StateMeaning {
  theirs: string;
  ours: (typeof THEIR_STATES)[number];
}
export interface ConnectionContent {
  name: string;
  description?: string;
  enabled: boolean;
  url?: string;
  create?: OrderRequest;
  update?: OrderRequest;
  query?: OrderRequest;
  answer?: OrderAnswer;
  states?: List<StateMeaning>;
  poll_seconds?: number;
  close?: boolean;
  resolution?: string;
  tenants?: List<string>;
}
export interface OrderSecrets {
  token?: string;
  key?: string;
  vars?: Record<string, string>;
}
export interface Connection extends ConnectionContent {
  id: string;
  revision: number;
  secrets_set: List<string>;
  updated_at: number;
  updated_by: string;
  deleted_at?: number;
  deleted_by?: string;
  waiting: number;
  failed: number;
  error?: string;
}
export interface MadeConnection {
  connection: Connection;
  /** Told this once. */
  token?: string;
  path?: string;
}
export interface OrderTrial {
  method: string;
  host: string;
  headers: Record<string, string> | null;
  body: string;
  sent: boolean;
  http_status?: number;
  error?: string;
  answer?: string;
  id?: string;
  state?: string;
  means?: string;
  took_ms?: number;
}

export interface Hours {
  /** 1 Monday to 7 Sunday; none is each day. */
  days?: List<number>;
  from: string;
  to: string;
}
export interface DisposalContent {
  name: string;
  description?: string;
  enabled: boolean;
  on: 'incident' | 'alert';
  severities?: List<string>;
  priorities?: List<string>;
  tenants?: List<string>;
  matchers?: List<string>;
  times?: List<Hours>;
  zone?: string;
  last?: boolean;
  assign?: { to: 'user' | 'owner' | 'on_duty'; user?: string; team?: string; anew?: boolean };
  work_order?: string;
  notice?: boolean;
  tell?: { receivers: List<string>; recovery?: boolean };
  escalate?: { after_minutes: number; user?: string; receivers?: List<string> };
  /** Closes the thing at once, after all else. */
  close?: { resolution: Resolution; comment: string };
}
export interface DisposalRule extends DisposalContent {
  id: string;
  position: number;
  revision: number;
  updated_at: number;
  updated_by: string;
  deleted_at?: number;
  deleted_by?: string;
  matched: number;
  last_at?: number;
}
export interface RuleMatch {
  id: string;
  kind: 'alert' | 'incident';
  title?: string;
  tenant: string;
  severity: Severity;
  opened_at: string;
}
export interface RuleOutcome {
  action: 'assign' | 'work_order' | 'notice' | 'tell' | 'escalate' | 'recovery' | 'close';
  to?: string;
  error?: string;
  at: number;
}
/** What a disposal rule did about an alert or incident. */
export interface RuleRecord {
  seq: number;
  rule: string;
  rule_name: string;
  object: string;
  title?: string;
  tenant: string;
  at: number;
  done: List<RuleOutcome>;
  escalate_at?: number;
}

export interface DailyReport {
  id: string;
  plan: string;
  /** Day and time for which it was due; absent where a person had it made. */
  slot?: string;
  name: string;
  content: 'full' | 'high_risk';
  day: string;
  tenants: List<string>;
  language: 'zh' | 'en';
  summary: string;
  made_at: number;
  made_by: string;
  told: List<string>;
}
export interface DailyPlan {
  id: string;
  name: string;
  enabled: boolean;
  content: 'full' | 'high_risk';
  at: List<string>;
  zone: string;
  tenants: List<string>;
  language: 'zh' | 'en';
  receivers: List<string>;
}

/** Who may move what from state to state. */
export interface Move {
  of: 'incident' | 'alert' | 'notice';
  from: string;
  to: string;
  /** Ids of roles; empty for each that may respond at all. */
  roles: List<string>;
  /** Of a notice: not by the person who made the move before. */
  apart?: boolean;
}
