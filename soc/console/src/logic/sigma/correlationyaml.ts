import { Document, LineCounter, Scalar, YAMLMap, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import { RELATIONS, TYPES, temporal, valued, type Alias, type Bound, type Correlation, type CorrelationType, type Part } from './correlation';
import type { Obstacle } from './read';
import { parseTerms, printTerms, rulesOf } from './ruleexpr';
import { put, render } from './write';

/** Another rule of the same file, which the correlation may count. */
export interface Beside {
  id: string;
  name: string;
  title: string;
  correlation: boolean;
  /** What it counts, as it is written. */
  rules: string[];
}

/** A file with a correlation, as the builder shows it. */
export interface CorrelationFile {
  correlation: Correlation;
  beside: Beside[];
  /** Of the main rule. */
  id: string;
  /** Keys that the builder does not show; they stay as they are written. */
  kept: string[];
  /** The lines of the file, from 1, on which each part stands. */
  lines: Partial<Record<Part, readonly [from: number, to: number]>>;
}
export type CorrelationReading = { file: CorrelationFile; obstacle?: undefined } | { file?: undefined; obstacle: Obstacle } | null;

/** One document of the file, as text: the line that begins it, and the rest. */
interface Piece {
  marker: string;
  text: string;
  /** The file's line on which the text begins, from 1. */
  line: number;
}

/** Cuts a file at its document markers; in YAML no such line can be part of a text. */
function pieces(source: string): Piece[] {
  const out: Piece[] = [{ marker: '', text: '', line: 1 }];
  let line = 0;
  for (const l of source.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    line++;
    if (/^---[ \t]*(#.*)?\r?\n?$/.test(l)) out.push({ marker: l, text: '', line: line + 1 });
    else (out.at(-1) as Piece).text += l;
  }
  return out;
}

type Doc = Document.Parsed | Document;
const str = (v: unknown): string => (v === null || v === undefined ? '' : String(v));
const parsed = (text: string, lineCounter?: LineCounter): Document.Parsed => parseDocument(text, { intAsBigInt: true, uniqueKeys: true, logLevel: 'silent', lineCounter });

class Stop extends Error {
  constructor(readonly obstacle: Obstacle) {
    super(obstacle.why);
  }
}
function stop(why: Obstacle['why'], word = '', line?: number): never {
  throw new Stop({ why, word, line });
}

function list(v: unknown, what: string): string[] {
  if (v === undefined || v === null || v === '') return [];
  const all = Array.isArray(v) ? v : [v];
  if (all.some((x) => x === null || typeof x === 'object')) stop('shape', what);
  return all.map(str);
}

/** A scalar as it is written, so that 2.50 does not become 2.5. */
function written(v: unknown, what: string): string {
  if (!isScalar(v)) return stop('shape', what);
  return typeof v.value === 'string' ? v.value : (v.source ?? str(v.value));
}

const SHOWN = { rule: ['title', 'id', 'name', 'level', 'tags', 'correlation', 'icewatch', 'generate'], correlation: ['type', 'rules', 'group-by', 'aliases', 'timespan', 'timeframe', 'generate', 'condition'], icewatch: ['title', 'sentence', 'absence', 'lateness', 'alert'] };

/** Reads a file whose last correlation is built; null where it has none. */
export function readCorrelation(source: string): CorrelationReading {
  try {
    const found = locate(source);
    if (!found) return null;
    return { file: fileOf(found) };
  } catch (e) {
    if (e instanceof Stop) return { obstacle: e.obstacle };
    throw e;
  }
}

interface Located {
  parts: Piece[];
  docs: (Document.Parsed | null)[];
  at: number;
  counter: LineCounter;
}

function locate(source: string): Located | null {
  const parts = pieces(source);
  const counters = parts.map(() => new LineCounter());
  const docs = parts.map((p, i) => {
    const d = parsed(p.text, counters[i]);
    const bad = d.errors[0];
    if (bad) stop('yaml', bad.message.split('\n')[0] ?? '', (bad.linePos?.[0].line ?? 1) + p.line - 1);
    return d.contents === null ? null : d;
  });
  let at = -1;
  docs.forEach((d, i) => {
    if (d && isMap(d.contents) && d.has('correlation')) at = i;
  });
  return at < 0 ? null : { parts, docs, at, counter: counters[at] as LineCounter };
}

function fileOf({ parts, docs, at, counter }: Located): CorrelationFile {
  const d = docs[at] as Document.Parsed;
  const map = d.get('correlation');
  if (!isMap(map)) return stop('shape', 'correlation');
  const ice = d.get('icewatch');
  if (ice !== undefined && ice !== null && !isMap(ice)) stop('shape', 'icewatch');
  const plain = d.toJS() as Record<string, unknown> & { correlation: Record<string, unknown>; icewatch?: Record<string, unknown> };
  const c = plain.correlation;
  const own = plain.icewatch ?? {};
  const type = str(c.type);
  if (!(TYPES as readonly string[]).includes(type)) stop('counting', type);
  if ('timespan' in c && 'timeframe' in c) stop('shape', 'timeframe');
  const text = (key: 'title' | 'sentence', lang: string): string => str((own[key] as Record<string, unknown> | null | undefined)?.[lang]);
  for (const key of ['title', 'sentence'] as const) if (own[key] !== undefined && (own[key] === null || typeof own[key] !== 'object')) stop('shape', key);
  const correlation: Correlation = {
    title: str(plain.title),
    titleZh: text('title', 'zh'),
    name: str(plain.name),
    level: str(plain.level).toLowerCase() || 'medium',
    tags: list(plain.tags, 'tags'),
    sentenceZh: text('sentence', 'zh'),
    sentenceEn: text('sentence', 'en'),
    type: type as CorrelationType,
    absence: own.absence === true,
    rules: list(c.rules, 'rules'),
    groupBy: list(c['group-by'], 'group-by'),
    aliases: aliases(c.aliases),
    timespan: str(c.timespan ?? c.timeframe),
    ...condition(map.get('condition', true), type as CorrelationType, d),
    generate: c.generate === true || plain.generate === true,
    alert: own.alert !== false,
    lateness: str(own.lateness),
  };
  if (correlation.rules.length === 0 && correlation.expression) correlation.rules = rulesOf(correlation.expression);
  return { correlation, beside: docs.flatMap((x, i) => (i === at || !x ? [] : beside(x))), id: str(plain.id), kept: kept(plain), lines: lines(d, counter, (parts[at] as Piece).line) };
}

function aliases(v: unknown): Alias[] {
  if (v === undefined || v === null) return [];
  if (typeof v !== 'object' || Array.isArray(v)) return stop('shape', 'aliases');
  return Object.entries(v).map(([name, of]) => {
    if (of === null || typeof of !== 'object' || Array.isArray(of)) return stop('shape', name);
    return {
      name,
      fields: Object.entries(of).map(([rule, field]) => {
        if (field === null || typeof field === 'object') stop('shape', name);
        return { rule, field: str(field) };
      }),
    };
  });
}

function condition(node: unknown, type: CorrelationType, d: Document.Parsed): Pick<Correlation, 'bounds' | 'expression' | 'fields' | 'percentile'> {
  const out: Pick<Correlation, 'bounds' | 'expression' | 'fields' | 'percentile'> = { bounds: [], expression: null, fields: [], percentile: '' };
  if (node === undefined || (isScalar(node) && node.value === null)) return out;
  if (isScalar(node) && temporal({ type })) {
    const expression = parseTerms(str(node.value));
    return expression ? { ...out, expression } : stop('condition', str(node.value));
  }
  if (!isMap(node)) return stop('shape', 'condition');
  for (const pair of node.items) {
    const key = str(isScalar(pair.key) ? pair.key.value : pair.key);
    if ((RELATIONS as readonly string[]).includes(key)) out.bounds.push({ relation: key as Bound['relation'], value: written(pair.value, key) });
    else if (key === 'field') out.fields = list(isScalar(pair.value) ? pair.value.value : isSeq(pair.value) ? pair.value.toJS(d) : stop('shape', key), key);
    else if (key === 'percentile') out.percentile = written(pair.value, key);
    else stop('condition', key);
  }
  return out;
}

function beside(d: Document.Parsed): Beside[] {
  if (!isMap(d.contents)) return [];
  const x = d.toJS() as { id?: unknown; name?: unknown; title?: unknown; correlation?: { rules?: unknown } };
  const rules = x.correlation?.rules;
  return [{ id: str(x.id), name: str(x.name), title: str(x.title), correlation: x.correlation !== undefined, rules: (Array.isArray(rules) ? rules : rules === undefined ? [] : [rules]).map(str) }];
}

function kept(plain: Record<string, unknown> & { correlation: Record<string, unknown>; icewatch?: Record<string, unknown> }): string[] {
  const other = (o: Record<string, unknown> | undefined, shown: string[], prefix: string) => Object.keys(o ?? {}).filter((k) => !shown.includes(k)).map((k) => prefix + k);
  const title = plain.icewatch?.title as Record<string, unknown> | undefined;
  return [...other(plain, SHOWN.rule, ''), ...other(plain.correlation, SHOWN.correlation, 'correlation.'), ...other(plain.icewatch, SHOWN.icewatch, 'icewatch.'), ...(str(title?.en) !== '' && title?.en !== plain.title ? ['icewatch.title.en'] : [])];
}

const PLACES: [part: Part, path: string[]][] = [
  ['title', ['title']], ['name', ['name']], ['level', ['level']], ['tags', ['tags']], ['title', ['icewatch', 'title']], ['sentence', ['icewatch', 'sentence']], ['lateness', ['icewatch', 'lateness']], ['type', ['icewatch', 'absence']],
  ['rules', ['correlation', 'rules']], ['group-by', ['correlation', 'group-by']], ['aliases', ['correlation', 'aliases']], ['timespan', ['correlation', 'timespan']], ['timespan', ['correlation', 'timeframe']], ['condition', ['correlation', 'condition']], ['generate', ['correlation', 'generate']], ['type', ['correlation', 'type']],
];

function lines(d: Document.Parsed, counter: LineCounter, first: number): CorrelationFile['lines'] {
  const out: CorrelationFile['lines'] = {};
  for (const [part, path] of PLACES) {
    const holder = path.length === 1 ? d.contents : d.get(path[0] as string);
    const pair = isMap(holder) ? holder.items.find((p) => isScalar(p.key) && p.key.value === path.at(-1)) : undefined;
    const key = pair?.key as Scalar | undefined;
    if (!pair || !key?.range) continue;
    const end = (pair.value as { range?: [number, number, number] } | null)?.range?.[1] ?? key.range[1];
    out[part] = [counter.linePos(key.range[0]).line + first - 1, counter.linePos(Math.max(key.range[0], end - 1)).line + first - 1];
  }
  return out;
}

/** To which part of the builder a finding of the server belongs: by its words, else by its line; null is the whole. */
export function partOf(f: { line: number; message: string }, at: CorrelationFile['lines']): Part | null {
  const m = f.message;
  const by: [Part, RegExp][] = [
    ['lateness', /icewatch\.lateness/],
    ['timespan', /timespan/],
    ['aliases', /alias/],
    ['condition', /condition|percentile|takes one field/],
    ['rules', /names no rules|names the rule|refers to|counts itself|is of \d+ rules/],
    ['type', /correlation type|has no type|icewatch\.absence/],
  ];
  const said = by.find(([, re]) => re.test(m))?.[0];
  if (said) return said;
  const first = (Object.entries(at) as [Part, readonly [number, number]][]).find(([, [from, to]]) => f.line >= from && f.line <= to);
  return first?.[0] ?? null;
}

/**
 * Writes what was built into the file. Only what changed is written; the rest
 * of the rule stays with its comments, and the file's other rules to the byte.
 */
export function writeCorrelation(before: string, draft: Correlation): string {
  const reading = before === '' ? null : readCorrelation(before);
  const had = reading?.file?.correlation;
  if (had && same(had, draft)) return before;
  const located = had ? locate(before) : null;
  const d: Doc = located ? (located.docs[located.at] as Doc) : new Document({});
  head(d, draft, had);
  if (!d.has('correlation')) put(d, 'correlation', {});
  body(d, d.get('correlation') as YAMLMap, draft, had);
  own(d, draft, had);
  if (!located) return render(d);
  return located.parts.map((p, i) => p.marker + (i === located.at ? render(d) : p.text)).join('');
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

function head(d: Doc, c: Correlation, had?: Correlation): void {
  const set = (key: string, now: string | string[], before: string | string[] | undefined) => {
    if (same(now, before)) return;
    if (now.length === 0) d.delete(key);
    else put(d, key, now);
  };
  set('title', c.title, had?.title ?? '');
  set('name', c.name, had?.name ?? '');
  set('tags', c.tags, had?.tags ?? []);
  set('level', c.level, had?.level);
}

const KEYS = ['type', 'rules', 'generate', 'group-by', 'aliases', 'timespan', 'timeframe', 'condition'];

/** Sets a key of the correlation, a new one at its place in the usual order. */
function setKey(d: Doc, map: YAMLMap, key: string, v: unknown): void {
  if (v === undefined) {
    map.delete(key);
    return;
  }
  const node = d.createNode(v);
  if (map.has(key)) {
    const old = map.get(key, true) as { comment?: string | null } | undefined;
    if (isScalar(old) && isScalar(node)) node.comment = old.comment;
    map.set(key, node);
    return;
  }
  const place = KEYS.indexOf(key);
  const at = map.items.findIndex((p) => KEYS.indexOf(str(isScalar(p.key) ? p.key.value : p.key)) > place);
  map.items.splice(at < 0 ? map.items.length : at, 0, d.createPair(key, node) as never);
}

function body(d: Doc, map: YAMLMap, c: Correlation, had?: Correlation): void {
  if (map.items.length === 0) map.flow = false;
  const put = (key: string, v: unknown) => setKey(d, map, key, v);
  if (c.type !== had?.type) put('type', c.type);
  // Rules that the expression alone names stay where they are named.
  const implied = had !== undefined && !map.has('rules') && c.expression !== null && same(rulesOf(c.expression), c.rules);
  if ((!same(c.rules, had?.rules) || (!map.has('rules') && !c.expression)) && !implied) put('rules', c.rules);
  if (c.generate !== (had?.generate ?? false)) {
    d.delete('generate');
    put('generate', c.generate ? true : undefined);
  }
  if (!same(c.groupBy, had?.groupBy ?? [])) put('group-by', c.groupBy.length > 0 ? c.groupBy : undefined);
  if (!same(c.aliases, had?.aliases ?? [])) {
    const used = c.aliases.filter((a) => a.fields.length > 0);
    put('aliases', used.length > 0 ? Object.fromEntries(used.map((a) => [a.name, Object.fromEntries(a.fields.map((f) => [f.rule, f.field]))])) : undefined);
  }
  if (c.timespan !== had?.timespan) put(map.has('timeframe') ? 'timeframe' : 'timespan', c.timespan);
  const now = { b: c.bounds, e: c.expression, f: c.fields, p: c.percentile };
  if (!had || !same(now, { b: had.bounds, e: had.expression, f: had.fields, p: had.percentile })) put('condition', conditionOf(c));
}

function conditionOf(c: Correlation): YAMLMap | string | undefined {
  if (c.expression) return printTerms(c.expression);
  const map = new YAMLMap();
  const add = (key: string, v: unknown) => map.add({ key: new Scalar(key), value: v } as never);
  for (const b of c.bounds) add(b.relation, number(b.value));
  if (valued(c) && c.fields.length === 1) add('field', new Scalar(c.fields[0]));
  else if (valued(c) && c.fields.length > 1) add('field', c.fields);
  if (c.percentile !== '') add('percentile', number(c.percentile));
  return map.items.length > 0 ? map : undefined;
}

/** A number that is written as it was typed. */
function number(text: string): Scalar {
  const node = parsed(text.replace(/^\+/, '')).contents;
  return isScalar(node) ? (node as Scalar) : new Scalar(text);
}

/** What icewatch adds to Sigma. */
function own(d: Doc, c: Correlation, had?: Correlation): void {
  const set = (path: string[], v: unknown) => {
    if (v === undefined) {
      d.deleteIn(['icewatch', ...path]);
      if (path.length > 1 && empty(d.getIn(['icewatch', path[0]]))) d.deleteIn(['icewatch', path[0]]);
      if (empty(d.get('icewatch'))) d.delete('icewatch');
      return;
    }
    if (!isMap(d.get('icewatch'))) put(d, 'icewatch', {});
    const ice = d.get('icewatch') as YAMLMap;
    if (ice.items.length === 0) ice.flow = false;
    if (path.length > 1 && !isMap(ice.get(path[0]))) ice.set(path[0], d.createNode({}));
    const holder = (path.length > 1 ? ice.get(path[0]) : ice) as YAMLMap;
    if (holder.items.length === 0) holder.flow = false;
    holder.set(path.at(-1), d.createNode(v));
  };
  const text = (path: string[], now: string, before = '') => now !== before && set(path, now === '' ? undefined : now);
  text(['title', 'zh'], c.titleZh, had?.titleZh);
  if (had && had.title !== c.title && d.getIn(['icewatch', 'title', 'en']) === had.title) text(['title', 'en'], c.title, had.title);
  text(['sentence', 'zh'], c.sentenceZh, had?.sentenceZh);
  text(['sentence', 'en'], c.sentenceEn, had?.sentenceEn);
  text(['lateness'], c.lateness, had?.lateness);
  if (c.absence !== (had?.absence ?? false)) set(['absence'], c.absence ? true : undefined);
  if (c.alert !== (had?.alert ?? true)) set(['alert'], c.alert ? undefined : false);
}

function empty(v: unknown): boolean {
  return isMap(v) && v.items.length === 0;
}
