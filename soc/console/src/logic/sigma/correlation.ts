/**
 * A correlation as people build it. correlationyaml.ts leads from it to the
 * YAML and back; docs/correlation.md says what each part means.
 */
import { filled, nameable, rulesOf, terms, term, without, type TermGroup } from './ruleexpr';

export const TYPES = ['event_count', 'value_count', 'value_sum', 'value_avg', 'value_median', 'value_percentile', 'temporal', 'temporal_ordered'] as const;
export type CorrelationType = (typeof TYPES)[number];

export const RELATIONS = ['gte', 'gt', 'lte', 'lt', 'eq', 'neq'] as const;
export type Relation = (typeof RELATIONS)[number];
/** The number is kept as it is written: 2.50 stays 2.50. */
export interface Bound {
  relation: Relation;
  value: string;
}

/** A name to group by under which each rule has a field of its own. */
export interface Alias {
  name: string;
  fields: { rule: string; field: string }[];
}

export interface Correlation {
  title: string;
  titleZh: string;
  /** Under which other correlations count this one; its id does too. */
  name: string;
  level: string;
  tags: string[];
  sentenceZh: string;
  sentenceEn: string;
  type: CorrelationType;
  /** It waits for silence; of event_count alone. */
  absence: boolean;
  /** Names or ids, as they are written, in order. */
  rules: string[];
  groupBy: string[];
  aliases: Alias[];
  timespan: string;
  bounds: Bound[];
  /** In place of bounds, of the temporal types alone. */
  expression: TermGroup | null;
  /** condition.field; several of value_count alone. */
  fields: string[];
  percentile: string;
  /** What is counted raises alerts of its own too. */
  generate: boolean;
  /** Raises alerts, and is not only counted by others. */
  alert: boolean;
  lateness: string;
}

export const temporal = (c: Pick<Correlation, 'type'>): boolean => c.type === 'temporal' || c.type === 'temporal_ordered';
export const valued = (c: Pick<Correlation, 'type'>): boolean => c.type.startsWith('value_');
/** Values are taken as numbers: then a bound need not be whole. */
export const numbered = (c: Pick<Correlation, 'type'>): boolean => valued(c) && c.type !== 'value_count';

/** What people choose from: the types, and silence. */
export const KINDS = [...TYPES, 'absence'] as const;
export type Kind = (typeof KINDS)[number];
export const kindOf = (c: Correlation): Kind => (c.absence ? 'absence' : c.type);

/** The correlation as another kind: what that cannot have is dropped, what it needs begins somewhere. */
export function asKind(c: Correlation, kind: Kind): Correlation {
  const type = kind === 'absence' ? 'event_count' : kind;
  const next: Correlation = { ...c, type, absence: kind === 'absence' };
  if (!temporal(next)) next.expression = null;
  if (!valued(next)) next.fields = [];
  else if (numbered(next)) next.fields = c.fields.slice(0, 1);
  next.percentile = type === 'value_percentile' ? c.percentile || '95' : '';
  if (next.absence) next.bounds = [];
  else if (temporal(next)) next.bounds = temporal(c) ? c.bounds : [];
  else if (c.absence || c.bounds.length === 0) next.bounds = [{ relation: 'gte', value: '5' }];
  if (!numbered(next)) next.bounds = next.bounds.map((b) => ({ ...b, value: /^\d+$/.test(b.value) ? b.value : '1' }));
  return next;
}

/** The parts of a correlation in which something can be missing or wrong. */
export const PARTS = ['type', 'rules', 'group-by', 'aliases', 'timespan', 'condition', 'lateness', 'title', 'level', 'sentence', 'tags', 'name', 'generate'] as const;
export type Part = (typeof PARTS)[number];
export interface Lack {
  part: Part;
  why: 'rules' | 'timespan' | 'lateness' | 'field' | 'oneField' | 'bounds' | 'number' | 'percentile' | 'expression' | 'unsaid' | 'alias';
  word: string;
}

export const SPAN = /^[1-9]\d{0,8}[smhdw]$/;
const WHOLE = /^\d{1,15}$/;
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

/** What keeps it from being written down. The server judges the rest. */
export function lacking(c: Correlation): Lack[] {
  const out: Lack[] = [];
  const add = (part: Part, why: Lack['why'], word = '') => out.push({ part, why, word });
  if (c.rules.length === 0) add('rules', 'rules');
  if (!SPAN.test(c.timespan)) add('timespan', 'timespan', c.timespan);
  if (c.lateness !== '' && !SPAN.test(c.lateness)) add('lateness', 'lateness', c.lateness);
  for (const a of c.aliases) if (a.name === '' || !c.groupBy.includes(a.name) || a.fields.every((f) => f.field === '')) add('aliases', 'alias', a.name);
  if (c.absence) return out;
  if (valued(c) && c.fields.filter(Boolean).length === 0) add('condition', 'field');
  if (numbered(c) && c.fields.length > 1) add('condition', 'oneField');
  if (c.type === 'value_percentile' && !(NUMBER.test(c.percentile) && Number(c.percentile) >= 0 && Number(c.percentile) <= 100)) add('condition', 'percentile', c.percentile);
  if (c.expression) {
    const named = rulesOf(c.expression);
    const stranger = named.find((r) => !c.rules.includes(r) || !nameable(r));
    const unsaid = c.rules.find((r) => !named.includes(r));
    if (!filled(c.expression) || stranger !== undefined) add('condition', 'expression', stranger ?? '');
    else if (unsaid !== undefined) add('condition', 'unsaid', unsaid);
  } else if (c.bounds.length === 0 && !temporal(c)) add('condition', 'bounds');
  const bad = c.bounds.find((b) => !(numbered(c) ? NUMBER : WHOLE).test(b.value));
  if (bad) add('condition', 'number', bad.value);
  return out;
}

export function addRule(c: Correlation, rule: string): Correlation {
  if (c.rules.includes(rule)) return c;
  return { ...c, rules: [...c.rules, rule], expression: c.expression && { ...c.expression, items: [...c.expression.items, term(rule)] } };
}

/** Without a rule, also where aliases and the condition name it. */
export function removeRule(c: Correlation, rule: string): Correlation {
  return {
    ...c,
    rules: c.rules.filter((r) => r !== rule),
    aliases: c.aliases.map((a) => ({ ...a, fields: a.fields.filter((f) => f.rule !== rule) })),
    expression: c.expression && without(c.expression, rule),
  };
}

/** A rule one place up or down; the list as it is at its ends. */
export function moveRule(c: Correlation, rule: string, by: -1 | 1): Correlation {
  const from = c.rules.indexOf(rule);
  const to = from + by;
  if (from < 0 || to < 0 || to >= c.rules.length) return c;
  const rules = [...c.rules];
  rules.splice(from, 1);
  rules.splice(to, 0, rule);
  return { ...c, rules };
}

/** Joins all rules by and, or ends that. */
export function withExpression(c: Correlation, on: boolean): Correlation {
  return { ...c, bounds: on ? [] : c.bounds, expression: on ? terms('and', c.rules.map((r) => term(r))) : null };
}

export function setAlias(c: Correlation, name: string, rule: string, field: string): Correlation {
  const aliases = c.aliases.map((a) => {
    if (a.name !== name) return a;
    const had = a.fields.some((f) => f.rule === rule);
    return { ...a, fields: field === '' ? a.fields.filter((f) => f.rule !== rule) : had ? a.fields.map((f) => (f.rule === rule ? { rule, field } : f)) : [...a.fields, { rule, field }] };
  });
  return { ...c, aliases };
}

/** Group-by fields changed: an alias that is not grouped by any more goes with its name. */
export function setGroupBy(c: Correlation, groupBy: string[]): Correlation {
  const gone = c.groupBy.filter((g) => !groupBy.includes(g));
  return { ...c, groupBy, aliases: c.aliases.filter((a) => !gone.includes(a.name)) };
}

/** What is counted goes on to alert: otherwise a new correlation would silence the rules it counts. */
const BEGIN: Correlation = {
  title: '', titleZh: '', name: '', level: 'medium', tags: [], sentenceZh: '', sentenceEn: '', type: 'event_count', absence: false, rules: [], groupBy: [], aliases: [], timespan: '10m',
  bounds: [{ relation: 'gte', value: '5' }], expression: null, fields: [], percentile: '', generate: true, alert: true, lateness: '',
};

/** What people begin from. */
export const TEMPLATES = ['statistical', 'correlation', 'ordered', 'absence', 'indicator'] as const;
export type Template = (typeof TEMPLATES)[number];

/** A correlation to begin from; the indicator is a whole file, for the rule that is counted is part of it. */
export function fromTemplate(template: Exclude<Template, 'indicator'>): Correlation {
  switch (template) {
    case 'statistical':
      return { ...BEGIN, type: 'value_avg', bounds: [{ relation: 'gt', value: '1000000' }], groupBy: ['source.ip'], fields: ['source.bytes'] };
    case 'correlation':
      return { ...BEGIN, type: 'temporal', bounds: [], groupBy: ['host.name'], timespan: '1h', level: 'high' };
    case 'ordered':
      return { ...BEGIN, type: 'temporal_ordered', bounds: [], groupBy: ['host.name'], timespan: '1h', level: 'high' };
    case 'absence':
      return { ...BEGIN, absence: true, bounds: [], groupBy: ['host.name'], timespan: '15m', lateness: '1m' };
  }
}

/**
 * Raises an indicator of threat intelligence when it is first seen at a host,
 * and again at most once a week. The events have to bring the field: feeds and
 * devices that name what they know write it by ECS.
 */
export const INDICATOR = `title: Event Names a Threat Indicator
name: event_with_threat_indicator
logsource: {}
detection:
  selection:
    threat.indicator.name|exists: true
  condition: selection
level: informational
icewatch:
  alert: false
---
title: Threat Indicator First Seen
correlation:
  type: event_count
  rules:
    - event_with_threat_indicator
  group-by:
    - threat.indicator.name
    - host.name
  timespan: 7d
  condition:
    gte: 1
level: medium
icewatch:
  title:
    zh: 威胁情报指标首次出现
  sentence:
    zh: '主机 {host.name} 的事件首次命中威胁情报指标 {threat.indicator.name}'
    en: 'An event of {host.name} names the threat indicator {threat.indicator.name} for the first time'
`;
