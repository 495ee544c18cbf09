import type { Evidence, LogEvent, Pair } from '../api/types';

/** A stretch of a raw event; `fields` names what matched there, empty for plain text. */
export interface Segment {
  text: string;
  fields: string[];
}

const WORD = /[\p{L}\p{N}_]/u;

/** A value must stand alone: 22 is not marked inside 10.0.22.1 or 2201, nor root inside chroot. */
function standsAlone(text: string, from: number, to: number): boolean {
  const before = text[from - 1] ?? '';
  const after = text[to] ?? '';
  const first = text[from] as string;
  const last = text[to - 1] as string;
  // Chinese is written without spaces, so a neighbour there says nothing.
  const joins = (a: string, b: string) => WORD.test(a) && WORD.test(b) && !/\p{Script=Han}/u.test(a + b);
  if (before && joins(before, first)) return false;
  if (after && joins(last, after)) return false;
  const number = /\d/;
  if (number.test(first) && (before === '.' || before === ':') && number.test(text[from - 2] ?? '')) {
    // Part of a longer address or version number; an address before a port is whole in itself.
    if (before === '.') return false;
    if (before === ':' && !text.slice(from, to).includes('.') && /^\d{1,2}:\d{1,2}$/.test(text.slice(from - 3, to))) return false;
  }
  if (number.test(last) && after === '.' && number.test(text[to + 1] ?? '')) return false;
  return true;
}

function occurrences(text: string, value: string): [number, number][] {
  const found: [number, number][] = [];
  const scan = (hay: string, needle: string) => {
    for (let at = hay.indexOf(needle); at >= 0; at = hay.indexOf(needle, at + 1)) {
      if (standsAlone(text, at, at + needle.length)) found.push([at, at + needle.length]);
    }
  };
  scan(text, value);
  if (found.length === 0) {
    // Parsers lower-case some values. Where lower-casing changes the length, positions would not fit.
    const lower = text.toLowerCase();
    if (lower.length === text.length) scan(lower, value.toLowerCase());
  }
  return found;
}

/**
 * Cuts a raw event into stretches and marks those that hold an evidence
 * value. Of overlapping values the longer wins; the same value of two fields
 * is one mark with both names. The joined texts are always the raw event.
 */
export function markEvidence(raw: string, evidence: readonly Pair[]): Segment[] {
  if (raw === '') return [];
  const byValue = new Map<string, string[]>();
  for (const e of evidence) {
    const value = e.value.trim();
    if (value === '') continue;
    const fields = byValue.get(value) ?? [];
    if (!fields.includes(e.field)) fields.push(e.field);
    byValue.set(value, fields);
  }
  const owner: (string[] | undefined)[] = new Array<string[] | undefined>(raw.length);
  const starts = new Set<number>();
  for (const value of [...byValue.keys()].sort((a, b) => b.length - a.length)) {
    const fields = byValue.get(value) as string[];
    for (const [from, to] of occurrences(raw, value)) {
      let free = true;
      for (let i = from; i < to && free; i++) free = owner[i] === undefined;
      if (!free) continue;
      owner.fill(fields, from, to);
      starts.add(from);
    }
  }
  const segments: Segment[] = [];
  let from = 0;
  for (let i = 1; i <= raw.length; i++) {
    if (i < raw.length && owner[i] === owner[from] && !starts.has(i)) continue;
    segments.push({ text: raw.slice(from, i), fields: owner[from] ?? [] });
    from = i;
  }
  return segments;
}

/** Values of one field as texts: an array is several. */
export function fieldValues(v: unknown): string[] {
  if (v === null || v === undefined) return [];
  if (Array.isArray(v)) return v.flatMap(fieldValues);
  if (typeof v === 'object') return [JSON.stringify(v)];
  return [String(v)];
}

/** The store keeps an array as its JSON text: that text, and what is in it. */
function elements(v: string): string[] {
  if (!v.startsWith('[')) return [v];
  try {
    return [v, ...fieldValues(JSON.parse(v))];
  } catch {
    return [v];
  }
}

/** The evidence that holds for this event: fields it has with the value that matched. */
export function evidenceFields(event: LogEvent, evidence: readonly Evidence[]): Map<string, string[]> {
  const hit = new Map<string, string[]>();
  for (const e of evidence) {
    const values = fieldValues(event[e.field]).flatMap(elements).map((v) => v.toLowerCase());
    if (!values.includes(e.value.toLowerCase())) continue;
    const selections = hit.get(e.field) ?? [];
    if (!selections.includes(e.selection)) selections.push(e.selection);
    hit.set(e.field, selections);
  }
  return hit;
}
