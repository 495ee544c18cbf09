import { describe, expect, it } from 'vitest';
import type { DisposalContent } from '../api/dispatch';
import { contentOf, lacking, matcherOf, objectOf, quotedMatcher, reordered, repeated, secretsOf, tidyConnection } from './dispatch';

describe('matchers', () => {
  it('reads back what it writes, whatever the value holds', () => {
    for (const m of [
      { name: 'system', value: '税务"局" \\ x', isRegex: false, isEqual: true },
      { name: 'ci', value: 'web-.*', isRegex: true, isEqual: false },
      { name: 'owner', value: '', isRegex: false, isEqual: false },
    ])
      expect(matcherOf(quotedMatcher(m))).toEqual(m);
  });
  it('reads what people write without quotes, and leaves alone what it cannot show', () => {
    expect(matcherOf('ci != web-01')).toEqual({ name: 'ci', value: 'web-01', isRegex: false, isEqual: false });
    expect(matcherOf('system=~"a')).toBeUndefined();
    expect(matcherOf('no matcher')).toBeUndefined();
  });
});

describe('order of rules', () => {
  const rows = [
    { id: 'a', position: 2 },
    { id: 'b', position: 5 },
    { id: 'c', position: 9 },
  ];
  it('exchanges the places of neighbours', () => {
    expect(reordered(rows, 'b', -1)).toEqual([
      { id: 'b', position: 2 },
      { id: 'a', position: 5 },
    ]);
    expect(reordered(rows, 'a', -1)).toEqual([]);
    expect(reordered(rows, 'c', 1)).toEqual([]);
  });
  it('gives each a place of its own where some share one', () => {
    const same = rows.map((r) => ({ ...r, position: 1 }));
    expect(reordered(same, 'c', -1)).toEqual([
      { id: 'c', position: 2 },
      { id: 'b', position: 3 },
    ]);
  });
});

describe('connections', () => {
  it('leaves out what was left empty', () => {
    expect(tidyConnection({ name: ' ITSM ', enabled: true, url: ' ', create: { url: 'https://x', headers: {}, body: 'unused', fields: { a: 'b' } }, update: { url: ' ' }, answer: { id: ' ', state: 's' }, states: [{ theirs: ' ', ours: 'open' }], resolution: 'benign' })).toEqual({
      name: 'ITSM',
      description: undefined,
      enabled: true,
      url: undefined,
      create: { url: 'https://x', fields: { a: 'b' } },
      update: undefined,
      query: undefined,
      answer: { state: 's' },
      states: [],
      poll_seconds: undefined,
      close: undefined,
      resolution: undefined,
      tenants: [],
    });
  });
  it('sends only the secrets that were typed or taken away', () => {
    expect(secretsOf('', '', [], new Set())).toBeUndefined();
    expect(secretsOf('new', '', [{ name: 'pass', value: 'x' }, { name: 'empty', value: '' }], new Set(['token', 'key', 'vars.old']))).toEqual({ token: 'new', key: '', vars: { old: '', pass: 'x' } });
  });
  it('knows names that stand twice', () => {
    expect(repeated([{ name: 'a', value: '' }, { name: ' a ', value: '' }, { name: '', value: '' }, { name: '', value: '' }])).toEqual(['a']);
    expect(objectOf([{ name: ' ', value: 'x' }])).toBeUndefined();
  });
});

describe('disposal rules', () => {
  const rule: DisposalContent = { name: 'night', enabled: true, on: 'incident' };
  it('says what keeps one from being sent', () => {
    expect(lacking({ ...rule, name: ' ' })).toBe('name');
    expect(lacking(rule)).toBe('nothing');
    expect(lacking({ ...rule, tell: { receivers: [] } })).toBe('nothing');
    expect(lacking({ ...rule, assign: { to: 'on_duty' } })).toBe('team');
    expect(lacking({ ...rule, assign: { to: 'user' } })).toBe('user');
    expect(lacking({ ...rule, notice: true, escalate: { after_minutes: 5 } })).toBe('escalate');
    expect(lacking({ ...rule, assign: { to: 'owner' } })).toBeUndefined();
    expect(lacking({ ...rule, close: { resolution: 'false_positive', comment: ' ' } })).toBe('close');
    expect(contentOf({ ...rule, close: { resolution: 'false_positive', comment: ' scanner ' } }).close).toEqual({ resolution: 'false_positive', comment: 'scanner' });
  });
  it('drops the team where it is not duty that is asked', () => {
    expect(contentOf({ ...rule, assign: { to: 'user', user: 'li', team: 'night' } }).assign).toEqual({ to: 'user', user: 'li', team: undefined, anew: undefined });
  });
});
