import { forwardRef, useEffect, useImperativeHandle, useRef } from 'react';
import { useSettings } from '../../app/settings';
import { forced } from '../../logic/force';
import { clampZoom, fitted, nearLine, type View } from '../../logic/picture';
import type { Point } from '../../logic/topology';
import type { CanvasHandle, CanvasProps } from './canvas';
import { looksOf, type LineLook, type Looks, type NodeLook } from './looks';

/** Once the hand rests so long, what was slid or scaled is drawn anew. */
const REST_MS = 140;
/** What is drawn beyond each edge of the window, as a part of it: so far the picture can be moved before it is drawn again. */
const MARGIN = 0.5;
/** Below this scale names are not readable, and left out. */
const NAMES_FROM = 0.35;

/**
 * Very many entities and what connects them, on one plain canvas: drawn whole
 * only where something changed, slid and scaled as a picture while the hand
 * moves it. Does what RelationCanvas does.
 */
export const LargeCanvas = forwardRef<CanvasHandle, CanvasProps>(function LargeCanvas(props, ref) {
  const { dark, locale } = useSettings();
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const desk = useRef<Desk | null>(null);

  useEffect(() => {
    if (!box.current || !canvas.current) return undefined;
    const d = new Desk(box.current, canvas.current, latest);
    desk.current = d;
    return () => {
      desk.current = null;
      d.stop();
    };
  }, []);
  const { scene, at, pinned, chosen, path, fitKey } = props;
  useEffect(() => {
    desk.current?.show(looksOf({ scene, chosen, pinned, path, dark, word: latest.current.word }), at, fitKey);
    box.current?.setAttribute('data-drawn', `${scene.nodes.length} ${scene.edges.length}`);
  }, [scene, at, pinned, chosen, path, fitKey, dark, locale]);

  useImperativeHandle(ref, () => ({
    fit: () => desk.current?.fit(),
    zoom: (by) => desk.current?.zoom(by),
    focus: (id) => desk.current?.focus(id),
    png: async () => (await desk.current?.png()) ?? new Blob(),
    force: () => {
      const { scene: s, at: from } = latest.current;
      return forced(s.nodes.map((n) => n.id), s.edges, from, () => new Promise((r) => setTimeout(r, 0)));
    },
  }));
  return (
    <div ref={box} className="itemgraph" role="img" aria-label={props.label} data-testid="relations" data-plain="" style={{ height: '100%', minHeight: 420, overflow: 'hidden', position: 'relative' }}>
      <canvas ref={canvas} style={{ position: 'absolute', inset: 0, width: '100%', height: '100%', touchAction: 'none' }} />
    </div>
  );
});

/** What is drawn where, and the hand on it. */
class Desk {
  private looks: Looks = { nodes: [], lines: [], paint: { accent: '', surface: '', text: '', dim: '', line: '' } };
  private at = new Map<string, Point>();
  private view: View = { x: 0, y: 0, k: 1 };
  private fitKey: string | undefined;
  private size = { w: 0, h: 0 };
  /** The whole picture as it was drawn last, wider than the window, and from where. */
  private kept = document.createElement('canvas');
  private keptView: View | undefined;
  private frame = 0;
  private rest: ReturnType<typeof setTimeout> | undefined;
  private hold: { x: number; y: number; id: string; moved: boolean } | undefined;
  private hovered = '';
  private readonly watch: ResizeObserver;
  private readonly off: (() => void)[] = [];

  constructor(
    private readonly box: HTMLElement,
    private readonly canvas: HTMLCanvasElement,
    private readonly props: { readonly current: CanvasProps },
  ) {
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(box);
    const on = <K extends keyof HTMLElementEventMap>(el: EventTarget, name: K, f: (e: HTMLElementEventMap[K]) => void, options?: AddEventListenerOptions) => {
      el.addEventListener(name, f as EventListener, options);
      this.off.push(() => el.removeEventListener(name, f as EventListener, options));
    };
    on(canvas, 'pointerdown', (e) => this.down(e));
    on(canvas, 'pointermove', (e) => this.move(e));
    on(canvas, 'pointerup', (e) => this.up(e));
    on(canvas, 'pointercancel', () => (this.hold = undefined));
    on(canvas, 'pointerleave', () => this.hover(''));
    on(canvas, 'dblclick', (e) => {
      const n = this.nodeAt(this.point(e));
      if (n) this.props.current.onOpen(n.id);
    });
    on(canvas, 'wheel', (e) => {
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY / 500), this.point(e));
    }, { passive: false });
  }

  stop() {
    this.watch.disconnect();
    clearTimeout(this.rest);
    cancelAnimationFrame(this.frame);
    for (const f of this.off) f();
    this.hover('');
  }

  show(looks: Looks, at: ReadonlyMap<string, Point>, fitKey: string) {
    this.looks = looks;
    this.at = new Map(looks.nodes.map((n) => [n.id, at.get(n.id) ?? { x: 0, y: 0 }]));
    if (this.size.w === 0) this.measure();
    if (this.fitKey !== fitKey && looks.nodes.length > 0) {
      this.fitKey = fitKey;
      this.view = fitted(this.at.values(), this.size);
    }
    this.keptView = undefined;
    this.ask();
  }

  fit() {
    this.view = fitted(this.at.values(), this.size);
    this.keptView = undefined;
    this.ask();
  }

  zoom(by: number, around: Point = { x: this.size.w / 2, y: this.size.h / 2 }) {
    const k = clampZoom(this.view.k * by);
    const f = k / this.view.k;
    this.view = { k, x: around.x - (around.x - this.view.x) * f, y: around.y - (around.y - this.view.y) * f };
    this.later();
  }

  focus(id: string) {
    const p = this.at.get(id);
    if (!p) return;
    this.view = { ...this.view, x: this.size.w / 2 - p.x * this.view.k, y: this.size.h / 2 - p.y * this.view.k };
    this.later();
  }

  /** The whole graph, not the window alone, of at most 8,000 pixels a side. */
  async png(): Promise<Blob> {
    const all = document.createElement('canvas');
    const whole = fitted(this.at.values(), { w: 8000, h: 8000 }, 1);
    const points = [...this.at.values()].map((p) => ({ x: p.x * whole.k + whole.x, y: p.y * whole.k + whole.y }));
    const least = { x: Math.min(...points.map((p) => p.x)) - 60, y: Math.min(...points.map((p) => p.y)) - 60 };
    all.width = Math.max(1, Math.ceil(Math.max(...points.map((p) => p.x)) - least.x + 60));
    all.height = Math.max(1, Math.ceil(Math.max(...points.map((p) => p.y)) - least.y + 60));
    const c = all.getContext('2d') as CanvasRenderingContext2D;
    c.fillStyle = this.looks.paint.surface;
    c.fillRect(0, 0, all.width, all.height);
    this.paint(c, { k: whole.k, x: whole.x - least.x, y: whole.y - least.y }, all.width, all.height);
    return new Promise((done, failed) => all.toBlob((b) => (b ? done(b) : failed(new Error('the picture is too large'))), 'image/png'));
  }

  private measure() {
    this.size = { w: this.box.clientWidth, h: this.box.clientHeight };
    const dpr = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.size.w * dpr);
    this.canvas.height = Math.round(this.size.h * dpr);
  }

  private resize() {
    this.measure();
    this.keptView = undefined;
    this.ask();
  }

  private ask() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  /** Shows the kept picture moved or scaled at once, and draws anew where the hand rests. */
  private later() {
    this.ask();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      if (this.keptView && this.keptView.k !== this.view.k) this.keptView = undefined;
      this.ask();
    }, REST_MS);
  }

  private draw() {
    this.frame = 0;
    const { w, h } = this.size;
    if (w === 0 || h === 0) return;
    const dpr = window.devicePixelRatio || 1;
    const [mx, my] = [w * MARGIN, h * MARGIN];
    let from = this.keptView;
    // The kept picture reaches MARGIN beyond the window; further out it is drawn again.
    const slid = from && from.k === this.view.k && (Math.abs(this.view.x - from.x) > mx || Math.abs(this.view.y - from.y) > my);
    if (!from || slid) {
      this.kept.width = Math.round((w + 2 * mx) * dpr);
      this.kept.height = Math.round((h + 2 * my) * dpr);
      const k = this.kept.getContext('2d') as CanvasRenderingContext2D;
      k.setTransform(dpr, 0, 0, dpr, 0, 0);
      this.paint(k, { k: this.view.k, x: this.view.x + mx, y: this.view.y + my }, w + 2 * mx, h + 2 * my);
      from = this.keptView = { ...this.view };
    }
    const c = this.canvas.getContext('2d') as CanvasRenderingContext2D;
    const f = this.view.k / from.k;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    c.drawImage(this.kept, (this.view.x - (from.x + mx) * f) * dpr, (this.view.y - (from.y + my) * f) * dpr, this.kept.width * f, this.kept.height * f);
  }

  private paint(c: CanvasRenderingContext2D, v: View, w: number, h: number) {
    const place = (id: string): Point => {
      const p = this.at.get(id) as Point;
      return { x: p.x * v.k + v.x, y: p.y * v.k + v.y };
    };
    const seen = (p: Point) => p.x > -40 && p.y > -40 && p.x < w + 40 && p.y < h + 40;
    // Lines and entities of one look are one stroke: many strokes are what costs.
    const groups = new Map<string, LineLook[]>();
    for (const l of this.looks.lines) {
      const key = `${l.rank} ${l.stroke} ${l.width} ${l.opacity} ${l.dashed}`;
      const g = groups.get(key);
      if (g) g.push(l);
      else groups.set(key, [l]);
    }
    for (const [, of] of [...groups].sort((a, b) => (a[1][0] as LineLook).rank - (b[1][0] as LineLook).rank)) {
      const l = of[0] as LineLook;
      c.globalAlpha = l.opacity;
      c.strokeStyle = l.stroke;
      c.lineWidth = Math.max(0.5, l.width * Math.min(1, v.k * 1.6));
      c.setLineDash(l.dashed ? [5 * v.k, 4 * v.k] : []);
      c.beginPath();
      for (const one of of) {
        const [a, b] = [place(one.from), place(one.to)];
        if ((a.x < 0 && b.x < 0) || (a.y < 0 && b.y < 0) || (a.x > w && b.x > w) || (a.y > h && b.y > h)) continue;
        c.moveTo(a.x, a.y);
        c.lineTo(b.x, b.y);
      }
      c.stroke();
    }
    c.setLineDash([]);
    const looks = new Map<string, NodeLook[]>();
    for (const n of this.looks.nodes) {
      const key = `${n.over ? 1 : 0} ${n.shape} ${n.size} ${n.fill} ${n.stroke} ${n.width} ${n.opacity} ${n.dashed}`;
      const g = looks.get(key);
      if (g) g.push(n);
      else looks.set(key, [n]);
    }
    for (const [, of] of [...looks].sort((a, b) => a[0].localeCompare(b[0]))) {
      const n = of[0] as NodeLook;
      c.globalAlpha = n.opacity;
      c.fillStyle = n.fill;
      c.strokeStyle = n.stroke;
      c.lineWidth = Math.max(0.6, n.width * v.k);
      c.setLineDash(n.dashed ? [3 * v.k, 2 * v.k] : []);
      c.beginPath();
      for (const one of of) {
        const p = place(one.id);
        if (seen(p)) outline(c, one, p, v.k);
      }
      c.fill();
      c.stroke();
    }
    c.globalAlpha = 1;
    c.setLineDash([]);
    if (v.k < NAMES_FROM) return;
    c.textAlign = 'center';
    c.textBaseline = 'top';
    const font = getComputedStyle(this.box).fontFamily;
    for (const n of this.looks.nodes) {
      if (!n.label) continue;
      const p = place(n.id);
      if (!seen(p)) continue;
      c.font = `${n.bold ? 600 : 400} 11px ${font}`;
      c.fillStyle = this.looks.paint.text;
      c.fillText(n.label, p.x, p.y + (n.size / 2) * v.k + 3);
    }
    c.textBaseline = 'middle';
    c.font = `400 10.5px ${font}`;
    for (const l of this.looks.lines) {
      if (!l.label) continue;
      const [a, b] = [place(l.from), place(l.to)];
      const m = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
      if (!seen(m)) continue;
      const wide = c.measureText(l.label).width;
      c.globalAlpha = 0.85;
      c.fillStyle = this.looks.paint.surface;
      c.fillRect(m.x - wide / 2 - 3, m.y - 7, wide + 6, 14);
      c.globalAlpha = 1;
      c.fillStyle = l.step ? this.looks.paint.text : this.looks.paint.dim;
      c.fillText(l.label, m.x, m.y);
    }
  }

  private point(e: MouseEvent): Point {
    const r = this.canvas.getBoundingClientRect();
    return { x: e.clientX - r.left, y: e.clientY - r.top };
  }

  /** The entity under a point of the window: the one drawn last of those that it lies on. */
  private nodeAt(p: Point): NodeLook | undefined {
    const { k, x, y } = this.view;
    for (let i = this.looks.nodes.length - 1; i >= 0; i--) {
      const n = this.looks.nodes[i] as NodeLook;
      const q = this.at.get(n.id) as Point;
      const reach = Math.max(6, (n.size / 2) * k * (n.shape === 'ellipse' ? 1.5 : 1) + 2);
      if (Math.abs(q.x * k + x - p.x) <= reach && Math.abs(q.y * k + y - p.y) <= Math.max(6, (n.size / 2) * k + 2)) return n;
    }
    return undefined;
  }

  private lineAt(p: Point): LineLook | undefined {
    const { k, x, y } = this.view;
    const place = (id: string): Point => {
      const q = this.at.get(id) as Point;
      return { x: q.x * k + x, y: q.y * k + y };
    };
    let best: LineLook | undefined;
    let least = 5;
    for (const l of this.looks.lines) {
      const d = nearLine(p, place(l.from), place(l.to));
      if (d < least) [least, best] = [d, l];
    }
    return best;
  }

  private down(e: PointerEvent) {
    if (e.button !== 0) return;
    this.canvas.setPointerCapture(e.pointerId);
    this.hover('');
    this.hold = { ...this.point(e), id: this.nodeAt(this.point(e))?.id ?? '', moved: false };
  }

  private move(e: PointerEvent) {
    const p = this.point(e);
    if (!this.hold) {
      const n = this.nodeAt(p);
      this.canvas.style.cursor = n ? 'pointer' : 'grab';
      this.hover(n?.id ?? '', e);
      return;
    }
    const [dx, dy] = [p.x - this.hold.x, p.y - this.hold.y];
    if (!this.hold.moved && Math.hypot(dx, dy) < 3) return;
    if (this.hold.id) {
      const q = this.at.get(this.hold.id) as Point;
      this.at.set(this.hold.id, { x: q.x + dx / this.view.k, y: q.y + dy / this.view.k });
      this.keptView = undefined;
      this.ask();
    } else {
      this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
      this.later();
    }
    this.hold = { ...this.hold, ...p, moved: true };
  }

  private up(e: PointerEvent) {
    const held = this.hold;
    this.hold = undefined;
    if (!held) return;
    if (held.moved) {
      const q = held.id ? this.at.get(held.id) : undefined;
      if (q) this.props.current.onMove(held.id, { x: Math.round(q.x), y: Math.round(q.y) });
      return;
    }
    const p = this.point(e);
    const n = this.nodeAt(p);
    const l = n ? undefined : this.lineAt(p);
    if (l) this.props.current.onEdge(l.id);
    else this.props.current.onChoose(n?.id ?? '');
  }

  private hover(id: string, e?: MouseEvent) {
    if (id === this.hovered) return;
    this.hovered = id;
    this.props.current.onHover?.(id && e ? { id, x: e.clientX, y: e.clientY } : null);
  }
}

function outline(c: CanvasRenderingContext2D, n: NodeLook, p: Point, k: number) {
  const r = (n.size / 2) * k;
  const corners = (points: readonly (readonly [number, number])[]) => {
    points.forEach(([x, y], i) => (i === 0 ? c.moveTo(p.x + x * r, p.y + y * r) : c.lineTo(p.x + x * r, p.y + y * r)));
    c.closePath();
  };
  switch (n.shape) {
    case 'rect':
      c.rect(p.x - r, p.y - r, 2 * r, 2 * r);
      break;
    case 'diamond':
      corners([[0, -1], [1, 0], [0, 1], [-1, 0]]);
      break;
    case 'triangle':
      corners([[0, -1], [1, 0.85], [-1, 0.85]]);
      break;
    case 'hexagon':
      corners([[1, 0], [0.5, 0.87], [-0.5, 0.87], [-1, 0], [-0.5, -0.87], [0.5, -0.87]]);
      break;
    default: {
      const wide = n.shape === 'ellipse' ? 1.5 : 1;
      c.moveTo(p.x + r * wide, p.y);
      c.ellipse(p.x, p.y, r * wide, r, 0, 0, 2 * Math.PI);
    }
  }
}
