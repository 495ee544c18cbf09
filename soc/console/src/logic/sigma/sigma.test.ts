import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { Unreadable, parseCondition } from './condition';
import { readRule } from './read';
import { CHOICES, choiceOf, choose, group, leaf, replaceAt, simplified, typed, unfinished, type Draft, type Group, type Leaf, type Node } from './tree';
import { writeRule } from './write';

const BARE: Omit<Draft, 'tree'> = { title: 'T', titleZh: '', description: '', level: 'high', status: '', tags: [], logsource: { product: 'linux', category: '', service: '' } };
const draft = (tree: Group, more: Partial<Draft> = {}): Draft => ({ ...BARE, tree, ...more });
const built = (tree: Node): Record<string, unknown> => (parse(writeRule('', draft(tree.kind === 'group' ? tree : group('and', [tree])))) as { detection: Record<string, unknown> }).detection;
const tree = (yaml: string): Group => {
  const r = readRule(`title: T\nlogsource: {}\ndetection:\n${yaml.replace(/^/gm, '  ')}\n`);
  if (!r.draft) throw new Error(JSON.stringify(r.obstacle));
  return r.draft.tree;
};

/** What a tree means: negations pushed nowhere, names dropped, groups of one opened. */
function meaning(n: Node): unknown {
  const s = simplified(nameless(n));
  const say = (x: Node): unknown => {
    const it = x.kind === 'leaf' ? [x.field, x.op, ...x.extra, ...x.after, x.cased, x.all, x.values.map((v) => [v.kind, v.text])] : [x.items.length === 1 ? 'and' : x.op, x.items.map(say).map((i) => JSON.stringify(i)).sort()];
    return x.not ? ['not', it] : it;
  };
  return say(s);
}
function nameless(n: Node): Node {
  const { name: _, ...rest } = n;
  return rest.kind === 'group' ? { ...rest, items: rest.items.map(nameless) } : rest;
}

describe('condition', () => {
  const names = ['a', 'b', 'sel_1', 'sel_2', '_x', 'filter_main'];
  it('binds not before and before or', () => {
    expect(parseCondition('not a and b or sel_1', names)).toEqual({
      kind: 'or',
      args: [{ kind: 'and', args: [{ kind: 'not', arg: { kind: 'name', name: 'a' } }, { kind: 'name', name: 'b' }] }, { kind: 'name', name: 'sel_1' }],
    });
  });
  it('knows 1 of, all of, them, and leaves out what begins with _', () => {
    expect(parseCondition('1 of sel_* AND NOT all of filter_*', names)).toMatchObject({ kind: 'and', args: [{ kind: 'of', quantity: 'one', names: ['sel_1', 'sel_2'] }, { kind: 'not' }] });
    expect(parseCondition('all of them', names)).toMatchObject({ names: ['a', 'b', 'sel_1', 'sel_2', 'filter_main'] });
  });
  it.each(['a and', 'c', '(a', 'a)', '2 of them', '1 of nope*', '', 'a b'])('refuses %j', (s) => {
    expect(() => parseCondition(s, names)).toThrow(Unreadable);
  });
});

describe('from a tree to YAML', () => {
  it('puts conditions that hold together into one map', () => {
    expect(built(group('and', [leaf('a', 'equals', ['x']), leaf('b', 'contains', ['y', 'z'])]))).toEqual({ selection: { a: 'x', 'b|contains': ['y', 'z'] }, condition: 'selection' });
  });
  it('makes a list of what holds either way', () => {
    expect(built(group('or', [leaf('a', 'equals', ['x']), group('and', [leaf('b', 'gte', [{ text: '5', kind: 'number' }]), leaf('c', 'exists')])]))).toEqual({
      selection: [{ a: 'x' }, { 'b|gte': 5, 'c|exists': true }],
      condition: 'selection',
    });
  });
  it('nests what does not fit one selection, with brackets where they are needed', () => {
    const t = group('and', [
      leaf('a', 'startswith', ['x']),
      group('or', [leaf('b', 'equals', ['1']), group('and', [leaf('c', 'equals', ['2']), leaf('d', 'cidr', ['10.0.0.0/8'], { not: true })])]),
      leaf('e', 're', ['^x+$'], { not: true }),
    ]);
    expect(built(t)).toEqual({
      selection: { 'a|startswith': 'x' },
      selection_2: { b: '1' },
      selection_3: { c: '2' },
      filter: { 'd|cidr': '10.0.0.0/8' },
      filter_2: { 'e|re': '^x+$' },
      condition: 'selection and (selection_2 or (selection_3 and not filter)) and not filter_2',
    });
  });
  it('negates a group', () => {
    expect(built(group('and', [leaf('a', 'equals', ['x']), group('or', [leaf('b', 'equals', ['1']), leaf('c', 'equals', ['2'])], { not: true })]))).toEqual({
      selection: { a: 'x' },
      filter: [{ b: '1' }, { c: '2' }],
      condition: 'selection and not filter',
    });
  });
  it('does not put one key twice into a map', () => {
    expect(built(group('and', [leaf('a', 'contains', ['x']), leaf('a', 'contains', ['y'])]))).toEqual({ selection: { 'a|contains': 'x' }, selection_2: { 'a|contains': 'y' }, condition: 'selection and selection_2' });
  });
  it('writes every operator', () => {
    const keys = CHOICES.filter((c) => c.op !== 'keyword').map((c) => {
      const l = choose(leaf('f', 'equals', ['1', '2']), c);
      const d = built(l);
      const [sel] = Object.values(d);
      return [c.key, Object.keys(sel as object)[0], d.condition];
    });
    expect(keys).toMatchInlineSnapshot(`
      [
        [
          "equals",
          "f",
          "selection",
        ],
        [
          "notEquals",
          "f",
          "not filter",
        ],
        [
          "in",
          "f",
          "selection",
        ],
        [
          "notIn",
          "f",
          "not filter",
        ],
        [
          "contains",
          "f|contains",
          "selection",
        ],
        [
          "notContains",
          "f|contains",
          "not filter",
        ],
        [
          "startswith",
          "f|startswith",
          "selection",
        ],
        [
          "notStartswith",
          "f|startswith",
          "not filter",
        ],
        [
          "endswith",
          "f|endswith",
          "selection",
        ],
        [
          "notEndswith",
          "f|endswith",
          "not filter",
        ],
        [
          "re",
          "f|re",
          "selection",
        ],
        [
          "notRe",
          "f|re",
          "not filter",
        ],
        [
          "exists",
          "f|exists",
          "selection",
        ],
        [
          "notExists",
          "f|exists",
          "selection",
        ],
        [
          "null",
          "f",
          "selection",
        ],
        [
          "notNull",
          "f",
          "not filter",
        ],
        [
          "cidr",
          "f|cidr",
          "selection",
        ],
        [
          "notCidr",
          "f|cidr",
          "not filter",
        ],
        [
          "lt",
          "f|lt",
          "selection",
        ],
        [
          "lte",
          "f|lte",
          "selection",
        ],
        [
          "gt",
          "f|gt",
          "selection",
        ],
        [
          "gte",
          "f|gte",
          "selection",
        ],
        [
          "fieldref",
          "f|fieldref",
          "selection",
        ],
        [
          "notFieldref",
          "f|fieldref",
          "not filter",
        ],
      ]
    `);
  });
  it('keeps texts and numbers apart, and backslashes as they are', () => {
    const yaml = writeRule('', draft(group('and', [leaf('a', 'equals', ['4625']), leaf('b', 'equals', [{ text: '4625', kind: 'number' }]), leaf('c', 'endswith', ['\\cmd.exe']), leaf('d', 'equals', ["it's: # yes"])])));
    expect(yaml).toContain("a: '4625'");
    expect(yaml).toContain('b: 4625');
    expect(yaml).toContain("c|endswith: '\\cmd.exe'");
    expect(readRule(yaml).draft?.tree.items).toHaveLength(4);
    expect((parse(yaml) as { detection: { selection: { d: string } } }).detection.selection.d).toBe("it's: # yes");
  });
});

describe('from YAML to a tree', () => {
  it('reads maps, lists, words, null, flags and references', () => {
    expect(meaning(tree("s:\n  a|contains|all: [x, y]\n  b|re|i: 'z'\n  c: null\n  d|fieldref|endswith: e\n  f|exists: false\n  g|cased: [X, 1]\nk: [one, two]\ncondition: s and not k"))).toEqual(
      meaning(
        group('and', [
          leaf('a', 'contains', ['x', 'y'], { all: true }),
          leaf('b', 're', ['z'], { after: ['i'] }),
          leaf('c', 'null'),
          leaf('d', 'fieldref', ['e'], { after: ['endswith'] }),
          leaf('f', 'exists', [], { not: true }),
          leaf('g', 'equals', ['X', { text: '1', kind: 'number' }], { cased: true }),
          leaf('', 'keyword', ['one', 'two'], { not: true }),
        ]),
      ),
    );
  });
  it('takes a value that may also be null apart', () => {
    expect(meaning(tree("s:\n  a: ['x', null]\ncondition: s"))).toEqual(meaning(group('or', [leaf('a', 'equals', ['x']), leaf('a', 'null')])));
  });
  it('keeps names of selections and what it does not show', () => {
    const before = `# made by hand
title: Old
id: 1
author: li # of the night shift
logsource:
    product: linux
detection:
    suspicious:
        a: x
    known_good:
        b|startswith: y
    condition: suspicious and not known_good
falsepositives:
    - none
level: low
`;
    const d = readRule(before).draft as Draft;
    expect(writeRule(before, d)).toContain('author: li # of the night shift');
    const changed = writeRule(before, { ...d, title: 'New', tree: { ...d.tree, items: [...d.tree.items, leaf('c', 'gt', [{ text: '3', kind: 'number' }])] } });
    expect(changed).toContain('# made by hand');
    const doc = parse(changed) as Record<string, unknown>;
    expect(doc.detection).toEqual({ suspicious: { a: 'x' }, known_good: { 'b|startswith': 'y' }, selection: { 'c|gt': 3 }, condition: 'suspicious and not known_good and selection' });
    expect(doc.falsepositives).toEqual(['none']);
    expect(Object.keys(doc)).toEqual(['title', 'id', 'author', 'logsource', 'detection', 'falsepositives', 'level']);
  });
  it.each([
    ['title: [', 'yaml'],
    ['', 'empty'],
    ['title: T\n', 'detection'],
    ['title: T\nfilter: {}\nlogsource: {}\n', 'filter'],
    ['title: T\ndetection: {s: {a: 1}, condition: 2 of them}\n', 'condition'],
    ['title: T\ndetection: {s: {a: {b: 1}}, condition: s}\n', 'shape'],
    ['title: T\ndetection: {s: {a: 1}, condition: s}\n---\ntitle: U\ndetection: {s: {a: 1}, condition: s}\n', 'several'],
    ['title: T\nname: t\ndetection: {s: {a: 1}, condition: s}\n---\ntitle: U\ncorrelation: {type: temporal, rules: [t], timespan: 5m}\n', 'counting'],
    ['title: T\ndetection: {s: {a: 1}, condition: s}\n---\ntitle: U\ncorrelation: {type: event_count, rules: [other], timespan: 5m, condition: {gte: 1}}\n', 'counting'],
  ])('says why %j is no tree: %s', (yaml, why) => {
    expect(readRule(yaml).obstacle?.why).toBe(why);
  });
});

describe('counting', () => {
  const counting = { type: 'value_count', field: 'user.name', groupBy: ['source.ip'], timespan: '10m', relation: 'gte', threshold: 5, generate: false } as const;
  const counted = draft(group('and', [leaf('event.outcome', 'equals', ['failure'])]), { counting: { ...counting, groupBy: [...counting.groupBy] } });
  it('writes the rule that is counted and the one that counts, and reads them again', () => {
    const yaml = writeRule('', counted);
    const [base, main] = parseAllDocuments(yaml).map((d) => d.toJS() as Record<string, Record<string, unknown>>);
    expect(main?.correlation).toMatchObject({ type: 'value_count', rules: [base?.name], 'group-by': ['source.ip'], timespan: '10m', condition: { gte: 5, field: 'user.name' } });
    expect(main?.title).toBe('T');
    const read = readRule(yaml).draft as Draft;
    expect({ ...read, tree: nameless(read.tree) }).toEqual({ ...counted, tree: group('and', [leaf('event.outcome', 'equals', ['failure'])]) });
    expect(writeRule(yaml, read)).toBe(yaml);
  });
  it('lets the rule that is shown keep its id both ways', () => {
    const single = writeRule('title: T\nid: keep\nlogsource: {product: linux}\ndetection: {s: {a: x}, condition: s}\nlevel: high\n', draft(group('and', [leaf('a', 'equals', ['x'])])));
    const both = writeRule(single, { ...(readRule(single).draft as Draft), counting: counted.counting });
    const docs = parseAllDocuments(both).map((d) => d.toJS() as Record<string, unknown>);
    expect(docs.map((d) => d.id)).toEqual([undefined, 'keep']);
    expect(docs[1]?.level).toBe('high');
    const back = parse(writeRule(both, { ...(readRule(both).draft as Draft), counting: undefined })) as Record<string, unknown>;
    expect(back).toMatchObject({ id: 'keep', title: 'T', level: 'high' });
    expect(back.name).toBeUndefined();
  });
});

describe('editing', () => {
  it('replaces and takes out at a place, and finds what is unfinished', () => {
    const t = group('and', [leaf('a', 'equals', ['x']), group('or', [leaf('', 'contains'), leaf('c', 'exists')])]);
    expect(unfinished(t)).toEqual([[1, 0]]);
    const mended = replaceAt(t, [1, 0], leaf('b', 'contains', ['y']));
    expect(unfinished(mended)).toEqual([]);
    expect((replaceAt(mended, [1], null) as Group).items).toHaveLength(1);
  });
  it('types numbers where the field holds them', () => {
    expect(typed('443', true)).toEqual({ text: '443', kind: 'number' });
    expect(typed('443', false).kind).toBe('text');
    expect(typed('x', true).kind).toBe('text');
  });
  it('names the choice a condition stands under', () => {
    expect(choiceOf(leaf('a', 'equals', ['x', 'y'], { not: true })).key).toBe('notIn');
    expect(choiceOf(leaf('a', 'exists', [], { not: true })).key).toBe('notExists');
  });
});

/** Trees at random, from a seed, so that a failure can be met again. */
function random(seed: number): () => number {
  let s = seed;
  return () => {
    s = (s * 1664525 + 1013904223) % 4294967296;
    return s / 4294967296;
  };
}
function anyTree(r: () => number, depth: number): Node {
  const pick = <T,>(a: readonly T[]): T => a[Math.floor(r() * a.length)] as T;
  if (depth === 0 || r() < 0.4) {
    const op = pick(['equals', 'contains', 'startswith', 'endswith', 're', 'cidr', 'lt', 'gte', 'exists', 'null', 'fieldref', 'keyword'] as const);
    const n = op === 'exists' || op === 'null' ? 0 : op === 'equals' || op === 'contains' || op === 'keyword' ? 1 + Math.floor(r() * 3) : 1;
    const l: Leaf = leaf(op === 'keyword' ? '' : pick(['a', 'b.c', 'd_e', 'F']), op, Array.from({ length: n }, () => (op === 'lt' || op === 'gte' || (op === 'equals' && r() < 0.3) ? typed(String(Math.floor(r() * 100)), true) : pick(['x', '*y?', '\\z\\', "it's", 'on', '1.0', '', ' - '])) as string), { not: r() < 0.3 });
    if (op === 'contains' && n > 1 && r() < 0.5) l.all = true;
    if (op === 'equals' && r() < 0.2) l.cased = true;
    return l;
  }
  return group(r() < 0.5 ? 'and' : 'or', Array.from({ length: 1 + Math.floor(r() * 3) }, () => anyTree(r, depth - 1)), { not: r() < 0.2 });
}

describe('there and back', () => {
  it('means the same after 1,000 random trees', () => {
    for (let seed = 1; seed <= 1000; seed++) {
      const t = group('and', [anyTree(random(seed), 4)]);
      const yaml = writeRule('', draft(t));
      const read = readRule(yaml);
      expect(read.obstacle, `seed ${seed}\n${yaml}`).toBeUndefined();
      expect(meaning(read.draft?.tree as Node), `seed ${seed}\n${yaml}`).toEqual(meaning(t));
    }
  });
  const corpus = '../../../shared/corpora/sigma/rules';
  it.skipIf(!existsSync(corpus))('shows SigmaHQ\'s rules as trees that mean the same', () => {
    const files: string[] = [];
    const walk = (dir: string) => {
      for (const f of readdirSync(dir)) {
        const p = join(dir, f);
        if (statSync(p).isDirectory()) walk(p);
        else if (p.endsWith('.yml')) files.push(p);
      }
    };
    walk(corpus);
    const not: string[] = [];
    for (const f of files.filter((_, i) => i % 4 === 0)) {
      const source = readFileSync(f, 'utf8');
      const read = readRule(source);
      if (!read.draft) {
        not.push(`${f}: ${read.obstacle.why} ${read.obstacle.word}`);
        continue;
      }
      const again = readRule(writeRule('', read.draft));
      expect(meaning(again.draft?.tree as Node), f).toEqual(meaning(read.draft.tree));
    }
    expect(not.slice(0, 20)).toEqual([]);
  });
});
