import { expect, it } from 'vitest';
import { completions } from './complete';

const fields = ['user.name', 'user.id', 'source.ip', 'process.command_line'];
/** The options at the place of ‸. */
const at = (text: string) => completions(text.replace('‸', ''), text.indexOf('‸'), fields)?.options ?? null;

it('knows the keys of a rule and of its parts', () => {
  expect(at('title: x\nlogs‸')).toEqual(['logsource:']);
  expect(at('logsource:\n  pro‸')).toEqual(['product: ']);
  expect(at('icewatch:\n  advice:\n    z‸')).toEqual(['zh: ']);
  expect(at('# ti‸')).toBeNull();
  expect(at('‸')).toBeNull();
});

it('knows fields and modifiers within selections, not elsewhere', () => {
  expect(at('detection:\n  s:\n    user‸')).toEqual(['user.name', 'user.id']);
  expect(at('detection:\n  s:\n    - command‸')).toEqual(['process.command_line']);
  expect(at('detection:\n  s:\n    user.name|con‸')).toEqual(['contains']);
  expect(at('detection:\n  s:\n    user.name|contains|a‸')?.[0]).toBe('all');
  expect(at('detection:\n  user‸')).toBeNull();
  expect(at('icewatch:\n  group_by:\n    - source‸')).toEqual(['source.ip']);
});

it('knows values and the names of selections', () => {
  expect(at('level: hi‸')).toEqual(['high']);
  expect(at('detection:\n  word:\n    a: 1\n  who:\n    b: 2\n  condition: word and w‸')).toEqual(['word', 'who']);
  expect(at('detection:\n  s:\n    user.name: al‸')).toBeNull();
});

it('knows what the schema of its kind of rule allows, and offers nothing twice', () => {
  expect(at('title: x\ncorrelation:\n  ty‸')).toEqual(['type: ']);
  expect(at('correlation:\n  type: value_m‸')).toEqual(['value_median']);
  expect(at('correlation:\n  type: value_count\n  condition:\n    gt‸')).toEqual(['gt: ', 'gte: ']);
  expect(at('correlation:\n  rules: [a]\nicewatch:\n  travel:\n    kmh‸')).toEqual(['kmh: ']);
  expect(at('icewatch:\n  alert: f‸')).toEqual(['false']);
  expect(at('status: stab‸')).toEqual(['stable']);
  expect(at('related:\n  - type: re‸')).toEqual(['renamed']);
  expect(at('logsource:\n  product: linux\n  pro‸')).toBeNull();
  // The next document is of another kind.
  expect(at('title: a\nlogsource:\n  product: linux\n---\ntitle: b\ncorrelation:\n  times‸')).toEqual(['timespan: ']);
  expect(at('title: b\ntime‸\n---\ncorrelation:\n  type: event_count')).toBeNull();
});
