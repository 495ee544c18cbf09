/**
 * Charts made of search results: a choice becomes the pipe of LogsQL that
 * computes it, and the rows of the answer become points. The store counts;
 * nothing is drawn from the few rows that happen to be on the page.
 */
import type { LogEvent } from '../api/types';
import { fieldName, splitPipes } from './logsql';

export const SHAPES = ['bar', 'line', 'pie', 'table'] as const;
export type Shape = (typeof SHAPES)[number];
export const MEASURES = ['count', 'uniq', 'sum', 'avg', 'max', 'min', 'p95'] as const;
export type Measure = (typeof MEASURES)[number];

export interface Plot {
  shape: Shape;
  measure: Measure;
  /** The field the measure is of; count needs none. */
  of: string;
  /** The field whose values stand apart; '' for none, as a line over time may have. */
  by: string;
}

/** Values shown apart; a line chart puts the rest together where they can be added up. */
export const MOST_BARS = 20;
export const MOST_LINES = 6;
/** The name under which the store answers the measure. */
const VALUE = 'value';

export function parsePlot(p: URLSearchParams): Plot {
  const word = <T extends string>(key: string, known: readonly T[], usual: T) => known.find((k) => k === p.get(key)) ?? usual;
  const measure = word('measure', MEASURES, 'count');
  return { shape: word('shape', SHAPES, 'bar'), measure, of: measure === 'count' ? '' : (p.get('of') ?? ''), by: p.get('by') ?? '' };
}

/** Whether the choice is whole: a measure other than count needs its field, and a bar something to stand for. */
export function plotReady(p: Plot): boolean {
  return (p.measure === 'count' || p.of !== '') && (p.shape === 'line' || p.by !== '');
}

const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 7 * 86_400];

/** A usual width of time that cuts a span into 60 parts at most, in seconds. */
export function stepFor(spanMs: number): number {
  return STEPS.find((s) => spanMs / 1000 / s <= 60) ?? (STEPS[STEPS.length - 1] as number);
}

function measureOf(p: Plot): string {
  const f = fieldName(p.of);
  switch (p.measure) {
    case 'count':
      return 'count()';
    case 'uniq':
      return `count_uniq(${f})`;
    case 'p95':
      return `quantile(0.95, ${f})`;
    default:
      return `${p.measure}(${f})`;
  }
}

/** Whether a query computes its rows itself: they are drawn as they are. */
export function computes(query: string): boolean {
  return /\|\s*(stats|count|top|uniq|field_values|running_stats)\b/.test(splitPipes(query)[1]);
}

/** The LogsQL that computes the chart. */
export function plotQuery(query: string, p: Plot, spanMs: number): string {
  const base = query.trim() || '*';
  if (computes(base)) return base;
  const groups = [p.shape === 'line' ? `_time:${stepFor(spanMs)}s` : '', p.by ? fieldName(p.by) : ''].filter(Boolean);
  const stats = `${base} | stats by (${groups.join(', ')}) ${measureOf(p)} as ${VALUE}`;
  return p.shape === 'line' ? stats : `${stats} | sort by (${VALUE} desc) | limit ${MOST_BARS}`;
}

const asNumber = (v: unknown): number => (v === '' || v === null || v === undefined ? NaN : Number(v));

/** Which columns of computed rows are numbers, and which say what they are of. */
export function columnsOf(rows: readonly LogEvent[]): { labels: string[]; values: string[] } {
  const names = [...new Set(rows.flatMap((r) => Object.keys(r)))];
  const numeric = (n: string) => n !== '@timestamp' && rows.some((r) => r[n] !== undefined) && rows.every((r) => r[n] === undefined || !Number.isNaN(asNumber(r[n])));
  const values = names.includes(VALUE) ? [VALUE] : names.filter(numeric);
  return { labels: names.filter((n) => !values.includes(n)), values };
}

export interface Point {
  name: string;
  value: number;
}

/** One point for each row, the largest first. */
export function points(rows: readonly LogEvent[]): Point[] {
  const { labels, values } = columnsOf(rows);
  const value = values[values.length - 1];
  if (value === undefined) return [];
  return rows
    .map((r) => ({ name: labels.map((l) => String(r[l] ?? '')).join(' · '), value: asNumber(r[value]) }))
    .filter((p) => !Number.isNaN(p.value))
    .sort((a, b) => b.value - a.value);
}

export interface Lines {
  times: number[];
  lines: { name: string; values: (number | null)[] }[];
}

/**
 * Rows over time as lines on one axis, the largest first. Lines beyond the
 * most are put together under `rest` where the measure adds up; otherwise they
 * are left out. A time without a row is zero for what adds up, a gap for the
 * rest: no average was measured there.
 */
export function lines(rows: readonly LogEvent[], p: Plot, rest: string): Lines {
  const adds = p.measure === 'count' || p.measure === 'sum';
  const { labels, values } = columnsOf(rows);
  const value = values[values.length - 1];
  if (value === undefined) return { times: [], lines: [] };
  const at = (r: LogEvent) => Date.parse(String(r['@timestamp'] ?? ''));
  const seen = [...new Set(rows.map(at))].filter((x) => !Number.isNaN(x)).sort((a, b) => a - b);
  // Times at which nothing at all happened have no row: the axis has them all the same.
  const step = seen.slice(1).reduce((m, x, i) => Math.min(m, x - (seen[i] as number)), Infinity);
  const first = seen[0] ?? 0;
  const times = Number.isFinite(step) && (((seen[seen.length - 1] as number) - first) / step) < 5000 ? Array.from({ length: Math.round(((seen[seen.length - 1] as number) - first) / step) + 1 }, (_, i) => first + i * step) : seen;
  const place = new Map(times.map((x, i) => [x, i]));
  const names = labels.filter((l) => l !== '@timestamp');
  const byName = new Map<string, (number | null)[]>();
  for (const r of rows) {
    const i = place.get(at(r));
    const v = asNumber(r[value]);
    if (i === undefined || Number.isNaN(v)) continue;
    const name = names.map((l) => String(r[l] ?? '')).join(' · ');
    const line = byName.get(name) ?? times.map(() => (adds ? 0 : null));
    line[i] = v;
    byName.set(name, line);
  }
  const weight = (l: (number | null)[]) => l.reduce<number>((n, v) => n + (v ?? 0), 0);
  const all = [...byName].map(([name, l]) => ({ name, values: l })).sort((a, b) => weight(b.values) - weight(a.values));
  const shown = all.slice(0, MOST_LINES);
  if (adds && all.length > MOST_LINES) shown.push({ name: rest, values: times.map((_, i) => all.slice(MOST_LINES).reduce((n, l) => n + (l.values[i] ?? 0), 0)) });
  return { times, lines: shown };
}
