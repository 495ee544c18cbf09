/** Trees from flat lists that name their parents. */
export interface Branch<T> {
  item: T;
  below: Branch<T>[];
}

/** The forest: what names an unknown parent (out of the reader's sight) stands at the top, and a loop is cut. */
export function forest<T extends { id: string; parent?: string }>(items: readonly T[], order: (a: T, b: T) => number): Branch<T>[] {
  const known = new Set(items.map((x) => x.id));
  const below = new Map<string, T[]>();
  for (const x of items) {
    const parent = x.parent && x.parent !== x.id && known.has(x.parent) ? x.parent : '';
    below.set(parent, [...(below.get(parent) ?? []), x]);
  }
  const seen = new Set<string>();
  const grow = (parent: string): Branch<T>[] =>
    (below.get(parent) ?? [])
      .filter((x) => !seen.has(x.id))
      .sort(order)
      .map((x) => {
        seen.add(x.id);
        return { item: x, below: grow(x.id) };
      });
  const top = grow('');
  for (const x of items) {
    if (!seen.has(x.id)) {
      seen.add(x.id);
      top.push({ item: x, below: grow(x.id) });
    }
  }
  return top;
}

/** The branches that match, with all above them. */
export function prune<T>(branches: readonly Branch<T>[], match: (item: T) => boolean): Branch<T>[] {
  return branches.flatMap((b) => {
    const below = prune(b.below, match);
    return below.length > 0 || match(b.item) ? [{ item: b.item, below }] : [];
  });
}

/** An id and everything below it: where a unit cannot be moved to. */
export function withBelow<T extends { id: string; parent?: string }>(items: readonly T[], id: string): Set<string> {
  const found = new Set([id]);
  for (let grew = true; grew; ) {
    grew = false;
    for (const x of items) {
      if (x.parent && found.has(x.parent) && !found.has(x.id)) {
        found.add(x.id);
        grew = true;
      }
    }
  }
  return found;
}
