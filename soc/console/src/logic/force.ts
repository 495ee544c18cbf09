/** A layout by forces for very many entities: it takes its turns with the page, which stays workable meanwhile. */
import type { Point } from './topology';

/** How far apart neighbours rest, and how far repulsion reaches. */
const REST = 110;
const REACH = 180;

/**
 * Moves points until linked ones are near and others apart; from where they
 * are, so that the same picture gives the same places. `pause` is awaited
 * every few rounds.
 */
export async function forced(ids: readonly string[], links: readonly { from: string; to: string }[], from: ReadonlyMap<string, Point>, pause: () => Promise<unknown>, rounds = 120): Promise<Map<string, Point>> {
  const index = new Map(ids.map((id, i) => [id, i]));
  const n = ids.length;
  const x = new Float64Array(n);
  const y = new Float64Array(n);
  const degree = new Float64Array(n);
  ids.forEach((id, i) => {
    const p = from.get(id) ?? { x: (i % 50) * REST, y: Math.floor(i / 50) * REST };
    x[i] = p.x;
    y[i] = p.y;
  });
  const pairs = links.flatMap((l): [number, number][] => {
    const [a, b] = [index.get(l.from), index.get(l.to)];
    return a === undefined || b === undefined || a === b ? [] : [[a, b]];
  });
  for (const [a, b] of pairs) {
    degree[a]!++;
    degree[b]!++;
  }
  const dx = new Float64Array(n);
  const dy = new Float64Array(n);
  for (let round = 0; round < rounds; round++) {
    const heat = 1 - round / rounds;
    dx.fill(0);
    dy.fill(0);
    // Repulsion among those of the same and the next cells of a grid.
    const cells = new Map<number, number[]>();
    const key = (cx: number, cy: number) => cx * 100_003 + cy;
    for (let i = 0; i < n; i++) {
      const k = key(Math.floor(x[i]! / REACH), Math.floor(y[i]! / REACH));
      const cell = cells.get(k);
      if (cell) cell.push(i);
      else cells.set(k, [i]);
    }
    for (let i = 0; i < n; i++) {
      const [cx, cy] = [Math.floor(x[i]! / REACH), Math.floor(y[i]! / REACH)];
      for (let ox = -1; ox <= 1; ox++)
        for (let oy = -1; oy <= 1; oy++) {
          for (const j of cells.get(key(cx + ox, cy + oy)) ?? []) {
            if (j === i) continue;
            let [vx, vy] = [x[i]! - x[j]!, y[i]! - y[j]!];
            if (vx === 0 && vy === 0) [vx, vy] = [((i * 7) % 11) - 5 || 1, ((j * 5) % 13) - 6 || 1];
            const d = Math.max(8, Math.hypot(vx, vy));
            if (d > REACH) continue;
            const push = ((REACH - d) / REACH) * 24;
            dx[i]! += (vx / d) * push;
            dy[i]! += (vy / d) * push;
          }
        }
    }
    for (const [a, b] of pairs) {
      const [vx, vy] = [x[b]! - x[a]!, y[b]! - y[a]!];
      const d = Math.max(1, Math.hypot(vx, vy));
      // Who has many neighbours needs room for them: their ring grows with the root of their number.
      const rest = REST + 42 * Math.sqrt(Math.max(degree[a]!, degree[b]!));
      const pull = ((d - rest) / d) * 0.12;
      const [wa, wb] = [degree[b]! / (degree[a]! + degree[b]!), degree[a]! / (degree[a]! + degree[b]!)];
      dx[a]! += vx * pull * wa;
      dy[a]! += vy * pull * wa;
      dx[b]! -= vx * pull * wb;
      dy[b]! -= vy * pull * wb;
    }
    for (let i = 0; i < n; i++) {
      const d = Math.hypot(dx[i]!, dy[i]!);
      const most = 20 + 140 * heat;
      const by = d > most ? most / d : 1;
      x[i]! += dx[i]! * by;
      y[i]! += dy[i]! * by;
    }
    if (round % 4 === 3) await pause();
  }
  return new Map(ids.map((id, i) => [id, { x: Math.round(x[i]!), y: Math.round(y[i]!) }]));
}
