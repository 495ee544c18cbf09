/** Keeping a list still under the hand while news arrive. */

/**
 * Merges a fresh page into what is shown: rows that stand stay in place and
 * take their new content; rows that are new wait. Rows that left the answer
 * (acknowledged elsewhere, fallen off the page) stay until the reader asks.
 */
export function holdStill<T extends { id: string }>(shown: readonly T[], fresh: readonly T[]): { rows: T[]; waiting: number } {
  const byId = new Map(fresh.map((r) => [r.id, r]));
  const known = new Set(shown.map((r) => r.id));
  return {
    rows: shown.map((r) => byId.get(r.id) ?? r),
    waiting: fresh.reduce((n, r) => n + (known.has(r.id) ? 0 : 1), 0),
  };
}
