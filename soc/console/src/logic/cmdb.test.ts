import { describe, expect, it } from 'vitest';
import type { Item, Model } from '../api/cmdb';
import { attributeGroups, clashes, classTree, concrete, countOf, fieldBody, fieldText, fieldsBody, tableRows } from './cmdb';

const model: Model = {
  revision: 0,
  layers: [{ name: 'infra' }],
  dictionaries: [],
  templates: [{ name: 'place', attributes: [{ name: 'rack', type: 'text' }] }],
  classes: [
    { class: 'device', abstract: true, layer: 'infra', templates: ['place'], attributes: [{ name: 'rack', type: 'text' }] },
    { class: 'host', extends: 'device', attributes: [{ name: 'rack', type: 'text' }, { name: 'os', type: 'text' }] },
    { class: 'camera', layer: 'eyes' },
  ],
  relation_types: [],
  rules: [],
};
const item: Item = { id: 'h', class: 'host', name: 'web', labels: ['a', 'b'], criticality: 4, attributes: { os: 'Kylin' } };

describe('the CMDB', () => {
  it('puts classes under those they extend, and those of no layer at the end', () => {
    const tree = classTree(model);
    expect(tree.map((n) => [n.name, n.below.map((b) => b.name)])).toEqual([['infra', ['device']], ['', ['camera']]]);
    expect(tree[0]?.below[0]?.below.map((b) => b.name)).toEqual(['host']);
    expect(concrete(model, 'device')).toEqual(['host']);
    expect(countOf({ host: 3 }, model, 'device')).toBe(3);
  });
  it('reads and writes fields as history does', () => {
    expect(fieldText(item, 'labels')).toBe('a;b');
    expect(fieldText(item, 'attr.os')).toBe('Kylin');
    expect(fieldBody('labels', 'a; c')).toEqual({ labels: ['a', 'c'] });
    expect(fieldBody('attr.os', '')).toEqual({ attributes: { os: null } });
    expect(fieldsBody({ 'attr.os': 'x', 'attr.rack': 'r', criticality: '5' })).toEqual({ attributes: { os: 'x', rack: 'r' }, criticality: 5 });
  });
  it('tells which fields two changed, and which only one did', () => {
    const since = [
      { field: 'owner', before: 'li', after: 'wang', actor: 'zhao', time: '2' },
      { field: 'owner', before: '', after: 'li', actor: 'qian', time: '1' },
      { field: 'zone', before: '', after: 'dmz', actor: 'zhao', time: '2' },
    ];
    const got = clashes(since, { owner: 'me', name: 'n' }, (f) => ({ name: 'web' })[f] ?? '');
    expect(got.map((c) => [c.field, c.base, c.theirs, c.mine, c.clashes])).toEqual([
      ['owner', '', 'wang', 'me', true],
      ['name', 'web', 'web', 'n', false],
      ['zone', '', 'dmz', '', false],
    ]);
  });
  it('groups attributes by the template they come from, inherited ones too', () => {
    expect(attributeGroups(model.classes?.[1], model).map((g) => [g.template, g.attributes.map((a) => a.name)])).toEqual([['', ['os']], ['place', ['rack']]]);
  });
  it('takes what is no table as none', () => {
    expect(tableRows('[{"a":1}]')).toEqual([{ a: 1 }]);
    expect(tableRows('nonsense')).toEqual([]);
    expect(tableRows('[1]')).toEqual([]);
  });
});
