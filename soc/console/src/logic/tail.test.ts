import { expect, it } from 'vitest';
import { EMPTY, SHOWN, WAITING, arrive, show } from './tail';

const rows = (from: number, n: number) => Array.from({ length: n }, (_, i) => ({ 'event.id': String(from + i) }));

it('shows the newest first', () => {
  const s = arrive(arrive(EMPTY, rows(1, 2), false), rows(3, 1), false);
  expect(s.rows.map((r) => r['event.id'])).toEqual(['3', '2', '1']);
  expect(s.received).toBe(3);
});
it('never moves a list that stands still, and counts what waits', () => {
  const shown = arrive(EMPTY, rows(1, 2), false);
  const s = arrive(arrive(shown, rows(3, 2), true), rows(5, 1), true);
  expect(s.rows).toBe(shown.rows);
  expect(s.waiting).toHaveLength(3);
  expect(show(s).rows.map((r) => r['event.id'])).toEqual(['5', '4', '3', '2', '1']);
});
it('says how many fell off while they waited, and keeps the page bounded', () => {
  const s = arrive(arrive(EMPTY, rows(0, WAITING), true), rows(WAITING, 7), true);
  expect(s.fallen).toBe(7);
  expect(s.waiting[0]).toEqual({ 'event.id': String(WAITING + 6) });
  expect(show(s).rows).toHaveLength(SHOWN);
  expect(arrive(s, [], true)).toBe(s);
});
