import { describe, expect, it } from 'vitest';
import type { GraphEdge, GraphNode, Neighbours } from '../api/graph';
import { arranged, CELL, edgeWord, entityOf, entityPath, grow, hops, readGraph, scene, writeGraph, type GraphState } from './graph';

const node = (id: string, more: Partial<GraphNode> = {}): GraphNode => {
  const [type = '', value = ''] = id.split(/:(.*)/s);
  return { id, type: type as GraphNode['type'], value, zone: '', name: value, class: '', item: '', system: '', tenant: '', criticality: 0, internal: false, masked: false, more: 0, at_least: false, ...more };
};
const edge = (from: string, to: string): GraphEdge => ({ id: `${from} ${to}`, from, to, kind: 'flow', port: 22, transport: 'tcp', label: 'ssh', count: 1, bytes: 0, first_seen: '', last_seen: '', outcome: '', abnormal: [], phases: [], alerts: [], query: '' });
const answer = (id: string, ...others: string[]): Neighbours => ({ asked: [id], nodes: [node(id, { more: 7 }), ...others.map((o) => node(o))], edges: others.map((o) => edge(id, o)), partial: [], took_ms: 1 });
const state = (url: string): GraphState => readGraph(new URLSearchParams(url));
const [A, B, C, D] = ['ip:gov|10.0.0.1', 'ip:gov|10.0.0.2', 'ip:gov|10.0.0.3', 'user:a,b&c'] as const;

describe('the URL of a graph', () => {
  it('holds the whole state and gives it back', () => {
    const s: GraphState = { seeds: [A, D], open: [{ id: B, most: 125 }, { id: D }], hide: [C], pins: new Map([[B, { x: -12, y: 40 }]]), kinds: ['alert', 'signin'], ports: '22,8000-8999', transports: ['tcp'], abnormal: ['rare'], phases: ['delivery'], limit: 100, layout: 'rings', node: B, trace: 'backward', from: A, at: '2026-03-04T12:00:00Z', path: 2 };
    const q = writeGraph(new URLSearchParams('since=30d'), s);
    expect(readGraph(new URLSearchParams(q.toString()))).toEqual(s);
    expect(q.get('since')).toBe('30d');
  });
  it('is short where nothing is said, and passes over what is none', () => {
    expect(writeGraph(new URLSearchParams(), state('')).toString()).toBe('');
    expect(state('seed=mars:x&seed=ip:&open=9999999*q&pin=a,b@ip:1&limit=3&layout=odd&trace=up')).toEqual(state(''));
  });
});

describe('what is on a graph', () => {
  const answers = new Map([
    [A, answer(A, B)],
    [B, answer(B, A, C)],
    [C, answer(C, B, D)],
  ]);
  it('is what the opened met, by way of what is shown', () => {
    expect(scene(state(`seed=${A}`), answers).nodes.map((n) => n.id)).toEqual([A, B]);
    const all = scene(state(`seed=${A}&open=${C}&open=${B}`), answers);
    expect(all.nodes.map((n) => n.id)).toEqual([A, B, C, D]);
    expect(all.parent.get(D)).toBe(C);
    expect(all.nodes[0]?.more).toBe(7);
    expect([...hops(all).values()]).toEqual([0, 1, 2, 3]);
    // B is closed: C is only reached by way of it, and gone with it.
    expect(scene(state(`seed=${A}&open=${C}`), answers).nodes.map((n) => n.id)).toEqual([A, B]);
  });
  it('is without what is hidden, and says so', () => {
    const s = scene(state(`seed=${A}&open=${B}&open=${C}&hide=${C}`), answers);
    expect(s.nodes.map((n) => n.id)).toEqual([A, B]);
    expect(s.edges.every((e) => e.from !== C && e.to !== C)).toBe(true);
    expect(s.hidden).toBe(1);
  });
  it('has at most so many, and tells of the others', () => {
    const many = answer(A, ...Array.from({ length: 2100 }, (_, i) => `ip:gov|10.1.${i >> 8}.${i & 255}`));
    const s = scene(state(`seed=${A}`), new Map([[A, many]]));
    expect([s.nodes.length, s.beyond]).toEqual([2000, 101]);
    const at = grow(s, new Map(), new Map());
    expect(new Set([...at.values()].map((p) => `${p.x} ${p.y}`)).size).toBe(2000);
  });
  it('keeps places, puts pins where they are, and no two on one place', () => {
    const first = grow(scene(state(`seed=${A}`), answers), new Map(), new Map());
    const s = scene(state(`seed=${A}&open=${B}&open=${C}`), answers);
    const at = grow(s, first, new Map([[C, { x: 500, y: 500 }]]));
    expect(at.get(A)).toEqual(first.get(A));
    expect(at.get(B)).toEqual(first.get(B));
    expect(at.get(C)).toEqual({ x: 500, y: 500 });
    const d = at.get(D);
    expect(Math.hypot((d?.x ?? 0) - 500, (d?.y ?? 0) - 500)).toBeLessThan(4 * CELL.width);
    for (const how of ['columns', 'rings'] as const) expect(new Set([...arranged(s, how, new Map()).values()].map((p) => `${p.x} ${p.y}`)).size).toBe(4);
  });
});

it('names entities and their pages', () => {
  expect(entityOf('ip', ' 10.1.2.3 ')).toBe('ip:10.1.2.3');
  expect(entityOf('ip', 'user:li')).toBe('user:li');
  expect(entityOf('ip', '  ')).toBe('');
  expect(entityPath(node(A))).toBe('/entities/ip/10.0.0.1?zone=gov');
  expect(entityPath(node(D))).toBe('/entities/system-user/a%2Cb%26c');
  expect(entityPath(node('item:web-1'))).toBe('/entities/asset/web-1');
  expect(entityPath(node('ip:*|203.0.113.9'))).toBe('/entities/ip/203.0.113.9');
  expect(entityPath(node('process:web-1|nc'))).toBe('/entities/file/nc');
  expect(edgeWord(edge(A, B))).toBe('ssh 22');
  expect(edgeWord({ ...edge(A, B), label: '' })).toBe('tcp/22');
});
