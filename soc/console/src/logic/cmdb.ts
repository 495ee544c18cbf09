/** What pages of the CMDB work out of the model and its items; nothing here asks the server. */
import type { Attribute, Class, Item, Model } from '../api/cmdb';
import { list } from '../api/types';

/** The fields every item has besides its attributes, as history and imports name them. */
export const FIELDS = ['name', 'tenant', 'zone', 'addresses', 'hostnames', 'criticality', 'owner', 'labels', 'system', 'organisation'] as const;
export type Field = (typeof FIELDS)[number];
const LISTS: readonly string[] = ['addresses', 'hostnames', 'labels'];

/** A class in the tree of classes: under its layer, or under the class it extends. */
export interface ClassNode {
  name: string;
  kind: 'layer' | 'class';
  abstract: boolean;
  below: ClassNode[];
}

/** Layers from the city down, with their classes; a class stands under the one it extends where both are of one layer. */
export function classTree(model: Model): ClassNode[] {
  const classes = list(model.classes);
  const byName = new Map(classes.map((c) => [c.class, c]));
  const layerOf = (c: Class): string => c.layer || (c.extends && byName.has(c.extends) ? layerOf(byName.get(c.extends) as Class) : '');
  const parentOf = (c: Class) => (c.extends && byName.has(c.extends) && layerOf(byName.get(c.extends) as Class) === layerOf(c) ? c.extends : '');
  const node = (c: Class): ClassNode => ({ name: c.class, kind: 'class', abstract: !!c.abstract, below: classes.filter((x) => parentOf(x) === c.class).map(node) });
  const out: ClassNode[] = list(model.layers).map((l) => ({ name: l.name, kind: 'layer', abstract: false, below: classes.filter((c) => layerOf(c) === l.name && !parentOf(c)).map(node) }));
  const known = new Set(list(model.layers).map((l) => l.name));
  const rest = classes.filter((c) => !known.has(layerOf(c)) && !parentOf(c)).map(node);
  return rest.length > 0 ? [...out, { name: '', kind: 'layer', abstract: false, below: rest }] : out;
}

/** The classes named and those that extend them, as far as items can be of them. */
export function concrete(model: Model | undefined, name: string): string[] {
  const classes = list(model?.classes);
  const under = (n: string): string[] => [n, ...classes.filter((c) => c.extends === n).flatMap((c) => under(c.class))];
  const abstract = new Set(classes.filter((c) => c.abstract).map((c) => c.class));
  return under(name).filter((n) => !abstract.has(n));
}

/** Items of a class and of those that extend it. */
export function countOf(counts: Record<string, number>, model: Model | undefined, name: string): number {
  return concrete(model, name).reduce((n, c) => n + (counts[c] ?? 0), 0);
}

/** A field of an item as history writes it: lists joined by semicolons. */
export function fieldText(item: Item, field: string): string {
  const attribute = /^attr\.(.+)$/.exec(field);
  if (attribute) return item.attributes?.[attribute[1] as string] ?? '';
  const v = (item as unknown as Record<string, unknown>)[field];
  return Array.isArray(v) ? v.join(';') : v === undefined || v === null ? '' : String(v);
}

/** What is sent to change one field of an item to a text, as fieldText gives it. */
export function fieldBody(field: string, text: string): Record<string, unknown> {
  const attribute = /^attr\.(.+)$/.exec(field);
  if (attribute) return { attributes: { [attribute[1] as string]: text === '' ? null : text } };
  if (LISTS.includes(field)) return { [field]: text.split(';').map((x) => x.trim()).filter(Boolean) };
  if (field === 'criticality') return { criticality: Number(text) || 3 };
  return { [field]: text };
}

/** Several fields in one body. */
export function fieldsBody(values: Record<string, string>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  const attributes: Record<string, unknown> = {};
  for (const [field, text] of Object.entries(values)) {
    const body = fieldBody(field, text);
    if (body['attributes']) Object.assign(attributes, body['attributes']);
    else Object.assign(out, body);
  }
  return Object.keys(attributes).length > 0 ? { ...out, attributes } : out;
}

/** One field that somebody changed while another was changing it. */
export interface Clash {
  field: string;
  /** What both began with. */
  base: string;
  theirs: string;
  mine: string;
  by: string;
  at: string;
  /** Both changed it, to different values: one has to decide. */
  clashes: boolean;
}

/** What others changed since, beside what is to be saved: by field, newest value of theirs. */
export function clashes(since: readonly { field: string; before: string; after: string; actor: string; time: string }[], mine: Record<string, string>, base: (field: string) => string): Clash[] {
  const out = new Map<string, Clash>();
  // Newest first: the first one met has the value of now, the last one the author of what was there before.
  for (const s of since) {
    if (out.has(s.field)) continue;
    const own = mine[s.field];
    out.set(s.field, { field: s.field, base: base(s.field), theirs: s.after, mine: own ?? base(s.field), by: s.actor, at: s.time, clashes: own !== undefined && own !== s.after });
  }
  for (const [field, value] of Object.entries(mine)) {
    if (!out.has(field)) out.set(field, { field, base: base(field), theirs: base(field), mine: value, by: '', at: '', clashes: false });
  }
  return [...out.values()].sort((a, b) => Number(b.clashes) - Number(a.clashes) || a.field.localeCompare(b.field));
}

/** Attributes by where they come from: the templates by name, then the class's own. */
export function attributeGroups(cls: Class | undefined, model: Model | undefined): { template: string; attributes: Attribute[] }[] {
  if (!cls) return [];
  const left = new Map(list(cls.attributes).map((a) => [a.name, a]));
  const out: { template: string; attributes: Attribute[] }[] = [];
  // A class has the templates of those it extends as well.
  const names: string[] = [];
  for (let c: Class | undefined = cls; c; c = list(model?.classes).find((x) => x.class === c?.extends)) names.push(...list(c.templates));
  for (const name of new Set(names)) {
    const attributes = list(list(model?.templates).find((x) => x.name === name)?.attributes).flatMap((a) => {
      const own = left.get(a.name);
      return own && left.delete(a.name) ? [own] : [];
    });
    if (attributes.length > 0) out.push({ template: name, attributes });
  }
  if (left.size > 0) out.unshift({ template: '', attributes: [...left.values()] });
  return out;
}

/** The rows of a table attribute; none where the text is no such table. */
export function tableRows(text: string): Record<string, unknown>[] {
  try {
    const v: unknown = JSON.parse(text || '[]');
    return Array.isArray(v) ? v.filter((r): r is Record<string, unknown> => typeof r === 'object' && r !== null) : [];
  } catch {
    return [];
  }
}

/** How many changed that day, all kinds together. */
export const changed = (d: { created: number; updated: number; deleted: number }) => d.created + d.updated + d.deleted;
