import { afterEach, describe, expect, it } from 'vitest';
import { localInput, localTime } from './access';
import { wholePeriod } from './entity';
import { absolute, compact, zone } from './format';
import { momentOf, setZone, zoneName } from './zone';

const AT = Date.parse('2026-11-27T20:10:05Z');
afterEach(() => setZone('desk'));

describe("the reader's zone", () => {
  it('tells moments in the city', () => {
    setZone('Asia/Shanghai');
    expect(absolute(AT)).toBe('2026-11-28 04:10:05');
    expect(compact('2026-11-27T16:30:00Z', AT)).toBe('00:30:00');
    expect(compact('2026-11-27T15:30:00Z', AT)).toBe('11-27 23:30');
    expect(zone()).toBe('UTC+8 Asia/Shanghai');
    expect(zoneName()).toBe('Asia/Shanghai');
  });

  it('tells them in UTC', () => {
    setZone('UTC');
    expect(absolute(AT)).toBe('2026-11-27 20:10:05');
    expect(zone()).toBe('UTC');
  });

  it.each(['desk', 'Asia/Shanghai', 'UTC'] as const)('takes what it wrote itself: %s', (z) => {
    setZone(z);
    expect(momentOf(absolute(AT).replace(' ', 'T'))).toBe(AT);
    expect(localTime(localInput('2026-11-27T20:10:00.000Z'))).toBe('2026-11-27T20:10:00.000Z');
    expect(momentOf('no time')).toBeNaN();
    expect(localTime('')).toBeNull();
  });

  it('counts whole days, weeks and months by it', () => {
    setZone('Asia/Shanghai');
    expect(wholePeriod('day', 0, new Date(AT))).toEqual({ start: '2026-11-27T16:00:00.000Z', end: '2026-11-28T16:00:00.000Z' });
    expect(wholePeriod('week', 1, new Date(AT))).toEqual({ start: '2026-11-15T16:00:00.000Z', end: '2026-11-22T16:00:00.000Z' });
    expect(wholePeriod('month', 0, new Date(AT))).toEqual({ start: '2026-10-31T16:00:00.000Z', end: '2026-11-30T16:00:00.000Z' });
  });
});
