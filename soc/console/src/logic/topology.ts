/** Where items stand in a picture of how they hang together. */
import type { Link, Walk } from '../api/cmdb';
import { list } from '../api/types';

export interface Point {
  x: number;
  y: number;
}
export const NODE = { width: 168, height: 44 };
const ACROSS = 28;
const DOWN = 26;
const LANE_HEAD = 40;

export interface Lane {
  key: string;
  y: number;
  height: number;
  width: number;
}

/**
 * Swim lanes: each layer a band, from the city down, as wide as the widest; its
 * items stand in rows, ordered by where those they hang with stand above, so
 * that lines run down rather than across.
 */
export function lanes(items: readonly { id: string; layer: string }[], links: readonly Link[], order: readonly string[], perRow = 8): { lanes: Lane[]; at: Map<string, Point> } {
  const byLayer = new Map<string, string[]>();
  for (const i of items) byLayer.set(i.layer, [...(byLayer.get(i.layer) ?? []), i.id]);
  const keys = [...order.filter((k) => byLayer.has(k)), ...[...byLayer.keys()].filter((k) => !order.includes(k)).sort()];
  const near = new Map<string, string[]>();
  for (const l of links) {
    near.set(l.from, [...(near.get(l.from) ?? []), l.to]);
    near.set(l.to, [...(near.get(l.to) ?? []), l.from]);
  }
  const at = new Map<string, Point>();
  const out: Lane[] = [];
  const widest = Math.min(perRow, Math.max(3, ...[...byLayer.values()].map((v) => v.length)));
  const width = widest * (NODE.width + ACROSS) + ACROSS;
  let y = 0;
  for (const key of keys) {
    const ids = byLayer.get(key) ?? [];
    const wish = (id: string) => {
      const xs = (near.get(id) ?? []).flatMap((n) => at.get(n)?.x ?? []);
      return xs.length > 0 ? xs.reduce((a, b) => a + b, 0) / xs.length : Infinity;
    };
    const sorted = ids.map((id) => ({ id, x: wish(id) })).sort((a, b) => a.x - b.x || a.id.localeCompare(b.id));
    const rows = Math.ceil(sorted.length / perRow);
    const height = LANE_HEAD + rows * (NODE.height + DOWN);
    sorted.forEach((s, i) => {
      const row = Math.floor(i / perRow);
      const inRow = Math.min(perRow, sorted.length - row * perRow);
      const left = (width - inRow * (NODE.width + ACROSS) + ACROSS) / 2;
      at.set(s.id, { x: left + (i % perRow) * (NODE.width + ACROSS) + NODE.width / 2, y: y + LANE_HEAD + row * (NODE.height + DOWN) + NODE.height / 2 });
    });
    out.push({ key, y, height, width });
    y += height + 6;
  }
  return { lanes: out, at };
}

/** Free places around a point, nearest first, that keep clear of what stands there. */
export function placesAround(center: Point, n: number, taken: readonly Point[]): Point[] {
  const out: Point[] = [];
  const clear = (p: Point) => [...taken, ...out].every((q) => Math.abs(p.x - q.x) >= NODE.width + 16 || Math.abs(p.y - q.y) >= NODE.height + 18);
  for (let ring = 1; out.length < n && ring < 60; ring++) {
    for (let gx = -ring; gx <= ring && out.length < n; gx++) {
      for (let gy = ring; gy >= -ring && out.length < n; gy--) {
        if (Math.max(Math.abs(gx), Math.abs(gy)) !== ring) continue;
        const p = { x: center.x + gx * (NODE.width + ACROSS), y: center.y + gy * (NODE.height + 2 * DOWN) };
        if (clear(p)) out.push(p);
      }
    }
  }
  return out;
}

/** A walk as links between items, each as the relation goes. */
export function walkLinks(w: Walk): Link[] {
  return list(w.steps).map((s) => (s.forward ? { from: s.from, type: s.type, to: s.item.id } : { from: s.item.id, type: s.type, to: s.from }));
}

/**
 * Layers of a flow: items by how far they are from the first, left to right;
 * within a column near those they hang with.
 */
export function flow(ids: readonly string[], links: readonly Link[], first: readonly string[]): Map<string, Point> {
  const near = new Map<string, string[]>();
  const known = new Set(ids);
  for (const l of links) {
    if (!known.has(l.from) || !known.has(l.to)) continue;
    near.set(l.from, [...(near.get(l.from) ?? []), l.to]);
    near.set(l.to, [...(near.get(l.to) ?? []), l.from]);
  }
  const at = new Map<string, Point>();
  const depth = new Map<string, number>();
  let base = 0;
  const walk = (starts: readonly string[]) => {
    let frontier = starts.filter((s) => known.has(s) && !depth.has(s));
    const columns: string[][] = [];
    for (let d = 0; frontier.length > 0; d++) {
      for (const f of frontier) depth.set(f, d);
      columns.push(frontier);
      frontier = [...new Set(frontier.flatMap((f) => near.get(f) ?? []))].filter((n) => !depth.has(n));
    }
    const tallest = Math.max(0, ...columns.map((c) => Math.min(c.length, TALL)));
    let x = 0;
    columns.forEach((column, d) => {
      const wish = (id: string) => {
        const ys = (near.get(id) ?? []).filter((n) => (depth.get(n) ?? 0) < d).flatMap((n) => at.get(n)?.y ?? []);
        return ys.length > 0 ? ys.reduce((a, b) => a + b, 0) / ys.length : 0;
      };
      const sorted = d === 0 ? column : column.map((id) => ({ id, y: wish(id) })).sort((a, b) => a.y - b.y || a.id.localeCompare(b.id)).map((s) => s.id);
      // A tall column is folded into several, or the picture is a thread.
      const strips = Math.ceil(sorted.length / TALL);
      const high = Math.ceil(sorted.length / Math.max(1, strips));
      sorted.forEach((id, i) => {
        const inStrip = Math.min(high, sorted.length - Math.floor(i / high) * high);
        at.set(id, { x: x + Math.floor(i / high) * (NODE.width + ACROSS), y: base + ((i % high) + (tallest - inStrip) / 2) * (NODE.height + DOWN) });
      });
      x += Math.max(1, strips) * (NODE.width + ACROSS) + 110;
    });
    base += (tallest + 1) * (NODE.height + DOWN);
  };
  walk(first);
  for (const id of ids) if (!depth.has(id)) walk([id]);
  return at;
}
const TALL = 14;
