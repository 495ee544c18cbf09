import { expect, it } from 'vitest';
import { OPERATORS, matcherText, matchersFor, operatorOf, whole, withOperator } from './silence';

const m = (name: string, value: string) => ({ name, value, isRegex: false, isEqual: true });

it('spells the four operators as Alertmanager does', () => {
  for (const op of OPERATORS) expect(operatorOf(withOperator(m('ci', 'web'), op))).toBe(op);
  expect(matcherText(withOperator(m('ci', 'web-.*'), '!~'))).toBe('ci!~web-.*');
});
it('proposes what was found and where', () => {
  expect(matchersFor({ id: '1', labels: { rule_id: 'r', host: 'h', source_ip: '192.0.2.1', severity: 'high' } })).toEqual([m('rule_id', 'r'), m('host', 'h')]);
  expect(matchersFor({ id: '1', labels: { alertname: 'Down', ci: 'web-01' } })).toEqual([m('alertname', 'Down'), m('ci', 'web-01')]);
  expect(matchersFor({ id: 'a-1', labels: {} })).toEqual([m('alert', 'a-1')]);
});
it('knows a matcher that is not whole', () => {
  expect([whole(m('', 'x')), whole(m('ci', '')), whole(withOperator(m('ci', ''), '!='))]).toEqual([false, false, true]);
});
