/** The tree of click mode: edits that keep it well formed. The server turns it into text and back. */
import type { Clause, Group, Leaf, Raw } from '../api/search';

export const isGroup = (c: Clause): c is Group => 'join' in c;
export const isRaw = (c: Clause): c is Raw => 'text' in c;
export const isLeaf = (c: Clause): c is Leaf => 'operator' in c;

/** The tree as a group to click in: what is not a group of all or any stands in one. */
export function asGroup(c: Clause | null): Group {
  if (c === null) return { join: 'all', clauses: [] };
  return isGroup(c) && c.join !== 'not' ? c : { join: 'all', clauses: [c] };
}

/** Without groups that hold nothing, and without those that hold one thing, which say no more than it. */
export function tidy(c: Clause | null): Clause | null {
  if (c === null || !isGroup(c)) return c;
  const clauses = c.clauses.map(tidy).filter((x): x is Clause => x !== null);
  if (clauses.length === 0) return null;
  if (c.join !== 'not' && clauses.length === 1) return clauses[0] as Clause;
  // Not twice is not at all.
  const only = clauses[0] as Clause;
  if (c.join === 'not' && isGroup(only) && only.join === 'not') return only.clauses[0] ?? null;
  return { join: c.join, clauses };
}

/** A copy with the clause at a path replaced; null takes it out. */
export function replaceAt(root: Clause, path: readonly number[], by: Clause | null): Clause | null {
  const [i, ...rest] = path;
  if (i === undefined) return by;
  if (!isGroup(root)) return root;
  return { join: root.join, clauses: root.clauses.flatMap((c, n) => (n !== i ? [c] : [replaceAt(c, rest, by)].filter((x): x is Clause => x !== null))) };
}

/** The clause negated, or the negation taken off. */
export function negate(c: Clause): Clause {
  return isGroup(c) && c.join === 'not' && c.clauses[0] ? c.clauses[0] : { join: 'not', clauses: [c] };
}

/** Whether the clause is negated, and what is. */
export function negated(c: Clause): [not: boolean, inner: Clause] {
  return isGroup(c) && c.join === 'not' && c.clauses[0] ? [true, c.clauses[0]] : [false, c];
}
