import { SEVERITIES, list, type RuleInfo, type Text } from '../api/types';

/** What the list of rules is narrowed to; '' is everything. */
export interface RuleFilter {
  q: string;
  status: string;
  level: string;
  kind: string;
  origin: string;
  tag: string;
}

const state = (r: RuleInfo): string => (r.off ? 'disabled' : r.status);

export function ruleMatches(r: RuleInfo, f: RuleFilter): boolean {
  if (f.status && (f.status === 'throttled' ? !r.throttle : state(r) !== f.status)) return false;
  if ((f.level && r.level !== f.level) || (f.kind && r.kind !== f.kind) || (f.origin && r.origin !== f.origin)) return false;
  if (f.tag && !list(r.tags).includes(f.tag)) return false;
  const words = f.q.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [r.id, r.title?.zh, r.title?.en, r.path, ...list(r.techniques), ...list(r.tactics), ...list(r.tags)].join(' ').toLowerCase();
  return words.every((w) => text.includes(w));
}

/** Those that need a look first, then by severity and name. */
export function ruleOrder(tx: (t: Text) => string): (a: RuleInfo, b: RuleInfo) => number {
  const rank = (r: RuleInfo) => (state(r) === 'rejected' ? 0 : 1);
  return (a, b) => rank(a) - rank(b) || SEVERITIES.indexOf(a.level) - SEVERITIES.indexOf(b.level) || tx(a.title).localeCompare(tx(b.title));
}

export function ruleCounts(all: readonly RuleInfo[]): { active: number; disabled: number; rejected: number; throttled: number; tags: [string, number][] } {
  const tags = new Map<string, number>();
  const n = { active: 0, disabled: 0, rejected: 0, throttled: 0 };
  for (const r of all) {
    const s = state(r);
    if (s === 'active' || s === 'disabled' || s === 'rejected') n[s]++;
    if (r.throttle) n.throttled++;
    for (const x of list(r.tags)) tags.set(x, (tags.get(x) ?? 0) + 1);
  }
  return { ...n, tags: [...tags].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])) };
}
