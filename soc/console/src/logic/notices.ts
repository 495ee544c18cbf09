/** Circulars and early warnings: who is late, and what of a body is worth sending. Pure. */
import type { Block, BlockType, Notice, NoticeContent, NoticeState, Recipient } from '../api/notices';
import { list } from '../api/types';

export type Answer = 'answered' | 'late' | 'overdue' | 'read' | 'unread';

/** Where a recipient stands: answered in time or after it, overdue, or whether it was read. A warning wants no answer. */
export function answerOf(r: Recipient, n: Pick<Notice, 'kind' | 'due'>, now: number): Answer {
  if (r.replied_at) return n.due && r.replied_at > n.due ? 'late' : 'answered';
  if (n.kind === 'circular' && n.due && now > n.due) return 'overdue';
  return r.read_at ? 'read' : 'unread';
}

/** How many of a circular's recipients answered, and how many are past the time. */
export function tally(n: Pick<Notice, 'kind' | 'due' | 'recipients'>, now: number): { all: number; read: number; answered: number; overdue: number } {
  const to = list(n.recipients);
  return {
    all: to.length,
    read: to.filter((r) => r.read_at).length,
    answered: to.filter((r) => r.replied_at).length,
    overdue: to.filter((r) => answerOf(r, n, now) === 'overdue').length,
  };
}

export function freshBlock(type: BlockType): Block {
  switch (type) {
    case 'text':
    case 'heading':
      return { type, runs: [{ text: '' }] };
    case 'table':
      return { type, rows: [['', ''], ['', '']] };
    default:
      return { type };
  }
}

/** Whether a block says nothing yet. */
export function hollow(b: Block): boolean {
  switch (b.type) {
    case 'text':
    case 'heading':
      return list(b.runs).every((r) => r.text.trim() === '');
    case 'link':
      return !b.url?.trim();
    case 'image':
      return !b.image;
    case 'table':
      return list(b.rows).every((r) => r.every((c) => c.trim() === ''));
    default:
      return !b.text?.trim();
  }
}

/** A notice as it is sent: without what was begun and left empty. */
export function tidyNotice(c: NoticeContent): NoticeContent {
  return {
    kind: c.kind,
    name: c.name.trim(),
    level: c.level,
    tags: list(c.tags),
    region: c.region?.trim() || undefined,
    body: list(c.body)
      .filter((b) => !hollow(b))
      .map((b) => (b.runs ? { ...b, runs: list(b.runs).filter((r) => r.text !== '') } : b)),
    tenants: list(c.tenants),
    receivers: list(c.receivers),
    evidence: list(c.evidence).filter((e) => e.id.trim() !== ''),
    due: c.kind === 'circular' ? c.due || undefined : undefined,
  };
}

/** Rows that all have as many cells as the first one. */
export function squared(rows: readonly (readonly string[])[], columns: number): string[][] {
  return rows.map((r) => Array.from({ length: columns }, (_, i) => r[i] ?? ''));
}

/** What a move is called: it depends on where the notice comes from. */
export function moveName(from: NoticeState, to: NoticeState): 'submit' | 'approve' | 'back' | 'publish' | 'close' | 'reopen' | 'other' {
  if (to === 'review') return 'submit';
  if (to === 'approved') return 'approve';
  if (to === 'draft') return 'back';
  if (to === 'closed') return 'close';
  if (to === 'published') return from === 'closed' ? 'reopen' : 'publish';
  return 'other';
}

/** Bytes that base64 text of this length stands for. */
export const bytesOf = (image: string) => Math.floor(((image.length - image.indexOf(',') - 1) * 3) / 4);
