/** Sigma's condition: selections joined by and, or, not, "1 of x*" and "all of them". */

export type Expr =
  | { kind: 'name'; name: string }
  | { kind: 'not'; arg: Expr }
  | { kind: 'and' | 'or'; args: Expr[] }
  | { kind: 'of'; quantity: 'one' | 'all'; names: string[] };

export class Unreadable extends Error {}

function tokens(s: string): string[] {
  return s.match(/\(|\)|[^\s()]+/g) ?? [];
}

/** The selections a pattern names: those that begin with _ are only meant where the pattern says so. */
function named(pattern: string, names: readonly string[]): string[] {
  if (pattern.toLowerCase() === 'them') return names.filter((n) => !n.startsWith('_'));
  const re = new RegExp(`^${pattern.split('*').map((p) => p.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`);
  return names.filter((n) => re.test(n) && (!n.startsWith('_') || pattern.startsWith('_')));
}

/** Reads a condition over these selections; throws Unreadable for what it is not. */
export function parseCondition(source: string, names: readonly string[]): Expr {
  const t = tokens(source);
  let at = 0;
  let depth = 0;
  const peek = () => t[at]?.toLowerCase();
  const or = (): Expr => {
    const args = [and()];
    while (peek() === 'or') {
      at++;
      args.push(and());
    }
    return args.length === 1 ? (args[0] as Expr) : { kind: 'or', args };
  };
  const and = (): Expr => {
    const args = [not()];
    while (peek() === 'and') {
      at++;
      args.push(not());
    }
    return args.length === 1 ? (args[0] as Expr) : { kind: 'and', args };
  };
  const not = (): Expr => {
    if (peek() === 'not') {
      at++;
      return { kind: 'not', arg: not() };
    }
    return primary();
  };
  const primary = (): Expr => {
    const word = t[at];
    if (word === undefined) throw new Unreadable('end');
    if (word === '(') {
      if (++depth > 200) throw new Unreadable('deep');
      at++;
      const e = or();
      if (t[at] !== ')') throw new Unreadable(')');
      at++;
      return e;
    }
    if (word === ')') throw new Unreadable(word);
    if (t[at + 1]?.toLowerCase() === 'of') {
      const how = word.toLowerCase();
      const pattern = t[at + 2];
      if (pattern === undefined || !['1', 'any', 'all'].includes(how)) throw new Unreadable(`${word} of`);
      at += 3;
      const found = named(pattern, names);
      if (found.length === 0) throw new Unreadable(pattern);
      return { kind: 'of', quantity: how === 'all' ? 'all' : 'one', names: found };
    }
    at++;
    if (!names.includes(word)) throw new Unreadable(word);
    return { kind: 'name', name: word };
  };
  const e = or();
  if (at < t.length) throw new Unreadable(t[at] as string);
  return e;
}
