import { describe, expect, it } from 'vitest';
import { keyOf, lineOf, markWords, wanted } from './event';

describe('the line of an event', () => {
  it('drops the syslog header, which stands beside it', () => {
    expect(lineOf({ 'event.original': '<38>Nov 26 web-01 sshd[1]: Failed password', message: 'Failed password', 'process.name': 'sshd' })).toBe('sshd: Failed password');
  });
  it('is the raw text, the message, or what there is', () => {
    expect(lineOf({ 'event.original': ' a\nb ' })).toBe('a\nb');
    expect(lineOf({ message: 'm' })).toBe('m');
    expect(lineOf({ n: '3' })).toBe('{"n":"3"}');
  });
  it('has a key even where rows are computed', () => {
    expect(keyOf({ 'event.id': 'x' }, 4)).toBe('x');
    expect(keyOf({ value: '1' }, 4)).toBe('-4');
  });
});

describe('what a query looks for', () => {
  it.each<[string, string[]]>([
    ['failed password', ['failed', 'password']],
    ['"Failed password" !root', ['Failed password']],
    ['not "x y" or 登录', ['登录']],
    ['source.ip:="203.0.113.7" sshd', ['sshd']],
    ['host.name:web* (denied AND user:in("alice","bob")) | stats count()', ['denied']],
    ['"say \\"hi\\""', ['say "hi"']],
    ['*', []],
    ['', []],
  ])('%s', (query, want) => {
    expect(wanted(query)).toEqual(want);
  });
  it('is marked whatever its case, the longer first, and nothing is lost', () => {
    const line = 'Failed PASSWORD for (root)';
    const got = markWords(line, ['password for', 'password', '(root']);
    expect(got.filter((s) => s.marked).map((s) => s.text)).toEqual(['PASSWORD for', '(root']);
    expect(got.map((s) => s.text).join('')).toBe(line);
    expect(markWords('', ['x'])).toEqual([{ text: '', marked: false }]);
  });
});
