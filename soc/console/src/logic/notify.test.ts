import { describe, expect, it } from 'vitest';
import type { Tree } from '../api/notify';
import { changed, moved, pairsOf, pairsText, tidy } from './notify';

const tree: Tree = { intervals: [], root: { id: 'root', routes: [{ id: 'a' }, { id: 'b', routes: [{ id: 'c' }] }] } };

describe('routes', () => {
  it('changes one route and leaves the others the same', () => {
    const next = changed(tree, 'c', (r) => ({ ...r, name: 'night' }));
    expect(next.root.routes?.[1]?.routes?.[0]).toEqual({ id: 'c', name: 'night' });
    expect(next.root.routes?.[0]).toBe(tree.root.routes?.[0]);
    expect(changed(tree, 'b', () => null).root.routes).toEqual([{ id: 'a' }]);
  });
  it('moves within its siblings and not beyond', () => {
    expect(moved(tree, 'b', -1).root.routes?.map((r) => r.id)).toEqual(['b', 'a']);
    expect(moved(tree, 'a', -1).root.routes?.map((r) => r.id)).toEqual(['a', 'b']);
    expect(moved(tree, 'c', 1).root.routes?.[1]?.routes?.map((r) => r.id)).toEqual(['c']);
  });
  it('leaves out what is empty', () => {
    expect(tidy({ id: 'a', name: '', matchers: [], continue: false, receivers: ['x'] })).toEqual({ id: 'a', receivers: ['x'] });
  });
});

describe('pairs', () => {
  it('reads lines and writes them back', () => {
    expect(pairsOf('apikey = a=b\n\nnot a pair\nsign=【税】')).toEqual({ apikey: 'a=b', sign: '【税】' });
    expect(pairsText({ a: '1', b: '2' })).toBe('a=1\nb=2');
  });
});
