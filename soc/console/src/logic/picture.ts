/** Where a picture lies in its window: a point of it is drawn at x·k + view.x, y·k + view.y. */
import type { Point } from './topology';

export interface View {
  x: number;
  y: number;
  k: number;
}
const [LEAST, MOST] = [0.03, 3];
export const clampZoom = (k: number) => Math.min(MOST, Math.max(LEAST, k));

/** All points in the window, in its middle, no larger than `most`. */
export function fitted(points: Iterable<Point>, window: { w: number; h: number }, most = 1.1, pad = 40): View {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const p of points) [x0, y0, x1, y1] = [Math.min(x0, p.x), Math.min(y0, p.y), Math.max(x1, p.x), Math.max(y1, p.y)];
  if (x0 > x1) return { x: window.w / 2, y: window.h / 2, k: 1 };
  const room = (size: number, span: number) => (span > 0 ? Math.max(1, size - 2 * pad) / span : Infinity);
  const k = clampZoom(Math.min(most, room(window.w, x1 - x0), room(window.h, y1 - y0)));
  return { k, x: window.w / 2 - ((x0 + x1) / 2) * k, y: window.h / 2 - ((y0 + y1) / 2) * k };
}

/** How far a point lies from the stretch between two others. */
export function nearLine(p: Point, a: Point, b: Point): number {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const long = dx * dx + dy * dy;
  const t = long === 0 ? 0 : Math.max(0, Math.min(1, ((p.x - a.x) * dx + (p.y - a.y) * dy) / long));
  return Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}
