import { expect, it } from 'vitest';
import type { LogQLMatrix } from '../api/logql';
import { matrixOf, seriesName, told } from './logql';

const m: LogQLMatrix = {
  type: 'matrix',
  step_ms: 60_000,
  start: '2026-11-26T03:00:00Z',
  end: '2026-11-26T03:03:00Z',
  series: [
    { labels: { host: 'a' }, points: [['2026-11-26T03:00:00Z', 1], ['2026-11-26T03:02:00Z', 3]] },
    { labels: { host: 'b', level: 'error' }, points: [['2026-11-26T03:01:00Z', 10], ['2026-11-26T03:02:00Z', null]] },
    { labels: { host: 'c' }, points: [['2026-11-26T03:01:00Z', null]] },
  ],
};

it('names series as the language does', () => {
  expect([seriesName({}), seriesName({ host: 'a' }), seriesName({ host: '' }), seriesName({ b: '2', a: '1' })]).toEqual(['{}', 'a', '""', '{a="1", b="2"}']);
});
it('tells of each series, the largest first, and leaves out who has no number', () => {
  expect(told(m).map((x) => [x.name, x.last, x.least, x.most, x.mean])).toEqual([
    ['{host="b", level="error"}', null, 10, 10, 10],
    ['a', 3, 1, 3, 2],
  ]);
});
it('draws gaps where nothing was counted', () => {
  const l = matrixOf(m, 1);
  expect(l.times.length).toBe(4);
  expect(l.lines).toEqual([{ name: '{host="b", level="error"}', values: [null, 10, null, null] }]);
});
