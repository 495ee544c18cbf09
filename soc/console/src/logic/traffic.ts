/** The picture of who talks to whom, made of edges between items. */
import type { TrafficEdge } from '../api/cmdbkept';

export interface TrafficNode {
  id: string;
  name: string;
  class: string;
}
export interface TrafficLine {
  id: string;
  from: string;
  to: string;
  bytes: number;
  flows: number;
  /** Nobody has accepted any of it yet. */
  waiting: boolean;
  edges: TrafficEdge[];
}

/** Items and lines; by system, items of one system are one, and what stays within a system is no line. */
export function trafficPicture(edges: readonly TrafficEdge[], bySystem: boolean): { nodes: TrafficNode[]; lines: TrafficLine[] } {
  const nodes = new Map<string, TrafficNode>();
  const lines = new Map<string, TrafficLine>();
  const end = (item: TrafficEdge['from'], system?: TrafficEdge['from_system']): TrafficNode => {
    const n = bySystem && system ? { id: system.id, name: system.name, class: 'business_system' } : item;
    const known = nodes.get(n.id) ?? n;
    nodes.set(n.id, known);
    return known;
  };
  for (const e of edges) {
    const from = end(e.from, e.from_system);
    const to = end(e.to, e.to_system);
    if (from.id === to.id) continue;
    const id = `${from.id} > ${to.id}`;
    const line = lines.get(id) ?? { id, from: from.id, to: to.id, bytes: 0, flows: 0, waiting: true, edges: [] };
    line.bytes += e.bytes;
    line.flows += e.flows;
    line.waiting = line.waiting && e.state === 'waiting';
    line.edges.push(e);
    lines.set(id, line);
  }
  return { nodes: [...nodes.values()], lines: [...lines.values()] };
}

/** How thick a line is: by the logarithm, since the largest is a million times the smallest. */
export function lineWidth(bytes: number, most: number): number {
  if (bytes <= 0 || most <= 0) return 1;
  return Math.round((1 + 4 * (Math.log10(1 + bytes) / Math.log10(1 + Math.max(bytes, most)))) * 10) / 10;
}

const PLAIN = ['tcp', 'udp', 'icmp', 'sctp'];

/** tcp/443 https. Protocols without ports have none. */
export function portName(s: { port: number; protocol: string; name?: string }): string {
  const protocol = PLAIN.includes(s.protocol) ? s.protocol : `IP ${s.protocol}`;
  return s.port > 0 ? `${protocol}/${s.port}${s.name ? ` ${s.name}` : ''}` : protocol;
}
