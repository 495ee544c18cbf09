import { expect, it } from 'vitest';
import { Heights } from './heights';

it('knows the parts that lie in a window', () => {
  const h = new Heights(5000, 99_990, 20);
  expect(h.upTo(1)).toBe(580);
  expect(h.upTo(5000)).toBe(99_990 * 29);
  expect(h.between(-500, 700)).toEqual([0, 1]);
  expect(h.between(580 * 100 + 1, 580 * 101 + 300)).toEqual([100, 101]);
  expect(h.between(1e9, 2e9)).toEqual([4999, 4999]);
});

it('takes heights that were drawn, and the others after them', () => {
  const h = new Heights(10, 200, 20);
  h.take(0, 1000);
  h.take(0, 1000);
  expect(h.row).toBe(50);
  expect(h.upTo(2)).toBe(2000);
  h.take(3, 400);
  expect(h.upTo(5)).toBe(1000 + 400 + 60 * 35);
  h.take(0, 600);
  expect(h.row).toBe(25);
  h.take(1, 0);
  h.take(99, 5);
  expect(h.upTo(10)).toBe(5000);
});
