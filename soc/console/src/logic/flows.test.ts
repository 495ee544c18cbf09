import { describe, expect, it } from 'vitest';
import type { FlowMap, MapEdge, Peer } from '../api/flows';
import { flowsOf, itemName, links, peerName, serviceName } from './flows';

const peer = (address: string, name?: string): Peer => ({ zone: 'gov', address, internal: true, ci: name ? { id: name, name } : null });

describe('a line of flows', () => {
  it('goes by the asset where it is known', () => {
    expect(peerName(peer('10.0.0.1', 'web-01'))).toBe('web-01');
    expect(itemName({ key: 'x', a: peer('10.0.0.1', 'web-01'), b: peer('1.2.3.4') })).toBe('web-01 ↔ 1.2.3.4');
    expect(itemName({ key: '443/tcp', port: 443, transport: 'tcp', service: 'https' })).toBe('https 443/tcp');
    expect(itemName({ key: '64500', as: { number: 64500, name: 'CITY' } })).toBe('AS64500 CITY');
    expect(serviceName({ port: 0, transport: 'icmp' })).toBe('0/icmp');
  });
  it.each([
    ['host', { key: 'k', peer: peer('10.0.0.1') }, 'event.dataset:flow.* (source.ip:="10.0.0.1" or destination.ip:="10.0.0.1")'],
    ['service', { key: 'k', port: 443, transport: 'tcp' }, 'event.dataset:flow.* server.port:="443" network.transport:="tcp"'],
    ['interface', { key: 'k', exporter: '10.0.0.9', interface: '3' }, 'event.dataset:flow.* observer.ip:="10.0.0.9" (observer.ingress.interface.id:="3" or observer.egress.interface.id:="3")'],
    ['conversation', { key: 'k', a: peer('a'), b: peer('b') }, 'event.dataset:flow.* ((source.ip:="a" destination.ip:="b") or (source.ip:="b" destination.ip:="a"))'],
  ] as const)('by %s leads to its raw flows', (by, item, want) => {
    expect(flowsOf(by, item)).toBe(want);
  });
});

it('draws two ends as one link, fresh where any service of it is', () => {
  const edge = (port: number, first: string, bytes: number): MapEdge => ({ client: 'a', server: 'b', port, transport: 'tcp', bytes_to_server: bytes, bytes_to_client: 1, packets: 1, flows: 1, first_seen: first, last_seen: first, days: 1 });
  const map: FlowMap = { center: ['a'], nodes: [], truncated: false, edges: [edge(22, '2026-01-01T00:00:00Z', 10), edge(443, '2026-02-01T00:00:00Z', 5)] };
  const [l, ...rest] = links(map, Date.parse('2026-02-01T10:00:00Z'));
  expect(rest).toEqual([]);
  expect(l).toMatchObject({ source: 'a', target: 'b', bytes: 17, fresh: true });
  expect(links(map, Date.parse('2026-03-01T00:00:00Z'))[0]?.fresh).toBe(false);
});
