import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { useSettings } from '../app/settings';
import { get } from './client';
import { list, type CMDBItem, type List, type Page, type Text } from './types';

export type AttributeType = 'text' | 'integer' | 'decimal' | 'date' | 'enum' | 'boolean' | 'table' | 'ip' | 'reference' | 'attachment';
export const ATTRIBUTE_TYPES: readonly AttributeType[] = ['text', 'integer', 'decimal', 'date', 'enum', 'boolean', 'table', 'ip', 'reference', 'attachment'];

export interface Attribute {
  name: string;
  title?: Text;
  type: AttributeType;
  required?: boolean;
  multiple?: boolean;
  default?: string;
  min?: number;
  max?: number;
  max_length?: number;
  pattern?: string;
  values?: List<string>;
  dictionary?: string;
  open?: boolean;
  class?: string;
  classes?: List<string>;
  relation?: string;
  columns?: List<Attribute>;
  renamed_from?: string;
}
export interface Class {
  class: string;
  name?: Text;
  layer?: string;
  extends?: string;
  abstract?: boolean;
  templates?: List<string>;
  prefix?: string;
  rank?: number;
  addresses?: '' | 'none' | 'ip' | 'cidr';
  hostnames?: boolean;
  system?: boolean;
  key?: List<string>;
  attributes?: List<Attribute>;
  remove?: List<string>;
}
export interface DictionaryValue {
  value: string;
  zh?: string;
  en?: string;
}
export interface Dictionary {
  name: string;
  title?: Text;
  values: List<DictionaryValue>;
}
export interface Template {
  name: string;
  title?: Text;
  attributes: List<Attribute>;
}
export type Cardinality = '' | 'one_to_one' | 'one_to_many' | 'many_to_one' | 'many_to_many';
export interface RelationType {
  name: string;
  title?: Text;
  reverse?: Text;
  from?: List<string>;
  to?: List<string>;
  cardinality?: Cardinality;
  impact?: '' | 'none' | 'forward' | 'backward' | 'both';
}
export interface RelationRule {
  name: string;
  title?: Text;
  type: string;
  from: List<string>;
  to: List<string>;
  where: List<{ from: string; op: 'equal' | 'within'; to: string }>;
  off?: boolean;
}
export interface Layer {
  name: string;
  title?: Text;
}
/** Definitions: what administrators lay over what the suite brings. */
export interface ModelDocument {
  layers?: List<Layer>;
  dictionaries?: List<Dictionary>;
  templates?: List<Template>;
  classes?: List<Class>;
  relation_types?: List<RelationType>;
  rules?: List<RelationRule>;
}
export interface ModelRevision {
  revision: number;
  state: 'moving' | 'done' | 'failed';
  undoes?: number;
  actor: string;
  comment?: string;
  created_at: string;
  ended_at?: string;
  items: number;
  moved: number;
  changed: number;
  message?: string;
  document: ModelDocument;
}
/** The model in force: with what classes have from their templates and from the class they extend. */
export interface Model {
  revision: number;
  layers: List<Layer>;
  dictionaries: List<Dictionary>;
  templates: List<Template>;
  classes: List<Class>;
  relation_types: List<RelationType>;
  rules: List<RelationRule>;
  moving?: ModelRevision;
  /** Names of the definitions that the suite brings, by kind. */
  shipped?: Record<string, string[]>;
}
export interface ItemRef {
  id: string;
  class: string;
  name: string;
  criticality?: number;
  owner?: string;
}
export interface ModelPreview {
  items: number;
  changed: number;
  effects: List<{ class: string; attribute?: string; items: number }>;
  failed: number;
  failures: List<{ item: ItemRef; attribute: string; value: string; message: string; final?: boolean }>;
}
export interface Item extends CMDBItem {
  attributes?: Record<string, string> | null;
  created_at?: string;
  revision?: number;
}
export interface Change {
  field: string;
  before?: string;
  after?: string;
}
export interface HistoryEntry {
  id: number;
  item_id: string;
  class: string;
  name: string;
  time: string;
  actor: string;
  action: 'created' | 'updated' | 'deleted';
  changes: List<Change>;
  revision?: number;
  model?: number;
}
export interface Relation {
  type: string;
  forward: boolean;
  item: ItemRef;
  origin: string;
  actor: string;
  created_at: string;
}
export interface Link {
  from: string;
  type: string;
  to: string;
}
export interface Place extends ItemRef {
  tenant?: string;
  zone?: string;
  system?: string;
}
export interface Subgraph {
  items: List<Place>;
  relations: List<Link>;
  more?: boolean;
}
export interface Walk {
  item: ItemRef;
  steps: List<{ item: ItemRef; from: string; type: string; forward: boolean; depth: number }>;
  counts: Record<string, number>;
  more: boolean;
}
export interface KeyPath {
  found: boolean;
  from: ItemRef;
  to: ItemRef;
  hops: number;
  steps: List<{ type: string; forward: boolean; item: ItemRef }>;
}
export interface Statistics {
  items: number;
  relations: number;
  classes: Record<string, number>;
  zones: Record<string, number>;
  lines: Record<string, number>;
  changes: List<{ day: string; created: number; updated: number; deleted: number }>;
}
export interface DrawingNode {
  item: string;
  x: number;
  y: number;
  note?: string;
}
export interface DrawingNote {
  text: string;
  x: number;
  y: number;
}
export interface DrawingContent {
  name: string;
  scenario?: string;
  description?: string;
  shared?: boolean;
  layout?: 'free' | 'layers' | '';
  filter?: string;
  hidden_types?: List<string>;
  nodes: List<DrawingNode>;
  notes?: List<DrawingNote>;
}
export interface DrawingSummary {
  id: string;
  owner: string;
  mine: boolean;
  editable: boolean;
  items: number;
  deleted?: boolean;
  revision: number;
  created_at: string;
  updated_at: string;
  updated_by: string;
}
export type Drawing = DrawingSummary & DrawingContent;
export type ListedDrawing = DrawingSummary & Pick<DrawingContent, 'name' | 'scenario' | 'description' | 'shared' | 'layout'>;
export interface DrawingVersion {
  revision: number;
  action: 'created' | 'updated' | 'deleted' | 'restored';
  actor: string;
  at: string;
  name: string;
  items: number;
}
export interface RulePreview {
  items: number;
  made: number;
  kept: number;
  dropped: number;
  samples: List<{ from: ItemRef; to: ItemRef; dropped?: boolean }>;
  more?: boolean;
}

export function useModel() {
  return useQuery({
    queryKey: ['cmdb', 'model'],
    queryFn: ({ signal }) => get<Model>('/cmdb/model', {}, signal),
    staleTime: 60_000,
    // While items move to another model, how far they are is what the page is for.
    refetchInterval: (q) => (q.state.data?.moving ? 1_000 : false),
  });
}

/** The model by name, with titles in the reader's language. */
export function useWords() {
  const { tx } = useSettings();
  const model = useModel().data;
  return useMemo(() => {
    const classes = new Map(list(model?.classes).map((c) => [c.class, c]));
    const types = new Map(list(model?.relation_types).map((r) => [r.name, r]));
    const layers = new Map(list(model?.layers).map((l) => [l.name, l]));
    const attributes = new Map<string, Attribute>();
    for (const c of classes.values()) for (const a of list(c.attributes)) if (!attributes.has(a.name)) attributes.set(a.name, a);
    return {
      model,
      classOf: (name: string) => classes.get(name),
      attributeOf: (name: string) => attributes.get(name),
      typeOf: (name: string) => types.get(name),
      className: (name: string) => tx(classes.get(name)?.name) || name,
      typeName: (name: string, forward = true) => tx(forward ? types.get(name)?.title : types.get(name)?.reverse) || (forward ? name : `← ${name}`),
      layerName: (name: string) => tx(layers.get(name)?.title) || name,
      attributeName: (name: string, cls?: string) => tx((cls && list(classes.get(cls)?.attributes).find((a) => a.name === name)?.title) || attributes.get(name)?.title) || name,
    };
  }, [model, tx]);
}
export type Words = ReturnType<typeof useWords>;

export const itemPath = (id: string) => `/cmdb/${encodeURIComponent(id)}`;

/** Items whose names or addresses hold what was typed, for pickers. */
export function useItemSearch(q: string, classes: readonly string[], enabled = true, tenant = '') {
  return useQuery({
    enabled,
    queryKey: ['cmdb', 'find', q, classes.join(), tenant],
    queryFn: async ({ signal }) => list((await get<Page<Item>>('/cmdb/items', { q, class: classes.join(), tenant, limit: 20 }, signal)).items),
    staleTime: 10_000,
  });
}
