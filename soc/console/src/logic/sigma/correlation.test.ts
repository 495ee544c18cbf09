import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { chainOf, type Member } from './chain';
import { INDICATOR, KINDS, RELATIONS, TEMPLATES, addRule, asKind, fromTemplate, kindOf, lacking, moveRule, removeRule, setAlias, setGroupBy, temporal, valued, withExpression, type Correlation } from './correlation';
import { partOf, readCorrelation, writeCorrelation, type CorrelationFile } from './correlationyaml';
import { readRule } from './read';
import { parseTerms, printTerms, replaceTerm, rulesOf, term, terms, type Term, type TermGroup } from './ruleexpr';

const FOLDER = '../../detections/sigma/testdata/specification';
const fixtures = readdirSync(FOLDER)
  .filter((f) => /^correlation_.*\.yml$/.test(f))
  .map((f): [string, string] => [f, (parse(readFileSync(join(FOLDER, f), 'utf8')) as { rule: string }).rule]);
const shipped = (dir: string): [string, string][] =>
  readdirSync(dir, { withFileTypes: true }).flatMap((e): [string, string][] => (e.isDirectory() ? shipped(join(dir, e.name)) : /(?<!\.test)\.yml$/.test(e.name) ? [[join(dir, e.name), readFileSync(join(dir, e.name), 'utf8')]] : []));

const file = (source: string): CorrelationFile => {
  const r = readCorrelation(source);
  if (!r?.file) throw new Error(`${JSON.stringify(r?.obstacle)}\n${source}`);
  return r.file;
};
const plain = (source: string): Record<string, unknown>[] => parseAllDocuments(source).map((d) => d.toJS() as Record<string, unknown>);
const last = (source: string): Record<string, unknown> => plain(source).at(-1) as Record<string, unknown>;

/** Numbers at random, from a seed, so that a failure can be met again. */
function random(seed: number): () => number {
  let s = seed;
  return () => {
    s = (s * 1664525 + 1013904223) % 4294967296;
    return s / 4294967296;
  };
}
function anyTerm(r: () => number, rules: readonly string[], depth: number): Term {
  if (depth === 0 || r() < 0.4) return term(rules[Math.floor(r() * rules.length)] as string, r() < 0.3);
  return terms(r() < 0.5 ? 'and' : 'or', Array.from({ length: 2 + Math.floor(r() * 2) }, () => anyTerm(r, rules, depth - 1)), r() < 0.2);
}

/** A correlation with one to all of its parts changed at random. */
function changed(c: Correlation, r: () => number): Correlation {
  const pick = <T,>(a: readonly T[]): T => a[Math.floor(r() * a.length)] as T;
  let next = c;
  const steps: (() => Correlation)[] = [
    () => asKind(next, pick(KINDS)),
    () => addRule(next, pick(['x', 'other_rule', '0b9f1c2e-6d44-4b76-9a6e-000000000001'])),
    () => (next.rules.length > 1 ? removeRule(next, pick(next.rules)) : next),
    () => moveRule(next, pick(next.rules), pick([-1, 1] as const)),
    () => setGroupBy(next, pick([[], ['host.name'], ['source.ip', 'user.name'], ['who', "it's odd: yes"]])),
    () => (next.groupBy.includes('who') && !next.aliases.some((a) => a.name === 'who') ? setAlias({ ...next, aliases: [...next.aliases, { name: 'who', fields: [] }] }, 'who', next.rules[0] as string, pick(['a.b', 'user'])) : next),
    () => ({ ...next, timespan: pick(['1s', '90m', '7d']) }),
    () => ({ ...next, lateness: pick(['', '5s', '1h']) }),
    () => ({ ...next, generate: r() < 0.5, alert: r() < 0.5 }),
    () => ({ ...next, title: pick(['A title', 'With: colon # and hash', '统计']), titleZh: pick(['', '标题']), sentenceZh: pick(['', '主机 {host.name}']), sentenceEn: pick(['', "it's {host.name}: now"]) }),
    () => ({ ...next, level: pick(['low', 'high', 'critical']), tags: pick([[], ['attack.t1110', 'a.b']]), name: pick(['', 'named_rule']) }),
    () => (next.absence || next.expression ? next : { ...next, bounds: pick([[{ relation: 'gte', value: '3' }], [{ relation: 'gt', value: '1' }, { relation: 'lte', value: '20' }]] as const).map((b) => ({ ...b, value: valued(next) && next.type !== 'value_count' && r() < 0.5 ? '2.50' : b.value })) }),
    () => (valued(next) ? { ...next, fields: next.type === 'value_count' && r() < 0.5 ? ['a', 'b'] : ['bytes'] } : next),
    () => (temporal(next) ? (r() < 0.3 ? withExpression(next, false) : { ...next, bounds: [], expression: parseTerms(printTerms(terms('and', [...next.rules.map((x) => term(x)), anyTerm(r, next.rules, 2)]))) }) : next),
  ];
  for (let n = 1 + Math.floor(r() * steps.length); n > 0; n--) next = pick(steps)();
  return next;
}

/** As it can be written: aliases without fields are not, groups of one are opened. */
const finished = (c: Correlation): Correlation => ({ ...c, aliases: c.aliases.filter((a) => a.fields.length > 0), expression: c.expression && parseTerms(printTerms(c.expression)) });

describe('expressions over rules', () => {
  it.each([
    ['a and b or c', terms('or', [terms('and', [term('a'), term('b')]), term('c')])],
    ['not not a AND NOT (b or c)', terms('and', [term('a'), terms('or', [term('b'), term('c')], true)])],
    ['not a', terms('and', [term('a', true)])],
    ['(a)', terms('and', [term('a')])],
  ])('reads %s', (source, tree) => expect(parseTerms(source)).toEqual(tree));
  it.each(['', 'a and', 'and a', '(a', 'a)', 'a b', 'not', `${'('.repeat(60)}a${')'.repeat(60)}`])('refuses %j', (source) => expect(parseTerms(source)).toBeNull());
  it('writes 500 random ones as they are read again', () => {
    for (let seed = 1; seed <= 500; seed++) {
      const whole = terms('or', [anyTerm(random(seed), ['a', 'b', 'c-1'], 4), term('d')]);
      const once = parseTerms(printTerms(whole)) as TermGroup;
      expect(printTerms(once), `seed ${seed}`).toBe(printTerms(whole));
      expect(new Set(rulesOf(once))).toEqual(new Set(rulesOf(whole)));
    }
  });
  it('replaces and takes out at a place', () => {
    const whole = parseTerms('a and (b or c)') as TermGroup;
    expect(printTerms(replaceTerm(whole, [1, 0], term('x', true)))).toBe('a and (not x or c)');
    expect(printTerms(replaceTerm(whole, [1, 1], null))).toBe('a and b');
  });
});

describe('correlations in YAML', () => {
  it.each(fixtures)('%s is left to the byte when nothing changes', (_, source) => {
    const r = readCorrelation(source);
    if (r?.file) expect(writeCorrelation(source, r.file.correlation)).toBe(source);
    else expect(r?.obstacle).toBeTruthy();
  });
  it('shows every fixture but those that are wrong in a way that has no place', () => {
    const not = fixtures.filter(([, s]) => !readCorrelation(s)?.file).map(([f]) => f);
    expect(not).toEqual(['correlation_type_unknown.yml']);
  });
  it.each(fixtures)('%s means the same when it is written anew', (_, source) => {
    const r = readCorrelation(source);
    if (!r?.file) return;
    const c = r.file.correlation;
    const again = writeCorrelation('', c);
    if (r.file.kept.length === 0) expect(file(again).correlation).toEqual(c);
    const was = last(source).correlation as Record<string, unknown>;
    const is = last(again).correlation as Record<string, unknown>;
    for (const key of ['type', 'timespan', 'group-by', 'aliases', 'generate'] as const) expect(is[key], key).toEqual(was[key]);
    if (typeof was.condition === 'object') expect(is.condition).toEqual(was.condition);
  });
  it('holds random changes of each fixture, and leaves the other rules to the byte', () => {
    for (const [name, source] of fixtures) {
      const r0 = readCorrelation(source);
      if (!r0?.file) continue;
      const cut = source.lastIndexOf('---\n');
      for (let seed = 1; seed <= 10; seed++) {
        const want = finished(changed(r0.file.correlation, random(seed)));
        const yaml = writeCorrelation(source, want);
        const got = file(yaml);
        expect(got.correlation, `${name} seed ${seed}\n${yaml}`).toEqual(want);
        expect(yaml.startsWith(source.slice(0, cut)), `${name} seed ${seed}`).toBe(true);
        expect(got.kept).toEqual(r0.file.kept);
        expect(writeCorrelation(yaml, got.correlation)).toBe(yaml);
        // And all the way back.
        expect(file(writeCorrelation(yaml, r0.file.correlation)).correlation, `${name} seed ${seed}`).toEqual(r0.file.correlation);
      }
    }
  });
  it('holds random changes of the shipped correlations, with all that the builder does not show', () => {
    let seen = 0;
    for (const [name, source] of shipped('../../rules/correlation')) {
      const r = readCorrelation(source);
      if (!r) continue;
      expect(r.obstacle, name).toBeUndefined();
      const was = (r.file as CorrelationFile).correlation;
      expect(writeCorrelation(source, was)).toBe(source);
      for (let seed = 1; seed <= 4; seed++) {
        const want = finished(changed(was, random(seed)));
        const yaml = writeCorrelation(source, want);
        expect(file(yaml).correlation, `${name} seed ${seed}\n${yaml}`).toEqual(want);
        const [a, b] = [plain(source), plain(yaml)];
        for (const key of ['id', 'description', 'author', 'falsepositives', 'date']) expect(b.map((d) => d[key]), `${name} ${key}`).toEqual(a.map((d) => d[key]));
        const advice = (d: Record<string, unknown>) => (d.icewatch as Record<string, unknown> | undefined)?.advice;
        expect(b.map(advice)).toEqual(a.map(advice));
      }
      seen++;
    }
    expect(seen).toBeGreaterThan(15);
  });
  it('keeps comments, quotes and keys it does not know where one thing changes', () => {
    const source = `# by hand\ntitle: 'T' # a name\nid: t\ncustom: {x: 1}\ncorrelation:\n  type: event_count # all of them\n  rules: [a]\n  timespan: 5m # short\n  frobnicate: 7\n  condition: {gte: 3}\nicewatch:\n  scope: city # all tenants\n`;
    const f = file(source);
    expect(f.kept).toEqual(['custom', 'correlation.frobnicate', 'icewatch.scope']);
    const yaml = writeCorrelation(source, { ...f.correlation, timespan: '10m', title: 'U' });
    expect(yaml).toContain('timespan: 10m # short');
    expect(yaml).toContain('title: U # a name');
    for (const still of ['# by hand', 'type: event_count # all of them', 'frobnicate: 7', 'scope: city # all tenants', 'x: 1']) expect(yaml).toContain(still);
  });
  it('keeps the English title beside the title, and takes it along where both were one', () => {
    const source = 'title: T\nid: t\ncorrelation: {type: temporal, rules: [a, b], timespan: 5m}\nicewatch: {title: {zh: 标题, en: T}}\n';
    const yaml = writeCorrelation(source, { ...file(source).correlation, title: 'U' });
    expect(last(yaml)).toMatchObject({ title: 'U', icewatch: { title: { zh: '标题', en: 'U' } } });
    expect(file(source.replace('en: T', 'en: Other')).kept).toContain('icewatch.title.en');
  });
  it.each([
    ['correlation: 7\ntitle: T\n', 'shape'],
    ['title: T\ncorrelation: {type: guess, rules: [a]}\n', 'counting'],
    ['title: T\ncorrelation: {type: temporal, condition: a and (b}\n', 'condition'],
    ['title: T\ncorrelation: {type: event_count, rules: [a], condition: a and b}\n', 'shape'],
    ['title: T\ncorrelation: {type: event_count, rules: [a], condition: {about: 3}}\n', 'condition'],
    ['title: T\ncorrelation: {type: event_count, rules: [{a: 1}]}\n', 'shape'],
    ['title: [\ncorrelation: {}\n', 'yaml'],
  ])('says why %j cannot be shown: %s', (source, why) => expect(readCorrelation(source)?.obstacle?.why).toBe(why));
  it('is not for files without a correlation', () => expect(readCorrelation('title: T\ndetection: {s: {a: 1}, condition: s}\n')).toBeNull());
  it('tells on which lines its parts stand, in a file of several rules', () => {
    const f = file('title: A\ndetection: {}\n---\ntitle: T\ncorrelation:\n  type: event_count\n  rules:\n    - a\n    - b\n  timespan: 5m\n  condition:\n    gte: 3\n');
    expect(f.lines).toMatchObject({ title: [4, 4], type: [6, 6], rules: [7, 9], timespan: [10, 10], condition: [11, 12] });
    expect(partOf({ line: 6, message: 'the rule "nowhere" it refers to does not exist' }, f.lines)).toBe('rules');
    expect(partOf({ line: 6, message: 'correlation has no timespan' }, f.lines)).toBe('timespan');
    expect(partOf({ line: 9, message: 'something else' }, f.lines)).toBe('rules');
    expect(partOf({ line: 1, message: 'of another rule' }, f.lines)).toBeNull();
  });
});

describe('building', () => {
  const two = { ...fromTemplate('ordered'), rules: ['a', 'b'] };
  it.each(TEMPLATES)('begins from %s', (template) => {
    if (template === 'indicator') {
      expect(readRule(INDICATOR).draft?.counting?.groupBy).toEqual(['threat.indicator.name', 'host.name']);
      return;
    }
    const c = addRule(addRule(fromTemplate(template), 'a'), 'b');
    expect(lacking(fromTemplate(template)).map((l) => l.part)).toEqual(['rules']);
    expect(lacking(c)).toEqual([]);
    expect(file(writeCorrelation('', c)).correlation).toEqual(c);
  });
  it('moves rules, and not beyond the ends', () => {
    expect(moveRule(two, 'b', -1).rules).toEqual(['b', 'a']);
    expect(moveRule(two, 'b', 1)).toBe(two);
  });
  it('takes a rule out of aliases and condition too', () => {
    const c = setAlias({ ...withExpression(two, true), groupBy: ['who'], aliases: [{ name: 'who', fields: [] }] }, 'who', 'a', 'user.name');
    expect(removeRule(c, 'a')).toMatchObject({ rules: ['b'], aliases: [{ name: 'who', fields: [] }], expression: terms('and', [term('b')]) });
  });
  it.each<[string, Partial<Correlation>, string]>([
    ['no rules', { rules: [] }, 'rules'],
    ['an odd timespan', { timespan: '1h30m' }, 'timespan'],
    ['an odd lateness', { lateness: '5' }, 'lateness'],
    ['a rule that is not counted', { expression: terms('and', [term('a'), term('b'), term('z')]) }, 'expression'],
    ['a rule the condition leaves out', { expression: terms('and', [term('a')]) }, 'unsaid'],
    ['an empty group', { expression: terms('and', [term('a'), term('b'), terms('or', [])]) }, 'expression'],
    ['no field', { type: 'value_sum', bounds: [{ relation: 'gte', value: '2.5' }] }, 'field'],
    ['half an event', { type: 'event_count', bounds: [{ relation: 'gte', value: '2.5' }] }, 'number'],
    ['no bound', { type: 'event_count' }, 'bounds'],
    ['a percentile above 100', { type: 'value_percentile', fields: ['x'], percentile: '101', bounds: [{ relation: 'gte', value: '2' }] }, 'percentile'],
    ['an alias nobody groups by', { aliases: [{ name: 'who', fields: [{ rule: 'a', field: 'x' }] }] }, 'alias'],
  ])('misses: %s', (_, change, why) => expect(lacking({ ...two, ...change }).map((l) => l.why)).toEqual([why]));
  it('becomes each other kind and is whole as soon as a field is named', () => {
    for (const from of KINDS) {
      for (const to of KINDS) {
        const c = asKind(asKind({ ...two, fields: ['f'] }, from), to);
        expect(kindOf(c)).toBe(to);
        expect(lacking(c).map((l) => l.why), `${from} to ${to}`).toEqual(valued(c) && c.fields.length === 0 ? ['field'] : []);
      }
    }
    expect(RELATIONS).toHaveLength(6);
  });
});

describe('chains', () => {
  const m = (name: string, rules: string[] = []): Member => ({ id: `id-${name}`, name, title: name, correlation: rules.length > 0, rules });
  const all = [m('a'), m('b'), m('many', ['a']), m('outer', ['here', 'b']), m('last', ['id-outer']), m('else', ['b'])];
  const at = (c: ReturnType<typeof chainOf>, name: string) => c.nodes.find((n) => n.title === name)?.column;
  it('stands each rule right of all that feed it', () => {
    const c = chainOf(m('here', ['many', 'id-b', 'nowhere']), all);
    expect(['a', 'many', 'b', 'nowhere', 'here', 'outer', 'last'].map((n) => at(c, n))).toEqual([0, 1, 1, 1, 2, 3, 4]);
    expect(at(c, 'else')).toBeUndefined();
    expect(c.nodes.find((n) => n.here)?.title).toBe('here');
    expect(c.nodes.find((n) => n.title === 'nowhere')?.kind).toBe('missing');
    expect(c.edges).toContainEqual(['id-here', 'id-outer']);
  });
  it('ends at circles, and shows what is being changed as it is now', () => {
    const c = chainOf({ ...m('x', ['y']) }, [m('x', ['old']), m('y', ['x'])]);
    expect(c.nodes.map((n) => n.title).sort()).toEqual(['x', 'y']);
  });
  it('shows a rule that has neither id nor name yet', () => {
    const c = chainOf({ id: '', name: '', title: 'new', correlation: true, rules: ['a'] }, all);
    expect(c.edges).toEqual([['id-a', 'new']]);
  });
});
