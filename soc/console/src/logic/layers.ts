/** Places for a drawing of who calls whom, that stays the same from one look to the next. */
export interface Place {
  /** 0 for who is called by nobody; callees stand further on. */
  layer: number;
  /** Place within its layer, of so many. */
  row: number;
  of: number;
}

/**
 * Callers before callees, by the longest way from who is called by nobody. A
 * circle is cut where it is entered first, in the order of the names. Within a
 * layer, names stand near the middle of their callers.
 */
export function layers(names: readonly string[], edges: readonly { parent: string; child: string }[]): Map<string, Place> {
  const sorted = [...new Set(names)].sort();
  const known = new Set(sorted);
  const calls = new Map<string, string[]>();
  const called = new Set<string>();
  for (const e of edges) {
    if (e.parent === e.child || !known.has(e.parent) || !known.has(e.child)) continue;
    calls.set(e.parent, [...(calls.get(e.parent) ?? []), e.child]);
    called.add(e.child);
  }
  // Edges that lead back into the way walked now are what makes circles.
  const order: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const forward: { parent: string; child: string }[] = [];
  const walk = (from: string) => {
    const way: { name: string; next: number }[] = [{ name: from, next: 0 }];
    state.set(from, 'open');
    while (way.length > 0) {
      const here = way[way.length - 1] as { name: string; next: number };
      const child = calls.get(here.name)?.[here.next++];
      if (child === undefined) {
        state.set(here.name, 'done');
        order.push(here.name);
        way.pop();
        continue;
      }
      const s = state.get(child);
      if (s === 'open') continue;
      forward.push({ parent: here.name, child });
      if (s === undefined) {
        state.set(child, 'open');
        way.push({ name: child, next: 0 });
      }
    }
  };
  for (const n of [...sorted.filter((x) => !called.has(x)), ...sorted]) if (!state.has(n)) walk(n);
  const layer = new Map(sorted.map((n) => [n, 0]));
  const after = new Map<string, string[]>();
  for (const e of forward) after.set(e.parent, [...(after.get(e.parent) ?? []), e.child]);
  for (const n of order.reverse()) for (const child of after.get(n) ?? []) layer.set(child, Math.max(layer.get(child) ?? 0, (layer.get(n) ?? 0) + 1));

  const out = new Map<string, Place>();
  const deepest = Math.max(0, ...layer.values());
  for (let l = 0; l <= deepest; l++) {
    const here = sorted.filter((n) => layer.get(n) === l);
    const middle = (n: string) => {
      const above = forward.filter((e) => e.child === n).map((e) => out.get(e.parent)).filter((p): p is Place => !!p);
      return above.length > 0 ? above.reduce((sum, p) => sum + (p.row + 0.5) / p.of, 0) / above.length : 0.5;
    };
    const at = new Map(here.map((n) => [n, middle(n)]));
    here.sort((a, b) => (at.get(a) as number) - (at.get(b) as number) || a.localeCompare(b)).forEach((n, row) => out.set(n, { layer: l, row, of: here.length }));
  }
  return out;
}
