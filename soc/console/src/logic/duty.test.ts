import { expect, it } from 'vitest';
import { byDay, clockIn, dayIn, daysFrom, firstShown, stepped, turnsOf, turnsText, windowsOf, windowsText } from './duty';

const zone = 'Asia/Shanghai';

it('tells the day and the clock of a zone', () => {
  expect(dayIn('2026-11-25T16:00:00Z', zone)).toBe('2026-11-26');
  expect(dayIn('2026-11-25T15:59:59Z', zone)).toBe('2026-11-25');
  expect(clockIn('2026-11-25T16:05:00Z', zone)).toBe('00:05');
});

it('shows whole weeks', () => {
  expect(firstShown('2026-11-26', 'week')).toBe('2026-11-23');
  expect(firstShown('2026-11-26', 'month')).toBe('2026-10-26');
  expect(daysFrom('2026-02-27', 3)).toEqual(['2026-02-27', '2026-02-28', '2026-03-01']);
  expect(stepped('2026-01-31', 'month', 1)).toBe('2026-02-01');
  expect(stepped('2026-01-01', 'month', -1)).toBe('2025-12-01');
  expect(stepped('2026-01-01', 'week', 1)).toBe('2026-01-08');
});

it('cuts stretches at midnight', () => {
  const night = { from: '2026-11-26T10:00:00Z', to: '2026-11-27T01:00:00Z', people: ['a'] };
  const cut = byDay([night, { from: '2026-11-27T01:00:00Z', to: '2026-11-27T16:00:00Z', people: [], gap: true }], zone);
  expect([...cut.keys()]).toEqual(['2026-11-26', '2026-11-27']);
  expect(cut.get('2026-11-26')).toEqual([{ stretch: night, from: '18:00', to: '24:00' }]);
  expect(cut.get('2026-11-27')?.map((p) => [p.from, p.to])).toEqual([
    ['00:00', '09:00'],
    ['09:00', '24:00'],
  ]);
});

it('reads turns and hours as people write them', () => {
  expect(turnsOf('qian\nsun, li\n\nzhou\n')).toEqual([['qian'], ['sun', 'li'], [], ['zhou']]);
  expect(turnsText([['qian'], ['sun', 'li']])).toBe('qian\nsun li');
  expect(windowsOf('09:00-12:00, 13:30 – 17:30')?.map((w) => `${w.from} ${w.to}`)).toEqual(['09:00 12:00', '13:30 17:30']);
  expect(windowsOf('')).toEqual([]);
  expect(windowsOf('nine to five')).toBeNull();
  expect(windowsText(windowsOf('22:00-06:00') ?? [])).toBe('22:00-06:00');
});
