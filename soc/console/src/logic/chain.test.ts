import { describe, expect, it } from 'vitest';
import type { GraphEdge } from '../api/graph';
import type { Alert } from '../api/types';
import { moments, partiesOf, partyEntity, stages, unplaced, whoIn } from './chain';

const alert = (id: string, minute: number, tactics: string[], more: Partial<Alert> = {}) => ({ id, tactics, first_seen: `2026-03-04T12:${String(minute).padStart(2, '0')}:00Z`, last_seen: '2026-03-04T12:59:00Z', ...more }) as Alert;
const edge = (id: string, minute: number, kind: GraphEdge['kind'] = 'signin') => ({ id, from: 'ip:a', to: 'host:b', kind, first_seen: `2026-03-04T12:${String(minute).padStart(2, '0')}:00Z`, last_seen: '2026-03-04T12:59:00Z' }) as GraphEdge;

describe('the chain of an attack', () => {
  it('goes from its first tactic to its last, and names what is missing between', () => {
    const list = [alert('c2', 40, ['command-and-control']), alert('scan', 1, ['reconnaissance', 'discovery']), alert('late scan', 5, ['reconnaissance'])];
    const s = stages(list);
    expect(s.map((x) => x.tactic)).toEqual(['reconnaissance', 'resource-development', 'initial-access', 'execution', 'persistence', 'privilege-escalation', 'defense-evasion', 'credential-access', 'discovery', 'lateral-movement', 'collection', 'command-and-control']);
    expect(s[0]?.alerts.map((a) => a.id)).toEqual(['scan', 'late scan']);
    expect(s.filter((x) => x.gap).map((x) => x.tactic)).toEqual(['initial-access', 'execution', 'persistence', 'privilege-escalation', 'defense-evasion', 'credential-access', 'lateral-movement', 'collection']);
  });
  it('is nothing where no alert names a tactic', () => {
    expect(stages([alert('a', 1, [])])).toEqual([]);
    expect(unplaced([alert('a', 1, []), alert('b', 1, ['impact'])]).map((a) => a.id)).toEqual(['a']);
  });
});

it('puts alerts and events into one sequence', () => {
  const m = moments([alert('A', 10, [], { attacker: { ip: '203.0.113.9' }, victim: { name: 'web-01' } })], [edge('login', 9), edge('same', 1, 'same'), edge('proc', 10, 'process')], []);
  expect(m.map((x) => x.id)).toEqual(['login', 'A', 'proc']);
  expect(whoIn(m)).toEqual(['host:b', 'ip:a', '203.0.113.9', 'web-01']);
});

it('names the entities of parties', () => {
  expect(partyEntity({ ip: '10.0.0.1', zone: 'gov' })).toBe('ip:10.0.0.1');
  expect(partyEntity({ item: 'web-1', name: 'web-01' })).toBe('item:web-1');
  expect(partyEntity({ user: 'li' })).toBe('user:li');
  expect(partiesOf({ attackers: [{ ip: '203.0.113.9' }], victims: [{ name: 'b' }, { ip: '203.0.113.9' }] })).toEqual(['ip:203.0.113.9', 'host:b']);
});
