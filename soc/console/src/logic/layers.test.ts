import { expect, it } from 'vitest';
import { layers } from './layers';

const edges = (...pairs: string[]) => pairs.map((p) => ({ parent: p.split('>')[0] as string, child: p.split('>')[1] as string }));
const told = (names: string, ...pairs: string[]) => Object.fromEntries([...layers(names.split(' '), edges(...pairs))].map(([n, p]) => [n, p.layer]));

it('puts callers before callees, by the longest way', () => {
  expect(told('gate order stock db', 'gate>order', 'order>stock', 'stock>db', 'gate>db')).toEqual({ gate: 0, order: 1, stock: 2, db: 3 });
});
it('cuts circles where they are entered, and lets nobody call himself', () => {
  expect(told('gate a b', 'gate>a', 'a>b', 'b>a', 'a>a')).toEqual({ gate: 0, a: 1, b: 2 });
  expect(told('a b', 'a>b', 'b>a')).toEqual({ a: 0, b: 1 });
});
it('keeps who is alone, and ignores who is not there', () => {
  expect(told('a b', 'a>ghost')).toEqual({ a: 0, b: 0 });
  expect(layers([], []).size).toBe(0);
});
it('stands callees by their callers', () => {
  const p = layers(['a', 'b', 'x', 'y'], edges('a>y', 'b>x'));
  expect([p.get('y')?.row, p.get('x')?.row]).toEqual([0, 1]);
});
