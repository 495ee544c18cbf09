import { expect, it } from 'vitest';
import { place, replaced } from './typing';

it('counts characters as the server does, beyond the basic plane too', () => {
  expect(place('a😀登', 4)).toBe(3);
  expect(place('a😀登', 1)).toBe(1);
  expect(replaced('😀 sou x', 2, 5, 'source.ip:')).toEqual(['😀 source.ip: x', '😀 source.ip:'.length]);
  expect(replaced('', 0, 0, '登录')).toEqual(['登录', 2]);
});
