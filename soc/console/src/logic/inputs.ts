import type { InputView, Schema, Settings } from '../api/inputs';
import type { SourceHealth } from '../api/types';

/** What a row of the sources page stands for: a listener of the configuration, a door over HTTP, or an input. */
export type Way = 'config' | 'http' | 'input';
export const WAYS: readonly Way[] = ['config', 'http', 'input'];

const DOORS = new Set(['elastic_bulk', 'loki_push', 'http_push', 'remote_write', 'otlp', 'otlp_http', 'otlp_grpc']);

export interface SourceRow extends SourceHealth {
  way: Way;
  /** The input behind it, where one is and the caller may see its settings. */
  of?: InputView;
}

/** One list of every way in: what the server says of all sources, and inputs that rest. */
export function sourceRows(health: readonly SourceHealth[], inputs: readonly InputView[]): SourceRow[] {
  const byId = new Map(inputs.map((x) => [x.id, x]));
  const rows: SourceRow[] = health.map((h) => {
    const of = h.input ? byId.get(h.input) : undefined;
    if (of) byId.delete(of.id);
    return { ...h, way: h.input ? 'input' : DOORS.has(h.kind) ? 'http' : 'config', of };
  });
  for (const x of byId.values()) rows.push({ ...x.health, id: x.id, kind: x.kind, input: x.id, name: x.name, tenant: x.tenant, way: 'input', of: x });
  return rows;
}

export function rowMatches(r: SourceRow, q: string, way: string | null): boolean {
  if (way && r.way !== way) return false;
  const text = [r.id, r.name, r.kind, r.listen, r.tenant, r.of?.note, ...(r.of?.tags ?? [])].join(' ').toLowerCase();
  return q.trim() === '' || text.includes(q.trim().toLowerCase());
}

/** The groups of a form, in their order. */
export type Group = 'main' | 'tls' | 'limits';
export const GROUPS: readonly Group[] = ['main', 'tls', 'limits'];

const isTls = (name: string) => /^tls|_pem$|^host_keys$|^known_hosts$|^key_passphrase$/.test(name) && name !== 'key_pem';
const isLimit = (name: string) => /^max_|_seconds$|_bytes$|^receive_buffer$|^retries$|^concurrency$/.test(name) && name !== 'interval_seconds';

/** Where a setting stands in the form: as the schema says, else by what it is called. */
export function groupOf(name: string, s: Schema): Group {
  const said = s['x-group'];
  if (said === 'tls' || said === 'limits' || said === 'main') return said;
  if (isTls(name)) return 'tls';
  return isLimit(name) ? 'limits' : 'main';
}

/** A setting without which the source cannot work. */
export function needed(name: string, s: Schema, parent: Schema): boolean {
  return (parent.required ?? []).includes(name) || (s.default === undefined && !s['x-secret'] && ((s.minItems ?? 0) > 0 || (s.minLength ?? 0) > 0));
}

/** How a setting is typed in. */
export type Widget = 'check' | 'number' | 'choice' | 'password' | 'secretText' | 'text' | 'longText' | 'words' | 'texts' | 'object' | 'objects';

export function widgetOf(name: string, s: Schema): Widget {
  const long = /_pem$|^known_hosts$|^query$|^users$|^communities$/.test(name);
  if (s['x-secret']) return long ? 'secretText' : s.type === 'array' ? 'words' : 'password';
  if (s.enum) return 'choice';
  switch (s.type) {
    case 'boolean':
      return 'check';
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      if (s.items?.type === 'object') return 'objects';
      return /^mibs$|_pem$/.test(name) ? 'texts' : 'words';
    case 'object':
      return 'object';
    default:
      return long ? 'longText' : 'text';
  }
}

export function order(s: Schema): string[] {
  return s['x-order'] ?? Object.keys(s.properties ?? {});
}

/** Settings as they are sent: without what is empty or as the source has it anyway. An empty secret stays as it is kept. */
export function trimmed(s: Schema, v: Settings): Settings {
  const out: Settings = {};
  for (const name of order(s)) {
    const p = s.properties?.[name];
    let x = v[name];
    if (!p || x === undefined || x === '') continue;
    if (x === null) {
      if (p['x-secret']) out[name] = null; // it is to be removed
      continue;
    }
    if (typeof x === 'string' && !p['x-secret'] && !/_pem$|^known_hosts$/.test(name)) x = x.trim();
    if (p.type === 'object' && p.properties) {
      const inner = trimmed(p, x as Settings);
      if (Object.keys(inner).length > 0) out[name] = inner;
      continue;
    }
    if (Array.isArray(x)) {
      const list = p.items?.properties ? x.map((e) => trimmed(p.items as Schema, e as Settings)) : x.filter((e) => e !== '');
      if (list.length > 0 || (Array.isArray(p.default) && p.default.length > 0)) out[name] = list;
      continue;
    }
    if (x === p.default || (x === false && p.default === undefined)) continue;
    out[name] = x;
  }
  return out;
}

/** What is wrong by the path of the setting, from the locations of a refusal (body.settings.brokers[0]). */
export function faultsByPath(errors: readonly { location?: string; message: string }[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const e of errors) {
    const path = (e.location ?? '').replace(/^body\./, '');
    if (path) out[path] = out[path] ? `${out[path]}; ${e.message}` : e.message;
  }
  return out;
}

/** The fault that belongs to a setting: its own, or that of an entry of it. */
export function faultAt(faults: Record<string, string>, path: string): string | undefined {
  return faults[path] ?? Object.entries(faults).find(([k]) => k.startsWith(`${path}[`) && !k.slice(path.length).includes('.'))?.[1];
}

export interface Mark {
  text: string;
  /** Names of the fields that say just this. */
  fields: string[];
}

/** A line cut where its parts became fields: the longest values first, each shown where it stands first. */
export function highlight(line: string, event: Record<string, unknown>): Mark[] {
  const found: { at: number; end: number; fields: string[] }[] = [];
  const byValue = new Map<string, string[]>();
  for (const [field, v] of Object.entries(event)) {
    if (field === 'event.original' || field === 'message' || field.startsWith('icewatch.') || field.startsWith('event.ingested')) continue;
    for (const x of Array.isArray(v) ? v : [v]) {
      const s = typeof x === 'string' || typeof x === 'number' ? String(x) : '';
      if (s.length > 0 && s.length < line.length) byValue.set(s, [...(byValue.get(s) ?? []), field]);
    }
  }
  const word = /[\p{L}\p{N}_]/u;
  for (const [value, fields] of [...byValue].sort((a, b) => b[0].length - a[0].length)) {
    for (let at = line.indexOf(value); at >= 0; at = line.indexOf(value, at + 1)) {
      const end = at + value.length;
      // A short value must stand by itself: the 2 of 192 is no port.
      const alone = !(at > 0 && word.test(line[at - 1] ?? '') && word.test(value[0] ?? '')) && !(end < line.length && word.test(line[end] ?? '') && word.test(value.at(-1) ?? ''));
      if (!alone || found.some((f) => at < f.end && end > f.at)) continue;
      found.push({ at, end, fields });
      break;
    }
  }
  found.sort((a, b) => a.at - b.at);
  const out: Mark[] = [];
  let last = 0;
  for (const f of found) {
    if (f.at > last) out.push({ text: line.slice(last, f.at), fields: [] });
    out.push({ text: line.slice(f.at, f.end), fields: f.fields });
    last = f.end;
  }
  if (last < line.length) out.push({ text: line.slice(last), fields: [] });
  return out;
}

/** A beginning of pack.yml for drafted patterns. */
export function draftPack(vendor: string, product: string, drafts: readonly { pattern: string }[]): string {
  const quoted = (s: string) => `'${s.replaceAll("'", "''")}'`;
  return [
    `vendor: ${vendor}`,
    `product: ${product}`,
    `module: ${`${vendor}_${product}`.replaceAll('-', '_')}`,
    'class: application # security, network, application, os',
    'reference: https://example.com/where-the-maker-describes-the-format',
    'logs:',
    ...drafts.flatMap((d, i) => [`  - name: message${i === 0 ? '' : i + 1}`, `    pattern: ${quoted(d.pattern)}`, '    set: {event.category: process}']),
    '',
  ].join('\n');
}
