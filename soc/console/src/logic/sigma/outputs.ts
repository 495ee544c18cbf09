import { isMap } from 'yaml';
import type { Text } from '../../api/types';
import { searchesOf, treeOf } from '../suppression';
import { documents } from './read';
import { group, leaf, unfinished, type Group } from './tree';
import { put, render } from './write';

/** What a rule's alerts say where a condition holds; what it leaves empty stays as it is. */
export interface ConditionalOutput {
  /** Nothing where it always holds. */
  when?: Group;
  level: string;
  title: Text;
  advice: Text;
  sentence: Text;
  tags: string[];
  knowledge: string;
  fields: { name: string; value: string }[];
  then: ConditionalOutput[];
}

export const MOST_DEPTH = 4;
export const freshOutput = (): ConditionalOutput => ({ when: group('and', [leaf('', 'equals')]), level: '', title: {}, advice: {}, sentence: {}, tags: [], knowledge: '', fields: [], then: [] });

const main = (docs: ReturnType<typeof documents>) => docs.find((d) => d.has('correlation')) ?? docs[0];
const record = (v: unknown): Record<string, unknown> => (v && typeof v === 'object' && !Array.isArray(v) ? (v as Record<string, unknown>) : {});
const texts = (v: unknown): Text => {
  const r = record(v);
  return { ...(r.zh ? { zh: String(r.zh) } : {}), ...(r.en ? { en: String(r.en) } : {}) };
};

/** The outputs of a rule; null where they are more than can be shown. */
export function readOutputs(source: string): ConditionalOutput[] | null {
  const d = main(documents(source));
  if (!d || d.errors.length > 0 || !isMap(d.contents)) return [];
  const list = record(record(d.toJS()).icewatch).outputs;
  if (list === undefined) return [];
  return readList(list);
}

function readList(list: unknown): ConditionalOutput[] | null {
  if (!Array.isArray(list)) return null;
  const out: ConditionalOutput[] = [];
  for (const each of list) {
    const o = record(each);
    const when = o.when === undefined ? undefined : treeOf(record(o.when));
    if (o.when !== undefined && !when) return null;
    const then = o.then === undefined ? [] : readList(o.then);
    if (!then) return null;
    out.push({
      when,
      level: String(o.level ?? ''),
      title: texts(o.title),
      advice: texts(o.advice),
      sentence: texts(o.sentence),
      tags: Array.isArray(o.tags) ? o.tags.map(String) : [],
      knowledge: String(o.knowledge ?? ''),
      fields: Object.entries(record(o.fields)).map(([name, value]) => ({ name, value: String(value) })),
      then,
    });
  }
  return out;
}

/** Whether an output cannot be kept yet: a condition that is not finished, or nothing that it says. */
export function unready(o: ConditionalOutput): boolean {
  const some = (t: Text) => !!(t.zh || t.en);
  const says = o.level !== '' || some(o.title) || some(o.advice) || some(o.sentence) || o.tags.length > 0 || o.knowledge !== '' || o.fields.length > 0 || o.then.length > 0;
  return !says || (o.when !== undefined && (o.when.items.length === 0 || unfinished(o.when).length > 0)) || o.fields.some((f) => !/^[a-z][a-z0-9_]{0,39}(\.[a-z][a-z0-9_]{0,39}){0,3}$/.test(f.name)) || o.then.some(unready) || shadowed(o.then);
}

/** An output that always holds keeps those behind it from counting. */
export const shadowed = (list: readonly ConditionalOutput[]): boolean => list.slice(0, -1).some((o) => o.when === undefined);

function plain(o: ConditionalOutput): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  if (o.when) out.when = searchesOf(o.when);
  if (o.level) out.level = o.level;
  for (const key of ['title', 'sentence', 'advice'] as const) if (o[key].zh || o[key].en) out[key] = texts(o[key]);
  if (o.tags.length > 0) out.tags = o.tags;
  if (o.knowledge) out.knowledge = o.knowledge;
  if (o.fields.length > 0) out.fields = Object.fromEntries(o.fields.map((f) => [f.name, f.value]));
  if (o.then.length > 0) out.then = o.then.map(plain);
  return out;
}

/** The file with other outputs; everything else stays as it is written. */
export function writeOutputs(source: string, outputs: readonly ConditionalOutput[]): string {
  return write(source, 'outputs', outputs.length > 0 ? outputs.map(plain) : undefined);
}

export function readKnowledge(source: string): string {
  const d = main(documents(source));
  if (!d || d.errors.length > 0 || !isMap(d.contents)) return '';
  return String(record(record(d.toJS()).icewatch).knowledge ?? '');
}
export function writeKnowledge(source: string, id: string): string {
  return write(source, 'knowledge', id || undefined);
}

function write(source: string, key: string, value: unknown): string {
  const docs = documents(source);
  const d = main(docs);
  if (!d || d.errors.length > 0 || !isMap(d.contents)) return source;
  if (value === undefined) {
    d.deleteIn(['icewatch', key]);
    const left = d.get('icewatch', true);
    if (isMap(left) && left.items.length === 0) d.delete('icewatch');
  } else if (!isMap(d.get('icewatch'))) put(d, 'icewatch', { [key]: value });
  else d.setIn(['icewatch', key], d.createNode(value));
  return docs.map(render).join('---\n');
}
