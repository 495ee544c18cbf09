import { expect, it } from 'vitest';
import { leaf } from './sigma/tree';
import { daysAhead, daysLeft, searchesOf, treeOf } from './suppression';

it('reads searches as a tree and writes them again', () => {
  const searches = { selection: { 'user.name': ['backup', 'borg'], 'process.command_line|contains': '\\borg.exe' }, condition: 'selection' };
  const tree = treeOf(searches);
  expect(tree).toBeDefined();
  if (!tree) return;
  const again = searchesOf(tree);
  expect(treeOf(again)).toEqual(tree);
  expect(JSON.stringify(again)).toContain('\\\\borg.exe');
});

it('has no searches without a condition, and one with one', () => {
  const none = treeOf(undefined);
  expect(none && searchesOf(none)).toBeUndefined();
  expect(none && searchesOf({ ...none, items: [leaf('host.name', 'equals', ['web-1'])] })).toMatchObject({ condition: expect.any(String) });
});

it('ends with a day, within a year', () => {
  const now = Date.parse('2026-11-20T08:00:00Z');
  expect(daysLeft(daysAhead(30, now), now)).toBe(30);
  expect(Date.parse(daysAhead(366, now)) - now).toBeLessThan(366 * 86_400_000);
});
