import { isMap } from 'yaml';
import { documents } from './read';
import { put, render } from './write';

/** What a rule's alerts say and show, beside what the builder holds. */
export interface Output {
  description: string;
  sentenceZh: string;
  sentenceEn: string;
  adviceZh: string;
  adviceEn: string;
  /** By which fields firings become one alert. */
  groupBy: string[];
  /** Fields that are shown first. */
  fields: string[];
}
export const NO_OUTPUT: Output = { description: '', sentenceZh: '', sentenceEn: '', adviceZh: '', adviceEn: '', groupBy: [], fields: [] };

/** Where each of them stands in the file. */
const PLACES: Record<keyof Output, readonly string[]> = {
  description: ['description'],
  sentenceZh: ['icewatch', 'sentence', 'zh'],
  sentenceEn: ['icewatch', 'sentence', 'en'],
  adviceZh: ['icewatch', 'advice', 'zh'],
  adviceEn: ['icewatch', 'advice', 'en'],
  groupBy: ['icewatch', 'group_by'],
  fields: ['fields'],
};

/** The document whose alerts these are: of a rule that counts its own events the one that counts. */
function main(docs: ReturnType<typeof documents>) {
  return docs.find((d) => d.has('correlation')) ?? docs[0];
}

export function readOutput(source: string): Output {
  const d = main(documents(source));
  if (!d || d.errors.length > 0 || !isMap(d.contents)) return NO_OUTPUT;
  const all = d.toJS() as Record<string, unknown>;
  const at = (path: readonly string[]) => path.reduce<unknown>((v, k) => (v && typeof v === 'object' ? (v as Record<string, unknown>)[k] : undefined), all);
  const out: Record<string, unknown> = {};
  for (const [key, path] of Object.entries(PLACES)) {
    const v = at(path);
    if (key === 'groupBy' || key === 'fields') out[key] = Array.isArray(v) ? v.map(String) : v ? [String(v)] : [];
    else out[key] = v === undefined || v === null ? '' : String(v);
  }
  return out as unknown as Output;
}

/** The file with one of them changed; everything else stays as it is written. */
export function writeOutput<K extends keyof Output>(source: string, key: K, value: Output[K]): string {
  const docs = documents(source);
  const d = main(docs);
  if (!d || d.errors.length > 0 || !isMap(d.contents)) return source;
  const path = PLACES[key];
  const first = path[0] as string;
  if (value.length === 0) {
    for (let n = path.length; n > 0; n--) {
      const part = path.slice(0, n);
      const v = d.getIn(part, true);
      if (n === path.length || (isMap(v) && v.items.length === 0)) d.deleteIn(part);
    }
  } else if (path.length === 1 || !isMap(d.get(first))) put(d, first, path.slice(1).reduceRight<unknown>((v, k) => ({ [k]: v }), value));
  else if (path.length === 3 && !isMap(d.getIn(path.slice(0, 2)))) d.setIn(path.slice(0, 2), d.createNode({ [path[2] as string]: value }));
  else d.setIn(path, typeof value === 'string' ? value : d.createNode(value));
  return docs.map(render).join('---\n');
}
