import { CanvasEvent, EdgeEvent, Graph, NodeEvent, type EdgeData, type NodeData } from '@antv/g6';
import { forwardRef, useEffect, useImperativeHandle, useRef } from 'react';
import type { EdgeKind, GraphEdge, GraphNode } from '../../api/graph';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import type { Scene } from '../../logic/graph';
import { SERIES } from '../../logic/palette';
import type { Point } from '../../logic/topology';

export interface CanvasHandle {
  fit: () => void;
  zoom: (by: number) => void;
  focus: (id: string) => void;
  png: () => Promise<Blob>;
  force: () => Promise<Map<string, Point>>;
}
interface Props {
  label: string;
  scene: Scene;
  at: ReadonlyMap<string, Point>;
  pinned: ReadonlySet<string>;
  chosen: string;
  /** Edges of the path that is shown, by id, with their place on it. */
  path: ReadonlyMap<string, number>;
  fitKey: string;
  /** What an edge is about. */
  word: (e: GraphEdge) => string;
  onChoose: (id: string) => void;
  onEdge: (id: string) => void;
  onOpen: (id: string) => void;
  onMove: (id: string, at: Point) => void;
}

/** Beyond so many, only what matters has its name on the picture; the lists beside it name all. */
const NAMED = 300;
/** Beyond so many, names and lines rest while the picture is moved. */
const CALM = 120;

export const SHAPES = { ip: 'circle', host: 'rect', user: 'hexagon', process: 'triangle', domain: 'ellipse', item: 'rect' } as const;

/** The colour of a kind of relation; of alerts, that of their severity. */
export function kindColour(kind: EdgeKind, dark: boolean): string {
  const s = SERIES[dark ? 'dark' : 'light'];
  return { flow: s[6], access: s[2], request: s[4], signin: s[3], process: s[5], relation: s[7], same: s[6], alert: s[1] }[kind] as string;
}

function clipped(text: string, room: number): string {
  let used = 0;
  let out = '';
  for (const ch of text) {
    used += (ch.codePointAt(0) ?? 0) > 0x2e80 ? 2 : 1;
    if (used > room) return `${out}…`;
    out += ch;
  }
  return out;
}

/** Several edges between two are one line that says how many. */
interface Line {
  id: string;
  from: string;
  to: string;
  edges: GraphEdge[];
}
const WEIGHT: Record<EdgeKind, number> = { alert: 0, signin: 1, process: 2, request: 3, access: 4, flow: 5, relation: 6, same: 7 };
export function linesOf(edges: readonly GraphEdge[]): Line[] {
  const out = new Map<string, Line>();
  for (const e of edges) {
    const key = `${e.from} ${e.to}`;
    const line = out.get(key);
    if (line) line.edges.push(e);
    else out.set(key, { id: e.id, from: e.from, to: e.to, edges: [e] });
  }
  for (const l of out.values()) {
    l.edges.sort((a, b) => WEIGHT[a.kind] - WEIGHT[b.kind] || b.count - a.count);
    l.id = (l.edges[0] as GraphEdge).id;
  }
  return [...out.values()];
}

/**
 * Moves a large picture as one: while it is dragged the browser slides what is
 * drawn, and only where the hand rests it is drawn anew. Answers how to stop.
 */
function slide(g: Graph, box: HTMLElement): () => void {
  let from: { x: number; y: number } | undefined;
  let [dx, dy] = [0, 0];
  let rest: ReturnType<typeof setTimeout> | undefined;
  const layers = () => [...box.querySelectorAll('canvas')];
  const settle = () => {
    clearTimeout(rest);
    if (dx === 0 && dy === 0) return;
    const by: [number, number] = [dx, dy];
    if (from) from = { x: from.x + dx, y: from.y + dy };
    [dx, dy] = [0, 0];
    void g.translateBy(by, false).then(() =>
      requestAnimationFrame(() => {
        for (const c of layers()) c.style.transform = dx || dy ? `translate(${dx}px, ${dy}px)` : '';
      }),
    );
  };
  const move = (e: PointerEvent) => {
    if (!from) return;
    // Nothing else need look for what lies under the pointer meanwhile.
    e.stopImmediatePropagation();
    [dx, dy] = [e.clientX - from.x, e.clientY - from.y];
    for (const c of layers()) c.style.transform = `translate(${dx}px, ${dy}px)`;
    clearTimeout(rest);
    rest = setTimeout(settle, 400);
  };
  const up = () => {
    settle();
    from = undefined;
    window.removeEventListener('pointermove', move, true);
    window.removeEventListener('pointerup', up);
  };
  const down = (e: PointerEvent) => {
    if (e.button !== 0) return;
    from = { x: e.clientX, y: e.clientY };
    window.addEventListener('pointermove', move, true);
    window.addEventListener('pointerup', up);
  };
  // An entity under the pointer is moved by itself.
  const node = () => {
    from = undefined;
  };
  box.addEventListener('pointerdown', down, true);
  g.on(NodeEvent.POINTER_DOWN, node);
  return () => {
    up();
    box.removeEventListener('pointerdown', down, true);
    g.off(NodeEvent.POINTER_DOWN, node);
  };
}

/** Entities and what connects them. Whoever cannot see it finds the same in the lists beside it. */
export const RelationCanvas = forwardRef<CanvasHandle, Props>(function RelationCanvas(props, ref) {
  const { dark, locale } = useSettings();
  const box = useRef<HTMLDivElement>(null);
  const graph = useRef<Graph | null>(null);
  // Drawing is asynchronous: one draws after the other, and none once the page is gone.
  const queue = useRef<Promise<unknown>>(Promise.resolve());
  const latest = useRef(props);
  latest.current = props;
  const fitted = useRef<string | undefined>(undefined);
  const calm = props.scene.nodes.length > CALM;

  const run = (work: (g: Graph) => Promise<unknown> | void) => {
    const g = graph.current;
    queue.current = queue.current
      .then(async () => {
        if (g && !g.destroyed) await work(g);
      })
      .catch((e: unknown) => {
        // What is drawn while the page goes fails, and matters to nobody.
        if (g && !g.destroyed) throw e;
      });
    return queue.current;
  };

  useEffect(() => {
    if (!box.current) return undefined;
    const g = new Graph({
      container: box.current,
      autoResize: true,
      animation: false,
      padding: 24,
      zoomRange: [0.03, 3],
      background: 'transparent',
      behaviors: [
        ...(calm ? [] : [{ type: 'drag-canvas', key: 'drag' }]),
        { type: 'zoom-canvas', key: 'zoom' },
        { type: 'drag-element', key: 'move', dropEffect: 'none' as const },
        ...(calm ? [{ type: 'optimize-viewport-transform', key: 'calm', debounce: 150, shapes: (type: string, shape: { className?: string }) => type === 'node' && shape.className === 'key' }] : []),
      ],
    });
    graph.current = g;
    const target = (e: unknown) => String((e as { target: { id: string } }).target.id);
    g.on(NodeEvent.CLICK, (e) => latest.current.onChoose(target(e)));
    g.on(NodeEvent.DBLCLICK, (e) => latest.current.onOpen(target(e)));
    g.on(EdgeEvent.CLICK, (e) => latest.current.onEdge(target(e)));
    g.on(CanvasEvent.CLICK, () => latest.current.onChoose(''));
    g.on(NodeEvent.DRAG_END, (e) => {
      const id = target(e);
      const [x = 0, y = 0] = g.getElementPosition(id);
      latest.current.onMove(id, { x: Math.round(x), y: Math.round(y) });
    });
    const stop = calm ? slide(g, box.current) : undefined;
    return () => {
      stop?.();
      graph.current = null;
      void queue.current.finally(() => g.destroy());
    };
  }, [calm]);

  const { scene, at, pinned, chosen, path, fitKey } = props;
  useEffect(() => {
    const css = getComputedStyle(document.documentElement);
    const token = (name: string) => css.getPropertyValue(name).trim();
    const paint = { accent: token('--accent'), surface: token('--surface'), active: token('--active'), text: token('--text'), dim: token('--dim'), line: token('--border-strong'), sunken: token('--sunken') };
    const lines = linesOf(scene.edges);
    const near = new Set(chosen ? lines.flatMap((l) => (l.from === chosen ? [l.to] : l.to === chosen ? [l.from] : [])) : []);
    const onPath = new Set(lines.flatMap((l) => (l.edges.some((e) => path.has(e.id)) ? [l.from, l.to] : [])));
    const alerted = new Set(lines.flatMap((l) => (l.edges[0]?.kind === 'alert' ? [l.from, l.to] : [])));
    const few = scene.nodes.length <= NAMED;
    const series = SERIES[dark ? 'dark' : 'light'];
    const fillOf = (n: GraphNode) => (n.type === 'ip' ? (n.internal ? series[2] : series[1]) : { host: series[0], user: series[3], process: series[5], domain: series[4], item: series[7] }[n.type]) as string;
    const nodeData = scene.nodes.map((n): NodeData => {
      const on = n.id === chosen;
      const root = scene.roots.has(n.id);
      const open = scene.opened.has(n.id);
      const named = few || on || root || open || near.has(n.id) || onPath.has(n.id) || alerted.has(n.id);
      const size = root ? 34 : open || onPath.has(n.id) ? 28 : 20;
      const p = at.get(n.id) ?? { x: 0, y: 0 };
      const more = n.more > 0 ? ` +${n.more}${n.at_least ? '…' : ''}` : '';
      return {
        id: n.id,
        type: n.type === 'ip' && !n.internal ? 'diamond' : SHAPES[n.type],
        style: {
          x: p.x,
          y: p.y,
          size: n.type === 'domain' ? [size * 1.5, size] : size,
          fill: open || root ? fillOf(n) : paint.surface,
          stroke: on ? paint.accent : fillOf(n),
          lineWidth: on ? 4 : pinned.has(n.id) ? 3 : 2,
          ...(pinned.has(n.id) ? { lineDash: [3, 2] } : {}),
          opacity: path.size > 0 ? (onPath.has(n.id) || on ? 1 : 0.35) : chosen && !on && !near.has(n.id) && few ? 0.6 : 1,
          cursor: 'pointer',
          zIndex: on || onPath.has(n.id) ? 3 : 2,
          ...(named ? { labelText: `${clipped(n.name, 20)}${more}`, labelPlacement: 'bottom', labelFill: paint.text, labelFontSize: 11, labelFontWeight: root || on ? 600 : 400 } : { label: false }),
        },
      };
    });
    const crowded = lines.length > 60;
    const edgeData = lines.map((l): EdgeData => {
      const e = l.edges[0] as GraphEdge;
      const places = l.edges.flatMap((x) => path.get(x.id) ?? []);
      const step = places.length > 0 ? Math.min(...places) : 0;
      const lit = !!chosen && (l.from === chosen || l.to === chosen || l.edges.some((x) => x.id === chosen));
      const colour = e.kind === 'alert' ? token(`--${list(e.alerts)[0]?.severity ?? 'medium'}`) : kindColour(e.kind, dark);
      const word = clipped(latest.current.word(e), 26);
      const text = `${step ? `${step}  ` : ''}${word}${l.edges.length > 1 ? ` +${l.edges.length - 1}` : ''}`;
      return {
        id: l.id,
        source: l.from,
        target: l.to,
        type: 'line',
        style: {
          stroke: step ? paint.accent : lit || e.kind === 'alert' || few ? colour : paint.line,
          lineWidth: step ? 3.5 : e.kind === 'alert' ? 2.2 : lit ? 2 : 1.1,
          opacity: path.size > 0 && !step ? 0.25 : 1,
          ...(e.kind === 'same' || e.kind === 'relation' ? { lineDash: [5, 4] } : {}),
          endArrow: few && e.kind !== 'same',
          endArrowSize: 7,
          zIndex: step ? 2 : lit ? 1 : 0,
          cursor: 'pointer',
          increasedLineWidthForHitTesting: 8,
          ...(step || lit || (!crowded && text) ? { labelText: text, labelFontSize: 10.5, labelFill: step ? paint.text : paint.dim, labelBackground: true, labelBackgroundFill: paint.surface, labelBackgroundOpacity: 0.85, labelPadding: [0, 3], labelAutoRotate: false } : { label: false }),
        },
      };
    });
    void run(async (g) => {
      g.setData({ nodes: nodeData, edges: edgeData });
      await g.draw();
      if (fitted.current !== fitKey && nodeData.length > 0) {
        fitted.current = fitKey;
        await g.fitView();
        if (g.getZoom() > 1.1) {
          await g.zoomTo(1.1);
          await g.fitCenter();
        }
      }
      box.current?.setAttribute('data-drawn', `${nodeData.length} ${edgeData.length}`);
    });
  }, [scene, at, pinned, chosen, path, fitKey, dark, locale, calm]);

  useImperativeHandle(ref, () => ({
    fit: () => void run((g) => g.fitView()),
    zoom: (by) => void run((g) => g.zoomBy(by)),
    focus: (id) => void run((g) => (g.hasNode(id) ? g.focusElement(id) : undefined)),
    png: async () => {
      let url = '';
      await run(async (g) => {
        url = await g.toDataURL({ mode: 'overall' });
      });
      const bytes = Uint8Array.from(atob(url.slice(url.indexOf(',') + 1)), (c) => c.charCodeAt(0));
      return new Blob([bytes], { type: 'image/png' });
    },
    force: async () => {
      const out = new Map<string, Point>();
      await run(async (g) => {
        await g.layout({ type: 'd3-force', link: { distance: 110, strength: 0.5 }, collide: { radius: 46 }, manyBody: { strength: -260 }, center: { x: 0, y: 0, strength: 0.5 } });
        for (const n of latest.current.scene.nodes) {
          const [x = 0, y = 0] = g.getElementPosition(n.id);
          out.set(n.id, { x: Math.round(x), y: Math.round(y) });
        }
      });
      return out;
    },
  }));
  return <div ref={box} className="itemgraph" role="img" aria-label={props.label} data-testid="relations" style={{ height: '100%', minHeight: 420 }} />;
});
