/** Work orders and disposal rules as forms hold them. Pure. */
import type { ConnectionContent, DisposalContent, Hours, OrderRequest, OrderSecrets } from '../api/dispatch';
import type { Matcher } from '../api/silences';
import { list } from '../api/types';
import { matcherText } from './silence';

/** A name and a value, as a form holds them: in their order, some half filled in. */
export interface Pair {
  name: string;
  value: string;
}

export const pairsIn = (o: Record<string, string> | null | undefined): Pair[] => Object.entries(o ?? {}).map(([name, value]) => ({ name, value }));

/** Back to an object; lines without a name say nothing. Undefined where there are none. */
export function objectOf(pairs: readonly Pair[]): Record<string, string> | undefined {
  const filled = pairs.filter((p) => p.name.trim() !== '');
  return filled.length > 0 ? Object.fromEntries(filled.map((p) => [p.name.trim(), p.value])) : undefined;
}

/** Names that stand in several lines: only the last of them would count. */
export function repeated(pairs: readonly Pair[]): string[] {
  const names = pairs.map((p) => p.name.trim()).filter(Boolean);
  return [...new Set(names.filter((n, i) => names.indexOf(n) !== i))];
}

/** A request without what was left empty; undefined where nothing was said. */
export function tidyRequest(r: OrderRequest | undefined): OrderRequest | undefined {
  const out: OrderRequest = {};
  if (r?.method) out.method = r.method;
  if (r?.url?.trim()) out.url = r.url.trim();
  if (r?.headers && Object.keys(r.headers).length > 0) out.headers = r.headers;
  if (r?.fields && Object.keys(r.fields).length > 0) out.fields = r.fields;
  else if (r?.body?.trim()) out.body = r.body;
  return Object.keys(out).length > 0 ? out : undefined;
}

/** A connection as it is sent. */
export function tidyConnection(c: ConnectionContent): ConnectionContent {
  const answer = Object.fromEntries(Object.entries(c.answer ?? {}).filter(([, v]) => v?.trim()));
  return {
    name: c.name.trim(),
    description: c.description?.trim() || undefined,
    enabled: c.enabled,
    url: c.url?.trim() || undefined,
    create: tidyRequest(c.create),
    update: tidyRequest(c.update),
    query: tidyRequest(c.query),
    answer: Object.keys(answer).length > 0 ? answer : undefined,
    states: list(c.states).filter((s) => s.theirs.trim()),
    poll_seconds: c.poll_seconds || undefined,
    close: c.close || undefined,
    resolution: c.close ? c.resolution : undefined,
    tenants: list(c.tenants),
  };
}

/** What is typed of secrets: a text replaces, '' in `gone` removes, what was left alone stays. */
export function secretsOf(token: string, key: string, vars: readonly Pair[], gone: ReadonlySet<string>): OrderSecrets | undefined {
  const out: OrderSecrets = {};
  if (token) out.token = token;
  else if (gone.has('token')) out.token = '';
  if (key) out.key = key;
  else if (gone.has('key')) out.key = '';
  const named: Record<string, string> = {};
  for (const name of gone) if (name.startsWith('vars.')) named[name.slice(5)] = '';
  for (const v of vars) if (v.name.trim() && v.value) named[v.name.trim()] = v.value;
  if (Object.keys(named).length > 0) out.vars = named;
  return Object.keys(out).length > 0 ? out : undefined;
}

/** A matcher as Alertmanager writes it, with its value quoted. */
export const quotedMatcher = (m: Matcher) => matcherText({ ...m, value: JSON.stringify(m.value) });

/** Reads one back; undefined where it is written in a way that the form cannot show. */
export function matcherOf(text: string): Matcher | undefined {
  const m = /^\s*([\p{L}_][\p{L}\p{N}_.:-]*)\s*(=~|!~|!=|=)\s*([\s\S]*?)\s*$/u.exec(text);
  if (!m) return undefined;
  let value = m[3] as string;
  if (value.startsWith('"')) {
    try {
      value = JSON.parse(value) as string;
    } catch {
      return undefined;
    }
  }
  const op = m[2] as string;
  return { name: m[1] as string, value, isRegex: op.endsWith('~'), isEqual: op.startsWith('=') };
}

/** Whether hours end on the day after they began. */
export const overnight = (h: Hours) => h.to < h.from;

/** What a rule says, without whose it is and when it changed. */
export function contentOf(r: DisposalContent): DisposalContent {
  const { name, description, enabled, on, severities, priorities, tenants, matchers, times, zone, last, assign, work_order, notice, tell, escalate, close } = r;
  return {
    name: name.trim(),
    description: description?.trim() || undefined,
    enabled,
    on,
    severities: list(severities),
    priorities: list(priorities),
    tenants: list(tenants),
    matchers: list(matchers),
    times: list(times),
    zone: zone || undefined,
    last: last || undefined,
    assign: assign && { to: assign.to, user: assign.user || undefined, team: assign.to === 'on_duty' ? assign.team : undefined, anew: assign.anew || undefined },
    work_order: work_order || undefined,
    notice: notice || undefined,
    tell: tell && list(tell.receivers).length > 0 ? { receivers: list(tell.receivers), recovery: tell.recovery || undefined } : undefined,
    escalate: escalate && { after_minutes: escalate.after_minutes, user: escalate.user || undefined, receivers: list(escalate.receivers) },
    close: close && { resolution: close.resolution, comment: close.comment.trim() },
  };
}

/** What keeps a rule from being sent, as a text's key; undefined where nothing does. */
export function lacking(r: DisposalContent): 'name' | 'nothing' | 'user' | 'team' | 'escalate' | 'close' | undefined {
  if (!r.name.trim()) return 'name';
  if (!r.assign && !r.work_order && !r.notice && list(r.tell?.receivers).length === 0 && !r.escalate && !r.close) return 'nothing';
  if (r.assign?.to === 'user' && !r.assign.user) return 'user';
  if (r.assign?.to === 'on_duty' && !r.assign.team) return 'team';
  if (r.escalate && !r.escalate.user && list(r.escalate.receivers).length === 0) return 'escalate';
  if (r.close && !r.close.comment.trim()) return 'close';
  return undefined;
}

/** The places that change when a rule goes up or down by one: ids and their new positions. Rules may stand in the same place, by their ids. */
export function reordered(rows: readonly { id: string; position: number }[], id: string, by: -1 | 1): { id: string; position: number }[] {
  const at = rows.findIndex((r) => r.id === id);
  const to = at + by;
  if (at < 0 || to < 0 || to >= rows.length) return [];
  const next = [...rows];
  const [row] = next.splice(at, 1);
  next.splice(to, 0, row as { id: string; position: number });
  // The places there are already serve, unless some of them are the same.
  let places = rows.map((r) => r.position).sort((a, b) => a - b);
  if (new Set(places).size < places.length || (places[0] ?? 0) < 1) places = rows.map((_, i) => i + 1);
  return next.flatMap((r, i) => (r.position === places[i] ? [] : [{ id: r.id, position: places[i] as number }]));
}
