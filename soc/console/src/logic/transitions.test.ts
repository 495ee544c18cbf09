import { expect, it } from 'vitest';
import type { Move } from '../api/dispatch';
import { deadEnds, pairs, refusedMove, said, withMove } from './transitions';

const m = (from: string, to: string, roles: string[] = []): Move => ({ of: 'incident', from, to, roles });

it('knows every move there could be', () => {
  expect(pairs('incident')).toHaveLength(6);
  expect(pairs('notice')).toHaveLength(20);
});
it('changes, adds and takes out one move and leaves the others', () => {
  const table = [m('open', 'closed'), m('closed', 'open')];
  expect(withMove(table, 'incident', 'open', 'closed', { roles: ['a'] })).toEqual([m('open', 'closed', ['a']), m('closed', 'open')]);
  expect(withMove(table, 'incident', 'open', 'acknowledged', {})).toHaveLength(3);
  expect(withMove(table, 'incident', 'closed', 'open', null)).toEqual([m('open', 'closed')]);
});
it('says the same of tables in another order', () => {
  expect(said([m('open', 'closed', ['a', 'b']), m('closed', 'open')])).toBe(said([m('closed', 'open'), m('open', 'closed', ['b', 'a'])]));
  expect(said([m('open', 'closed')])).not.toBe(said([m('open', 'closed', ['a'])]));
});
it('finds states that nothing leads out of', () => {
  expect(deadEnds([m('open', 'closed'), m('acknowledged', 'open')], 'incident')).toEqual(['closed']);
});
it('takes apart what the server says to who may not', () => {
  expect(refusedMove('you may not move a notice from review to approved: that is for the roles operator, security-admin')).toEqual({ of: 'notice', from: 'review', to: 'approved', roles: ['operator', 'security-admin'] });
  expect(refusedMove('you may not move an incident from open to closed: nobody but an administrator may: the table of transitions has no such move')).toEqual({ of: 'incident', from: 'open', to: 'closed', roles: [] });
  expect(refusedMove('the incident is closed')).toBeUndefined();
});
