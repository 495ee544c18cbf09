import { Document, Scalar, YAMLMap, YAMLSeq, isMap, isScalar, type ParsedNode } from 'yaml';
import { documents, readRule } from './read';
import { simplified, valueless, type Counting, type Draft, type Leaf, type Node, type Value } from './tree';

/** The keys of a rule in the order in which Sigma's own rules have them. */
const ORDER = ['title', 'id', 'name', 'related', 'status', 'description', 'references', 'author', 'date', 'modified', 'tags', 'logsource', 'detection', 'correlation', 'fields', 'falsepositives', 'level', 'icewatch'];

type Doc = Document<ParsedNode> | Document;

/**
 * Writes what was built into the rule's file. What the builder does not show
 * stays as it is written, comments too; what did not change is left alone.
 */
export function writeRule(before: string, draft: Draft): string {
  const had = readRule(before).draft;
  const docs: Doc[] = had ? documents(before) : [];
  let base = docs.find((d) => d.has('detection'));
  let counts = docs.find((d) => d.has('correlation'));
  if (!base) base = new Document({});
  if (draft.counting && !counts) {
    // The rule that is shown keeps its id: it is the one that counts now.
    counts = new Document({});
    move(base, counts, 'id');
    for (const key of ['level', 'tags', 'icewatch', 'status', 'description', 'author', 'date', 'references', 'falsepositives']) move(base, counts, key);
    put(base, 'title', `${draft.title || 'Rule'} (events)`);
  } else if (!draft.counting && counts) {
    for (const key of ['id', 'level', 'tags', 'icewatch', 'status', 'description', 'author', 'date', 'references', 'falsepositives']) move(counts, base, key, true);
    if (base.has('name')) base.delete('name');
    counts = undefined;
  }
  const main = counts ?? base;
  head(main, draft);
  if (!had || JSON.stringify(had.logsource) !== JSON.stringify(draft.logsource)) {
    const parts = Object.entries(draft.logsource).filter(([, v]) => v !== '');
    put(base, 'logsource', Object.fromEntries(parts));
  }
  if (!had || JSON.stringify(had.tree) !== JSON.stringify(draft.tree)) put(base, 'detection', detection(draft.tree));
  if (counts && draft.counting) {
    if (!base.has('name')) put(base, 'name', nameOf(draft.title));
    const old = had?.counting;
    if (!old || JSON.stringify(old) !== JSON.stringify(draft.counting)) put(counts, 'correlation', correlation(draft.counting, String(base.get('name'))));
  }
  return (counts ? [base, counts] : [base]).map(render).join('---\n');
}

function move(from: Doc, to: Doc, key: string, over = false): void {
  if (!from.has(key)) return;
  if (over || !to.has(key)) {
    const v = from.get(key, true);
    to.delete(key);
    put(to, key, isScalar(v) ? v.value : ((from.toJS() as Record<string, unknown>)[key] as unknown));
  }
  from.delete(key);
}

function head(d: Doc, draft: Draft): void {
  const set = (key: string, v: string) => {
    if (String(d.get(key) ?? '') === v) return;
    if (v === '') d.delete(key);
    else put(d, key, v);
  };
  set('title', draft.title);
  set('status', draft.status);
  set('description', draft.description);
  if (draft.level !== String(d.get('level') ?? '') && !(draft.level === 'medium' && !d.has('level') && d.has('title') && d.has('id'))) set('level', draft.level);
  const tags = (d.toJS() as { tags?: unknown }).tags;
  if (JSON.stringify(Array.isArray(tags) ? tags.map(String) : tags ? [String(tags)] : []) !== JSON.stringify(draft.tags)) {
    if (draft.tags.length === 0) d.delete('tags');
    else put(d, 'tags', draft.tags);
  }
  if (String(d.getIn(['icewatch', 'title', 'zh']) ?? '') !== draft.titleZh) {
    if (draft.titleZh === '') {
      d.deleteIn(['icewatch', 'title', 'zh']);
      if (empty(d.getIn(['icewatch', 'title']))) d.deleteIn(['icewatch', 'title']);
      if (empty(d.get('icewatch'))) d.delete('icewatch');
    } else if (isMap(d.get('icewatch'))) d.setIn(['icewatch', 'title', 'zh'], draft.titleZh);
    else put(d, 'icewatch', { title: { zh: draft.titleZh } });
  }
}

function empty(v: unknown): boolean {
  return isMap(v) && v.items.length === 0;
}

/** Sets a key, a new one at its place in the usual order. */
export function put(d: Doc, key: string, v: unknown): void {
  const node = d.createNode(v);
  if (d.has(key)) {
    const old = d.get(key, true);
    if (isScalar(old) && isScalar(node)) node.comment = old.comment;
    d.set(key, node);
    return;
  }
  if (!isMap(d.contents)) d.contents = new YAMLMap() as never;
  const map = d.contents as unknown as YAMLMap;
  map.flow = false;
  const place = ORDER.indexOf(key);
  const at = map.items.findIndex((p) => ORDER.indexOf(String(isScalar(p.key) ? p.key.value : p.key)) > place);
  const pair = d.createPair(key, node);
  if (at < 0) map.items.push(pair as never);
  else map.items.splice(at, 0, pair as never);
}

export function render(d: Doc): string {
  d.directives = undefined as never;
  return d.toString({ lineWidth: 0, directives: false, indentSeq: true }).replace(/^---\n/, '');
}

function nameOf(title: string): string {
  const word = title.toLowerCase().replace(/[^a-z0-9]+/g, '_').replace(/^_+|_+$/g, '').slice(0, 40);
  return `${word || 'rule'}_${Math.random().toString(36).slice(2, 8)}`;
}

function correlation(c: Counting, name: string): Record<string, unknown> {
  return {
    type: c.type,
    rules: [name],
    ...(c.generate ? { generate: true } : {}),
    ...(c.groupBy.length > 0 ? { 'group-by': c.groupBy } : {}),
    timespan: c.timespan,
    condition: { [c.relation]: c.threshold, ...(c.type === 'value_count' ? { field: c.field } : {}) },
  };
}

/** A condition that can stand in a selection's map: not negated, or one that says so by its value. */
const plain = (n: Node): n is Leaf => n.kind === 'leaf' && n.op !== 'keyword' && (!n.not || n.op === 'exists');

function keyOf(l: Leaf): string {
  const op = l.op === 'equals' || l.op === 'null' || l.op === 'keyword' ? [] : [l.op];
  return [l.field, ...l.extra, ...op, ...l.after, ...(l.cased ? ['cased'] : []), ...(l.all ? ['all'] : [])].join('|');
}

function scalar(v: Value): Scalar {
  if (v.kind === 'number') return new Scalar(/^[+-]?\d+$/.test(v.text) ? BigInt(v.text) : Number(v.text));
  if (v.kind === 'bool') return new Scalar(v.text === 'true');
  const s = new Scalar(v.text);
  s.type = /[\n\t\u0000-\u001f\u007f-\u009f\ufeff]/.test(v.text) ? Scalar.QUOTE_DOUBLE : Scalar.QUOTE_SINGLE;
  return s;
}

function list(values: readonly Value[]): YAMLSeq {
  const seq = new YAMLSeq();
  seq.items = values.map(scalar);
  return seq;
}

function valueOf(l: Leaf): Scalar | YAMLSeq {
  if (l.op === 'null') return new Scalar(null);
  if (l.op === 'exists') return new Scalar(!l.not);
  return l.values.length === 1 ? scalar(l.values[0] as Value) : list(l.values);
}

function mapOf(leaves: readonly Leaf[]): YAMLMap | null {
  const map = new YAMLMap();
  const seen = new Set<string>();
  for (const l of leaves) {
    const key = keyOf(l);
    if (seen.has(key)) return null; // one map cannot hold a key twice
    seen.add(key);
    map.add({ key: new Scalar(key), value: valueOf(l) } as never);
  }
  return map;
}

/** What a node is as one selection, without its own negation; null where it takes several. */
function asSelection(n: Node): YAMLMap | YAMLSeq | null {
  if (n.kind === 'leaf') {
    if (n.op !== 'keyword') return mapOf([{ ...n, not: n.op === 'exists' ? n.not : false }]);
    if (!n.all) return list(n.values);
    const map = new YAMLMap();
    map.add({ key: new Scalar('|all'), value: list(n.values) } as never);
    return map;
  }
  if (n.items.length === 0) return null;
  if (n.op === 'and') return n.items.every((x) => plain(x) && !x.name) ? mapOf(n.items as Leaf[]) : null;
  const seq = new YAMLSeq();
  for (const x of n.items) {
    if (x.name || (x.kind === 'group' && (x.not || x.op !== 'and'))) return null;
    const map = plain(x) ? mapOf([x]) : x.kind === 'group' ? asSelection(x) : null;
    if (!map) return null;
    seq.items.push(map);
  }
  return seq;
}

/** Selections and the condition that joins them. */
export function detection(tree: Node): YAMLMap {
  const out = new YAMLMap();
  const taken = new Map<string, string>(); // name to what it says
  const select = (n: Node, content: YAMLMap | YAMLSeq, negated: boolean): string => {
    const says = JSON.stringify(content);
    const wanted = n.name && n.name !== 'condition' && n.name !== 'timeframe' && /^[^\s()|*]+$/.test(n.name) ? n.name : negated ? 'filter' : 'selection';
    let name = wanted;
    for (let i = 2; taken.has(name); i++) {
      if (n.name && taken.get(name) === says) return name;
      name = `${wanted}_${i}`;
    }
    taken.set(name, says);
    out.add({ key: new Scalar(name), value: content } as never);
    return name;
  };
  /** The condition of a node; whole is true where nothing else stands beside it. */
  const expr = (n: Node, whole: boolean): string => {
    const negated = n.not && !(n.kind === 'leaf' && n.op === 'exists');
    const content = asSelection(n);
    if (content) return `${negated ? 'not ' : ''}${select(n, content, negated)}`;
    const g = n as Extract<Node, { kind: 'group' }>;
    const parts: string[] = [];
    // What can stand together in one map does.
    const together = g.op === 'and' ? (g.items.filter((x) => plain(x) && !x.name) as Leaf[]) : [];
    const map = together.length > 1 ? mapOf(together) : null;
    let placed = false;
    for (const x of g.items) {
      if (map && together.includes(x as Leaf)) {
        if (!placed) parts.push(select({ ...g, name: g.name, not: false }, map, false));
        placed = true;
        continue;
      }
      parts.push(expr(x, false));
    }
    const joined = parts.join(` ${g.op} `);
    if (negated) return `not ${parts.length === 1 && /^[^\s()]+$/.test(joined) ? joined : `(${joined})`}`;
    return whole || parts.length === 1 ? joined : `(${joined})`;
  };
  const condition = expr(simplified(tree), true);
  out.add({ key: new Scalar('condition'), value: new Scalar(condition) } as never);
  return out;
}

/** Whether a condition has what it needs to be written. */
export function complete(n: Node): boolean {
  if (n.kind === 'group') return n.items.length > 0 && n.items.every(complete);
  return (n.op === 'keyword' || n.field !== '') && (valueless(n.op) || n.values.length > 0);
}
