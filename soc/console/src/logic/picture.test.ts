import { expect, it } from 'vitest';
import { clampZoom, fitted, nearLine } from './picture';

it('fits points into the window, and one alone into its middle', () => {
  const v = fitted([{ x: -1000, y: 0 }, { x: 1000, y: 200 }], { w: 1080, h: 600 });
  expect(v.k).toBeCloseTo(0.5);
  expect([-1000 * v.k + v.x, 1000 * v.k + v.x]).toEqual([40, 1040]);
  expect(100 * v.k + v.y).toBeCloseTo(300);
  expect(fitted([{ x: 7, y: 7 }], { w: 100, h: 100 })).toEqual({ k: 1.1, x: 50 - 7 * 1.1, y: 50 - 7 * 1.1 });
  expect(fitted([], { w: 100, h: 60 })).toEqual({ x: 50, y: 30, k: 1 });
  expect(clampZoom(9)).toBe(3);
  expect(clampZoom(0)).toBe(0.03);
});

it('measures how far a point lies from a stretch', () => {
  expect(nearLine({ x: 5, y: 3 }, { x: 0, y: 0 }, { x: 10, y: 0 })).toBe(3);
  expect(nearLine({ x: 13, y: 4 }, { x: 0, y: 0 }, { x: 10, y: 0 })).toBe(5);
  expect(nearLine({ x: 3, y: 4 }, { x: 0, y: 0 }, { x: 0, y: 0 })).toBe(5);
});
