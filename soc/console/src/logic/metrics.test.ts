import { expect, it } from 'vitest';
import { matrixLines } from './metrics';

it('puts series on one axis, with gaps where one has no value', () => {
  const got = matrixLines(
    [
      { metric: { job: 'a' }, values: [[10, '1'], [30, '3']] },
      { metric: { job: 'b' }, values: [[20, '2.5'], [30, 'NaN']] },
    ],
    (m) => m.job ?? '',
  );
  expect(got).toEqual({ times: [10_000, 20_000, 30_000], lines: [{ name: 'a', values: [1, null, 3] }, { name: 'b', values: [null, 2.5, null] }] });
  expect(matrixLines([], () => '')).toEqual({ times: [], lines: [] });
});
