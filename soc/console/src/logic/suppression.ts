import { Document, stringify } from 'yaml';
import { readRule } from './sigma/read';
import { group, type Group } from './sigma/tree';
import { detection } from './sigma/write';

/** The searches of a suppression as a tree; nothing where they are more than a tree can show. */
export function treeOf(searches?: Record<string, unknown>): Group | undefined {
  if (!searches || Object.keys(searches).length === 0) return group('and', []);
  return readRule(stringify({ title: 'x', logsource: { product: 'any' }, detection: searches })).draft?.tree;
}

/** The tree as searches; nothing where it has no condition. */
export function searchesOf(tree: Group): Record<string, unknown> | undefined {
  if (tree.items.length === 0) return undefined;
  return new Document(detection(tree)).toJS() as Record<string, unknown>;
}

const DAY = 86_400_000;
/** The end of a day so many days from now. */
export function daysAhead(days: number, now = Date.now()): string {
  const at = new Date(now + days * DAY);
  at.setHours(23, 59, 59, 0);
  // A year is the most that is taken.
  return new Date(Math.min(at.getTime(), now + 365.9 * DAY)).toISOString();
}

/** How many days are left, 0 on the last one. */
export const daysLeft = (expires: string, now = Date.now()): number => Math.floor((Date.parse(expires) - now) / DAY);
