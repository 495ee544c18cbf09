/** How entities and lines of a graph of relations look, whoever draws them. */
import type { EdgeKind, GraphEdge, GraphNode } from '../../api/graph';
import { list } from '../../api/types';
import type { Scene } from '../../logic/graph';
import { SERIES } from '../../logic/palette';

/** Beyond so many, only what matters has its name on the picture; the lists beside it name all. */
export const NAMED = 300;

/** The colour of a kind of relation; of alerts, that of their severity. */
function kindColour(kind: EdgeKind, dark: boolean): string {
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
function linesOf(edges: readonly GraphEdge[]): Line[] {
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

export interface NodeLook {
  id: string;
  shape: 'circle' | 'rect' | 'hexagon' | 'triangle' | 'ellipse' | 'diamond';
  size: number;
  fill: string;
  stroke: string;
  width: number;
  dashed: boolean;
  opacity: number;
  over: boolean;
  label: string;
  bold: boolean;
}
export interface LineLook {
  id: string;
  from: string;
  to: string;
  stroke: string;
  width: number;
  opacity: number;
  dashed: boolean;
  arrow: boolean;
  rank: number;
  label: string;
  step: boolean;
}
export interface Looks {
  nodes: NodeLook[];
  lines: LineLook[];
  paint: { accent: string; surface: string; text: string; dim: string; line: string };
}

const SHAPES = { ip: 'circle', host: 'rect', user: 'hexagon', process: 'triangle', domain: 'ellipse', item: 'rect' } as const;

/** `path` has the edges of the path that is shown, by id, with their place on it; `word` says what an edge is about. */
export function looksOf({ scene, chosen, pinned, path, dark, word }: { scene: Scene; chosen: string; pinned: ReadonlySet<string>; path: ReadonlyMap<string, number>; dark: boolean; word: (e: GraphEdge) => string }): Looks {
  const css = getComputedStyle(document.documentElement);
  const token = (name: string) => css.getPropertyValue(name).trim();
  const paint = { accent: token('--accent'), surface: token('--surface'), text: token('--text'), dim: token('--dim'), line: token('--border-strong') };
  const lines = linesOf(scene.edges);
  const near = new Set(chosen ? lines.flatMap((l) => (l.from === chosen ? [l.to] : l.to === chosen ? [l.from] : [])) : []);
  const onPath = new Set(lines.flatMap((l) => (l.edges.some((e) => path.has(e.id)) ? [l.from, l.to] : [])));
  const alerted = new Set(lines.flatMap((l) => (l.edges[0]?.kind === 'alert' ? [l.from, l.to] : [])));
  const few = scene.nodes.length <= NAMED;
  const series = SERIES[dark ? 'dark' : 'light'];
  const fillOf = (n: GraphNode) => (n.type === 'ip' ? (n.internal ? series[2] : series[1]) : { host: series[0], user: series[3], process: series[5], domain: series[4], item: series[7] }[n.type]) as string;
  const nodes = scene.nodes.map((n): NodeLook => {
    const on = n.id === chosen;
    const root = scene.roots.has(n.id);
    const open = scene.opened.has(n.id);
    const named = few || on || root || open || near.has(n.id) || onPath.has(n.id) || alerted.has(n.id);
    const more = n.more > 0 ? ` +${n.more}${n.at_least ? '…' : ''}` : '';
    return {
      id: n.id,
      shape: n.type === 'ip' && !n.internal ? 'diamond' : SHAPES[n.type],
      size: root ? 34 : open || onPath.has(n.id) ? 28 : 20,
      fill: open || root ? fillOf(n) : paint.surface,
      stroke: on ? paint.accent : fillOf(n),
      width: on ? 4 : pinned.has(n.id) ? 3 : 2,
      dashed: pinned.has(n.id),
      opacity: path.size > 0 ? (onPath.has(n.id) || on ? 1 : 0.35) : chosen && !on && !near.has(n.id) && few ? 0.6 : 1,
      over: on || onPath.has(n.id),
      label: named ? `${clipped(n.name, 20)}${more}` : '',
      bold: root || on,
    };
  });
  const severities = { critical: token('--critical'), high: token('--high'), medium: token('--medium'), low: token('--low'), informational: token('--informational') };
  const crowded = lines.length > 60;
  return {
    nodes,
    paint,
    lines: lines.map((l): LineLook => {
      const e = l.edges[0] as GraphEdge;
      const places = l.edges.flatMap((x) => path.get(x.id) ?? []);
      const step = places.length > 0 ? Math.min(...places) : 0;
      const lit = !!chosen && (l.from === chosen || l.to === chosen || l.edges.some((x) => x.id === chosen));
      const colour = e.kind === 'alert' ? severities[list(e.alerts)[0]?.severity ?? 'medium'] : kindColour(e.kind, dark);
      const say = step || lit || !crowded;
      const text = say ? `${step ? `${step}  ` : ''}${clipped(word(e), 26)}${l.edges.length > 1 ? ` +${l.edges.length - 1}` : ''}` : '';
      return {
        id: l.id,
        from: l.from,
        to: l.to,
        stroke: step ? paint.accent : lit || e.kind === 'alert' || few ? colour : paint.line,
        width: step ? 3.5 : e.kind === 'alert' ? 2.2 : lit ? 2 : 1.1,
        opacity: path.size > 0 && !step ? 0.25 : 1,
        dashed: e.kind === 'same' || e.kind === 'relation',
        arrow: few && e.kind !== 'same',
        rank: step ? 2 : lit ? 1 : 0,
        label: text,
        step: step > 0,
      };
    }),
  };
}
