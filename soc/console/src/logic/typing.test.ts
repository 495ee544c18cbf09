import { expect, it } from 'vitest';
import { faultAt, place, replaced } from './typing';

it('counts characters as the server does, beyond the basic plane too', () => {
  expect(place('a😀登', 4)).toBe(3);
  expect(place('a😀登', 1)).toBe(1);
  expect(replaced('😀 sou x', 2, 5, 'source.ip:')).toEqual(['😀 source.ip: x', '😀 source.ip:'.length]);
  expect(replaced('', 0, 0, '登录')).toEqual(['登录', 2]);
});

it('marks the word a fault is about, counted in bytes as the server does', () => {
  const cut = (text: string, byte: number) => text.slice(...faultAt(text, byte));
  expect(cut('Failed | stats byy x', 18)).toBe('byy');
  expect(cut('登录 | statss', 9)).toBe('statss');
  expect(cut('a (b', 4)).toBe('(b');
  expect(cut('', 0)).toBe('');
});
