/**
 * A search as the beginning of a detection rule: its tree of conditions as one
 * of Sigma, and its counting, where it counts, as a correlation. What Sigma
 * cannot say is named, never dropped in silence: of conditions that all must
 * hold one may be left out (the rule then finds more); of alternatives and
 * negations the whole goes, for the rest would mean something else.
 */
import type { Clause, Leaf as Condition } from '../../api/search';
import { list } from '../../api/types';
import { group, leaf, simplified, text, type Counting, type Draft, type Leaf, type Node, type Value } from './tree';

export interface FromQuery {
  draft: Draft;
  /** Parts of the search that the rule does not hold, as they are written. */
  left: string[];
  /** A text is compared in another way: Sigma knows no words, and no letter case unless told. */
  wider: boolean;
}

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)$/;

/** A text as Sigma reads it: its wildcards and what would take away their meaning stand for themselves. */
export function plain(s: string): string {
  return s.replace(/\\+(?=[*?]|$)/g, (m) => m + m).replace(/[*?]/g, '\\$&');
}

const escaped = (s: string) => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** A condition as people read it, to say which was left out. */
function words(c: Clause): string {
  if ('text' in c) return c.text;
  if ('join' in c) return c.join === 'not' ? `!(${list(c.clauses).map(words).join(' ')})` : `(${list(c.clauses).map(words).join(c.join === 'any' ? ' or ' : ' and ')})`;
  return `${c.field ? `${c.field} ` : ''}${c.operator} ${list(c.values).join(', ')}`.trim();
}

export function draftFromQuery(clause: Clause | null, pipes: string, name: string): FromQuery {
  const left: string[] = [];
  let wider = false;

  const texts = (values: readonly string[]): Value[] => values.map((v) => text(plain(v)));
  /** A condition on a field, or on the whole event where it names none. */
  const about = (c: Condition, op: 'contains' | 'startswith' | 'endswith', values: readonly string[], more: Partial<Leaf> = {}): Node | null => {
    wider = true;
    if (c.field) return leaf(c.field, op, texts(values), more);
    return op === 'contains' ? leaf('', 'keyword', texts(values), more) : null;
  };
  const compared = (c: Condition): Node | null => {
    const v = list(c.values);
    const [first = '', second = ''] = v;
    const field = c.field ?? '';
    if (field === '@timestamp' || field === '_time') return null;
    const number = (op: 'lt' | 'lte' | 'gt' | 'gte', s: string): Leaf | null => (NUMBER.test(s) ? leaf(field, op, [{ text: s, kind: 'number' }]) : null);
    switch (c.operator) {
      case 'contains':
      case 'contains_prefix':
      case 'ignore_case':
      case 'ignore_case_prefix':
      case 'substring':
        return about(c, 'contains', [first]);
      case 'not_contains':
        return about(c, 'contains', [first], { not: true });
      case 'contains_any':
        return about(c, 'contains', v);
      case 'contains_all':
        return about(c, 'contains', v, { all: v.length > 1 });
      case 'starts_with':
        return about(c, 'startswith', [first]);
      case 'ends_with':
        return about(c, 'endswith', [first]);
    }
    if (!field) return null;
    switch (c.operator) {
      case 'equals':
        return first === '' ? leaf(field, 'exists', [], { not: true }) : leaf(field, 'equals', texts([first]));
      case 'not_equals':
        return first === '' ? leaf(field, 'exists') : leaf(field, 'equals', texts([first]), { not: true });
      case 'in':
        return v.includes('') ? null : leaf(field, 'equals', texts(v));
      case 'not_in':
        return v.includes('') ? null : leaf(field, 'equals', texts(v), { not: true });
      case 'wildcard':
        return leaf(field, 'equals', [text(first)]);
      case 'matches':
        return leaf(field, 're', [text(first)]);
      case 'not_matches':
        return leaf(field, 're', [text(first)], { not: true });
      case 'sequence':
        return leaf(field, 're', [text(v.map(escaped).join('.*'))]);
      case 'greater':
        return number('gt', first);
      case 'greater_equal':
        return number('gte', first);
      case 'less':
        return number('lt', first);
      case 'less_equal':
        return number('lte', first);
      case 'range': {
        const from = number('gte', first);
        const to = number('lte', second);
        return from && to ? group('and', [from, to]) : null;
      }
      case 'cidr':
        return leaf(field, 'cidr', [text(first)]);
      case 'exists':
        return leaf(field, 'exists');
      case 'missing':
        return leaf(field, 'exists', [], { not: true });
      case 'equals_field':
        return leaf(field, 'fieldref', [text(first)]);
      default:
        return null;
    }
  };
  const negated = (n: Node): Node => ({ ...n, not: !n.not });
  /** null where it cannot be said at all; `whole` where no part of it may be missing. */
  const node = (c: Clause, whole: boolean): Node | null => {
    if ('text' in c) return null;
    if (!('join' in c)) return compared(c);
    const parts = list(c.clauses);
    if (c.join === 'not') {
      const inner = parts[0] && node(parts[0], true);
      return inner ? negated(inner) : null;
    }
    const made: Node[] = [];
    for (const p of parts) {
      const n = node(p, whole || c.join === 'any');
      if (n) made.push(n);
      else if (whole || c.join === 'any') return null;
      else left.push(words(p));
    }
    return made.length === 0 ? null : group(c.join === 'any' ? 'or' : 'and', made);
  };

  const top = clause === null ? null : node(clause, false);
  if (clause !== null && top === null && !('join' in clause && clause.join === 'all')) left.push(words(clause));
  const counting = countingOf(pipes);
  if (pipes.trim() !== '' && !counting) left.push(`| ${pipes.trim()}`);
  const made = top === null ? leaf('', 'equals') : simplified(top);
  const draft: Draft = {
    title: `Search: ${name}`,
    titleZh: `检索：${name}`,
    description: '',
    level: 'medium',
    status: 'experimental',
    tags: [],
    logsource: { product: '', category: '', service: '' },
    tree: made.kind === 'group' && !made.not && made.op === 'and' ? made : group('and', [made]),
    counting,
  };
  return { draft, left, wider };
}

/** `stats by (a) count() n | filter n:>5` is a rule that counts; how long it counts for no search says, so five minutes. */
export function countingOf(pipes: string): Counting | undefined {
  const m = /^stats\s+by\s*\(([^)]*)\)\s*(count|count_uniq)\(([^)]*)\)\s+(?:as\s+)?("?)([\w.]+)\4\s*\|\s*(?:filter|where)\s+("?)([\w.]+)\6:\s*(>=|>|<=|<|=)\s*(\d+)$/.exec(pipes.trim());
  if (!m || m[5] !== m[7]) return undefined;
  const bare = (s: string) => s.trim().replace(/^"(.*)"$/, '$1');
  const groupBy = (m[1] ?? '').split(',').map(bare).filter(Boolean);
  const of = bare(m[3] ?? '');
  const uniq = m[2] === 'count_uniq';
  if (groupBy.some((f) => f.startsWith('_time')) || (uniq ? of === '' || of.includes(',') : of !== '' && of !== '*')) return undefined;
  const relation = ({ '>=': 'gte', '>': 'gt', '<=': 'lte', '<': 'lt', '=': 'eq' } as const)[m[8] as '>='];
  return { type: uniq ? 'value_count' : 'event_count', field: uniq ? of : '', groupBy, timespan: '5m', relation, threshold: Number(m[9]), generate: false };
}
