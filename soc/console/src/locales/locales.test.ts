import { expect, it } from 'vitest';
import { en } from './en';
import { zh, type Key } from './zh';

it('has every text in both languages, with the same places to fill in', () => {
  const places = (s: string) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();
  expect(Object.keys(en)).toEqual(Object.keys(zh));
  for (const key of Object.keys(zh) as Key[]) {
    expect(zh[key].trim(), key).not.toBe('');
    expect(places(en[key]), key).toEqual(places(zh[key]));
  }
});
