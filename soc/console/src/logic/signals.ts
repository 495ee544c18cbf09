/** Logs, flows and traces of one search: what each narrows it to, and how the lake sums it up. */
import { narrowBy, splitPipes } from './logsql';

export const SIGNALS = ['logs', 'flows', 'traces'] as const;
export type Signal = (typeof SIGNALS)[number];

export function parseSignal(p: URLSearchParams): Signal {
  return SIGNALS.find((s) => s === p.get('tab')) ?? 'logs';
}

const OF: Record<Exclude<Signal, 'logs'>, string> = { flows: 'event.dataset:flow.*', traces: 'data_stream.type:=traces' };

/** The search as one of a signal. Flows and traces are summed up, which the query's own pipes would hinder: they are left out. */
export function ofSignal(query: string, signal: Signal): string {
  if (signal === 'logs') return query;
  const filter = splitPipes(query)[0];
  return narrowBy(filter === '' ? '*' : filter, OF[signal]);
}

/** As many lines are shown. */
export const MOST_LINES = 500;

/** Who talked to whom, the largest first. */
export function conversationsQuery(query: string): string {
  return (
    `${query} | stats by (source.ip, destination.ip, server.port, network.transport) count() as flows, sum(icewatch.flow.bytes) as bytes, sum(icewatch.flow.packets) as packets,` +
    ` min(_time) as first, max(_time) as last | sort by (bytes desc, flows desc) | limit ${MOST_LINES}`
  );
}

/** The traces of which a span matches, the youngest first. */
export function tracesQuery(query: string): string {
  return (
    `${query} | stats by (trace.id) min(_time) as start, count() as spans, count() if (event.outcome:=failure) as errors, max(event.duration) as longest,` +
    ` uniq_values(service.name) limit 6 as services, row_min(_time, service.name, span.name) as first | sort by (start desc) | limit ${MOST_LINES}`
  );
}

/** A figure that the store computed: NaN (of nothing) is 0. */
export function figure(v: unknown): number {
  const n = Number(Array.isArray(v) ? v[0] : v);
  return Number.isFinite(n) ? n : 0;
}

/** What the store kept of a row, JSON in one text. */
export function kept(v: unknown): Record<string, string> {
  if (v !== null && typeof v === 'object') return v as Record<string, string>;
  try {
    const o: unknown = JSON.parse(String(v ?? '{}'));
    return o !== null && typeof o === 'object' ? (o as Record<string, string>) : {};
  } catch {
    return {};
  }
}

/** The store's list of different values, a JSON array in one text. */
export function words(v: unknown): string[] {
  if (Array.isArray(v)) return v.map(String);
  try {
    const list: unknown = JSON.parse(String(v ?? '[]'));
    return Array.isArray(list) ? list.map(String) : [];
  } catch {
    return v === undefined || v === '' ? [] : [String(v)];
  }
}
