/**
 * A Sigma rule as people build it: a tree of conditions instead of named
 * selections and an expression. The tree and the YAML are two views of one
 * rule; read.ts and write.ts lead from one to the other.
 */

export type ValueKind = 'text' | 'number' | 'bool';
/** A value as it is written: 4625 and '4625' are not the same to Sigma. */
export interface Value {
  text: string;
  kind: ValueKind;
}

/** How a field is compared. `keyword` looks for a text anywhere in the event. */
export const OPERATORS = ['equals', 'contains', 'startswith', 'endswith', 're', 'cidr', 'lt', 'lte', 'gt', 'gte', 'exists', 'null', 'fieldref', 'keyword'] as const;
export type Operator = (typeof OPERATORS)[number];

export interface Leaf {
  kind: 'leaf';
  field: string;
  op: Operator;
  /** Any of them, or all of them where `all` is set. None for exists and null. */
  values: Value[];
  not: boolean;
  cased: boolean;
  /** Every value has to be found. */
  all: boolean;
  /** Further modifiers before the comparison, in their order: base64offset, windash, hour, … */
  extra: string[];
  /** Those behind it: the flags of an expression, how a reference is compared. */
  after: string[];
  name?: string;
}

export interface Group {
  kind: 'group';
  op: 'and' | 'or';
  not: boolean;
  items: Node[];
  /** The selection's name in the YAML, kept so that a change of one condition does not rename the others. */
  name?: string;
}
export type Node = Leaf | Group;

/** Counting: how many events, or how many distinct values, make it an alert. */
export interface Counting {
  type: 'event_count' | 'value_count';
  /** Whose distinct values count; of value_count. */
  field: string;
  groupBy: string[];
  timespan: string;
  relation: 'gte' | 'gt' | 'lte' | 'lt' | 'eq' | 'neq';
  threshold: number;
  /** The events that are counted raise alerts of their own too. */
  generate: boolean;
}

export interface Logsource {
  product: string;
  category: string;
  service: string;
}

/** What the builder shows of a rule; the rest of the YAML stays as it is written. */
export interface Draft {
  title: string;
  titleZh: string;
  description: string;
  level: string;
  status: string;
  tags: string[];
  logsource: Logsource;
  tree: Group;
  /** Absent for a rule about single events. */
  counting?: Counting;
}

/** The operators as people choose them: with their opposites. */
export interface Choice {
  key: string;
  op: Operator;
  not: boolean;
  /** Takes several values. */
  many: boolean;
}
export const CHOICES: readonly Choice[] = [
  { key: 'equals', op: 'equals', not: false, many: false },
  { key: 'notEquals', op: 'equals', not: true, many: false },
  { key: 'in', op: 'equals', not: false, many: true },
  { key: 'notIn', op: 'equals', not: true, many: true },
  { key: 'contains', op: 'contains', not: false, many: true },
  { key: 'notContains', op: 'contains', not: true, many: true },
  { key: 'startswith', op: 'startswith', not: false, many: true },
  { key: 'notStartswith', op: 'startswith', not: true, many: true },
  { key: 'endswith', op: 'endswith', not: false, many: true },
  { key: 'notEndswith', op: 'endswith', not: true, many: true },
  { key: 're', op: 're', not: false, many: true },
  { key: 'notRe', op: 're', not: true, many: true },
  { key: 'exists', op: 'exists', not: false, many: false },
  { key: 'notExists', op: 'exists', not: true, many: false },
  { key: 'null', op: 'null', not: false, many: false },
  { key: 'notNull', op: 'null', not: true, many: false },
  { key: 'cidr', op: 'cidr', not: false, many: true },
  { key: 'notCidr', op: 'cidr', not: true, many: true },
  { key: 'lt', op: 'lt', not: false, many: false },
  { key: 'lte', op: 'lte', not: false, many: false },
  { key: 'gt', op: 'gt', not: false, many: false },
  { key: 'gte', op: 'gte', not: false, many: false },
  { key: 'fieldref', op: 'fieldref', not: false, many: false },
  { key: 'notFieldref', op: 'fieldref', not: true, many: false },
  { key: 'keyword', op: 'keyword', not: false, many: true },
  { key: 'notKeyword', op: 'keyword', not: true, many: true },
];

/** The choice that a condition stands under. */
export function choiceOf(l: Leaf): Choice {
  const many = l.op === 'equals' ? l.values.length > 1 : undefined;
  return (CHOICES.find((c) => c.op === l.op && c.not === l.not && (many === undefined || c.many === many)) ??
    CHOICES.find((c) => c.op === l.op && !c.not) ??
    CHOICES[0]) as Choice;
}

export const valueless = (op: Operator): boolean => op === 'exists' || op === 'null';
export const numeric = (op: Operator): boolean => op === 'lt' || op === 'lte' || op === 'gt' || op === 'gte';
export const caseless = (op: Operator): boolean => op === 'equals' || op === 'contains' || op === 'startswith' || op === 'endswith' || op === 'fieldref';

export function text(s: string): Value {
  return { text: s, kind: 'text' };
}
export function leaf(field: string, op: Operator, values: (string | Value)[] = [], more: Partial<Leaf> = {}): Leaf {
  return { kind: 'leaf', field, op, values: values.map((v) => (typeof v === 'string' ? text(v) : v)), not: false, cased: false, all: false, extra: [], after: [], ...more };
}
export function group(op: 'and' | 'or', items: Node[], more: Partial<Group> = {}): Group {
  return { kind: 'group', op, not: false, items, ...more };
}

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;
/** A typed text as a value: a number where the field holds numbers or the comparison needs one. */
export function typed(s: string, wantsNumber: boolean): Value {
  return wantsNumber && NUMBER.test(s.trim()) ? { text: s.trim(), kind: 'number' } : text(s);
}

/** The condition under another choice; what it cannot hold any more is dropped. */
export function choose(l: Leaf, c: Choice): Leaf {
  const values = valueless(c.op) ? [] : c.op === l.op && c.many ? l.values : l.values.length > 0 ? (c.many ? l.values : l.values.slice(0, 1)) : [];
  return {
    ...l,
    op: c.op,
    not: c.not,
    values: numeric(c.op) ? values.map((v) => typed(v.text, true)) : c.op === 're' || c.op === 'cidr' || c.op === 'fieldref' || c.op === 'contains' || c.op === 'startswith' || c.op === 'endswith' ? values.map((v) => text(v.text)) : values,
    field: c.op === 'keyword' ? '' : l.field,
    cased: l.cased && caseless(c.op),
    all: l.all && c.many && values.length > 1,
    extra: c.op === l.op ? l.extra : [],
    after: c.op === l.op ? l.after : [],
  };
}

/** What is missing before it can be written down: the path of each unfinished condition. */
export function unfinished(n: Node, path: number[] = []): number[][] {
  if (n.kind === 'group') {
    if (n.items.length === 0) return [path];
    return n.items.flatMap((x, i) => unfinished(x, [...path, i]));
  }
  const lacks = (n.op !== 'keyword' && n.field.trim() === '') || (!valueless(n.op) && (n.values.length === 0 || (n.op !== 'equals' && n.values.some((v) => v.text === ''))));
  return lacks ? [path] : [];
}

/** The tree with one node replaced; null takes it out. */
export function replaceAt(root: Group, path: readonly number[], node: Node | null): Group {
  const [at, ...rest] = path;
  if (at === undefined) return node?.kind === 'group' ? node : root;
  const items = root.items.flatMap((x, i): Node[] => {
    if (i !== at) return [x];
    if (rest.length === 0) return node ? [node] : [];
    return x.kind === 'group' ? [replaceAt(x, rest, node)] : [x];
  });
  return { ...root, items };
}

export function nodeAt(root: Group, path: readonly number[]): Node | undefined {
  let n: Node | undefined = root;
  for (const i of path) n = n?.kind === 'group' ? n.items[i] : undefined;
  return n;
}

export function countLeaves(n: Node): number {
  return n.kind === 'leaf' ? 1 : n.items.reduce((sum, x) => sum + countLeaves(x), 0);
}

/** Takes out groups of one and joins groups that say the same as their parent, where no name would be lost. */
export function simplified(n: Node): Node {
  if (n.kind === 'leaf') return n;
  const items = n.items.map(simplified).flatMap((x): Node[] => (x.kind === 'group' && !x.not && x.op === n.op && !x.name ? x.items : [x]));
  const only = items[0];
  if (items.length === 1 && only && !n.name) {
    if (!n.not) return only;
    if (only.kind === 'leaf' && !only.not) return { ...only, not: true };
    if (only.kind === 'group' && !only.not) return { ...only, not: true };
  }
  return { ...n, items };
}
