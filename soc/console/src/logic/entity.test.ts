import { expect, it } from 'vitest';
import { entityOf, entityPath, graphPath, guessEntities, wholePeriod } from './entity';

it('knows which values of fields are entities', () => {
  expect(entityOf('source.ip', '10.1.2.3')).toEqual({ type: 'ip', value: '10.1.2.3' });
  expect(entityOf('source.ip', '***')).toBeUndefined();
  expect(entityOf('source.ip', 'web-01')).toBeUndefined();
  expect(entityOf('url.domain', '2001:db8::7')).toEqual({ type: 'ip', value: '2001:db8::7' });
  expect(entityOf('url.domain', 'x.example')).toEqual({ type: 'website', value: 'x.example' });
  expect(entityOf('user.name', 'root')?.type).toBe('system-user');
  expect(entityOf('message', '10.1.2.3')).toBeUndefined();
  expect(entityOf('', '10.1.2.3')?.type).toBe('ip');
  expect(entityOf('', '10.1.2.300')).toBeUndefined();
  expect(entityOf('', 'ab'.repeat(32))?.type).toBe('file');
});

it('guesses what was typed', () => {
  const types = (text: string) => guessEntities(text).map((e) => e.type);
  expect(types('203.0.113.7')).toEqual(['ip']);
  expect(types('fe80::1')).toEqual(['ip']);
  expect(types('ab'.repeat(16))).toEqual(['file']);
  expect(types('https://a.example/x')).toEqual(['website']);
  expect(types('a@b.example')).toEqual(['mail', 'system-user']);
  expect(types('CORP\\alice')).toEqual(['system-user']);
  expect(types('C:\\Windows\\x.exe')).toEqual(['file']);
  expect(types('/etc/passwd')).toEqual(['file']);
  expect(types('政务.中国')).toEqual(['domain', 'website', 'device']);
  expect(types('web-01')).toEqual(['device', 'system-user', 'app-user']);
  expect(types('two words')).toEqual([]);
  expect(types('user.name:"x"')).toEqual([]);
});

it('makes addresses that read back', () => {
  expect(entityPath({ type: 'file', value: '/etc/a b' })).toBe('/entities/file/%2Fetc%2Fa%20b');
  expect(entityPath({ type: 'ip', value: '10.1.2.3', zone: 'dmz' }, { tab: 'peers', since: undefined })).toBe('/entities/ip/10.1.2.3?zone=dmz&tab=peers');
  expect(graphPath({ type: 'ip', value: '10.1.2.3', zone: 'dmz' })).toBe('/graph?seed=ip%3Admz%7C10.1.2.3');
  expect(graphPath({ type: 'mail', value: 'a@b.example' })).toBeUndefined();
});

it('cuts whole days, weeks and months', () => {
  const now = new Date(2026, 10, 27, 13, 5); // a Friday
  const of = (unit: 'day' | 'week' | 'month', back: number) => Object.values(wholePeriod(unit, back, now)).map((x) => new Date(x));
  expect(of('day', 1)).toEqual([new Date(2026, 10, 26), new Date(2026, 10, 27)]);
  expect(of('week', 0)).toEqual([new Date(2026, 10, 23), new Date(2026, 10, 30)]);
  expect(of('month', 1)).toEqual([new Date(2026, 9, 1), new Date(2026, 10, 1)]);
});
