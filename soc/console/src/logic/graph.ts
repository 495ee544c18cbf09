/** A graph of relations as its URL holds it, what is on it, and where things stand. */
import type { GraphEdge, GraphNode, Neighbours, Traced } from '../api/graph';
import { list } from '../api/types';
import { entityPath as pageOf, type EntityRef } from './entity';
import type { Point } from './topology';

export const LAYOUTS = ['grow', 'columns', 'rings', 'force'] as const;
export type LayoutName = (typeof LAYOUTS)[number];
export const LIMIT = 25;
export const LIMITS = [10, 25, 50, 100, 500, 2000];
/** As many nodes are drawn; what is beyond is told. */
export const MOST_DRAWN = 2000;

/** An entity that is opened, and how many of its neighbours are asked for where that is not the usual number. */
export interface Opened {
  id: string;
  most?: number;
}
export interface GraphState {
  seeds: string[];
  open: Opened[];
  hide: string[];
  pins: Map<string, Point>;
  kinds: string[];
  ports: string;
  transports: string[];
  abnormal: string[];
  phases: string[];
  limit: number;
  layout: LayoutName;
  node: string;
  trace: '' | 'backward' | 'forward';
  /** Where the trace begins, and the time of the fact. */
  from: string;
  at: string;
  path: number;
}

const ID = /^(ip|host|user|process|domain|item):./s;
const words = (p: URLSearchParams, key: string) => (p.get(key) ?? '').split(',').filter(Boolean);
const unique = (ids: string[]) => [...new Set(ids.filter((id) => ID.test(id)))];

export function readGraph(p: URLSearchParams): GraphState {
  const pins = new Map<string, Point>();
  for (const pin of p.getAll('pin')) {
    const m = /^(-?\d{1,6}),(-?\d{1,6})@(.+)$/s.exec(pin);
    if (m && ID.test(m[3] as string)) pins.set(m[3] as string, { x: Number(m[1]), y: Number(m[2]) });
  }
  const open = new Map<string, Opened>();
  for (const o of p.getAll('open')) {
    const m = /^(?:(\d{1,4})\*)?(.+)$/s.exec(o);
    if (m && ID.test(m[2] as string)) open.set(m[2] as string, { id: m[2] as string, ...(m[1] ? { most: Math.min(2000, Math.max(1, Number(m[1]))) } : {}) });
  }
  const layout = p.get('layout') as LayoutName;
  const trace = p.get('trace');
  const limit = Number(p.get('limit'));
  return {
    seeds: unique(p.getAll('seed')),
    open: [...open.values()],
    hide: unique(p.getAll('hide')),
    pins,
    kinds: words(p, 'kinds'),
    ports: p.get('ports') ?? '',
    transports: words(p, 'transports'),
    abnormal: words(p, 'abnormal'),
    phases: words(p, 'phases'),
    limit: LIMITS.includes(limit) ? limit : LIMIT,
    layout: LAYOUTS.includes(layout) ? layout : 'grow',
    node: p.get('node') ?? '',
    trace: trace === 'backward' || trace === 'forward' ? trace : '',
    from: p.get('from') ?? '',
    at: p.get('at') ?? '',
    path: Math.max(0, Number(p.get('path')) || 0),
  };
}

/** The parameters with the state in place of theirs; others, like the range of time, stay. */
export function writeGraph(p: URLSearchParams, s: GraphState): URLSearchParams {
  const q = new URLSearchParams(p);
  const one = (key: string, value: string) => (value ? q.set(key, value) : q.delete(key));
  const many = (key: string, values: string[]) => {
    q.delete(key);
    for (const v of values) q.append(key, v);
  };
  many('seed', s.seeds);
  many('open', s.open.map((o) => (o.most ? `${o.most}*${o.id}` : o.id)));
  many('hide', s.hide);
  many('pin', [...s.pins].map(([id, at]) => `${Math.round(at.x)},${Math.round(at.y)}@${id}`));
  one('kinds', s.kinds.join(','));
  one('ports', s.ports);
  one('transports', s.transports.join(','));
  one('abnormal', s.abnormal.join(','));
  one('phases', s.phases.join(','));
  one('limit', s.limit === LIMIT ? '' : String(s.limit));
  one('layout', s.layout === 'grow' ? '' : s.layout);
  one('node', s.node);
  one('trace', s.trace);
  one('from', s.trace ? s.from : '');
  one('at', s.trace ? s.at : '');
  one('path', s.trace && s.path ? String(s.path) : '');
  return q;
}

/** What is drawn: nodes in the order in which they came, each with whom it came by. */
export interface Scene {
  nodes: GraphNode[];
  edges: GraphEdge[];
  parent: Map<string, string>;
  roots: Set<string>;
  opened: Set<string>;
  hidden: number;
  /** Nodes beyond what is drawn. */
  beyond: number;
}

const rank = (n: GraphNode) => (n.item ? 2 : 0) + (n.internal ? 1 : 0);

/**
 * Puts answers together: the seeds, what each opened entity met as far as it is
 * on the picture itself, and a trace's paths. What was opened by way of an
 * entity that is closed again is gone until that is opened again.
 */
export function scene(s: GraphState, answers: ReadonlyMap<string, Neighbours>, traced?: Traced): Scene {
  const nodes = new Map<string, GraphNode>();
  const edges = new Map<string, GraphEdge>();
  const parent = new Map<string, string>();
  const roots = new Set<string>();
  const opened = new Set<string>();
  const hide = new Set(s.hide);
  const put = (n: GraphNode, by?: string) => {
    const have = nodes.get(n.id);
    if (!have) {
      nodes.set(n.id, n);
      if (by) parent.set(n.id, by);
    } else if (rank(n) > rank(have) || (n.more > 0 && !have.more)) {
      nodes.set(n.id, { ...n, more: Math.max(n.more, have.more), at_least: n.at_least || have.at_least });
    }
  };
  const take = (id: string) => {
    const a = answers.get(id);
    if (!a) return;
    const asked = new Set(list(a.asked));
    for (const n of list(a.nodes)) if (asked.has(n.id)) put(n);
    for (const x of asked) opened.add(x);
    const by = new Map<string, string>();
    for (const e of list(a.edges)) {
      if (asked.has(e.from) && !by.has(e.to)) by.set(e.to, e.from);
      if (asked.has(e.to) && !by.has(e.from)) by.set(e.from, e.to);
    }
    for (const n of list(a.nodes)) if (!asked.has(n.id) && !hide.has(n.id)) put(n, by.get(n.id) ?? list(a.asked)[0]);
    for (const e of list(a.edges)) edges.set(e.id, e);
  };
  for (const id of s.seeds) {
    const asked = list(answers.get(id)?.asked);
    for (const x of asked.length > 0 ? asked : []) roots.add(x);
    take(id);
  }
  if (traced) {
    for (const n of list(traced.nodes)) {
      if (!nodes.has(n.id) && !hide.has(n.id)) {
        const e = list(traced.edges).find((x) => (x.from === n.id && nodes.has(x.to)) || (x.to === n.id && nodes.has(x.from)));
        put(n, e ? (e.from === n.id ? e.to : e.from) : undefined);
      }
    }
    for (const e of list(traced.edges)) edges.set(e.id, e);
  }
  let waiting = s.open.filter((o) => !s.seeds.includes(o.id));
  for (let changed = true; changed; ) {
    changed = false;
    waiting = waiting.filter((o) => {
      if (!nodes.has(o.id)) return true;
      changed = true;
      take(o.id);
      return false;
    });
  }
  let all = [...nodes.values()].filter((n) => !hide.has(n.id));
  const beyond = Math.max(0, all.length - MOST_DRAWN);
  all = all.slice(0, MOST_DRAWN);
  const shown = new Set(all.map((n) => n.id));
  return { nodes: all, edges: [...edges.values()].filter((e) => shown.has(e.from) && shown.has(e.to)), parent, roots, opened, hidden: s.hide.length, beyond };
}

export const CELL = { width: 132, height: 74 };

/**
 * Free places: each new node near whom it came by, on the side away from where
 * that came from; who has a place keeps it.
 */
export function grow(scene: Scene, had: ReadonlyMap<string, Point>, pins: ReadonlyMap<string, Point>): Map<string, Point> {
  const at = new Map<string, Point>();
  const taken = new Set<string>();
  const cell = (p: Point) => `${Math.round(p.x / CELL.width)} ${Math.round(p.y / CELL.height)}`;
  const place = (id: string, p: Point) => {
    at.set(id, p);
    taken.add(cell(p));
  };
  for (const n of scene.nodes) {
    const p = pins.get(n.id) ?? had.get(n.id);
    if (p) place(n.id, p);
  }
  let roots = 0;
  // The angles at which lines leave a node: two at one angle would hide each other.
  const lines = new Map<string, number[]>();
  const leaves = (by: string, from: Point, to: Point) => {
    const angle = Math.atan2(to.y - from.y, to.x - from.x);
    const of = lines.get(by);
    if (of) of.push(angle);
    else lines.set(by, [angle]);
  };
  for (const n of scene.nodes) {
    const by = scene.parent.get(n.id);
    const from = by === undefined ? undefined : at.get(by);
    const had = at.get(n.id);
    if (had) {
      if (from && by) {
        leaves(by, from, had);
        leaves(n.id, had, from);
      }
      continue;
    }
    if (!from) {
      let p = { x: 0, y: 0 };
      while (taken.has(cell(p))) p = { x: 0, y: ++roots * 6 * CELL.height };
      place(n.id, p);
      continue;
    }
    const before = at.get(scene.parent.get(by as string) ?? '');
    const away = before ? Math.atan2(from.y - before.y, from.x - before.x) : 0;
    const p = nearest(from, away, before !== undefined, taken, lines.get(by as string) ?? []);
    place(n.id, p);
    leaves(by as string, from, p);
    leaves(n.id, p, from);
  }
  return at;
}

/** The free cell nearest to a point; with a direction, in a fan that opens that way. */
function nearest(from: Point, away: number, directed: boolean, taken: ReadonlySet<string>, lines: readonly number[]): Point {
  const cx = Math.round(from.x / CELL.width);
  const cy = Math.round(from.y / CELL.height);
  let best: Point | undefined;
  let least = Infinity;
  // A little further in the direction beats near behind: the fan widens ring by ring.
  for (let ring = 1; ring < 80; ring++) {
    if (best && ring > least) break;
    for (let dx = -ring; dx <= ring; dx++) {
      for (const dy of Math.abs(dx) === ring ? span(ring) : [-ring, ring]) {
        if (taken.has(`${cx + dx} ${cy + dy}`)) continue;
        const far = Math.hypot(dx, dy);
        const angle = Math.atan2(dy * CELL.height, dx * CELL.width);
        let score = far * (directed ? 1 + between(angle, away) * 0.8 : 1) + (far < 1.9 ? 1.2 : 0);
        // Of many lines some lie over each other whatever one does.
        if (lines.length < 24 && score < least && lines.some((l) => between(l, angle) < 0.2)) score += 3;
        if (score < least) {
          least = score;
          best = { x: (cx + dx) * CELL.width, y: (cy + dy) * CELL.height };
        }
      }
    }
  }
  return best ?? { x: from.x, y: from.y + 80 * CELL.height };
}
function between(a: number, b: number): number {
  const turn = Math.abs(a - b) % (2 * Math.PI);
  return turn > Math.PI ? 2 * Math.PI - turn : turn;
}
const span = (ring: number) => Array.from({ length: 2 * ring + 1 }, (_, i) => i - ring);

/** Hops from the roots over what is drawn. */
export function hops(scene: Scene): Map<string, number> {
  const near = new Map<string, string[]>();
  const meets = (a: string, b: string) => {
    const of = near.get(a);
    if (of) of.push(b);
    else near.set(a, [b]);
  };
  for (const e of scene.edges) {
    meets(e.from, e.to);
    meets(e.to, e.from);
  }
  const depth = new Map<string, number>();
  const walk = (ids: string[], first: number) => {
    let frontier = ids.filter((id) => !depth.has(id));
    for (let d = first; frontier.length > 0; d++) {
      for (const id of frontier) depth.set(id, d);
      frontier = [...new Set(frontier.flatMap((id) => near.get(id) ?? []))].filter((id) => !depth.has(id));
    }
  };
  walk(scene.nodes.filter((n) => scene.roots.has(n.id)).map((n) => n.id), 0);
  for (const n of scene.nodes) if (!depth.has(n.id)) walk([n.id], 0);
  return depth;
}

/** By hops: columns from left to right, or rings around the middle. */
export function arranged(scene: Scene, how: 'columns' | 'rings', pins: ReadonlyMap<string, Point>): Map<string, Point> {
  const depth = hops(scene);
  const levels: string[][] = [];
  for (const n of scene.nodes) (levels[depth.get(n.id) ?? 0] ??= []).push(n.id);
  const at = new Map<string, Point>();
  if (how === 'columns') {
    let x = 0;
    for (const level of levels) {
      const strips = Math.ceil(level.length / 18);
      const high = Math.ceil(level.length / Math.max(1, strips));
      level.forEach((id, i) => at.set(id, { x: x + Math.floor(i / high) * CELL.width, y: ((i % high) - (Math.min(high, level.length) - 1) / 2) * CELL.height }));
      x += Math.max(1, strips) * CELL.width + 110;
    }
  } else {
    let r = 0;
    levels.forEach((level, d) => {
      if (d > 0 || level.length > 1) r = Math.max(r + 150, (level.length * CELL.width * 0.8) / (2 * Math.PI));
      level.forEach((id, i) => {
        const a = (i / level.length) * 2 * Math.PI - Math.PI / 2;
        at.set(id, { x: Math.round(r * Math.cos(a)), y: Math.round(r * Math.sin(a)) });
      });
    });
  }
  for (const [id, p] of pins) if (at.has(id)) at.set(id, p);
  return at;
}

/** What the encyclopaedia calls the types of the graph. */
const PAGES = { ip: 'ip', host: 'device', user: 'system-user', process: 'file', domain: 'domain', item: 'asset' } as const;

/** What the encyclopaedia knows an entity of the graph as: a process as its program. */
export function entityRef(n: { type: keyof typeof PAGES; value: string }): EntityRef {
  const [before, rest] = n.value.includes('|') ? [n.value.slice(0, n.value.indexOf('|')), n.value.slice(n.value.indexOf('|') + 1)] : ['', n.value];
  const value = n.type === 'ip' || n.type === 'process' ? rest : n.value;
  return { type: PAGES[n.type], value, ...(n.type === 'ip' && before !== '*' && before ? { zone: before } : {}) };
}

/** The page of an entity. */
export const entityPath = (n: { type: keyof typeof PAGES; value: string }): string => pageOf(entityRef(n));

/** What a person types as an entity: an address, a name, or type:value; '' where it is none. */
export function entityOf(type: string, text: string): string {
  const said = text.trim();
  if (!said) return '';
  return ID.test(said) ? said : `${type}:${said}`;
}

/** What an edge is about, in few words. */
export function edgeWord(e: GraphEdge): string {
  if (e.port > 0) return e.label && !/^\d+$/.test(e.label) ? `${e.label} ${e.port}` : `${e.transport || 'tcp'}/${e.port}`;
  return e.label;
}
