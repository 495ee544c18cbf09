import { describe, expect, it } from 'vitest';
import type { NoticeContent } from '../api/notices';
import { answerOf, bytesOf, hollow, moveName, squared, tally, tidyNotice } from './notices';

const H = 3_600_000;
describe('answers', () => {
  const n = { kind: 'circular' as const, due: 10 * H };
  it('tells late from overdue from in time', () => {
    expect(answerOf({ tenant: 'a', replied_at: 9 * H }, n, 20 * H)).toBe('answered');
    expect(answerOf({ tenant: 'a', replied_at: 11 * H }, n, 20 * H)).toBe('late');
    expect(answerOf({ tenant: 'a', read_at: 1 }, n, 11 * H)).toBe('overdue');
    expect(answerOf({ tenant: 'a', read_at: 1 }, n, 9 * H)).toBe('read');
    expect(answerOf({ tenant: 'a' }, n, 9 * H)).toBe('unread');
  });
  it('wants no answer to a warning', () => {
    expect(answerOf({ tenant: 'a' }, { kind: 'warning', due: 1 }, 20 * H)).toBe('unread');
    expect(tally({ ...n, recipients: [{ tenant: 'a' }, { tenant: 'b', read_at: 1, replied_at: 2 }] }, 11 * H)).toEqual({ all: 2, read: 1, answered: 1, overdue: 1 });
  });
});

describe('what is sent', () => {
  it('leaves out blocks without content, and the time of a warning', () => {
    const c: NoticeContent = { kind: 'warning', name: ' x ', level: 'high', tenants: ['a'], due: 5, body: [{ type: 'text', runs: [{ text: ' ' }] }, { type: 'text', runs: [{ text: 'a' }, { text: '' }] }, { type: 'table', rows: [['', '']] }, { type: 'image' }], evidence: [{ kind: 'log', id: ' ' }] };
    const sent = tidyNotice(c);
    expect(sent.name).toBe('x');
    expect(sent.due).toBeUndefined();
    expect(sent.body).toEqual([{ type: 'text', runs: [{ text: 'a' }] }]);
    expect(sent.evidence).toEqual([]);
    expect(tidyNotice({ ...c, kind: 'circular' }).due).toBe(5);
    expect(hollow({ type: 'code', text: 'x' })).toBe(false);
  });
  it('keeps tables square', () => {
    expect(squared([['a', 'b', 'c'], ['d']], 2)).toEqual([
      ['a', 'b'],
      ['d', ''],
    ]);
  });
  it('counts the bytes of a picture', () => {
    expect(bytesOf(`data:image/png;base64,${btoa('abcdef')}`)).toBe(6);
  });
});

it('names moves by where they come from', () => {
  expect(moveName('approved', 'published')).toBe('publish');
  expect(moveName('closed', 'published')).toBe('reopen');
  expect(moveName('review', 'draft')).toBe('back');
});
