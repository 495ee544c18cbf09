/** When something last came in by a way: of one tenant, or of all. */
import type { IntakeSource } from '../api/storage';
import type { SourceHealth } from '../api/types';

/** `untold` is what nobody counts, `unknown` what the reader may not see. */
export type Arrival = { kind: 'untold' | 'unknown' | 'off' | 'none' } | { kind: 'seen'; at: string };
export type Arrivals = (way: { collectors: readonly string[]; /** Counted of all tenants together alone. */ whole?: boolean }) => Arrival;

/** Ids are written with hyphens, kinds with underscores: both name the same. */
const word = (s: string) => s.replaceAll('-', '_');
const real = (time: string | null | undefined): time is string => !!time && !time.startsWith('0001-');

function latest(times: readonly (string | null | undefined)[]): string | undefined {
  return times.filter(real).sort((a, b) => Date.parse(b) - Date.parse(a))[0];
}

/**
 * Reads the ways in and, where a tenant is chosen, the senders. An empty list
 * of ways means that the reader may not see them: a server always has some.
 */
export function arrivals(ways: readonly SourceHealth[] | undefined, senders: readonly IntakeSource[] | undefined, tenant: string): Arrivals {
  return ({ collectors, whole }) => {
    if (collectors.length === 0 || (tenant && whole)) return { kind: 'untold' };
    const names = collectors.map(word);
    const of = (...given: string[]) => given.some((g) => names.includes(word(g)));
    if (tenant) {
      if (!senders) return { kind: 'unknown' };
      const at = latest(senders.filter((s) => s.tenant === tenant && of(s.collector)).map((s) => s.last_seen));
      return at ? { kind: 'seen', at } : { kind: 'none' };
    }
    if (!ways || ways.length === 0) return { kind: 'unknown' };
    const mine = ways.filter((w) => of(w.kind, w.id));
    const at = latest(mine.map((w) => w.last_seen));
    if (at) return { kind: 'seen', at };
    return { kind: mine.length > 0 && mine.every((w) => w.state === 'off') ? 'off' : 'none' };
  };
}
