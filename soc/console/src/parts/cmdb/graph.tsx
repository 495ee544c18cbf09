import { Graph, NodeEvent, CanvasEvent, EdgeEvent, type EdgeData, type NodeData } from '@antv/g6';
import { forwardRef, useEffect, useImperativeHandle, useRef } from 'react';
import { useSettings } from '../../app/settings';
import { SERIES } from '../../logic/palette';
import { NODE, type Lane, type Point } from '../../logic/topology';
import { fitWhole, followFrame } from '../graph/fitting';

export interface GraphNode {
  id: string;
  name: string;
  /** Under the name. */
  sub: string;
  /** Gives the colour: items of one kind look alike. */
  kind: string;
  at: Point;
  note?: string;
  /** Marked as what the picture is about. */
  main?: boolean;
}
export interface GraphEdge {
  id: string;
  from: string;
  to: string;
  label: string;
  /** Of the line, in pixels. */
  width?: number;
  /** Drawn with dashes: not sure yet. */
  dashed?: boolean;
}
export interface GraphNote {
  id: string;
  text: string;
  at: Point;
}
export interface GraphLane extends Lane {
  title: string;
}
export interface GraphHandle {
  fit: () => void;
  zoom: (by: number) => void;
  focus: (id: string) => void;
  png: () => Promise<Blob>;
  /** Lays the items out by forces; answers where they came to stand. */
  force: () => Promise<Map<string, Point>>;
}
interface Props {
  label: string;
  nodes: readonly GraphNode[];
  edges: readonly GraphEdge[];
  notes?: readonly GraphNote[];
  lanes?: readonly GraphLane[];
  chosen?: string;
  onChoose?: (id: string) => void;
  onOpen?: (id: string) => void;
  onEdge?: (id: string) => void;
  /** Items and notes may be moved; told where one came to stand. */
  onMove?: (id: string, at: Point) => void;
  /** How lines run. */
  lines?: 'across' | 'down' | 'straight';
  height?: number | string;
  /** The picture is fitted into its frame anew when this changes. */
  fitKey?: string;
}

const FEW = 60;

/** As many characters as fit; wide ones count twice. */
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

/** The same kind has the same colour on every page. */
function colourOf(kind: string, dark: boolean): string {
  const palette = SERIES[dark ? 'dark' : 'light'];
  let h = 0;
  for (const ch of kind) h = (h * 31 + (ch.codePointAt(0) ?? 0)) >>> 0;
  return palette[h % palette.length] as string;
}

/** Items and relations as a picture that can be moved, zoomed and, where asked for, arranged. Whoever cannot see it finds the same in the lists beside it. */
export const ItemGraph = forwardRef<GraphHandle, Props>(function ItemGraph(props, ref) {
  const { dark } = useSettings();
  const box = useRef<HTMLDivElement>(null);
  const graph = useRef<Graph | null>(null);
  // Drawing is asynchronous: one draws after the other, and none once the page is gone.
  const queue = useRef<Promise<unknown>>(Promise.resolve());
  const latest = useRef(props);
  latest.current = props;
  const fitted = useRef<string | undefined>(undefined);
  const movable = props.onMove !== undefined;

  const run = (work: (g: Graph) => Promise<unknown> | void) => {
    const g = graph.current;
    queue.current = queue.current.then(async () => {
      if (g && !g.destroyed) await work(g);
    }).catch((e: unknown) => {
      // What is drawn while the page goes fails, and matters to nobody.
      if (g && !g.destroyed) throw e;
    });
    return queue.current;
  };

  useEffect(() => {
    if (!box.current) return undefined;
    const g = new Graph({
      container: box.current,
      animation: false,
      padding: 12,
      zoomRange: [0.05, 3],
      background: 'transparent',
      behaviors: [{ type: 'drag-canvas', key: 'drag' }, { type: 'zoom-canvas', key: 'zoom' }, ...(movable ? [{ type: 'drag-element', key: 'move', dropEffect: 'none' as const, enable: (e: { targetType?: string; target?: { id?: string } }) => e.targetType === 'node' && !String(e.target?.id).startsWith('lane ') }] : [])],
    });
    graph.current = g;
    const target = (e: unknown) => String((e as { target: { id: string } }).target.id);
    g.on(NodeEvent.CLICK, (e) => !target(e).startsWith('lane ') && latest.current.onChoose?.(target(e)));
    g.on(NodeEvent.DBLCLICK, (e) => !/^(lane|note) /.test(target(e)) && latest.current.onOpen?.(target(e)));
    g.on(EdgeEvent.CLICK, (e) => latest.current.onEdge?.(target(e)));
    g.on(CanvasEvent.CLICK, () => latest.current.onChoose?.(''));
    g.on(NodeEvent.DRAG_END, (e) => {
      const id = target(e);
      if (id.startsWith('lane ')) return;
      const [x = 0, y = 0] = g.getElementPosition(id);
      latest.current.onMove?.(id, { x: Math.round(x), y: Math.round(y) });
    });
    const unfollow = followFrame(box.current, (width, height, untouched) =>
      void run(async (g) => {
        g.resize(width, height);
        if (untouched && fitted.current !== undefined) await fitWhole(g, 1);
      }),
    );
    return () => {
      unfollow();
      graph.current = null;
      void queue.current.finally(() => g.destroy());
    };
  }, [movable]);

  const { nodes, edges, notes, lanes, chosen, lines, fitKey } = props;
  useEffect(() => {
    const css = getComputedStyle(document.documentElement);
    const token = (name: string) => css.getPropertyValue(name).trim();
    const known = new Set(nodes.map((n) => n.id));
    const near = new Set(chosen ? edges.flatMap((e) => (e.from === chosen ? [e.to] : e.to === chosen ? [e.from] : [])) : []);
    const data = {
      nodes: [
        ...(lanes ?? []).map(
          (l): NodeData => ({
            id: `lane ${l.key}`,
            type: 'rect',
            style: { x: l.width / 2, y: l.y + l.height / 2, size: [l.width, l.height], radius: 6, fill: token('--sunken'), stroke: token('--border'), lineWidth: 1, zIndex: -10, labelText: l.title, labelPlacement: 'left-top', labelTextAlign: 'left', labelOffsetX: l.width > 0 ? 12 : 0, labelOffsetY: 22, labelFill: token('--dim'), labelFontSize: 12, labelFontWeight: 600, cursor: 'default' },
          }),
        ),
        ...nodes.map((n): NodeData => {
          const colour = colourOf(n.kind, dark);
          const on = n.id === chosen;
          return {
            id: n.id,
            type: 'rect',
            style: {
              x: n.at.x,
              y: n.at.y,
              size: [NODE.width, NODE.height],
              radius: 6,
              fill: n.main ? token('--active') : token('--surface'),
              stroke: on ? token('--accent') : colour,
              lineWidth: on ? 3 : n.main ? 2.5 : 1.2,
              opacity: chosen && known.has(chosen) && !on && !near.has(n.id) ? 0.55 : 1,
              labelText: `${clipped(n.name, 24)}\n${clipped(n.sub, 26)}`,
              labelPlacement: 'center',
              labelFill: token('--text'),
              labelFontSize: 12,
              labelLineHeight: 17,
              labelTextAlign: 'center',
              cursor: 'pointer',
              zIndex: 2,
              ...(n.note ? { badge: true, badges: [{ text: clipped(n.note, 34), placement: 'bottom', offsetY: 12, fontSize: 11, fill: token('--text'), backgroundFill: token('--mark'), padding: [2, 6] }] } : {}),
            },
          };
        }),
        ...(notes ?? []).map(
          (n): NodeData => ({
            id: n.id,
            type: 'rect',
            style: { x: n.at.x, y: n.at.y, size: [Math.min(320, 30 + Math.max(...n.text.split('\n').map((x) => [...x].reduce((w, ch) => w + ((ch.codePointAt(0) ?? 0) > 0x2e80 ? 13 : 7), 0)))), 14 + 18 * n.text.split('\n').length], radius: 3, fill: token('--mark'), stroke: n.id === chosen ? token('--accent') : token('--mark-edge'), lineWidth: n.id === chosen ? 2 : 1, labelText: n.text.split('\n').map((x) => clipped(x, 44)).join('\n'), labelPlacement: 'center', labelFill: token('--text'), labelFontSize: 12, labelLineHeight: 18, cursor: 'pointer', zIndex: 3 },
          }),
        ),
      ],
      edges: edges
        .filter((e) => known.has(e.from) && known.has(e.to))
        .map((e): EdgeData => {
          const lit = !!chosen && (e.id === chosen || e.from === chosen || e.to === chosen);
          return {
            id: e.id,
            source: e.from,
            target: e.to,
            type: lines === 'straight' ? 'line' : lines === 'down' ? 'cubic-vertical' : 'cubic-horizontal',
            style: {
              stroke: lit ? token('--accent') : token('--border-strong'),
              lineWidth: Math.max(e.width ?? 1.2, lit || e.id === chosen ? 2 : 0),
              ...(e.dashed ? { lineDash: [5, 4] } : {}),
              endArrow: true,
              endArrowSize: 7,
              zIndex: lit ? 1 : 0,
              cursor: 'pointer',
              increasedLineWidthForHitTesting: 8,
              ...(edges.length <= FEW || lit ? { labelText: e.label, labelFontSize: 11, labelFill: token('--dim'), labelBackground: true, labelBackgroundFill: token('--surface'), labelBackgroundOpacity: 0.85, labelPadding: [0, 3], labelAutoRotate: false } : {}),
            },
          };
        }),
    };
    void run(async (g) => {
      g.setData(data);
      await g.draw();
      if (fitted.current !== (fitKey ?? '') && nodes.length > 0) {
        fitted.current = fitKey ?? '';
        await fitWhole(g, 1);
      }
      box.current?.setAttribute('data-drawn', String(nodes.length));
    });
  }, [nodes, edges, notes, lanes, chosen, lines, fitKey, dark, movable]);

  useImperativeHandle(ref, () => ({
    fit: () => void run((g) => fitWhole(g, 3)),
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
        await g.layout({ type: 'd3-force', link: { distance: 190, strength: 0.5 }, collide: { radius: 95 }, manyBody: { strength: -500 }, center: { x: 0, y: 0, strength: 0.5 } });
        for (const n of latest.current.nodes) {
          const [x = 0, y = 0] = g.getElementPosition(n.id);
          out.set(n.id, { x: Math.round(x), y: Math.round(y) });
        }
      });
      return out;
    },
  }));
  return <div ref={box} className="itemgraph" role="img" aria-label={props.label} data-testid="graph" style={{ height: props.height ?? 520 }} />;
});
