/** What a live tail holds: rows shown, rows waiting while the list stands still, and what was lost and why. */
import type { LogEvent } from '../api/types';

/** Rows kept on the page; older ones fall off its end. */
export const SHOWN = 1000;
/** Rows kept waiting while the list stands; beyond it the oldest fall off and are counted. */
export const WAITING = 5000;

export interface TailState {
  /** Newest first. */
  rows: readonly LogEvent[];
  waiting: readonly LogEvent[];
  received: number;
  /** Not sent by the server: read too slowly, or too many at once. */
  dropped: number;
  /** Fallen off while they waited. */
  fallen: number;
}
export const EMPTY: TailState = { rows: [], waiting: [], received: 0, dropped: 0, fallen: 0 };

/** News have come, oldest first. Where the list stands still they wait. */
export function arrive(s: TailState, news: readonly LogEvent[], still: boolean): TailState {
  if (news.length === 0) return s;
  const waiting = [...[...news].reverse(), ...s.waiting];
  const kept = waiting.slice(0, WAITING);
  const next = { ...s, waiting: kept, received: s.received + news.length, fallen: s.fallen + waiting.length - kept.length };
  return still ? next : show(next);
}

/** What waits takes its place above what is shown. */
export function show(s: TailState): TailState {
  return s.waiting.length === 0 ? s : { ...s, rows: [...s.waiting, ...s.rows].slice(0, SHOWN), waiting: [] };
}
