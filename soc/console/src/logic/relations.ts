/** An item another is related to. */
export interface Related {
  id: string;
  name: string;
  class?: string;
}

/** All items named anywhere in a relations object: single ones, lists, or lists by kind. Each once. */
export function relatedItems(relations: unknown): Related[] {
  const found = new Map<string, Related>();
  const visit = (v: unknown, depth: number): void => {
    if (v === null || typeof v !== 'object' || depth > 3) return;
    if (Array.isArray(v)) {
      v.forEach((x) => visit(x, depth + 1));
      return;
    }
    const o = v as Record<string, unknown>;
    if (typeof o['id'] === 'string') {
      if (!found.has(o['id'])) {
        found.set(o['id'], {
          id: o['id'],
          name: typeof o['name'] === 'string' && o['name'] ? o['name'] : o['id'],
          class: typeof o['class'] === 'string' ? o['class'] : undefined,
        });
      }
      return;
    }
    Object.values(o).forEach((x) => visit(x, depth + 1));
  };
  visit(relations, 0);
  return [...found.values()].sort((a, b) => (a.class ?? '').localeCompare(b.class ?? '') || a.name.localeCompare(b.name));
}
