import type { List, Text } from './types';

/** What a kind of trouble is, how to tell whether it is real, and what to do. */
export interface ArticleBody {
  title: Text;
  summary?: Text;
  verify?: List<Text>;
  steps?: List<Text>;
  references?: List<string>;
  tags?: List<string>;
  notes?: Text;
  contacts?: string;
}
export interface Article extends ArticleBody {
  id: string;
  shipped: boolean;
  /** It is that of the type of attack of the same id. */
  attack: boolean;
  version: number;
  updated_at?: string;
  updated_by?: string;
}
export type ArticleDetail = Article & { rules: List<{ id: string; title: Text }> };
export type ArticleVersion = Article & { deleted?: boolean };

export const articlePath = (id: string) => `/knowledge/${encodeURIComponent(id)}`;
export const KNOWLEDGE_RENEW = ['knowledge', 'article'];
export function articleBody(a: Article): ArticleBody {
  return { title: a.title, summary: a.summary, verify: a.verify ?? [], steps: a.steps ?? [], references: a.references ?? [], tags: a.tags ?? [], notes: a.notes, contacts: a.contacts };
}
