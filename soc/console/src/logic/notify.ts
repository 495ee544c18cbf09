import type { Route, Tree } from '../api/notify';

/** Lines of name=value as an object; the value may hold further signs of equality. */
export function pairsOf(text: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) out[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return out;
}

export function pairsText(pairs: Record<string, string> | undefined): string {
  return Object.entries(pairs ?? {})
    .map(([k, v]) => `${k}=${v}`)
    .join('\n');
}

/** The tree with one route changed; f answers null to take it out. Routes that did not change stay the same objects. */
export function changed(tree: Tree, id: string, f: (r: Route) => Route | null): Tree {
  const walk = (r: Route): Route | null => {
    if ((r.id ?? '') === id) return f(r);
    if (!r.routes?.length) return r;
    const routes = r.routes.map(walk).filter((x) => x !== null);
    return routes.length === r.routes.length && routes.every((x, i) => x === r.routes?.[i]) ? r : { ...r, routes };
  };
  return { ...tree, root: walk(tree.root) ?? tree.root };
}

/** The tree with a route moved among its siblings. */
export function moved(tree: Tree, id: string, by: -1 | 1): Tree {
  const walk = (r: Route): Route => {
    const routes = r.routes ?? [];
    const at = routes.findIndex((x) => x.id === id);
    const to = at + by;
    if (at < 0) return routes.length ? { ...r, routes: routes.map(walk) } : r;
    if (to < 0 || to >= routes.length) return r;
    const next = [...routes];
    const [one] = next.splice(at, 1);
    if (one) next.splice(to, 0, one);
    return { ...r, routes: next };
  };
  return { ...tree, root: walk(tree.root) };
}

/** A route without what is empty, as the server keeps it. */
export function tidy(r: Route): Route {
  return Object.fromEntries(Object.entries(r).filter(([, v]) => v !== undefined && v !== null && v !== '' && v !== false && !(Array.isArray(v) && v.length === 0))) as Route;
}

/** An id that no other route has. Browsers keep crypto.randomUUID from pages over plain HTTP, where many a console runs. */
export function freshID(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
}
