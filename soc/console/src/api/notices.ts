import type { List, Severity, Text } from './types';

/** Circulars and early warnings. Times are Unix milliseconds. */

export const NOTICE_STATES = ['draft', 'review', 'approved', 'published', 'closed'] as const;
export type NoticeState = (typeof NOTICE_STATES)[number];
export type NoticeKind = 'circular' | 'warning';

export interface Run {
  text: string;
  size?: number;
  color?: string;
  highlight?: string;
  bold?: boolean;
  italic?: boolean;
}
export const BLOCK_TYPES = ['text', 'heading', 'link', 'image', 'table', 'code'] as const;
export type BlockType = (typeof BLOCK_TYPES)[number];
export interface Block {
  type: BlockType;
  runs?: List<Run>;
  url?: string;
  text?: string;
  image?: string;
  rows?: List<string[]>;
}
export const PROOF_KINDS = ['alert', 'incident', 'asset', 'system', 'intelligence', 'log'] as const;
export interface Proof {
  kind: (typeof PROOF_KINDS)[number];
  id: string;
  title?: string;
}
export interface NoticeContent {
  kind: NoticeKind;
  name: string;
  level: Severity;
  tags?: List<string>;
  region?: string;
  body?: List<Block>;
  tenants: List<string>;
  receivers?: List<string>;
  evidence?: List<Proof>;
  /** Until when a circular is answered. */
  due?: number;
}
export interface Recipient {
  tenant: string;
  read_at?: number;
  read_by?: string;
  replied_at?: number;
  replied_by?: string;
  reply?: string;
}
export interface Notice extends NoticeContent {
  id: string;
  state: NoticeState;
  revision: number;
  /** Id of the disposal rule that drafted it. */
  origin?: string;
  made_by: string;
  made_at: number;
  moved_by: string;
  moved_at: number;
  published_at?: number;
  deleted_at?: number;
  deleted_by?: string;
  recipients: List<Recipient>;
  read: boolean;
  /** The reader keeps it in view. */
  favourite?: boolean;
}
export interface NoticeStep {
  at: number;
  actor: string;
  action: string;
  tenant?: string;
  comment?: string;
}
export interface NoticeDetail {
  notice: Notice;
  history: List<NoticeStep>;
  /** States that the reader may move it to. */
  to: List<NoticeState>;
}
/** How circulars are answered. */
interface Tally {
  circulars: number;
  answers: number;
  answered: number;
  timely: number;
  overdue: number;
  answered_percent: number;
  timely_percent: number;
}
export interface RegionLine extends Tally {
  region: string;
}
/** A unit or an industry, by how it answers; equals share a rank. */
export interface RankLine extends Tally {
  rank: number;
  id: string;
  name: Text;
}
export interface Board {
  total: number;
  read: number;
  unread: number;
  by_kind: Record<string, number> | null;
  by_state: Record<string, number> | null;
  by_level: Record<string, number> | null;
  by_tag: Record<string, number> | null;
  regions: List<RegionLine>;
  units?: List<RankLine>;
  industries?: List<RankLine>;
}
