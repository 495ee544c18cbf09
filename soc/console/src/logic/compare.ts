/**
 * A window of time beside an earlier one of the same length: how far back it
 * lies, its counts laid over those of now, and the query that counts a field's
 * values in both at once.
 */
import { list, type Histogram } from '../api/types';
import { fieldName, narrowBy, splitPipes } from './logsql';
import { durationMs } from './urlstate';

/** How far back the earlier window lies; `prev` is the one that ends where this begins. */
export const BACK = ['prev', '1h', '1d', '7d', '28d'] as const;

/** From and to in milliseconds. */
export type Window = readonly [from: number, to: number];

/** What the address says of a comparison: one of BACK, another span, or the moment when the earlier window begins. null where it says none that can be. */
export function earlierWindow(versus: string, [from, to]: Window): Window | null {
  if (versus === '' || !(to > from)) return null;
  if (versus === 'prev') return [from - (to - from), from];
  const span = durationMs(versus);
  if (span > 0) return [from - span, to - span];
  const begin = /^\d{4}-\d\d-\d\dT/.test(versus) ? Date.parse(versus) : NaN;
  return begin < from ? [begin, begin + (to - from)] : null;
}

/** The earlier counts, one for each bar of now. Bars begin at whole steps, so that a window's first may be cut at another place. */
export function overlay(now: Histogram, then: Histogram): number[] {
  const earlier = list(then.buckets).map((b) => b.count);
  const bars = list(now.buckets).length;
  const out = Array.from({ length: bars }, (_, i) => earlier[i] ?? 0);
  // What lies beyond the last bar belongs to it: no event may be left out of the picture.
  const rest = earlier.slice(bars).reduce((n, x) => n + x, 0);
  if (bars > 0 && rest > 0) out[bars - 1] = (out[bars - 1] as number) + rest;
  return out;
}

/** Change in percent; null where there was nothing before. */
export function change(now: number, before: number): number | null {
  return before === 0 ? null : (100 * (now - before)) / before;
}

const iso = (ms: number) => new Date(ms).toISOString();
/** A window as LogsQL has it, its end left out. */
const within = ([from, to]: Window) => `_time:[${iso(from)}, ${iso(to)})`;

/** As many values of each field are told. */
export const MOST_VALUES = 10;

/** Counts the values of a field in both windows, those first that changed most. The store counts each value in both, so that none is 0 for being rare. */
export function differenceQuery(query: string, field: string, now: Window, before: Window): string {
  const filter = narrowBy(splitPipes(query)[0] || '*', `(${within(now)} or ${within(before)})`);
  return (
    `${filter} | stats by (${fieldName(field)}) count() if (${within(now)}) as rows_now, count() if (${within(before)}) as rows_before` +
    ` | math abs(rows_now - rows_before) as change | sort by (change desc, rows_now desc) | limit ${MOST_VALUES}`
  );
}
