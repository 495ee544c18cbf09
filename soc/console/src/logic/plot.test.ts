import { describe, expect, it } from 'vitest';
import { computes, lines, parsePlot, plotQuery, plotReady, points, stepFor, type Plot } from './plot';

const bar: Plot = { shape: 'bar', measure: 'count', of: '', by: 'source.ip' };

describe('the query of a chart', () => {
  it.each<[string, Plot, string]>([
    ['', bar, '* | stats by (source.ip) count() as value | sort by (value desc) | limit 20'],
    ['error', { ...bar, measure: 'uniq', of: 'user.name' }, 'error | stats by (source.ip) count_uniq(user.name) as value | sort by (value desc) | limit 20'],
    ['a', { ...bar, by: 'x-y', measure: 'p95', of: 'event.duration' }, 'a | stats by ("x-y") quantile(0.95, event.duration) as value | sort by (value desc) | limit 20'],
    ['a', { ...bar, shape: 'line' }, 'a | stats by (_time:60s, source.ip) count() as value'],
    ['a', { ...bar, shape: 'line', by: '' }, 'a | stats by (_time:60s) count() as value'],
    ['a | fields x', bar, 'a | fields x | stats by (source.ip) count() as value | sort by (value desc) | limit 20'],
    ['a | stats by (x) count() n', bar, 'a | stats by (x) count() n'],
  ])('of %j with %j', (query, plot, want) => {
    expect(plotQuery(query, plot, 3_600_000)).toBe(want);
  });
  it('is left alone only where a pipe computes, not where a word says so', () => {
    expect(computes('a | stats count()')).toBe(true);
    expect(computes('"| stats" or stats')).toBe(false);
  });
  it('needs a field where the measure is of one', () => {
    expect(plotReady(bar)).toBe(true);
    expect(plotReady({ ...bar, measure: 'avg' })).toBe(false);
    expect(plotReady({ ...bar, by: '' })).toBe(false);
    expect(plotReady({ ...bar, by: '', shape: 'line' })).toBe(true);
  });
  it('reads the URL and takes unknown words for the usual', () => {
    expect(parsePlot(new URLSearchParams('shape=pie&measure=evil&of=x&by=host.name'))).toEqual({ shape: 'pie', measure: 'count', of: '', by: 'host.name' });
  });
});

it('cuts a span into at most sixty usual steps', () => {
  for (const span of [1_000, 60_000, 3_600_000, 86_400_000, 30 * 86_400_000]) expect(span / 1000 / stepFor(span)).toBeLessThanOrEqual(60);
  expect(stepFor(3_600_000)).toBe(60);
});

describe('the points of a chart', () => {
  it('are the rows, largest first, numbers out of texts', () => {
    const rows = [
      { 'source.ip': '10.0.0.1', value: '3' },
      { 'source.ip': '10.0.0.2', value: '12' },
      { 'source.ip': '', value: '' },
    ];
    expect(points(rows)).toEqual([
      { name: '10.0.0.2', value: 12 },
      { name: '10.0.0.1', value: 3 },
    ]);
  });
  it('of a query of one’s own take its numeric column, and numbers that are names stay names', () => {
    expect(points([{ 'source.port': '22', value: '7' }])).toEqual([{ name: '22', value: 7 }]);
    expect(points([{ who: 'a', hits: '7' }])).toEqual([{ name: 'a', value: 7 }]);
    expect(points([{ who: 'a' }])).toEqual([]);
  });
});

describe('lines over time', () => {
  const row = (s: number, host: string, value: number) => ({ '@timestamp': new Date(s * 1000).toISOString(), 'host.name': host, value: String(value) });
  const plot: Plot = { shape: 'line', measure: 'count', of: '', by: 'host.name' };
  it('share one axis without holes, with zero where nothing happened', () => {
    const got = lines([row(0, 'a', 1), row(60, 'b', 9), row(240, 'a', 2)], plot, 'rest');
    expect(got.times).toEqual([0, 60_000, 120_000, 180_000, 240_000]);
    expect(got.lines).toEqual([
      { name: 'b', values: [0, 9, 0, 0, 0] },
      { name: 'a', values: [1, 0, 0, 0, 2] },
    ]);
  });
  it('leave gaps where no average was measured', () => {
    expect(lines([row(0, 'a', 1), row(120, 'a', 2), row(60, 'b', 5)], { ...plot, measure: 'avg', of: 'x' }, 'rest').lines.find((l) => l.name === 'a')?.values).toEqual([1, null, 2]);
  });
  it('put the small ones together only where that adds up', () => {
    const rows = Array.from({ length: 9 }, (_, i) => row(0, `h${i}`, i + 1));
    const got = lines(rows, plot, 'rest').lines;
    expect(got).toHaveLength(7);
    expect(got[6]).toEqual({ name: 'rest', values: [1 + 2 + 3] });
    expect(lines(rows, { ...plot, measure: 'max', of: 'x' }, 'rest').lines).toHaveLength(6);
  });
});
