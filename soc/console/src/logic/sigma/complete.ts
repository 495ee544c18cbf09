import { keysAt, schemaOf, valuesAt } from './schema';

/** What can be written at a place of a rule's YAML: keys and values by the schema of its kind, fields, modifiers, words of conditions. */
export interface Completion {
  /** What is replaced. */
  from: number;
  to: number;
  options: string[];
}

const LISTS = new Set(['fields', 'group_by', 'group-by']);
export const MODIFIERS = ['contains', 'startswith', 'endswith', 'all', 're', 'cidr', 'exists', 'lt', 'lte', 'gt', 'gte', 'cased', 'neq', 'base64', 'base64offset', 'utf16', 'wide', 'windash', 'fieldref', 'expand'];
const CONDITION = ['and ', 'or ', 'not ', '1 of ', 'all of ', 'them'];

const indent = (line: string) => line.length - line.trimStart().length;

/** The keys above a line, the outermost first. */
function above(lines: readonly string[], at: number, depth: number): string[] {
  const path: string[] = [];
  for (let i = at - 1; i >= 0 && depth > 0; i--) {
    const line = lines[i] as string;
    if (line.trim() === '' || line.trim().startsWith('#')) continue;
    const n = indent(line);
    const key = /^\s*(?:- )?([\w.@|-]+):/.exec(line)?.[1];
    if (n < depth && key) {
      path.unshift(key);
      depth = n;
    }
  }
  return path;
}

const most = 12;
function among(options: readonly string[], word: string): string[] {
  const w = word.toLowerCase();
  const starts = options.filter((o) => o.toLowerCase().startsWith(w));
  const holds = w.length > 1 ? options.filter((o) => !o.toLowerCase().startsWith(w) && o.toLowerCase().includes(w)) : [];
  return [...starts, ...holds].filter((o) => o !== word).slice(0, most);
}

/** What can stand at the caret; nothing where that is unknown. */
export function completions(source: string, caret: number, fields: readonly string[]): Completion | null {
  const before = source.slice(0, caret);
  // A file may hold several documents: the one around the caret counts.
  const every = source.split('\n');
  const whole = before.split('\n').length - 1;
  const begin = every.slice(0, whole).lastIndexOf('---') + 1;
  const end = every.indexOf('---', whole);
  const lines = every.slice(begin, end < 0 ? undefined : end);
  const at = whole - begin;
  const schema = schemaOf(lines);
  const line = before.slice(before.lastIndexOf('\n') + 1);
  if (line.trimStart().startsWith('#')) return null;
  const done = (word: string, options: readonly string[]): Completion | null => {
    const found = among(options, word);
    return found.length > 0 ? { from: caret - word.length, to: caret, options: found } : null;
  };
  const value = /^\s*(?:- )?([\w.-]+):\s+(.*)$/.exec(line);
  const depth = indent(line) + (line.trimStart().startsWith('- ') ? 2 : 0);
  const path = above(lines, at, indent(line) || 0);
  if (value) {
    const [, key = '', text = ''] = value;
    if (key === 'condition' && path[0] === 'detection') {
      const names = lines.filter((l) => /^\s+[\w-]+:/.test(l)).flatMap((l, i) => (above(lines, lines.indexOf(l, i), indent(l)).join() === 'detection' ? [(/^\s+([\w-]+):/.exec(l) ?? [])[1] ?? ''] : []));
      const word = /[\w-]*$/.exec(text)?.[0] ?? '';
      return done(word, [...new Set(names.filter((n) => n && n !== 'condition')), ...CONDITION]);
    }
    if (path[0] === 'detection') return null;
    const words = valuesAt(schema, [...path, key]);
    return words.length > 0 ? done(text, words) : null;
  }
  const item = /^\s*- ([\w.@-]*)$/.exec(line);
  if (item && LISTS.has(path.at(-1) ?? '')) return done(item[1] ?? '', fields);
  const key = /^\s*(?:- )?([\w.@-]*)((?:\|[\w]*)*)$/.exec(line);
  if (!key) return null;
  const [, word = '', modifiers = ''] = key;
  // What stands there already is not offered again, but where a list may have it in another entry.
  const taken = new Set(lines.flatMap((l, i) => (i !== at && indent(l) === indent(line) && above(lines, i, indent(l)).join() === path.join() ? [(/^\s*([\w.@-]+):/.exec(l) ?? [])[1] ?? ''] : [])));
  const fresh = (keys: string[]) => (line.trimStart().startsWith('- ') ? keys : keys.filter((k) => !taken.has(k.replace(/:\s*$/, ''))));
  if (depth === 0) return word ? done(word, fresh(keysAt(schema, []))) : null;
  if (path[0] === 'detection' && path.length > 1) {
    if (modifiers) return done(modifiers.slice(modifiers.lastIndexOf('|') + 1), MODIFIERS);
    return word ? done(word, fields) : null;
  }
  const inside = fresh(keysAt(schema, path));
  if (inside.length === 0 && item) {
    const words = valuesAt(schema, path);
    return words.length > 0 ? done(item[1] ?? '', words) : null;
  }
  return inside.length > 0 && word ? done(word, inside) : null;
}
