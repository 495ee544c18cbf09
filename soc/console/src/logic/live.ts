/** Keeping a list still under the hand while news arrive. */

/**
 * Merges a fresh page into what is shown: rows that stand stay in place and
 * take their new content; rows that are new wait. Rows that left the answer
 * (acknowledged elsewhere, fallen off the page) stay until the reader asks.
 */
export function holdStill<T extends { id: string }>(shown: readonly T[], fresh: readonly T[], complete = true): { rows: T[]; waiting: number } {
  const byId = new Map(fresh.map((r) => [r.id, r]));
  const known = new Set(shown.map((r) => r.id));
  let end = fresh.length;
  if (!complete) {
    // A full page draws in older rows at its end as others leave it: those are not news.
    while (end > 0 && !known.has((fresh[end - 1] as T).id)) end--;
    if (end === 0) end = fresh.length;
  }
  return {
    rows: shown.map((r) => byId.get(r.id) ?? r),
    waiting: fresh.slice(0, end).reduce((n, r) => n + (known.has(r.id) ? 0 : 1), 0),
  };
}
