/** Events as lines and cells. */
import type { LogEvent } from '../api/types';
import { fieldValues } from './evidence';
import { splitPipes } from './logsql';

/** The value of a field as one text; '' where the event has none. */
export function textOf(e: LogEvent, name: string): string {
  return fieldValues(e[name]).join(' ');
}

/** What an event says in one line: the raw text, less a syslog header, whose time and host stand beside it already. */
export function lineOf(e: LogEvent): string {
  const raw = textOf(e, 'event.original');
  const message = textOf(e, 'message');
  const program = textOf(e, 'process.name') || textOf(e, 'log.syslog.appname');
  const line = /^<\d{1,3}>/.test(raw) && message ? `${program ? `${program}: ` : ''}${message}` : raw || message || JSON.stringify(e);
  return line.trim();
}

/** A key that is the event's own, or made of what it holds where it has none (computed rows). */
export function keyOf(e: LogEvent, at: number): string {
  return textOf(e, 'event.id') || `${textOf(e, '@timestamp')}-${at}`;
}

/** A stretch of a line; marked where the query asked for it. */
export interface Stretch {
  text: string;
  marked: boolean;
}

/** The words and phrases a query looks for in the text of events: what is not negated and not of a field. */
export function wanted(query: string): string[] {
  // field:in("a", "b") and its like are about the field.
  const filter = splitPipes(query)[0].replace(/[\w."]+:!?=?\w*\([^)]*\)/g, ' ');
  const found: string[] = [];
  const token = /"((?:[^"\\]|\\.)*)"|([^\s()"|]+)/g;
  let not = false;
  let attached = false;
  for (let m = token.exec(filter); m; m = token.exec(filter)) {
    const quoted = m[1] !== undefined;
    const word = quoted ? (m[1] as string).replace(/\\(.)/g, '$1') : (m[2] as string);
    const wasAttached = attached;
    attached = !quoted && /[:=<>~]$/.test(word) && !/\s/.test(filter[token.lastIndex] ?? ' ');
    if (!quoted && /^(and|or)$/i.test(word)) continue;
    if (!quoted && (/^not$/i.test(word) || word === '!' || word === '-')) {
      not = true;
      continue;
    }
    const skip = not || wasAttached || (!quoted && /[:=<>~!*{}[\],]/.test(word)) || word.length < 2;
    not = false;
    if (!skip && !found.includes(word)) found.push(word);
  }
  return found;
}

/** Cuts a line where wanted words stand in it, whatever their case. */
export function markWords(line: string, words: readonly string[]): Stretch[] {
  if (words.length === 0) return [{ text: line, marked: false }];
  const any = new RegExp(words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).sort((a, b) => b.length - a.length).join('|'), 'gi');
  const out: Stretch[] = [];
  let from = 0;
  for (const m of line.matchAll(any)) {
    if (m.index > from) out.push({ text: line.slice(from, m.index), marked: false });
    out.push({ text: m[0], marked: true });
    from = m.index + m[0].length;
  }
  if (from < line.length || out.length === 0) out.push({ text: line.slice(from), marked: false });
  return out;
}
