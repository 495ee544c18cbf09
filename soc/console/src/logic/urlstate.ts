/** What a page shows lives in its URL, so that a link shows a colleague the same. Pure functions over URLSearchParams. */

/** A time range: the last so long (`since`, as in 15m, 24h, 7d), or from–to in RFC 3339. */
export type Range = { since: string } | { start: string; end: string };

const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of a duration such as 15m or 7d; NaN where it is none. */
export function durationMs(text: string): number {
  const m = /^(\d{1,6})([smhdw])$/.exec(text.trim());
  return m ? Number(m[1]) * (UNITS[m[2] as string] as number) : NaN;
}

export function parseRange(p: URLSearchParams, fallback: string): Range {
  const start = p.get('start');
  const end = p.get('end');
  if (start && end && Date.parse(start) < Date.parse(end)) return { start, end };
  const since = p.get('since');
  return { since: since && !Number.isNaN(durationMs(since)) ? since : fallback };
}

/** The range as parameters; the page's usual range leaves the URL short. */
export function rangeParams(r: Range, fallback: string): Record<string, string | undefined> {
  if ('since' in r) return { since: r.since === fallback ? undefined : r.since, start: undefined, end: undefined };
  return { since: undefined, start: r.start, end: r.end };
}

/** From and to in milliseconds. */
export function rangeBounds(r: Range, now: number): [number, number] {
  if ('since' in r) return [now - durationMs(r.since), now];
  return [Date.parse(r.start), Date.parse(r.end)];
}

/** `since` of 7d in Go's duration syntax (168h), which the API reads. */
export function goDuration(since: string): string {
  const ms = durationMs(since);
  if (Number.isNaN(ms)) return since;
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0) return `${ms / 60_000}m`;
  return `${ms / 1000}s`;
}

/** The range as the API's query parameters. */
export function rangeQuery(r: Range): { since?: string; start?: string; end?: string } {
  return 'since' in r ? { since: goDuration(r.since) } : { start: r.start, end: r.end };
}

/** A comma-separated list of known words; unknown ones are dropped. */
export function parseWords<T extends string>(p: URLSearchParams, key: string, known: readonly T[]): T[] {
  const raw = p.get(key);
  if (raw === null) return [];
  const words = raw.split(',');
  return known.filter((k) => words.includes(k));
}

/** A copy with these parameters set; undefined, empty and [] take one out. */
export function withParams(p: URLSearchParams, change: Record<string, string | readonly string[] | undefined>): URLSearchParams {
  const q = new URLSearchParams(p);
  for (const [k, v] of Object.entries(change)) {
    const s = Array.isArray(v) ? v.join(',') : (v as string | undefined);
    if (s === undefined || s === '') q.delete(k);
    else q.set(k, s);
  }
  return q;
}

/**
 * Where sign-in returns to: a path of this origin and nothing else, as an open
 * redirect would help a phisher. `return` comes from the server's own pages
 * (the OIDC provider), `to` from ours.
 */
export function safeReturn(to: string | null): string {
  if (!to || !to.startsWith('/') || to.startsWith('//') || to.includes('\\') || /[\u0000-\u001f]/.test(to) || to.startsWith('/login')) return '/';
  return to;
}

/** Paths the server answers itself: the console leaves for them by a full navigation. */
export function ofServer(path: string): boolean {
  return /^\/(oidc|saml|api)\//.test(path);
}
