import { CanvasEvent, EdgeEvent, Graph, NodeEvent, type EdgeData, type NodeData } from '@antv/g6';
import { forwardRef, useEffect, useImperativeHandle, useRef } from 'react';
import type { GraphEdge } from '../../api/graph';
import { useSettings } from '../../app/settings';
import type { Scene } from '../../logic/graph';
import type { Point } from '../../logic/topology';
import { looksOf } from './looks';
import { fitWhole, followFrame } from './fitting';

export interface CanvasHandle {
  fit: () => void;
  zoom: (by: number) => void;
  focus: (id: string) => void;
  png: () => Promise<Blob>;
  force: () => Promise<Map<string, Point>>;
}
export interface CanvasProps {
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
  /** The hand rests on an entity, at a place of the window; null where it left. */
  onHover?: (on: { id: string; x: number; y: number } | null) => void;
}

/** Entities and what connects them. Whoever cannot see it finds the same in the lists beside it. */
export const RelationCanvas = forwardRef<CanvasHandle, CanvasProps>(function RelationCanvas(props, ref) {
  const { dark, locale } = useSettings();
  const box = useRef<HTMLDivElement>(null);
  const graph = useRef<Graph | null>(null);
  // Drawing is asynchronous: one draws after the other, and none once the page is gone.
  const queue = useRef<Promise<unknown>>(Promise.resolve());
  const latest = useRef(props);
  latest.current = props;
  const fitted = useRef<string | undefined>(undefined);

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
      animation: false,
      padding: 24,
      zoomRange: [0.03, 3],
      background: 'transparent',
      behaviors: [
        { type: 'drag-canvas', key: 'drag' },
        { type: 'zoom-canvas', key: 'zoom' },
        { type: 'drag-element', key: 'move', dropEffect: 'none' as const },
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
    const enter = (e: unknown) => {
      const { client } = e as { client: { x: number; y: number } };
      latest.current.onHover?.({ id: target(e), x: client.x, y: client.y });
    };
    g.on(NodeEvent.POINTER_ENTER, enter);
    g.on(NodeEvent.POINTER_LEAVE, () => latest.current.onHover?.(null));
    g.on(NodeEvent.DRAG_START, () => latest.current.onHover?.(null));
    const unfollow = followFrame(box.current, (width, height, untouched) =>
      void run(async (g) => {
        g.resize(width, height);
        if (untouched && fitted.current !== undefined) await fitWhole(g, 1.1);
      }),
    );
    return () => {
      unfollow();
      graph.current = null;
      void queue.current.finally(() => g.destroy());
    };
  }, []);

  const { scene, at, pinned, chosen, path, fitKey } = props;
  useEffect(() => {
    const looks = looksOf({ scene, chosen, pinned, path, dark, word: latest.current.word });
    const { paint } = looks;
    const nodeData = looks.nodes.map((n): NodeData => {
      const p = at.get(n.id) ?? { x: 0, y: 0 };
      return {
        id: n.id,
        type: n.shape,
        style: {
          x: p.x,
          y: p.y,
          size: n.shape === 'ellipse' ? [n.size * 1.5, n.size] : n.size,
          fill: n.fill,
          stroke: n.stroke,
          lineWidth: n.width,
          ...(n.dashed ? { lineDash: [3, 2] } : {}),
          opacity: n.opacity,
          cursor: 'pointer',
          zIndex: n.over ? 3 : 2,
          ...(n.label ? { labelText: n.label, labelPlacement: 'bottom', labelFill: paint.text, labelFontSize: 11, labelFontWeight: n.bold ? 600 : 400 } : { label: false }),
        },
      };
    });
    const edgeData = looks.lines.map(
      (l): EdgeData => ({
        id: l.id,
        source: l.from,
        target: l.to,
        type: 'line',
        style: {
          stroke: l.stroke,
          lineWidth: l.width,
          opacity: l.opacity,
          ...(l.dashed ? { lineDash: [5, 4] } : {}),
          endArrow: l.arrow,
          endArrowSize: 7,
          zIndex: l.rank,
          cursor: 'pointer',
          increasedLineWidthForHitTesting: 8,
          ...(l.label ? { labelText: l.label, labelFontSize: 10.5, labelFill: l.step ? paint.text : paint.dim, labelBackground: true, labelBackgroundFill: paint.surface, labelBackgroundOpacity: 0.85, labelPadding: [0, 3], labelAutoRotate: false } : { label: false }),
        },
      }),
    );
    void run(async (g) => {
      g.setData({ nodes: nodeData, edges: edgeData });
      await g.draw();
      if (fitted.current !== fitKey && nodeData.length > 0) {
        fitted.current = fitKey;
        await fitWhole(g, 1.1);
      }
      box.current?.setAttribute('data-drawn', `${nodeData.length} ${edgeData.length}`);
    });
  }, [scene, at, pinned, chosen, path, fitKey, dark, locale]);

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
