import { expect, it } from 'vitest';
import { least, movedColumn, readColumns, resized, toggled, tracks, usualColumns, viewOf, writeColumns, type Spec } from './columns';

const specs: Spec[] = [
  { key: 'sev', track: '52px', usual: true },
  { key: 'what', track: 'minmax(90px,1fr)', usual: true, fixed: true },
  { key: 'tenant', track: '132px', usual: true, roomy: 1 },
  { key: 'rule', track: '160px', usual: false },
];

it('reads back what it writes', () => {
  const shown = [{ key: 'what' }, { key: 'rule', width: 240 }];
  expect(readColumns(writeColumns(shown), specs)).toEqual(shown);
});
it('drops what it does not know, and never loses the column that says what a row is', () => {
  expect(readColumns(['gone', 'rule:abc', 'rule:90', 'sev:5'], specs)).toEqual([{ key: 'what' }, { key: 'rule' }, { key: 'sev' }]);
  expect(readColumns(['gone'], specs)).toEqual([]);
  expect(toggled([{ key: 'what' }], specs[1] as Spec)).toEqual([{ key: 'what' }]);
});
it('leaves roomy ones out of the usual where there is little room', () => {
  expect(usualColumns(specs).map((c) => c.key)).toEqual(['sev', 'what', 'tenant']);
  expect(usualColumns(specs, 1).map((c) => c.key)).toEqual(['sev', 'what']);
});
it('moves and sizes within bounds', () => {
  const shown = usualColumns(specs);
  expect(movedColumn(shown, 'tenant', -1).map((c) => c.key)).toEqual(['sev', 'tenant', 'what']);
  expect(movedColumn(shown, 'sev', -1)).toEqual(shown);
  expect(resized(shown, 'sev', 5)[0]).toEqual({ key: 'sev', width: 36 });
  expect(tracks(resized(shown, 'sev', 80), specs)).toBe('80px minmax(90px,1fr) 132px');
  expect(least(resized(shown, 'sev', 80), specs, 40)).toBe('calc(80px + 90px + 132px + 40px)');
});
it('keeps of an address what makes the view', () => {
  expect(viewOf(new URLSearchParams('status=open&sel=A-1&preview=1'), [{ key: 'what' }])).toBe('cols=what&status=open');
});
