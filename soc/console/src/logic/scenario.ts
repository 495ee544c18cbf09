/** Conditions of scenarios as people choose them. */
import { OPERATORS, operatorOf, withOperator, type Operator } from './silence';
import type { Matcher } from '../api/silences';

export const CONDITION_FIELDS = ['attack', 'rule', 'risk', 'severity', 'verdict', 'technique', 'tactic', 'threat', 'direction', 'phase', 'rule_tag', 'tag', 'tenant', 'key_asset', 'priority', 'status', 'resolution'] as const;

/** A condition as the server has it: severity=~"high|critical". */
export function conditionText(m: Matcher): string {
  return `${m.name}${operatorOf(m)}${JSON.stringify(m.value)}`;
}

/** Reads such a condition; what cannot be read is shown as a name, so that nothing is lost. */
export function readCondition(text: string): Matcher {
  const found = /^\s*([A-Za-z_]+)\s*(=~|!~|!=|=)\s*([^]*)$/.exec(text);
  if (!found) return { name: text, value: '', isRegex: false, isEqual: true };
  const [, name = '', op = '=', raw = ''] = found;
  let value = raw.trim();
  if (value.startsWith('"')) {
    try {
      value = String(JSON.parse(value));
    } catch {
      value = value.replace(/^"|"$/g, '');
    }
  }
  const operator = OPERATORS.find((o) => o === op) ?? '=';
  return withOperator({ name, value, isRegex: false, isEqual: true }, operator as Operator);
}

/** Lines without their empty conditions, and without what is empty then. */
export function linesOf(lines: readonly (readonly Matcher[])[]): string[][] {
  return lines.map((l) => l.filter((m) => m.name.trim() !== '').map(conditionText)).filter((l) => l.length > 0);
}

/** How a number stands to the one before, in whole percent; nothing to compare with is nothing. */
export function changeOf(now: number, before: number): number | null {
  return before > 0 ? Math.round((100 * (now - before)) / before) : null;
}
