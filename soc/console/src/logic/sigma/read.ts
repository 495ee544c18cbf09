import { isAlias, isMap, isScalar, isSeq, parseAllDocuments, type Document, type YAMLMap } from 'yaml';
import { Unreadable, parseCondition, type Expr } from './condition';
import { OPERATORS, group, leaf, numeric, simplified, type Counting, type Draft, type Group, type Leaf, type Node, type Operator, type Value } from './tree';

/** Why a rule cannot be shown as a tree; a key of the texts, and the word it is about. */
export interface Obstacle {
  why: 'yaml' | 'empty' | 'several' | 'filter' | 'counting' | 'condition' | 'shape' | 'detection';
  word: string;
  line?: number;
}
export type Reading = { draft: Draft; obstacle?: undefined } | { draft?: undefined; obstacle: Obstacle };

/** The documents of a rule's file; those without content are left out. */
export function documents(source: string): Document.Parsed[] {
  const docs = parseAllDocuments(source, { intAsBigInt: true, uniqueKeys: true, logLevel: 'silent' });
  return (Array.isArray(docs) ? docs : []).filter((d) => d.contents !== null || d.errors.length > 0) as Document.Parsed[];
}

class Stop extends Error {
  constructor(readonly obstacle: Obstacle) {
    super(obstacle.why);
  }
}
function stop(why: Obstacle['why'], word = ''): never {
  throw new Stop({ why, word });
}

const str = (v: unknown): string => (v === null || v === undefined ? '' : String(v));

/** Reads a rule's file as a tree, or says what keeps it from being one. */
export function readRule(source: string): Reading {
  try {
    const docs = documents(source);
    const bad = docs.flatMap((d) => d.errors)[0];
    if (bad) return { obstacle: { why: 'yaml', word: bad.message.split('\n')[0] ?? '', line: bad.linePos?.[0].line } };
    if (docs.length === 0) stop('empty');
    for (const d of docs) if (!isMap(d.contents)) stop('shape');
    if (docs.some((d) => d.has('filter') && !d.has('detection'))) stop('filter');
    const counts = docs.filter((d) => d.has('correlation'));
    const bases = docs.filter((d) => d.has('detection'));
    if (bases.length !== 1 || counts.length > 1 || docs.length !== bases.length + counts.length) stop(bases.length === 0 && counts.length === 0 ? 'detection' : 'several');
    const base = bases[0] as Document.Parsed;
    const main = counts[0] ?? base;
    return { draft: { ...head(main), logsource: logsource(base), tree: detection(base), counting: counts[0] && counting(counts[0], base) } };
  } catch (e) {
    if (e instanceof Stop) return { obstacle: e.obstacle };
    throw e;
  }
}

function head(d: Document.Parsed): Pick<Draft, 'title' | 'titleZh' | 'description' | 'level' | 'status' | 'tags'> {
  const tags = d.toJS().tags as unknown;
  return {
    title: str(d.get('title')),
    titleZh: str(d.getIn(['icewatch', 'title', 'zh'])),
    description: str(d.get('description')),
    level: str(d.get('level')) || 'medium',
    status: str(d.get('status')),
    tags: Array.isArray(tags) ? tags.map(str) : tags ? [str(tags)] : [],
  };
}

function logsource(d: Document.Parsed): Draft['logsource'] {
  return { product: str(d.getIn(['logsource', 'product'])), category: str(d.getIn(['logsource', 'category'])), service: str(d.getIn(['logsource', 'service'])) };
}

const RELATIONS = ['gte', 'gt', 'lte', 'lt', 'eq', 'neq'] as const;

function counting(d: Document.Parsed, base: Document.Parsed): Counting {
  const c = (d.toJS() as { correlation?: Record<string, unknown> }).correlation ?? {};
  const type = str(c.type);
  if (type !== 'event_count' && type !== 'value_count') stop('counting', type);
  if (c.aliases) stop('counting', 'aliases');
  if (d.getIn(['icewatch', 'absence']) === true) stop('counting', 'absence');
  const rules = (Array.isArray(c.rules) ? c.rules : [c.rules]).map(str);
  if (rules.length !== 1 || ![str(base.get('name')), str(base.get('id')), str(base.get('title'))].includes(rules[0] as string)) stop('counting', rules.join(', '));
  const condition = c.condition as Record<string, unknown> | undefined;
  if (!condition || typeof condition !== 'object') stop('counting', 'condition');
  const bounds = RELATIONS.filter((r) => r in condition);
  const relation = bounds[0];
  const field = condition.field;
  if (bounds.length !== 1 || !relation || Array.isArray(field)) stop('counting', 'condition');
  const by = c['group-by'];
  return {
    type,
    field: str(field),
    groupBy: Array.isArray(by) ? by.map(str) : by ? [str(by)] : [],
    timespan: str(c.timespan ?? c.timeframe),
    relation,
    threshold: Number(condition[relation]),
    generate: c.generate === true,
  };
}

function detection(d: Document.Parsed): Group {
  const map = d.get('detection');
  if (!isMap(map)) stop('detection');
  const selections = new Map<string, Node>();
  let conditions: string[] = [];
  for (const pair of map.items) {
    const name = str(isScalar(pair.key) ? pair.key.value : pair.key);
    if (name === 'condition') {
      const v = (d.toJS() as { detection: { condition: unknown } }).detection.condition;
      conditions = (Array.isArray(v) ? v : [v]).map(str);
      continue;
    }
    if (name === 'timeframe') continue;
    selections.set(name, named(selection(resolve(d, pair.value)), name));
  }
  if (conditions.length === 0) stop('condition', '');
  const names = [...selections.keys()];
  const trees = conditions.map((c): Node => {
    try {
      return build(parseCondition(c, names), selections);
    } catch (e) {
      if (e instanceof Unreadable) return stop('condition', e.message);
      throw e;
    }
  });
  const whole = simplified(trees.length === 1 ? (trees[0] as Node) : group('or', trees));
  return whole.kind === 'group' && !whole.not ? whole : group('and', [whole]);
}

function resolve(d: Document.Parsed, v: unknown): unknown {
  return isAlias(v) ? v.resolve(d) : v;
}

function named(n: Node, name: string): Node {
  const only = n.kind === 'group' && n.items.length === 1 && !n.not ? n.items[0] : undefined;
  return { ...(only ?? n), name };
}

function build(e: Expr, selections: ReadonlyMap<string, Node>): Node {
  switch (e.kind) {
    case 'name':
      return selections.get(e.name) as Node;
    case 'not': {
      const n = build(e.arg, selections);
      // A negation of what is negated already stays visible as its own group.
      return n.not || (n.kind === 'leaf' && n.op === 'exists') ? group('and', [n], { not: true }) : { ...n, not: true };
    }
    case 'of':
      return e.names.length === 1 ? (selections.get(e.names[0] as string) as Node) : group(e.quantity === 'all' ? 'and' : 'or', e.names.map((n) => selections.get(n) as Node));
    default:
      return group(e.kind, e.args.map((a) => build(a, selections)));
  }
}

/** A selection: a map is all of its fields, a list any of its entries, plain texts are looked for anywhere. */
function selection(v: unknown): Group {
  if (isScalar(v)) return group('and', [leaf('', 'keyword', [value(v)])]);
  if (isMap(v)) return group('and', fields(v));
  if (isSeq(v)) {
    const words = v.items.filter((x) => isScalar(x));
    const maps = v.items.filter((x) => isMap(x));
    if (words.length + maps.length !== v.items.length || v.items.length === 0) stop('shape');
    const items: Node[] = maps.map((m) => {
      const all = fields(m as YAMLMap);
      return all.length === 1 ? (all[0] as Node) : group('and', all);
    });
    if (words.length > 0) items.push(leaf('', 'keyword', words.map(value)));
    return group('or', items);
  }
  return stop('shape');
}

function fields(m: YAMLMap): Node[] {
  if (m.items.length === 0) stop('shape');
  return m.items.map((p) => item(str(isScalar(p.key) ? p.key.value : p.key), p.value));
}

const COMPARISONS = new Set<string>(OPERATORS.filter((o) => o !== 'equals' && o !== 'null' && o !== 'keyword'));

function item(key: string, v: unknown): Node {
  const [field = '', ...modifiers] = key.split('|').map((s) => s.trim());
  const l: Leaf = leaf(field, 'equals');
  for (const m of modifiers) {
    if (m === 'neq') l.not = !l.not;
    else if (m === 'all') l.all = true;
    else if (m === 'cased') l.cased = true;
    else if (COMPARISONS.has(m) && (l.op === 'equals' || m === 'fieldref')) {
      if (l.op !== 'equals') l.extra.push(l.op);
      l.op = m as Operator;
    } else (l.op === 'equals' ? l.extra : l.after).push(m);
  }
  const list = isSeq(v) ? v.items : [v];
  if (list.length === 0 || list.some((x) => !(isScalar(x) || x === null))) stop('shape', key);
  const nulls = list.filter((x) => x === null || (isScalar(x) && x.value === null));
  const values = list.filter((x) => !nulls.includes(x)).map(value);
  if (field === '') {
    if (l.op !== 'equals' || l.extra.length > 0 || l.cased || l.not || nulls.length > 0) stop('shape', key);
    return { ...l, op: 'keyword', values };
  }
  if (l.op === 'exists') {
    if (values.length !== 1 || nulls.length > 0) stop('shape', key);
    const there = /^(true|yes|on|1)$/i.test((values[0] as Value).text);
    return { ...l, values: [], not: l.not === there };
  }
  // What is looked for inside a text is a text, however it is written: 007 stays 007.
  if (nulls.length === 0) return { ...l, values: l.op === 'equals' || numeric(l.op) ? values.map(canonical) : values.map((x) => ({ text: x.text, kind: 'text' })) };
  if (l.op !== 'equals' || l.extra.length > 0 || l.all) stop('shape', key);
  const none: Leaf = { ...l, op: 'null', values: [], cased: false };
  if (values.length === 0) return none;
  const either = group('or', [{ ...l, not: false, values }, { ...none, not: false }]);
  return l.not ? { ...either, not: true } : either;
}

/** A whole number without what YAML does not count: 007 is 7. */
function canonical(v: Value): Value {
  return v.kind === 'number' && /^[+-]?\d+$/.test(v.text) ? { ...v, text: String(BigInt(v.text.replace(/^\+/, ''))) } : v;
}

const PLAIN_NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

function value(v: unknown): Value {
  const x = isScalar(v) ? v.value : v;
  if (typeof x === 'number' || typeof x === 'bigint') {
    const written = (isScalar(v) && v.source) || String(x);
    return { text: written, kind: PLAIN_NUMBER.test(written) ? 'number' : 'text' };
  }
  if (typeof x === 'boolean') return { text: String(x), kind: 'bool' };
  return { text: str(x), kind: 'text' };
}
