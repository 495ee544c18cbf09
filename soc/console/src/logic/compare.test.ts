import { describe, expect, it } from 'vitest';
import { change, differenceQuery, earlierWindow, overlay } from './compare';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-11-20T12:00:00Z');

describe('the earlier window', () => {
  it('is as long as this one', () => {
    const now = [NOW - HOUR, NOW] as const;
    expect(earlierWindow('prev', now)).toEqual([NOW - 2 * HOUR, NOW - HOUR]);
    expect(earlierWindow('1d', now)).toEqual([NOW - 25 * HOUR, NOW - 24 * HOUR]);
    expect(earlierWindow('2026-11-19T00:00:00Z', now)).toEqual([Date.parse('2026-11-19T00:00:00Z'), Date.parse('2026-11-19T01:00:00Z')]);
  });
  it('is none where the address says what cannot be', () => {
    const now = [NOW - HOUR, NOW] as const;
    for (const bad of ['', 'x', '-1d', '2026-11-21T00:00:00Z', '5']) expect(earlierWindow(bad, now), bad).toBeNull();
    expect(earlierWindow('prev', [NOW, NOW])).toBeNull();
  });
});

it('no earlier event is left out of the overlay', () => {
  const h = (...counts: number[]) => ({ step_ms: 1, total: 0, buckets: counts.map((count, i) => ({ time: `${i}`, count })) });
  expect(overlay(h(1, 2, 3), h(4, 5, 6, 7))).toEqual([4, 5, 13]);
  expect(overlay(h(1, 2, 3), h(4))).toEqual([4, 0, 0]);
  expect(overlay(h(), h(4))).toEqual([]);
});

it('a change from nothing has no percentage', () => {
  expect([change(5, 0), change(5, 4), change(0, 4)]).toEqual([null, 25, -100]);
});

it('counts both windows in one query, keeps what was asked, drops its pipes', () => {
  const q = differenceQuery('a or b | limit 3', 'user name', [NOW - HOUR, NOW], [NOW - 2 * HOUR, NOW - HOUR]);
  const now = '_time:[2026-11-20T11:00:00.000Z, 2026-11-20T12:00:00.000Z)';
  const before = '_time:[2026-11-20T10:00:00.000Z, 2026-11-20T11:00:00.000Z)';
  expect(q).toBe(`(a or b) (${now} or ${before}) | stats by ("user name") count() if (${now}) as rows_now, count() if (${before}) as rows_before | math abs(rows_now - rows_before) as change | sort by (change desc, rows_now desc) | limit 10`);
});
