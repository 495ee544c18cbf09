import { expect, it } from 'vitest';
import { figure, kept, ofSignal, parseSignal, words } from './signals';

it('narrows a search to a signal and keeps its filter whole', () => {
  expect(ofSignal('a | stats count()', 'logs')).toBe('a | stats count()');
  expect(ofSignal('a | stats count()', 'flows')).toBe('a event.dataset:flow.*');
  expect(ofSignal('a or b', 'traces')).toBe('(a or b) data_stream.type:=traces');
  expect(ofSignal('', 'flows')).toBe('event.dataset:flow.*');
});

it('takes an unknown tab for logs', () => {
  expect(parseSignal(new URLSearchParams('tab=nonsense'))).toBe('logs');
  expect(parseSignal(new URLSearchParams('tab=flows'))).toBe('flows');
});

it('reads what the store computed', () => {
  expect([figure('12'), figure('NaN'), figure(undefined), figure(3)]).toEqual([12, 0, 0, 3]);
  expect([kept('{"a":"b"}'), kept('x'), kept(undefined), kept('null')]).toEqual([{ a: 'b' }, {}, {}, {}]);
  expect([words('["a","b"]'), words(''), words(undefined), words('x'), words(['y'])]).toEqual([['a', 'b'], [], [], ['x'], ['y']]);
});
