import { post, request } from './client';
import type { List, Severity } from './types';

export type EntityType = 'ip' | 'host' | 'user' | 'process' | 'domain' | 'item';
export const ENTITY_TYPES: readonly EntityType[] = ['ip', 'host', 'user', 'process', 'domain', 'item'];
export type EdgeKind = 'flow' | 'access' | 'request' | 'signin' | 'process' | 'alert' | 'relation' | 'same';
export const EDGE_KINDS: readonly EdgeKind[] = ['alert', 'signin', 'flow', 'access', 'request', 'process', 'relation', 'same'];
export const ABNORMAL = ['alerted', 'refused', 'failed-signin', 'first-time', 'rare', 'from-outside', 'to-outside', 'remote-access', 'database', 'sweep', 'bulk', 'off-hours'] as const;
export type Abnormal = (typeof ABNORMAL)[number];

export interface GraphNode {
  /** type:value */
  id: string;
  type: EntityType;
  value: string;
  zone: string;
  name: string;
  class: string;
  item: string;
  system: string;
  tenant: string;
  criticality: number;
  internal: boolean;
  masked: boolean;
  /** Neighbours that were left out, of a node that was asked about. */
  more: number;
  at_least: boolean;
}
export interface AlertRef {
  id: string;
  title: { zh?: string; en?: string };
  severity: Severity;
  at: string;
}
export interface GraphEdge {
  id: string;
  from: string;
  to: string;
  kind: EdgeKind;
  port: number;
  transport: string;
  label: string;
  count: number;
  bytes: number;
  first_seen: string;
  last_seen: string;
  outcome: '' | 'success' | 'failure' | 'mixed';
  abnormal: List<Abnormal>;
  phases: List<string>;
  alerts: List<AlertRef>;
  query: string;
}
export interface Partial {
  source: 'flows' | 'events' | 'alerts' | 'cmdb';
  reason: string;
}
export interface Neighbours {
  asked: List<string>;
  nodes: List<GraphNode>;
  edges: List<GraphEdge>;
  partial: List<Partial>;
  took_ms: number;
}
export interface Step {
  edge: string;
  from: string;
  to: string;
  at: string;
  why: List<string>;
}
export interface Path {
  origin: string;
  steps: List<Step>;
  hops: number;
  weak: boolean;
  cut: boolean;
  cost: number;
}
export interface Traced {
  nodes: List<GraphNode>;
  edges: List<GraphEdge>;
  partial: List<Partial>;
  paths: List<Path>;
  looked: number;
  bounded: boolean;
}
export interface Progress {
  looked: number;
  most: number;
  edges: number;
  hops: number;
  node: string;
}

/** What narrows a graph, as the API takes it. */
export interface Narrow {
  start?: string;
  end?: string;
  kinds?: readonly string[];
  ports?: string;
  transports?: readonly string[];
  abnormal?: readonly string[];
  phases?: readonly string[];
}

// A shared link may open thirty entities at once; the server takes a few searches at a time.
const AT_A_TIME = 2;
let running = 0;
const waiting: (() => void)[] = [];
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= AT_A_TIME) await new Promise<void>((go) => waiting.push(go));
  running++;
  try {
    return await work();
  } finally {
    running--;
    waiting.shift()?.();
  }
}

export const neighbours = (node: string, limit: number, narrow: Narrow) => inTurn(() => post<Neighbours>('/graph/neighbours', { ...narrow, nodes: [node], limit }));

/** Grows a threat path; told hears how far it is. The promise fails where the trace does, also on its way. */
export async function trace(ask: Narrow & { node: string; at?: string; direction: 'backward' | 'forward' }, told: (p: Progress) => void, signal: AbortSignal): Promise<Traced> {
  const res = await request('POST', '/graph/trace', { body: ask, accept: 'application/x-ndjson', signal });
  const reader = (res.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let result: Traced | undefined;
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const lines = rest.split('\n');
    rest = done ? '' : (lines.pop() ?? '');
    for (const line of lines) {
      if (!line) continue;
      const said = JSON.parse(line) as { progress?: Progress; result?: Traced; error?: string };
      if (said.error) throw new Error(said.error);
      if (said.progress) told(said.progress);
      if (said.result) result = said.result;
    }
    if (done) break;
  }
  if (!result) throw new Error('the trace ended without a result');
  return result;
}
