import { list, type RuleInfo } from '../../api/types';

/** A rule in the picture of a chain; what feeds it stands left of it. */
export interface Link {
  key: string;
  /** Under which it has a page; empty for one that is not kept yet or is missing. */
  id: string;
  title: string;
  titleZh: string;
  kind: 'sigma' | 'correlation' | 'missing';
  /** The rule the picture is about. */
  here: boolean;
  off: boolean;
  column: number;
  row: number;
}
export interface Chain {
  nodes: Link[];
  /** From the rule that is counted to the one that counts it. */
  edges: [from: string, to: string][];
  columns: number;
  rows: number;
  /** More rules take part than are shown. */
  cut: boolean;
}

/** A rule as the picture needs it: under which names it is known, and what it counts. */
export interface Member {
  id: string;
  name: string;
  title: string;
  titleZh?: string;
  correlation: boolean;
  rules: readonly string[];
  off?: boolean;
}

export const MOST = 60;

export function member(r: RuleInfo): Member {
  return { id: r.id, name: r.name ?? '', title: r.title?.en || r.title?.zh || r.id, titleZh: r.title?.zh, correlation: r.kind === 'correlation', rules: list(r.counts), off: !!r.off };
}

const keyOf = (m: Member): string => m.id || m.name || m.title;

/** Finds rules by id or name; those named first win. */
export function finder(all: Iterable<Member>): (ref: string) => Member | undefined {
  const by = new Map<string, Member>();
  for (const m of all) for (const ref of [m.id, m.name]) if (ref && !by.has(ref)) by.set(ref, m);
  return (ref) => by.get(ref);
}

/** Everything that feeds a rule and everything that it feeds. */
export function chainOf(here: Member, others: readonly Member[]): Chain {
  const mine = keyOf(here);
  const rest = others.filter((m) => m.id === '' || m.id !== here.id);
  const find = finder([here, ...rest]);
  const members = new Map<string, Member | string>([[mine, here]]);
  const edges = new Map<string, [string, string]>();
  let cut = false;
  const take = (key: string, m: Member | string): boolean => {
    if (members.has(key)) return false;
    if (members.size >= MOST) {
      cut = true;
      return false;
    }
    members.set(key, m);
    return true;
  };
  const join = (from: string, to: string) => members.has(from) && members.has(to) && edges.set(JSON.stringify([from, to]), [from, to]);
  // What feeds it, and what feeds that.
  for (let queue = [here]; queue.length > 0; ) {
    const m = queue.shift() as Member;
    for (const ref of m.rules) {
      const fed = find(ref);
      const key = fed ? keyOf(fed) : ref;
      if (take(key, fed ?? ref) && fed) queue.push(fed);
      join(key, keyOf(m));
    }
  }
  // What it feeds, and what that feeds.
  const counting = new Map<string, Member[]>();
  for (const m of rest) {
    for (const ref of m.rules) {
      const fed = find(ref);
      if (fed) counting.set(keyOf(fed), [...(counting.get(keyOf(fed)) ?? []), m]);
    }
  }
  for (let queue = [mine]; queue.length > 0; ) {
    const key = queue.shift() as string;
    for (const m of counting.get(key) ?? []) {
      if (take(keyOf(m), m)) queue.push(keyOf(m));
      join(key, keyOf(m));
    }
  }
  return laidOut(members, [...edges.values()], mine, cut);
}

function laidOut(members: ReadonlyMap<string, Member | string>, edges: [string, string][], mine: string, cut: boolean): Chain {
  // Each stands right of all that feed it. In a circle, which the server refuses, this ends after as many rounds as there are rules.
  const column = new Map([...members.keys()].map((k) => [k, 0]));
  for (let round = 0, moved = true; moved && round < members.size; round++) {
    moved = false;
    for (const [from, to] of edges) {
      const least = (column.get(from) as number) + 1;
      if ((column.get(to) as number) < least && least < members.size) {
        column.set(to, least);
        moved = true;
      }
    }
  }
  // What feeds one rule alone stands next to it.
  for (const key of [...members.keys()].sort((a, b) => (column.get(b) as number) - (column.get(a) as number))) {
    const fed = edges.filter(([from]) => from === key).map(([, to]) => column.get(to) as number);
    if (fed.length > 0) column.set(key, Math.max(column.get(key) as number, Math.min(...fed) - 1));
  }
  const used = [...new Set(column.values())].sort((a, b) => a - b);
  const rows = new Map<number, number>();
  const nodes = [...members].map(([key, m]): Link => {
    const at = used.indexOf(column.get(key) as number);
    const row = rows.get(at) ?? 0;
    rows.set(at, row + 1);
    const here = key === mine;
    return typeof m === 'string'
      ? { key, id: '', title: m, titleZh: '', kind: 'missing', here, off: false, column: at, row }
      : { key, id: m.id, title: m.title, titleZh: m.titleZh ?? '', kind: m.correlation ? 'correlation' : 'sigma', here, off: m.off === true, column: at, row };
  });
  return { nodes, edges, columns: used.length, rows: Math.max(...rows.values()), cut };
}
