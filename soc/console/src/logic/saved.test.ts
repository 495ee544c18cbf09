import { describe, expect, it } from 'vitest';
import { draftOf, pastParams, savedParams, span } from './saved';
import { withParams } from './urlstate';

describe('saved searches', () => {
  it('lead back to the page they were saved from', () => {
    const url = new URLSearchParams('query=a+b&tenant=city&group=g1&since=24h&cols=x,y&view=chart&shape=pie&by=x');
    expect(withParams(new URLSearchParams('live=1&query=old'), savedParams(draftOf(url, '15m'))).toString()).toBe(withParams(url, {}).toString().replaceAll('%2C', '%2C'));
  });
  it('keep the usual range, which the address leaves out', () => {
    expect(draftOf(new URLSearchParams(), '15m')).toMatchObject({ query: '', time: { since: '15m' }, columns: [], chart: null });
    expect(draftOf(new URLSearchParams('start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00Z'), '15m').time).toEqual({ start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' });
  });
});

it('reads a span as Go writes it', () => {
  expect([span('24h0m0s'), span('15m0s'), span('7d'), span('1h30m0s'), span('')]).toEqual(['24h', '15m', '7d', undefined, undefined]);
});

it('a past search with a span looks at now, not at then', () => {
  const past = { id: 1, query: 'x', since: '1h', start: 's', end: 'e', count: 1, last_at: '' };
  expect(pastParams(past)).toMatchObject({ query: 'x', since: '1h', start: undefined, end: undefined });
  expect(pastParams({ ...past, since: '' })).toMatchObject({ start: 's', end: 'e' });
});
