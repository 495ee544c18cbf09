/**
 * Building LogsQL by clicking. A click never touches what the analyst wrote
 * but by adding to it: the written part keeps its meaning (parentheses where
 * an `or` would change it) and pipes stay at the end.
 */

/** Quotes as LogsQL does: a Go string literal. */
export function quote(value: string): string {
  let s = '"';
  for (const c of value) {
    switch (c) {
      case '"':
        s += '\\"';
        break;
      case '\\':
        s += '\\\\';
        break;
      case '\n':
        s += '\\n';
        break;
      case '\r':
        s += '\\r';
        break;
      case '\t':
        s += '\\t';
        break;
      default: {
        const code = c.codePointAt(0) as number;
        s += code < 0x20 || code === 0x7f ? `\\x${code.toString(16).padStart(2, '0')}` : c;
      }
    }
  }
  return `${s}"`;
}

/** A field's name, quoted where LogsQL would read it otherwise. */
export function fieldName(name: string): string {
  return /^[A-Za-z_][\w.]*$/.test(name) && !/^(and|or|not|in|is)$/i.test(name) ? name : quote(name);
}

/** `field:="value"`: the field is exactly the value; the empty value finds events without the field. */
export function fieldIs(field: string, value: string): string {
  return `${fieldName(field)}:=${quote(value)}`;
}

/** A phrase anywhere in the text of the events. */
export function phrase(value: string): string {
  return quote(value);
}

/** Walks a query outside quotes; f gets each character's place and its depth in parentheses. */
function walk(query: string, f: (at: number, depth: number) => boolean | void): void {
  let depth = 0;
  for (let i = 0; i < query.length; i++) {
    const c = query[i] as string;
    if (c === '"' || c === "'" || c === '`') {
      let j = i + 1;
      while (j < query.length && query[j] !== c) j += c !== '`' && query[j] === '\\' ? 2 : 1;
      i = j;
      continue;
    }
    if (c === '(' || c === '[' || c === '{') depth++;
    else if (c === ')' || c === ']' || c === '}') depth = Math.max(0, depth - 1);
    if (f(i, depth)) return;
  }
}

/** Parts a query into filter and pipes (with the leading |). */
export function splitPipes(query: string): [filter: string, pipes: string] {
  let at = -1;
  walk(query, (i, depth) => {
    if (depth === 0 && query[i] === '|') {
      at = i;
      return true;
    }
    return false;
  });
  return at < 0 ? [query.trim(), ''] : [query.slice(0, at).trim(), query.slice(at).trim()];
}

/** Whether a filter has an `or` outside parentheses and quotes. */
export function hasTopLevelOr(filter: string): boolean {
  let found = false;
  walk(filter, (i, depth) => {
    if (depth === 0 && /^or(?![\w.:-])/i.test(filter.slice(i)) && !/[\w.:"'`-]/.test(filter[i - 1] ?? ' ')) {
      found = true;
      return true;
    }
    return false;
  });
  return found;
}

/** Tells whether a term stands in the filter as a whole word outside quotes and parentheses. */
function hasTerm(filter: string, term: string): boolean {
  for (let at = filter.indexOf(term); at >= 0; at = filter.indexOf(term, at + 1)) {
    const before = filter[at - 1] ?? ' ';
    const after = filter[at + term.length] ?? ' ';
    if (/[\s(]/.test(before) && /[\s)]/.test(after)) return true;
  }
  return false;
}

function addTerm(query: string, term: string, opposite: string): string {
  const [filter, pipes] = splitPipes(query);
  let rest = filter;
  if (hasTopLevelOr(rest)) rest = `(${rest})`;
  else {
    if (hasTerm(rest, opposite)) {
      // “only this” after “not this” (or the reverse) takes the place of it.
      rest = removeTerm(rest, opposite);
    }
    if (hasTerm(rest, term)) return [rest, pipes].filter(Boolean).join(' ');
  }
  const whole = rest === '' || rest === '*' ? term : `${rest} ${term}`;
  return pipes ? `${whole} ${pipes}` : whole;
}

function removeTerm(filter: string, term: string): string {
  for (let at = filter.indexOf(term); at >= 0; at = filter.indexOf(term, at + 1)) {
    const end = at + term.length;
    if (/\s/.test(filter[at - 1] ?? ' ') && /\s/.test(filter[end] ?? ' ')) {
      return `${filter.slice(0, at).trimEnd()} ${filter.slice(end).trimStart()}`.trim();
    }
  }
  return filter;
}

/** Narrows a query to events whose field has this value. */
export function filterIn(query: string, field: string, value: string): string {
  const t = fieldIs(field, value);
  return addTerm(query, t, `!${t}`);
}

/** Takes events whose field has this value out of a query. */
export function filterOut(query: string, field: string, value: string): string {
  const t = fieldIs(field, value);
  return addTerm(query, `!${t}`, t);
}

/** Narrows a query to events that hold a text anywhere in their message. */
export function phraseIn(query: string, text: string): string {
  const t = phrase(text);
  return addTerm(query, t, `!${t}`);
}

/** Takes events that hold a text out of a query. */
export function phraseOut(query: string, text: string): string {
  const t = phrase(text);
  return addTerm(query, `!${t}`, t);
}

/** Narrows a query by a filter; one with an `or` of its own stands in parentheses. */
export function narrowBy(query: string, filter: string): string {
  const t = hasTopLevelOr(filter) ? `(${filter})` : filter;
  return addTerm(query, t, `!${t}`);
}
