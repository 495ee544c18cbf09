import { describe, expect, it } from 'vitest';
import { riskNames, techniqueName } from './risk';

const tree = [
  {
    code: 'NAI',
    name: { zh: '网络攻击事件', en: 'Network attacks' },
    below: [{ code: 'VAI', name: { zh: '漏洞攻击事件', en: 'Vulnerability attacks' }, below: [{ code: 'sqli', name: { zh: 'SQL 注入', en: 'SQL injection' } }] }],
  },
];

describe('riskNames', () => {
  it('names each tier', () => {
    expect(riskNames(tree, ['NAI', 'VAI', 'sqli']).map((n) => n.zh)).toEqual(['网络攻击事件', '漏洞攻击事件', 'SQL 注入']);
  });
  it('ends where the codes do', () => {
    expect(riskNames(tree, ['NAI', undefined, undefined]).map((n) => n.en)).toEqual(['Network attacks']);
    expect(riskNames(tree, [])).toEqual([]);
  });
  it('shows a code that the tree does not have', () => {
    expect(riskNames(tree, ['NAI', 'XX', 'y']).map((n) => n.en)).toEqual(['Network attacks', 'XX', 'y']);
  });
});

describe('techniqueName', () => {
  it('falls back to the technique of a sub-technique', () => {
    const names = { T1110: { zh: '暴力破解', en: 'Brute Force' } };
    expect(techniqueName(names, 'T1110.001')?.en).toBe('Brute Force');
    expect(techniqueName(names, 'T9999')).toBeUndefined();
    expect(techniqueName(null, 'T1110')).toBeUndefined();
  });
});
