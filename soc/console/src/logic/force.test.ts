import { expect, it } from 'vitest';
import { forced } from './force';

const star = (n: number) => ({ ids: Array.from({ length: n }, (_, i) => `n${i}`), links: Array.from({ length: n - 1 }, (_, i) => ({ from: 'n0', to: `n${i + 1}` })) });

it('sets entities apart and keeps neighbours near, the same each time', async () => {
  const { ids, links } = star(60);
  let pauses = 0;
  const pause = () => Promise.resolve(pauses++);
  const at = await forced(ids, links, new Map(), pause);
  expect(at.size).toBe(60);
  expect(pauses).toBe(30);
  const far = (a: string, b: string) => Math.hypot(at.get(a)!.x - at.get(b)!.x, at.get(a)!.y - at.get(b)!.y);
  let least = Infinity;
  for (let i = 0; i < 60; i++) for (let j = i + 1; j < 60; j++) least = Math.min(least, far(`n${i}`, `n${j}`));
  expect(least).toBeGreaterThan(20);
  for (let i = 1; i < 60; i++) expect(far('n0', `n${i}`)).toBeLessThan(900);
  expect(await forced(ids, links, new Map(), pause)).toEqual(at);
});

it('leaves out links to what is not there', async () => {
  const at = await forced(['a', 'b'], [{ from: 'a', to: 'gone' }, { from: 'a', to: 'a' }], new Map([['a', { x: 0, y: 0 }], ['b', { x: 0, y: 0 }]]), () => Promise.resolve());
  expect([...at.keys()]).toEqual(['a', 'b']);
  expect([...at.values()].every((p) => Number.isFinite(p.x) && Number.isFinite(p.y))).toBe(true);
});
