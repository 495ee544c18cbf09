/** Flows as names, searches and drawings. */
import type { FlowBy, FlowItem, FlowMap, MapEdge, Peer } from '../api/flows';
import { list } from '../api/types';
import { fieldIs, fieldName, quote } from './logsql';

/** Where an end is known it goes by its asset's name. */
export function peerName(p: Peer | undefined): string {
  return p ? p.ci?.name || p.address : '';
}

/** What one line of an answer is called. */
export function itemName(x: FlowItem): string {
  if (x.a && x.b) return `${peerName(x.a)} ↔ ${peerName(x.b)}`;
  if (x.peer) return peerName(x.peer);
  if (x.as) return `AS${x.as.number}${x.as.name ? ` ${x.as.name}` : ''}`;
  if (x.port !== undefined) return serviceName({ port: x.port, transport: x.transport ?? '', name: x.service });
  if (x.interface) return `${x.exporter ?? ''} #${x.interface}`;
  return x.key;
}

export function serviceName(s: { port: number; transport: string; name?: string; service?: string }): string {
  const name = s.name ?? s.service;
  return `${name ? `${name} ` : ''}${s.port}/${s.transport || '?'}`;
}

const either = (address: string) => `(${fieldIs('source.ip', address)} or ${fieldIs('destination.ip', address)})`;

/** The LogsQL that finds the raw flows behind a line. */
export function flowsOf(by: FlowBy, x: FlowItem): string {
  const parts = ['event.dataset:flow.*'];
  const port = () => {
    if (x.port !== undefined) parts.push(fieldIs('server.port', String(x.port)));
    if (x.transport) parts.push(fieldIs('network.transport', x.transport));
  };
  switch (by) {
    case 'source':
      parts.push(fieldIs('source.ip', x.peer?.address ?? x.key));
      break;
    case 'destination':
      parts.push(fieldIs('destination.ip', x.peer?.address ?? x.key));
      break;
    case 'host':
      parts.push(either(x.peer?.address ?? x.key));
      break;
    case 'conversation':
      if (x.a && x.b) parts.push(between(x.a.address, x.b.address));
      break;
    case 'port':
    case 'service':
      port();
      break;
    case 'protocol':
      parts.push(fieldIs('network.transport', x.transport ?? x.key));
      break;
    case 'exporter':
      parts.push(fieldIs('observer.ip', x.exporter ?? x.key));
      break;
    case 'interface':
      if (x.exporter) parts.push(fieldIs('observer.ip', x.exporter));
      if (x.interface) parts.push(`(${fieldIs('observer.ingress.interface.id', x.interface)} or ${fieldIs('observer.egress.interface.id', x.interface)})`);
      break;
    case 'as':
      parts.push(`(${fieldName('source.as.number')}:=${quote(String(x.as?.number ?? x.key))} or ${fieldName('destination.as.number')}:=${quote(String(x.as?.number ?? x.key))})`);
      break;
  }
  return parts.join(' ');
}

/** Both directions of two ends. */
export function between(a: string, b: string): string {
  return `((${fieldIs('source.ip', a)} ${fieldIs('destination.ip', b)}) or (${fieldIs('source.ip', b)} ${fieldIs('destination.ip', a)}))`;
}

export interface Link {
  source: string;
  target: string;
  bytes: number;
  /** First seen within the last day: what the map is looked at for. */
  fresh: boolean;
  edges: MapEdge[];
}

const DAY = 86_400_000;

/** The edges between two ends as one link, its services together. */
export function links(map: FlowMap, now: number): Link[] {
  const byPair = new Map<string, Link>();
  for (const e of list(map.edges)) {
    const key = `${e.client} ${e.server}`;
    const l = byPair.get(key) ?? { source: e.client, target: e.server, bytes: 0, fresh: false, edges: [] };
    l.bytes += e.bytes_to_server + e.bytes_to_client;
    l.fresh ||= now - Date.parse(e.first_seen) < DAY;
    l.edges.push(e);
    byPair.set(key, l);
  }
  return [...byPair.values()];
}
