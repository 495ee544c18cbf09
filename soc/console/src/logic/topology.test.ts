import { describe, expect, it } from 'vitest';
import { NODE, flow, lanes, placesAround, walkLinks } from './topology';

describe('pictures of how items hang together', () => {
  const links = [
    { from: 'app', type: 'belongs_to_system', to: 'sys' },
    { from: 'app', type: 'runs_on', to: 'vm' },
    { from: 'vm', type: 'runs_on', to: 'host' },
  ];
  it('puts layers in bands, from the first to the last, whatever is unknown at the end', () => {
    const p = lanes(['host', 'sys', 'app', 'vm', 'odd'].map((id) => ({ id, layer: { sys: 'business', app: 'application', vm: 'infra', host: 'infra' }[id] ?? '' })), links, ['city', 'business', 'application', 'infra']);
    expect(p.lanes.map((l) => l.key)).toEqual(['business', 'application', 'infra', '']);
    for (const l of p.lanes) expect(l.height).toBeGreaterThan(NODE.height);
    const y = (id: string) => p.at.get(id)?.y ?? NaN;
    expect(y('sys')).toBeLessThan(y('app'));
    expect(y('app')).toBeLessThan(y('vm'));
    expect(y('vm')).toBe(y('host'));
  });
  it('folds a full band into rows', () => {
    const p = lanes(Array.from({ length: 20 }, (_, i) => ({ id: `h${i}`, layer: 'x' })), [], ['x'], 8);
    expect(new Set([...p.at.values()].map((q) => q.y)).size).toBe(3);
    expect(new Set([...p.at.values()].map((q) => `${q.x} ${q.y}`)).size).toBe(20);
  });
  it('finds free places around a point', () => {
    const taken = [{ x: 0, y: 0 }, { x: 196, y: 0 }];
    const got = placesAround({ x: 0, y: 0 }, 12, taken);
    expect(got).toHaveLength(12);
    for (const p of got) for (const q of [...taken, ...got.filter((x) => x !== p)]) expect(Math.abs(p.x - q.x) >= NODE.width || Math.abs(p.y - q.y) >= NODE.height).toBe(true);
  });
  it('flows from the first item, and leaves nothing out that hangs with nothing', () => {
    const at = flow(['sys', 'app', 'vm', 'host', 'alone'], links, ['sys']);
    expect(at.size).toBe(5);
    const x = (id: string) => at.get(id)?.x ?? NaN;
    expect([x('sys'), x('app'), x('vm'), x('host')]).toEqual([...[x('sys'), x('app'), x('vm'), x('host')]].sort((a, b) => a - b));
    expect(at.get('alone')?.y).toBeGreaterThan(at.get('sys')?.y ?? NaN);
  });
  it('never puts two items of a crowd in one place', () => {
    const many = Array.from({ length: 300 }, (_, i) => `n${i}`);
    const at = flow(['a', ...many], many.map((n) => ({ from: n, type: 't', to: 'a' })), ['a']);
    expect(new Set([...at.values()].map((p) => `${p.x} ${p.y}`)).size).toBe(301);
  });
  it('reads a walk as relations go', () => {
    const w = { item: { id: 'a', class: 'c', name: 'a' }, steps: [{ item: { id: 'b', class: 'c', name: 'b' }, from: 'a', type: 't', forward: false, depth: 1 }], counts: {}, more: false };
    expect(walkLinks(w)).toEqual([{ from: 'b', type: 't', to: 'a' }]);
  });
});
