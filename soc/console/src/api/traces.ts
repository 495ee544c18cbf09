import { useQuery } from '@tanstack/react-query';
import { get } from './client';
import { list, type List, type Page } from './types';

/** Traces as /api/v1/traces tells of them. Times are RFC 3339, lengths whole nanoseconds. */
export interface ServiceCount {
  name: string;
  spans: number;
  errors: number;
}
export interface TraceSummary {
  trace_id: string;
  start: string;
  duration_ns: number;
  spans: number;
  errors: number;
  /** Spans that met the search. */
  matched: number;
  /** null where no span without a parent is stored. */
  root: { service: string; operation: string; kind: string; span_id: string } | null;
  services: List<ServiceCount>;
  tenants: List<string>;
}
export interface TraceAnswer {
  items: List<TraceSummary>;
  truncated?: boolean;
  took_ms?: number;
}
export interface Attribute {
  key: string;
  type: string;
  value: unknown;
}
export interface Span {
  span_id: string;
  parent_id: string;
  depth: number;
  children: number;
  /** Its parent is not among the spans. */
  orphan: boolean;
  name: string;
  kind: string;
  service: string;
  /** Place of its resource in the trace's. */
  resource: number;
  start: string;
  offset_ns: number;
  duration_ns: number;
  /** What its children do not cover. */
  self_ns: number;
  critical: boolean;
  status: 'ok' | 'error' | 'unset';
  status_message?: string;
  tenant: string;
  event_id: string;
  attributes: List<Attribute>;
  scope?: { name?: string; version?: string } | null;
  events: List<{ name: string; offset_ns: number; attributes: List<Attribute> }>;
  links: List<{ trace_id: string; span_id: string; attributes: List<Attribute> }>;
  warnings: List<string>;
}
export interface Trace {
  trace_id: string;
  start: string;
  duration_ns: number;
  depth: number;
  services: List<ServiceCount>;
  resources: List<{ service: string; attributes: List<Attribute> }>;
  /** Depth first, siblings by start. */
  spans: List<Span>;
  truncated?: boolean;
  warnings?: List<string>;
  logs?: { count: number; query: string; start: string; end: string } | null;
}
export interface TraceService {
  name: string;
  spans: number;
  errors: number;
  p50_ns: number;
  p95_ns: number;
  last: string;
}
export interface TraceOperation {
  name: string;
  kind: string;
  spans: number;
  errors: number;
  p50_ns: number;
  p95_ns: number;
}
export interface ServiceMap {
  nodes: List<{ service: string; spans: number; errors: number; p50_ns: number; p95_ns: number }>;
  edges: List<MapEdge>;
  /** Below 1 the figures are estimates from so large a share of the traces. */
  share: number;
  /** Spans whose parent is not stored in the range. */
  unresolved: number;
}
export interface MapEdge {
  parent: string;
  child: string;
  calls: number;
  errors: number;
  p50_ns: number;
  p95_ns: number;
}

/** The span of time, and of whom. */
export interface Within {
  start: string;
  end: string;
  tenant: string;
}

export function useTraceServices(within: Within) {
  return useQuery({
    queryKey: ['trace-services', within],
    queryFn: async ({ signal }) => list((await get<Page<TraceService>>('/traces/services', { ...within }, signal)).items),
    staleTime: 30_000,
    placeholderData: (before) => before,
  });
}

export function useTraceOperations(within: Within, service: string) {
  return useQuery({
    queryKey: ['trace-operations', within, service],
    enabled: service !== '',
    queryFn: async ({ signal }) => list((await get<Page<TraceOperation>>('/traces/operations', { ...within, service }, signal)).items),
    staleTime: 30_000,
  });
}
