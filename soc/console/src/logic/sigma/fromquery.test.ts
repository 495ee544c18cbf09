import { describe, expect, it } from 'vitest';
import type { Clause } from '../../api/search';
import { countingOf, draftFromQuery, plain } from './fromquery';
import { readRule } from './read';
import { unfinished } from './tree';
import { writeRule } from './write';

const yaml = (c: Clause | null, pipes = '') => {
  const made = draftFromQuery(c, pipes, 'T');
  return { ...made, text: unfinished(made.draft.tree).length === 0 ? writeRule('', made.draft) : '' };
};

describe('a search becomes a rule', () => {
  it('with its conditions, readable as a tree again', () => {
    const r = yaml({
      join: 'all',
      clauses: [
        { field: 'event.dataset', operator: 'equals', values: ['sshd.auth'] },
        { operator: 'contains', values: ['Failed password'] },
        { field: 'user.name', operator: 'not_in', values: ['root', 'a*b'] },
        { field: 'source.ip', operator: 'cidr', values: ['203.0.113.0/24'] },
        { field: 'destination.port', operator: 'range', values: ['1', '1023'] },
      ],
    });
    expect(r.left).toEqual([]);
    expect(r.wider).toBe(true);
    expect(r.text).toContain("event.dataset: 'sshd.auth'");
    expect(r.text).toContain("source.ip|cidr: '203.0.113.0/24'");
    expect(r.text).toContain('destination.port|gte: 1\n');
    expect(r.text).toContain("'Failed password'");
    expect(r.text).toContain("'a\\*b'");
    expect(r.text).toMatch(/condition: .*not filter/);
    expect(readRule(r.text).draft).toMatchObject({ title: 'Search: T', titleZh: '检索：T' });
  });
  it('says what it leaves out of conditions that all must hold', () => {
    const r = yaml({ join: 'all', clauses: [{ field: 'a', operator: 'equals', values: ['1'] }, { text: '{app="vpn"}' }, { field: '@timestamp', operator: 'day_range', values: ['08:00', '18:00'] }] });
    expect(r.left).toEqual(['{app="vpn"}', '@timestamp day_range 08:00, 18:00']);
    expect(r.text).toContain("a: '1'");
  });
  it('leaves alternatives and negations out whole where one part cannot be said', () => {
    const any = yaml({ join: 'all', clauses: [{ field: 'a', operator: 'equals', values: ['1'] }, { join: 'any', clauses: [{ field: 'b', operator: 'equals', values: ['2'] }, { text: 'c:len_range(1,2)' }] }] });
    expect(any.left).toEqual(['(b equals 2 or c:len_range(1,2))']);
    expect(any.text).not.toContain('b:');
    const not = yaml({ join: 'not', clauses: [{ join: 'all', clauses: [{ field: 'b', operator: 'equals', values: ['2'] }, { text: 'x' }] }] });
    expect(not.left).toHaveLength(1);
    expect(not.text).toBe('');
  });
  it('of nothing is left for people to fill', () => {
    expect(yaml(null).text).toBe('');
    expect(yaml(null).left).toEqual([]);
  });
  it('with its counting', () => {
    const r = yaml({ field: 'event.outcome', operator: 'equals', values: ['failure'] }, 'stats by (source.ip) count(*) as n | filter n:>=5');
    expect(r.left).toEqual([]);
    expect(r.text).toContain('type: event_count');
    expect(r.text).toContain('gte: 5');
    expect(r.text).toContain('source.ip');
  });
});

it('reads counting pipes, and no others', () => {
  expect(countingOf('stats by ("user.name", host.name) count_uniq(source.ip) as n | filter n:>3')).toMatchObject({ type: 'value_count', field: 'source.ip', groupBy: ['user.name', 'host.name'], relation: 'gt', threshold: 3 });
  for (const other of ['', 'limit 5', 'stats by (_time:5m) count() n | filter n:>1', 'stats by (a) count() n | filter m:>1', 'stats by (a) sum(b) n | filter n:>1', 'stats by (a) count() n']) expect(countingOf(other), other).toBeUndefined();
});

it('a value stands for itself', () => {
  expect([plain('a*b'), plain('C:\\x'), plain('C:\\'), plain('a\\*'), plain('what?')]).toEqual(['a\\*b', 'C:\\x', 'C:\\\\', 'a\\\\\\*', 'what\\?']);
});
