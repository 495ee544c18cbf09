/**
 * Filters of the CMDB as a tree that a form can show, and back as text. The
 * server's grammar (docs/cmdb.md) rules; what this cannot read stays text.
 */
export type Operator = '=' | '!=' | '~' | '^=' | '<' | '<=' | '>' | '>=' | 'in' | 'exists';
export interface Condition {
  kind: 'condition';
  /** Whose field it looks at: the item's own, or what it belongs to. */
  of: '' | 'system' | 'organisation';
  field: string;
  op: Operator;
  values: string[];
}
export interface Step {
  types: string[];
  forward: boolean;
  backward: boolean;
  min: number;
  max: number;
  classes: string[];
  filter?: Filter;
}
export interface Has {
  kind: 'has';
  steps: Step[];
}
export interface Group {
  kind: 'and' | 'or';
  kids: Filter[];
}
export interface Not {
  kind: 'not';
  kid: Filter;
}
export type Filter = Condition | Has | Group | Not;

const SIGNS = ['!=', '^=', '<=', '>=', '=', '~', '<', '>'] as const;
const BARE = /^[^\s()[\],"'<>=!~]+/;

class Unreadable extends Error {}

class Reader {
  at = 0;
  constructor(readonly text: string) {}
  space() {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
  }
  end() {
    this.space();
    return this.at >= this.text.length;
  }
  sign(s: string) {
    this.space();
    if (!this.text.startsWith(s, this.at)) return false;
    this.at += s.length;
    return true;
  }
  take(re: RegExp) {
    this.space();
    const m = re.exec(this.text.slice(this.at));
    if (!m || m[0] === '') return '';
    this.at += m[0].length;
    return m[0];
  }
  word(w: string) {
    this.space();
    const rest = this.text.slice(this.at);
    if (rest.slice(0, w.length).toLowerCase() !== w || /^[A-Za-z0-9_.]/.test(rest.slice(w.length))) return false;
    this.at += w.length;
    return true;
  }
  list(word: 'and' | 'or', next: () => Filter): Filter {
    const kids = [next()];
    while (this.word(word)) kids.push(next());
    return kids.length === 1 ? (kids[0] as Filter) : { kind: word, kids };
  }
  or(): Filter {
    return this.list('or', () => this.list('and', () => this.not()));
  }
  not(): Filter {
    if (this.word('not')) return { kind: 'not', kid: this.not() };
    if (this.sign('(')) {
      const e = this.or();
      if (!this.sign(')')) throw new Unreadable();
      return e;
    }
    if (this.word('has')) {
      const steps = this.steps();
      if (steps.length === 0) throw new Unreadable();
      return { kind: 'has', steps };
    }
    return this.condition();
  }
  condition(): Filter {
    const name = this.take(/^[A-Za-z0-9_][A-Za-z0-9_.-]*/);
    if (!name || /^(and|or|in|exists)$/i.test(name)) throw new Unreadable();
    const c: Condition = { kind: 'condition', of: '', field: name, op: '=', values: [] };
    const m = /^(system|organisation)\.(.+)$/.exec(name);
    if (m) {
      c.of = m[1] as 'system' | 'organisation';
      c.field = m[2] as string;
    }
    if (this.word('exists')) return { ...c, op: 'exists' };
    const negated = this.word('not');
    if (this.word('in')) {
      c.op = 'in';
      if (!this.sign('(')) throw new Unreadable();
      do c.values.push(this.value());
      while (this.sign(','));
      if (!this.sign(')')) throw new Unreadable();
      return negated ? { kind: 'not', kid: c } : c;
    }
    const op = negated ? undefined : SIGNS.find((s) => this.sign(s));
    if (!op) throw new Unreadable();
    return { ...c, op, values: [this.value()] };
  }
  value(): string {
    this.space();
    const q = this.text[this.at];
    if (q !== '"' && q !== "'") {
      const v = this.take(BARE);
      if (!v) throw new Unreadable();
      return v;
    }
    let out = '';
    for (this.at++; this.at < this.text.length; this.at++) {
      const ch = this.text[this.at] as string;
      if (ch === q) {
        this.at++;
        return out;
      }
      out += ch === '\\' ? (this.text[++this.at] ?? '') : ch;
    }
    throw new Unreadable();
  }
  names(): string[] {
    const out: string[] = [];
    for (;;) {
      const n = this.take(/^[A-Za-z0-9_]+/);
      if (!n) {
        if (out.length > 0) throw new Unreadable();
        return out;
      }
      out.push(n);
      if (!this.sign('|')) return out;
    }
  }
  steps(): Step[] {
    const out: Step[] = [];
    for (;;) {
      const back = this.sign('<-');
      if (!back && !this.sign('-')) return out;
      const types = this.names();
      let [min, max] = [1, 1];
      if (this.sign('*')) {
        const m = /^(\d+)(?:\.\.(\d+))?$/.exec(this.take(/^\d+(\.\.\d+)?/));
        if (!m) throw new Unreadable();
        min = Number(m[1]);
        max = Number(m[2] ?? m[1]);
      }
      const forward = this.sign('->');
      if (forward ? back : !this.sign('-')) throw new Unreadable();
      const step: Step = { types, forward: forward || !back, backward: !forward, min, max, classes: [] };
      if (!this.sign('*')) {
        step.classes = this.names();
        if (this.sign('[')) {
          step.filter = this.or();
          if (!this.sign(']')) throw new Unreadable();
        }
        if (step.classes.length === 0 && !step.filter) throw new Unreadable();
      }
      out.push(step);
    }
  }
}

/** The filter as a tree; null where the text is none that can be read here. */
export function parseFilter(text: string): Filter | null {
  try {
    const r = new Reader(text);
    const e = r.or();
    return r.end() ? e : null;
  } catch (e) {
    if (e instanceof Unreadable) return null;
    throw e;
  }
}

/** A value as it is written: quoted where it would not be read as it is. */
export function quoted(v: string): string {
  return BARE.exec(v)?.[0] === v ? v : `"${v.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`;
}

function stepText(s: Step): string {
  const repeat = s.min === 1 && s.max === 1 ? '' : `*${s.min}..${s.max}`;
  const to = s.classes.join('|') + (s.filter ? `[${formatFilter(s.filter)}]` : '');
  return `${s.backward && !s.forward ? '<-' : '-'}${s.types.join('|')}${repeat}${s.forward && !s.backward ? '->' : '-'} ${to || '*'}`;
}

/** A tree as text. */
export function formatFilter(f: Filter, around = ''): string {
  switch (f.kind) {
    case 'and':
    case 'or': {
      const text = f.kids.map((k) => formatFilter(k, f.kind)).join(` ${f.kind} `);
      return f.kids.length > 1 && (around === 'not' || (around === 'and' && f.kind === 'or') || around === f.kind) ? `(${text})` : text;
    }
    case 'not':
      return `not ${formatFilter(f.kid, 'not')}`;
    case 'has':
      return `has ${f.steps.map(stepText).join(' ')}`;
    case 'condition': {
      const name = (f.of ? `${f.of}.` : '') + f.field;
      if (f.op === 'exists') return `${name} exists`;
      if (f.op === 'in') return `${name} in (${f.values.map(quoted).join(', ')})`;
      return `${name} ${f.op} ${quoted(f.values[0] ?? '')}`;
    }
  }
}

/** Whether every condition says something: an empty one is still being made. */
export function complete(f: Filter): boolean {
  switch (f.kind) {
    case 'and':
    case 'or':
      return f.kids.length > 0 && f.kids.every(complete);
    case 'not':
      return complete(f.kid);
    case 'has':
      return f.steps.length > 0 && f.steps.every((s) => !s.filter || complete(s.filter));
    case 'condition':
      return f.field !== '' && (f.op === 'exists' || (f.values.length > 0 && f.values.every((v) => v !== '')));
  }
}

/** The operators that suit a type of values. */
export function operatorsFor(type: string): readonly Operator[] {
  if (type === 'integer' || type === 'decimal' || type === 'date') return ['=', '!=', '<', '<=', '>', '>=', 'in', 'exists'];
  if (type === 'boolean') return ['=', 'exists'];
  if (type === 'enum' || type === 'reference') return ['=', '!=', 'in', 'exists'];
  if (type === 'table') return ['~', 'exists'];
  return ['=', '!=', '~', '^=', 'in', 'exists'];
}

/** Both must hold; what is empty does not count. */
export function both(a: string, b: string): string {
  const wrap = (x: string) => (/\bor\b/i.test(x) ? `(${x})` : x);
  return a && b ? `${wrap(a)} and ${wrap(b)}` : a || b;
}
