import { describe, expect, it } from 'vitest';
import { both, complete, formatFilter, operatorsFor, parseFilter } from './cmdbfilter';

describe('filters', () => {
  it.each([
    'class = computer and criticality >= 4',
    'os ^= kylin and not (zone = dmz or label in (relay, legacy))',
    'system.protection_level >= 3 and has -runs_on-> host[cabinet exists]',
    'has <-belongs_to_system- application -runs_on-> vm',
    'has -runs_on|depends_on*1..3- *',
    'a = 1 and b = 2 or c = 3',
    '(a = 1 or b = 2) and c = 3',
    'not not a exists',
    'name = "a b" and owner = "say \\"hi\\""',
    'has -- host|vm[zone != dmz]',
    '名 = 1',
  ])('%s is read and written as it is, or left as text', (text) => {
    const f = parseFilter(text);
    if (text.startsWith('名')) expect(f).toBeNull();
    else expect(f && formatFilter(f)).toBe(text);
  });
  it.each(['', 'class', 'class =', '(a = 1', 'has', 'has -runs_on host', 'a in (1', 'a = "1', 'a = 1 b = 2', 'and = 1', 'has <-x-> host', 'has -x-> y|', 'a not = 1', 'has -x-> host[a = 1'])('%s is none', (text) => {
    expect(parseFilter(text)).toBeNull();
  });
  it('reads negated lists and values with quotes', () => {
    expect(parseFilter("zone not in ('a b', c)")).toEqual({ kind: 'not', kid: { kind: 'condition', of: '', field: 'zone', op: 'in', values: ['a b', 'c'] } });
  });
  it('tells a condition that says nothing yet', () => {
    expect(complete({ kind: 'and', kids: [{ kind: 'condition', of: '', field: 'a', op: '=', values: [''] }] })).toBe(false);
    expect(complete({ kind: 'not', kid: { kind: 'condition', of: '', field: 'a', op: 'exists', values: [] } })).toBe(true);
    expect(complete({ kind: 'or', kids: [] })).toBe(false);
    expect(complete({ kind: 'has', steps: [{ types: [], forward: true, backward: true, min: 1, max: 1, classes: [] }] })).toBe(true);
  });
  it('joins filters so that an or stays one', () => {
    expect(both('a = 1 or b = 2', 'c = 3')).toBe('(a = 1 or b = 2) and c = 3');
    expect(both('', 'c = 3')).toBe('c = 3');
  });
  it('offers no order for what has none', () => {
    expect(operatorsFor('enum')).not.toContain('<');
    expect(operatorsFor('integer')).toContain('<=');
  });
});
