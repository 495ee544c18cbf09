import catalogue from '../locales/refusals.json';

/**
 * What the server refuses, in Chinese. The catalogue's keys are the server's own formats,
 * with Go's verbs; a test of the server holds them against its sources. {1} is the first
 * value of the format. A kind whose text is empty is left out before what it introduces.
 */

interface Sentence {
  pattern: RegExp;
  /** The verb of each value, such as q. */
  verbs: string[];
  zh: string;
}

const VERB = /%[#+.\d]*([a-zA-Z%])/g;
const VALUES: Readonly<Record<string, string>> = { d: '(-?\\d+)', x: '((?:0x)?[0-9a-fA-F]+)', q: '("(?:[^"\\\\]|\\\\.)*")' };
const literal = (s: string) => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function sentence(format: string, zh: string): Sentence {
  // An error that begins by what kind it is may stand without it.
  const text = format.replace(/^%w: /, '');
  const verbs: string[] = [];
  let pattern = '';
  let at = 0;
  for (const m of text.matchAll(VERB)) {
    const verb = m[1] ?? '';
    pattern += literal(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (verb === '%') pattern += '%';
    else {
      verbs.push(verb);
      pattern += VALUES[verb] ?? '([^]*?)';
    }
  }
  return { pattern: new RegExp(`^${pattern}${literal(text.slice(at))}$`), verbs, zh };
}

let sentences: Sentence[] | undefined;
/** All sentences, those with the most words of their own first: the others may take their words for values. */
function all(): Sentence[] {
  const words = (format: string) => format.replace(VERB, '').length;
  sentences ??= Object.values(catalogue as Record<string, Record<string, string>>)
    .flatMap((group) => Object.entries(group))
    .sort(([a], [b]) => words(b) - words(a))
    .map(([format, zh]) => sentence(format, zh));
  return sentences;
}

/** A quoted text in Chinese quotation marks. */
function quoted(text: string): string {
  try {
    return `“${JSON.parse(text) as string}”`;
  } catch {
    return `“${text.slice(1, -1)}”`; // of Go's escapes JSON lacks a few, such as \x00
  }
}

function whole(text: string): string | undefined {
  for (const { pattern, verbs, zh } of all()) {
    const m = pattern.exec(text);
    if (!m) continue;
    const values = verbs.map((verb, i) => {
      const value = m[i + 1] ?? '';
      return verb === 'q' ? quoted(value) : 'dx'.includes(verb) ? value : (refusalZh(value) ?? value);
    });
    return zh.replace(/( ?)\{(\d)\}( ?)/g, (_, before: string, n: string, after: string) => {
      const value = values[Number(n) - 1] ?? '';
      return verbs[Number(n) - 1] === 'q' ? value : before + value + after; // no spaces beside quotation marks
    });
  }
  return undefined;
}

/** A refusal in Chinese, and where it is, such as "plugin.yaml: …"; undefined where its words are unknown. */
export function refusalZh(text: string): string | undefined {
  if (text.includes('\n')) {
    const lines = text.split('\n').map((line) => [line, refusalZh(line.trim())] as const);
    return lines.some(([, zh]) => zh !== undefined) ? lines.map(([line, zh]) => zh ?? line).join('\n') : undefined;
  }
  const said = whole(text);
  if (said !== undefined) return said;
  for (let at = text.indexOf(': '); at > 0; at = text.indexOf(': ', at + 1)) {
    const rest = whole(text.slice(at + 2));
    if (rest === undefined) continue;
    const head = text.slice(0, at);
    const where = refusalZh(head) ?? head;
    return where ? `${where}：${rest}` : rest;
  }
  return undefined;
}
