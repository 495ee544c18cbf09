/** Matchers of silences as people read and choose them. */
import type { Matcher, Silence } from '../api/silences';
import { list, type Alert } from '../api/types';

export const OPERATORS = ['=', '!=', '=~', '!~'] as const;
export type Operator = (typeof OPERATORS)[number];

export const operatorOf = (m: Matcher): Operator => (m.isRegex ? (m.isEqual ? '=~' : '!~') : m.isEqual ? '=' : '!=');

export function withOperator(m: Matcher, op: Operator): Matcher {
  return { ...m, isRegex: op.endsWith('~'), isEqual: op.startsWith('=') };
}

export const matcherText = (m: Matcher) => `${m.name}${operatorOf(m)}${m.value}`;

/** A matcher without a name or, where it would match nothing on purpose, without a value is not yet one. */
export const whole = (m: Matcher) => m.name.trim() !== '' && (m.value !== '' || operatorOf(m) === '!=' || operatorOf(m) === '!~');

/** Where an alert was seen, the narrowest first. */
const WHERE = ['ci', 'host', 'source_ip'];

/** Matchers that fit an alert: its name, which people can read, and the place where it was seen. */
export function matchersFor(a: Pick<Alert, 'id' | 'labels'>): Matcher[] {
  const labels = a.labels ?? {};
  const equal = (name: string): Matcher => ({ name, value: labels[name] ?? '', isRegex: false, isEqual: true });
  const what = labels.alertname ? 'alertname' : labels.rule_id ? 'rule_id' : '';
  const where = WHERE.find((n) => labels[n]);
  const out = [what, where].filter((n): n is string => !!n).map(equal);
  return out.length > 0 ? out : [{ name: 'alert', value: a.id, isRegex: false, isEqual: true }];
}

export const LENGTHS = ['1h', '4h', '8h', '24h', '7d'] as const;
/** How long one that recurs goes on. */
export const LONG_LENGTHS = ['30d', '90d', '365d'] as const;

/** What a silence says, to make another of it. */
export function copyOf(s: Silence): { matchers: Matcher[]; comment: string; tenants: string[] } {
  return { matchers: list(s.matchers), comment: s.comment, tenants: list(s.tenants) };
}

/** What it takes to make a silence that was ended once more, until the same end. */
export function againOf(s: Silence): object {
  return { matchers: list(s.matchers), comment: s.comment, ends_at: s.ends_at, recurrence: s.recurrence, no_data: s.no_data, owner: s.owner, receiver: s.receiver, ...(s.tenants ? { tenants: s.tenants } : {}) };
}
