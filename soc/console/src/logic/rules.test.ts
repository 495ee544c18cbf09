import { describe, expect, it } from 'vitest';
import type { RuleInfo } from '../api/types';
import { ruleCounts, ruleMatches, ruleOrder, type RuleFilter } from './rules';

const rule = (more: Partial<RuleInfo>): RuleInfo => ({ id: 'r', title: { zh: '规则', en: 'Rule' }, level: 'high', kind: 'sigma', status: 'active', path: 'builtin/x.yml', ...more });
const none: RuleFilter = { q: '', status: '', level: '', kind: '', origin: '', tag: '' };

describe('rules', () => {
  const off = rule({ id: 'off', off: { by: 'li', at: '' }, tags: ['attack.t1110', 'night'] });
  const bad = rule({ id: 'bad', status: 'rejected', level: 'low' });
  const flood = rule({ id: 'flood', level: 'critical', origin: 'own', throttle: { state: 'flood', since: '', reason: { zh: '', en: '' } } });
  it('finds words in any order, and by every other mark', () => {
    expect(ruleMatches(off, { ...none, q: 'night T1110' })).toBe(true);
    expect(ruleMatches(off, { ...none, q: 'day' })).toBe(false);
    expect(ruleMatches(off, { ...none, status: 'active' })).toBe(false);
    expect(ruleMatches(off, { ...none, status: 'disabled', tag: 'night' })).toBe(true);
    expect(ruleMatches(flood, { ...none, status: 'throttled', origin: 'own', level: 'critical', kind: 'sigma' })).toBe(true);
    expect(ruleMatches(bad, { ...none, status: 'throttled' })).toBe(false);
  });
  it('counts what is off as off, and puts what needs a look first', () => {
    expect(ruleCounts([off, bad, flood])).toMatchObject({ active: 1, disabled: 1, rejected: 1, throttled: 1, tags: [['attack.t1110', 1], ['night', 1]] });
    expect([off, flood, bad].sort(ruleOrder((t) => t.en ?? '')).map((r) => r.id)).toEqual(['bad', 'flood', 'off']);
  });
});
