import type { SourceHealth } from '../api/types';

/** A source that has sent before and nothing for this long is worth a look. */
export const SILENT_MS = 15 * 60_000;

export type SourceState = { kind: 'ok' | 'off' | 'error' | 'waiting' } | { kind: 'silent'; ms: number };

/** What a source's numbers mean to the shift: an open port that once spoke and went quiet is silent, not fine. */
export function sourceState(s: SourceHealth, now: number): SourceState & { ms: number } {
  if (s.state === 'error') return { kind: 'error', ms: 0 };
  if (s.state === 'off') return { kind: 'off', ms: 0 };
  if (!s.last_seen || s.last_seen.startsWith('0001-')) return { kind: 'waiting', ms: 0 };
  const ms = now - Date.parse(s.last_seen);
  return ms > SILENT_MS ? { kind: 'silent', ms } : { kind: 'ok', ms };
}
