import { describe, expect, it } from 'vitest';
import type { Clause } from '../api/search';
import { asGroup, negate, negated, replaceAt, tidy } from './clauses';

const leaf = (field: string): Clause => ({ field, operator: 'equals', values: ['x'] });
const all = (...clauses: Clause[]): Clause => ({ join: 'all', clauses });
const any = (...clauses: Clause[]): Clause => ({ join: 'any', clauses });
const not = (c: Clause): Clause => ({ join: 'not', clauses: [c] });

describe('the tree of click mode', () => {
  it('is a group to click in, whatever it is', () => {
    expect(asGroup(null)).toEqual({ join: 'all', clauses: [] });
    expect(asGroup(leaf('a'))).toEqual(all(leaf('a')));
    expect(asGroup(any(leaf('a')))).toEqual(any(leaf('a')));
    expect(asGroup(not(leaf('a')))).toEqual(all(not(leaf('a'))));
  });
  it('loses groups that say nothing, and nothing else', () => {
    expect(tidy(all())).toBeNull();
    expect(tidy(all(any(), all(leaf('a'))))).toEqual(leaf('a'));
    expect(tidy(all(leaf('a'), any(leaf('b'), leaf('c'))))).toEqual(all(leaf('a'), any(leaf('b'), leaf('c'))));
    expect(tidy(not(not(leaf('a'))))).toEqual(leaf('a'));
    expect(tidy(not(all()))).toBeNull();
    expect(tidy(all({ text: '{app="x"}' }))).toEqual({ text: '{app="x"}' });
  });
  it('changes at one place alone', () => {
    const tree = all(leaf('a'), any(leaf('b'), leaf('c')));
    expect(replaceAt(tree, [1, 0], leaf('z'))).toEqual(all(leaf('a'), any(leaf('z'), leaf('c'))));
    expect(replaceAt(tree, [1, 1], null)).toEqual(all(leaf('a'), any(leaf('b'))));
    expect(replaceAt(tree, [], null)).toBeNull();
    expect(tree).toEqual(all(leaf('a'), any(leaf('b'), leaf('c'))));
  });
  it('negates and takes it back', () => {
    expect(negate(negate(leaf('a')))).toEqual(leaf('a'));
    expect(negated(not(leaf('a')))).toEqual([true, leaf('a')]);
    expect(negated(leaf('a'))).toEqual([false, leaf('a')]);
  });
});
