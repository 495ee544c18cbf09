import type { Item } from '../../api/cmdb';
import { ApiError, get, post } from '../../api/client';
import { list, type ImportError, type Page } from '../../api/types';
import { fieldBody, fieldText } from '../../logic/cmdb';

/** Items changed at once at most: the server takes them all or none. */
export const MOST = 1000;

export interface Upsert {
  created: number;
  updated: number;
  unchanged: number;
}

/** What one field of many items is to be. */
export interface Edit {
  item: Item;
  field: string;
  before: string;
  after: string;
}

/** The edits that change something: `next` says what a field becomes of what it is. */
export function edits(items: readonly Item[], field: string, next: (before: string, item: Item) => string): Edit[] {
  return items.flatMap((item) => {
    const before = fieldText(item, field);
    const after = next(before, item);
    return before === after ? [] : [{ item, field, before, after }];
  });
}

const bodyOf = (e: Edit, text: string, revision?: number) => ({ id: e.item.id, class: e.item.class, ...(revision ? { revision } : {}), ...fieldBody(e.field, text) });

/** Checks, or makes, edits: all or none, and none that somebody made meanwhile. */
export function apply(list: readonly Edit[], dryRun: boolean): Promise<Upsert> {
  return post<Upsert>(`/cmdb/items/upsert${dryRun ? '?dry_run=true' : ''}`, { items: list.map((e) => bodyOf(e, e.after, e.item.revision)) });
}

/** Puts back what edits replaced. */
export function takeBack(list: readonly Edit[]): Promise<Upsert> {
  return post<Upsert>('/cmdb/items/upsert', { items: list.map((e) => bodyOf(e, e.before)) });
}

/** The mistakes by item, in the order of what was sent. */
export function rowErrors(error: unknown): ImportError[] {
  return error instanceof ApiError && error.status === 422 ? (list(error.problem.errors) as unknown as ImportError[]) : [];
}

/** All items of a query, up to `most` and one more. */
export async function allItems(filter: Record<string, string | number | undefined>, most: number): Promise<Item[]> {
  const out: Item[] = [];
  for (let cursor = ''; out.length <= most; ) {
    const page = await get<Page<Item>>('/cmdb/items', { ...filter, limit: 1000, cursor });
    out.push(...list(page.items));
    cursor = page.next ?? '';
    if (!cursor) break;
  }
  return out;
}
