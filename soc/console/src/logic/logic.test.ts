import { describe, expect, it } from 'vitest';
import type { Evidence } from '../api/types';
import { factorAsked } from './signin';
import { evidenceFields, markEvidence } from './evidence';
import { toCSV } from './export';
import { absolute, bytes, clock, compact, localTimes, number, relative } from './format';
import { holdStill } from './live';
import { fieldIs, filterIn, filterOut, hasTopLevelOr, narrowBy, phraseIn, phraseOut, quote, splitPipes } from './logsql';
import { durationMs, goDuration, parseRange, parseWords, rangeBounds, rangeParams, safeReturn, withParams } from './urlstate';

const marked = (raw: string, evidence: { field: string; value: string }[]) => {
  const segments = markEvidence(raw, evidence);
  expect(segments.map((s) => s.text).join('')).toBe(raw);
  return segments.filter((s) => s.fields.length > 0).map((s) => `${s.text}<${s.fields.join(',')}>`);
};

describe('evidence in the raw event', () => {
  const line = 'Nov 23 16:22:01 web-22 sshd[2201]: Failed password for root from 203.0.113.7 port 22 ssh2';
  it('marks values that stand alone, and names their fields', () => {
    expect(marked(line, [{ field: 'source.ip', value: '203.0.113.7' }, { field: 'user.name', value: 'root' }])).toEqual([
      'root<user.name>',
      '203.0.113.7<source.ip>',
    ]);
  });
  it('marks a number where it is whole: not in a clock, a name part of digits or a process id', () => {
    expect(marked('sshd[2201]: 10.0.22.1 at 16:22 port 22', [{ field: 'p', value: '22' }])).toEqual(['22<p>']);
  });
  it('takes an address before its port and not inside a longer one', () => {
    expect(marked('10.1.1.1:80 110.1.1.1 10.1.1.10', [{ field: 'ip', value: '10.1.1.1' }])).toEqual(['10.1.1.1<ip>']);
  });
  it('prefers the longer of overlapping values and joins equal ones', () => {
    expect(
      marked('Failed password for root', [
        { field: 'a', value: 'password' },
        { field: 'message', value: 'Failed password' },
        { field: 'user.name', value: 'root' },
        { field: 'user.effective.name', value: 'root' },
      ]),
    ).toEqual(['Failed password<message>', 'root<user.name,user.effective.name>']);
  });
  it('finds a value that was lower-cased, and Chinese without spaces', () => {
    expect(marked('PROTO=TCP DPT=22', [{ field: 'network.transport', value: 'tcp' }])).toEqual(['TCP<network.transport>']);
    expect(marked('用户张三登录失败', [{ field: 'user.name', value: '张三' }])).toEqual(['张三<user.name>']);
  });
  it('survives nothing and odd text', () => {
    expect(markEvidence('', [])).toEqual([]);
    expect(marked('a\u0000b 💥 "x"', [{ field: 'f', value: '' }, { field: 'g', value: '💥' }])).toEqual(['💥<g>']);
  });
  it('tells which fields of an event are evidence', () => {
    const evidence: Evidence[] = [
      { selection: 'sel', field: 'user.name', value: 'Root' },
      { selection: 'other', field: 'user.name', value: 'root' },
      { selection: 'sel', field: 'tags', value: 'b' },
      { selection: 'sel', field: 'gone', value: 'x' },
    ];
    const hit = evidenceFields({ 'user.name': 'root', tags: '["a","b"]', other: '[not json' }, evidence);
    expect([...hit]).toEqual([
      ['user.name', ['sel', 'other']],
      ['tags', ['sel']],
    ]);
  });
});

describe('LogsQL', () => {
  it('quotes what would break out', () => {
    expect(quote('a"b\\c\nd\u0001')).toBe('"a\\"b\\\\c\\nd\\x01"');
    expect(fieldIs('source.ip', '10.0.0.1')).toBe('source.ip:="10.0.0.1"');
    expect(fieldIs('@timestamp', 'x')).toBe('"@timestamp":="x"');
    expect(fieldIs('a b:c', 'x')).toBe('"a b:c":="x"');
    expect(fieldIs('or', 'x')).toBe('"or":="x"');
  });
  it('adds a filter and keeps the meaning of what was written', () => {
    expect(filterIn('', 'u', 'a')).toBe('u:="a"');
    expect(filterIn('*', 'u', 'a')).toBe('u:="a"');
    expect(filterIn('error', 'u', 'a')).toBe('error u:="a"');
    expect(filterIn('a or b', 'u', 'x')).toBe('(a or b) u:="x"');
    expect(filterIn('(a or b)', 'u', 'x')).toBe('(a or b) u:="x"');
    expect(filterIn('error | stats count()', 'u', 'a')).toBe('error u:="a" | stats count()');
    expect(filterIn('"a | b" | limit 3', 'u', 'a')).toBe('"a | b" u:="a" | limit 3');
  });
  it('does not add twice and turns a filter round', () => {
    const q = filterIn('error', 'u', 'a b');
    expect(filterIn(q, 'u', 'a b')).toBe(q);
    expect(filterOut(q, 'u', 'a b')).toBe('error !u:="a b"');
    expect(filterIn(filterOut('', 'u', 'a'), 'u', 'a')).toBe('u:="a"');
  });
  it('adds texts and whole filters without changing what was written', () => {
    expect(phraseIn('a or b', 'x y')).toBe('(a or b) "x y"');
    expect(phraseOut('"x y" c | stats count()', 'x y')).toBe('c !"x y" | stats count()');
    expect(phraseIn(phraseOut('', 'x'), 'x')).toBe('"x"');
    expect(narrowBy('a', 'b or c')).toBe('a (b or c)');
    expect(narrowBy('', 'ip:ipv4_range("10.0.0.0/8")')).toBe('ip:ipv4_range("10.0.0.0/8")');
  });
  it('sees pipes and or only outside quotes and parentheses', () => {
    expect(splitPipes('a:~"x|y" (b | c) | sort by (x)')).toEqual(['a:~"x|y" (b | c)', '| sort by (x)']);
    expect(splitPipes('"unfinished | quote')).toEqual(['"unfinished | quote', '']);
    expect(hasTopLevelOr('error OR warn')).toBe(true);
    expect(hasTopLevelOr('"a or b" (c or d) order:or_x floor')).toBe(false);
  });
});

describe('URL state', () => {
  const p = (s: string) => new URLSearchParams(s);
  it('reads a range and falls back on nonsense', () => {
    expect(parseRange(p('since=7d'), '24h')).toEqual({ since: '7d' });
    expect(parseRange(p('since=banana'), '24h')).toEqual({ since: '24h' });
    expect(parseRange(p('start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00Z'), '24h')).toEqual({
      start: '2026-01-01T00:00:00Z',
      end: '2026-01-02T00:00:00Z',
    });
    expect(parseRange(p('start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z'), '24h')).toEqual({ since: '24h' });
    expect(rangeBounds({ since: '15m' }, 1_000_000)).toEqual([100_000, 1_000_000]);
    expect(rangeParams({ since: '24h' }, '24h').since).toBeUndefined();
  });
  it('speaks durations', () => {
    expect(durationMs('90s')).toBe(90_000);
    expect(durationMs('-5m')).toBeNaN();
    expect(goDuration('7d')).toBe('168h');
    expect(goDuration('15m')).toBe('15m');
  });
  it('keeps known words, sets and removes', () => {
    expect(parseWords(p('status=closed,evil,open'), 'status', ['open', 'closed'] as const)).toEqual(['open', 'closed']);
    expect(withParams(p('a=1&b=2'), { a: undefined, b: [], c: ['x', 'y'] }).toString()).toBe('c=x%2Cy');
  });
  it('returns only to our own pages', () => {
    expect(safeReturn('/alerts?x=1')).toBe('/alerts?x=1');
    for (const bad of [null, '', 'https://evil.example', '//evil.example', '/\\evil.example', '/login?to=/']) expect(safeReturn(bad)).toBe('/');
  });
});

describe('export', () => {
  it('writes CSV that no spreadsheet runs', () => {
    const csv = toCSV([{ b: '=HYPERLINK("x")', '@timestamp': 't', n: -5 }, { a: 'x,"y"\nz', n: ['p', 'q'] }], ['@timestamp']);
    expect(csv).toBe('\ufeff@timestamp,a,b,n\r\nt,,"\'=HYPERLINK(""x"")",-5\r\n,"x,""y""\nz",,p; q\r\n');
  });
  it('writes one object a line', () => {
  });
});

describe('format', () => {
  const now = new Date(2026, 10, 23, 16, 0, 0).getTime();
  it('tells times', () => {
    expect(absolute(now)).toBe('2026-11-23 16:00:00');
    expect(absolute('nonsense')).toBe('nonsense');
    expect(compact(now - 60_000, now)).toBe('15:59:00');
    expect(compact(now - 86_400_000, now)).toBe('11-22 16:00');
    expect(relative(now - 180_000, now, 'zh-CN')).toBe('3分钟前');
    expect(relative(now - 180_000, now, 'en-US')).toBe('3 min. ago');
    expect(clock(65_000, 'zh-CN')).toBe('01:05');
    expect(clock(-3_909_000, 'zh-CN')).toBe('1:05:09');
    expect(clock(55 * 3_600_000, 'zh-CN')).toBe('2天7小时');
    expect(clock(55 * 3_600_000, 'en-US')).toBe('2d 7h');
  });
  it("turns the moments within a text into the reader's", () => {
    const at = '2026-11-23T08:00:00Z';
    expect(localTimes(`登录成功（${at}），2026-11-23T16:00:00.25+08:00`)).toBe(`登录成功（${absolute(at)}），${absolute(at)}`);
    expect(localTimes('T1110.001 on 2026-11-23, port 22')).toBe('T1110.001 on 2026-11-23, port 22');
  });
  it('tells numbers', () => {
    expect(number(1234567, 'zh-CN')).toBe('1,234,567');
    expect(number(undefined, 'zh-CN')).toBe('–');
    expect(bytes(1536, 'en-US')).toBe('1.5 KiB');
  });
});

describe('a list that holds still', () => {
  it('refreshes rows in place and lets new ones wait', () => {
    const a = { id: 'a', n: 1 };
    const b = { id: 'b', n: 1 };
    expect(holdStill([a, b], [{ id: 'c', n: 1 }, { id: 'b', n: 2 }])).toEqual({ rows: [a, { id: 'b', n: 2 }], waiting: 1 });
  });
  it('takes rows that a full page draws in at its end for no news', () => {
    const r = (...ids: string[]) => ids.map((id) => ({ id }));
    expect(holdStill(r('a', 'b', 'c'), r('n', 'a', 'c', 'd'), false).waiting).toBe(1);
    expect(holdStill(r('a'), r('x', 'y'), false).waiting).toBe(2);
    expect(holdStill(r('a'), r('a', 'z'), true).waiting).toBe(1);
  });
});

describe('the second factor after a single sign-on', () => {
  const of = (q: string) => factorAsked(new URLSearchParams(q));
  it('is asked for where the server says so', () => {
    expect(of('sso=mfa&challenge=iwc_1&factors=totp,webauthn,sms')).toEqual({ challenge: 'iwc_1', factors: ['totp', 'webauthn'] });
  });
  it('is not asked for otherwise', () => {
    for (const q of ['', 'sso=mfa', 'challenge=iwc_1', 'sso=invalid&challenge=iwc_1']) expect(of(q)).toBeNull();
  });
});
