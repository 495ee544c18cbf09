/**
 * The condition of temporal correlations: rules joined by and, or, not. It is
 * read as detections/sigma/temporal.go reads it: not binds closest, then and.
 */

export type Term = { kind: 'rule'; rule: string; not: boolean } | { kind: 'group'; op: 'and' | 'or'; not: boolean; items: Term[] };
export type TermGroup = Extract<Term, { kind: 'group' }>;

export const term = (rule: string, not = false): Term => ({ kind: 'rule', rule, not });
export const terms = (op: 'and' | 'or', items: Term[], not = false): TermGroup => ({ kind: 'group', op, not, items });

const DEEPEST = 50;
const RESERVED = /^(and|or|not)$/i;

/** What can be named in an expression: a word without brackets that is none of its own. */
export const nameable = (rule: string): boolean => /^[^\s()]+$/.test(rule) && !RESERVED.test(rule);

/** Reads an expression; null for what is none. The outermost is always a group. */
export function parseTerms(source: string): TermGroup | null {
  const t = source.match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const is = (word: string) => t[at]?.toLowerCase() === word && (at++, true);
  const joined = (op: 'and' | 'or', part: (depth: number) => Term | null, depth: number): Term | null => {
    const items: Term[] = [];
    do {
      const one = part(depth);
      if (!one) return null;
      items.push(one);
    } while (is(op));
    return items.length === 1 ? (items[0] as Term) : terms(op, items);
  };
  const or = (depth: number): Term | null => joined('or', and, depth);
  const and = (depth: number): Term | null => joined('and', not, depth);
  const not = (depth: number): Term | null => {
    let negated = false;
    while (is('not')) negated = !negated;
    if (is('(')) {
      const inner = depth > DEEPEST ? null : or(depth + 1);
      return inner && is(')') ? (negated ? opposite(inner) : inner) : null;
    }
    const rule = t[at++];
    return rule === undefined || !nameable(rule) ? null : term(rule, negated);
  };
  const whole = or(0);
  if (!whole || at < t.length) return null;
  return whole.kind === 'group' && !whole.not ? whole : terms('and', [whole]);
}

const opposite = (x: Term): Term => ({ ...x, not: !x.not });

/** Writes an expression with no more brackets than it needs. */
export function printTerms(whole: TermGroup): string {
  const print = (x: Term, inner: boolean): string => {
    const not = x.not ? 'not ' : '';
    if (x.kind === 'rule') return not + x.rule;
    const text = x.items.map((i) => print(i, x.items.length > 1)).join(` ${x.op} `);
    if (x.items.length === 1 && !x.not) return print(x.items[0] as Term, inner);
    return x.not || inner ? `${not}(${text})` : text;
  };
  return print(whole, false);
}

/** The rules an expression names, each once, in its order. */
export function rulesOf(x: Term): string[] {
  return [...new Set(x.kind === 'rule' ? [x.rule] : x.items.flatMap(rulesOf))];
}

/** The expression without a rule; groups that are empty then go too. */
export function without(whole: TermGroup, rule: string): TermGroup {
  return { ...whole, items: whole.items.flatMap((x): Term[] => (x.kind === 'rule' ? (x.rule === rule ? [] : [x]) : without(x, rule).items.length > 0 ? [without(x, rule)] : [])) };
}

/** Whether each group of it has something in it. */
export function filled(x: Term): boolean {
  return x.kind === 'rule' ? x.rule !== '' : x.items.length > 0 && x.items.every(filled);
}

/** The expression with the part at a place replaced; null takes it out. */
export function replaceTerm(whole: TermGroup, path: readonly number[], by: Term | null): TermGroup {
  const [at, ...rest] = path;
  if (at === undefined) return by?.kind === 'group' ? by : whole;
  return { ...whole, items: whole.items.flatMap((x, i): Term[] => (i !== at ? [x] : rest.length > 0 && x.kind === 'group' ? [replaceTerm(x, rest, by)] : by ? [by] : [])) };
}
