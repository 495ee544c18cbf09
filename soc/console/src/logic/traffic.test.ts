import { describe, expect, it } from 'vitest';
import type { TrafficEdge } from '../api/cmdbkept';
import { lineWidth, portName, trafficPicture } from './traffic';

const edge = (id: number, from: string, to: string, bytes: number, state: TrafficEdge['state'], systems: [string?, string?] = []): TrafficEdge => ({
  id,
  from: { id: from, class: 'host', name: from },
  to: { id: to, class: 'host', name: to },
  from_system: systems[0] ? { id: systems[0], name: systems[0] } : undefined,
  to_system: systems[1] ? { id: systems[1], name: systems[1] } : undefined,
  zone: 'default',
  services: [],
  first_seen: '',
  last_seen: '',
  flows: 1,
  bytes,
  state,
  silent: false,
});

describe('the picture of who talks to whom', () => {
  const edges = [edge(1, 'web', 'db', 10, 'accepted', ['pay', 'store']), edge(2, 'app', 'db', 5, 'waiting', ['pay', 'store']), edge(3, 'web', 'app', 7, 'waiting', ['pay', 'pay']), edge(4, 'lone', 'db', 1, 'waiting', [undefined, 'store'])];
  it('draws items', () => {
    const p = trafficPicture(edges, false);
    expect(p.nodes.map((n) => n.id).sort()).toEqual(['app', 'db', 'lone', 'web']);
    expect(p.lines).toHaveLength(4);
  });
  it('draws systems: two edges are one line, what stays within a system is none, items without one stand for themselves', () => {
    const p = trafficPicture(edges, true);
    expect(p.nodes.map((n) => n.id).sort()).toEqual(['lone', 'pay', 'store']);
    expect(p.lines.map((l) => [l.id, l.bytes, l.waiting, l.edges.length])).toEqual([
      ['pay > store', 15, false, 2],
      ['lone > store', 1, true, 1],
    ]);
  });
  it('draws more traffic thicker, within bounds', () => {
    expect(lineWidth(0, 100)).toBe(1);
    expect(lineWidth(1e12, 1e12)).toBe(5);
    expect(lineWidth(1e3, 1e12)).toBeGreaterThan(1);
    expect(lineWidth(1e3, 1e12)).toBeLessThan(lineWidth(1e9, 1e12));
    expect(lineWidth(200, 100)).toBe(5);
  });
  it('names services', () => {
    expect(portName({ port: 443, protocol: 'tcp', name: 'https' })).toBe('tcp/443 https');
    expect(portName({ port: 0, protocol: 'icmp' })).toBe('icmp');
    expect(portName({ port: 0, protocol: '47' })).toBe('IP 47');
  });
});
