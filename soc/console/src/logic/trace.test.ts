import { describe, expect, it } from 'vitest';
import type { Span } from '../api/traces';
import { ancestors, barOf, heaviest, holds, lengthOf, nextOf, slice, ticks, traceId, unfolded, visible } from './trace';
import { duration } from './format';

/** Spans by depth: a root, its children and theirs, depth first. */
function spans(...depths: number[]): Span[] {
  return depths.map(
    (depth, i) =>
      ({ span_id: `s${i}`, parent_id: '', depth, children: 0, orphan: false, name: `op ${i}`, kind: '', service: i % 2 ? 'orders' : 'gateway', resource: 0, start: '', offset_ns: i * 10, duration_ns: 100 - i * 10, self_ns: i, critical: false, status: i === 3 ? 'error' : 'ok', tenant: '', event_id: '', attributes: [{ key: 'http.route', type: 'string', value: `/v${i}` }], events: [], links: [], warnings: [] }) as Span,
  );
}
const ids = (l: readonly Span[]) => l.map((s) => s.span_id).join(' ');

describe('folding', () => {
  const all = spans(0, 1, 2, 3, 1, 2, 0);
  it('hides all below a folded span and nothing beside it', () => {
    expect(ids(visible(all, new Set()))).toBe('s0 s1 s2 s3 s4 s5 s6');
    expect(ids(visible(all, new Set(['s1'])))).toBe('s0 s1 s4 s5 s6');
    expect(ids(visible(all, new Set(['s0'])))).toBe('s0 s6');
    expect(ids(visible(all, new Set(['s0', 's1'])))).toBe('s0 s6');
    expect(ids(visible(all, new Set(['s3'])))).toBe('s0 s1 s2 s3 s4 s5 s6');
  });
  it('knows who stands above, and unfolds them alone', () => {
    expect(ids(ancestors(all, 's3'))).toBe('s2 s1 s0');
    expect(ids(ancestors(all, 's5'))).toBe('s4 s0');
    expect(ancestors(all, 's6')).toEqual([]);
    expect([...unfolded(all, new Set(['s1', 's4']), 's3')]).toEqual(['s4']);
  });
  it('lays ten thousand spans out in no time', () => {
    const many = spans(...Array.from({ length: 10_000 }, (_, i) => i % 40));
    const begun = performance.now();
    expect(visible(many, new Set(['s41'])).length).toBe(10_000 - 38);
    expect(performance.now() - begun).toBeLessThan(100);
  });
});

describe('bars', () => {
  const view = { from: 0, to: 1000 };
  it('stand where the span was', () => {
    expect(barOf({ offset_ns: 250, duration_ns: 500 }, view)).toEqual({ left: 0.25, width: 0.5 });
  });
  it('are never too thin to see, nor outside', () => {
    expect(barOf({ offset_ns: 1000, duration_ns: 0 }, view)).toEqual({ left: 0.998, width: expect.closeTo(0.002) });
    expect(barOf({ offset_ns: 1200, duration_ns: 10 }, view)).toBeNull();
    expect(barOf({ offset_ns: -500, duration_ns: 100 }, view)).toBeNull();
  });
  it('are cut at the edges of what is shown', () => {
    expect(barOf({ offset_ns: -500, duration_ns: 1000 }, view)).toEqual({ left: 0, width: 0.5 });
    expect(barOf({ offset_ns: 500, duration_ns: 5000 }, view)).toEqual({ left: 0.5, width: 0.5 });
  });
  it('have an axis at round places', () => {
    expect(ticks({ from: 0, to: 1000 })).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(ticks({ from: 0, to: 0 })).toEqual([0]);
    expect(ticks({ from: 1_234, to: 5_678 })).toEqual([2000, 3000, 4000, 5000]);
  });
});

it('finds spans by what they say', () => {
  const all = spans(0, 1, 1, 1);
  expect(all.filter((s) => holds(s, '/V2')).length).toBe(1);
  expect(all.filter((s) => holds(s, 'ORDERS')).length).toBe(2);
  expect(nextOf(all, 3, 1, (s) => s.status === 'error')).toBe(3);
  expect(nextOf(all, 0, -1, (s) => s.status === 'error')).toBe(3);
  expect(nextOf(all, 0, 1, () => false)).toBe(-1);
  expect(nextOf([], -1, 1, () => true)).toBe(-1);
  expect([...heaviest(all, 2)]).toEqual(['s3', 's2']);
});

it('draws the rows in sight', () => {
  expect(slice(10_000, 26, 0, 520, 2)).toEqual({ from: 0, to: 22 });
  expect(slice(10_000, 26, 26_000, 520, 2)).toEqual({ from: 998, to: 1022 });
  expect(slice(3, 26, 0, 520)).toEqual({ from: 0, to: 3 });
});

it('reads lengths and ids as people write them', () => {
  expect(['150ms', '1.5 s', '20', '3µs', '2m'].map(lengthOf)).toEqual(['150ms', '1.5s', '20ms', '3us', '2m']);
  expect(['', 'fast', '-1s', '1d'].map(lengthOf)).toEqual([null, null, null, null]);
  expect(traceId(' 4BF92F3577B34DA6A3CE929D0E0E4736 ')).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
  expect([traceId('00000000000000000000000000000000'), traceId('x'), traceId('abc')]).toEqual(['', '', '']);
});

it('says lengths in the unit that reads best', () => {
  expect([0, 850, 12_340, 12_345_678, 1_240_000_000, 123_000_000_000, 7_500_000_000_000].map((n) => duration(n, 'en-US'))).toEqual(['0 ns', '850 ns', '12.3 µs', '12.3 ms', '1.24 s', '2 min 3 s', '2 h 5 min']);
  expect(duration(999_600_000, 'en-US')).toBe('1 s');
  expect(duration(undefined, 'en-US')).toBe('–');
});
