/** Search, saved searches, log groups, exports and log monitoring rules as the API answers them. */
import { useQuery } from '@tanstack/react-query';
import { get, post, put, request } from './client';
import { list, type List, type LogEvent, type Page, type SearchAnswer, type Text } from './types';

/** What every search takes. */
export interface Asked {
  query: string;
  start: string;
  end: string;
  tenant: string;
  group: string;
}

// Click mode

export type Clause = Group | Leaf | Raw;
export interface Group {
  join: 'all' | 'any' | 'not';
  clauses: Clause[];
}
export interface Leaf {
  /** None is anywhere in the event. */
  field?: string;
  operator: string;
  values?: List<string>;
}
/** LogsQL that the tree cannot express: kept as it is. */
export interface Raw {
  text: string;
}
export interface Parsed {
  clause: Clause | null;
  pipes: string;
  canonical: string;
  whole: boolean;
  error: { position: number; message: string } | null;
}
export interface Rendered {
  query: string;
  error: { path: string; message: string } | null;
}
export interface Operator {
  id: string;
  name: Text;
  explain: Text;
  on: 'text' | 'number' | 'ip' | 'time' | 'any' | 'group' | 'field';
  form: string;
  example: string;
  /** How many values it takes; most is -1 where there is no bound. */
  least: number;
  most: number;
  needs_field: boolean;
}

export function useOperators() {
  return useQuery({ queryKey: ['operators'], queryFn: async ({ signal }) => list((await get<Page<Operator>>('/search/operators', {}, signal)).items), staleTime: Infinity });
}
export const parseQuery = (query: string) => post<Parsed>('/search/parse', { query });
export const renderQuery = (clause: Clause | null, pipes: string) => post<Rendered>('/search/render', { clause, pipes });

// Reading

export interface Facet {
  field: string;
  rows: number;
  values: List<{ value: string; hits: number }>;
  others: number;
  masked: boolean;
}
export interface FieldStats {
  field: string;
  total: number;
  rows: number;
  missing: number;
  distinct: number;
  distinct_exact: boolean;
  numeric: boolean;
  min?: string;
  max?: string;
  /** Of numbers alone: null for addresses, which are ordered as numbers are. */
  avg?: number | null;
  p50?: number | null;
  p95?: number | null;
  p99?: number | null;
  sum?: number | null;
  values: List<{ value: string; hits: number }>;
  masked: boolean;
}
export interface EventContext {
  anchor: LogEvent;
  before: List<LogEvent>;
  after: List<LogEvent>;
  more_before: boolean;
  more_after: boolean;
  by: string;
  value: string;
}
export interface Suggestion {
  kind: 'field' | 'operator' | 'value' | 'pipe' | 'keyword';
  insert: string;
  label: string;
  detail?: Text | null;
  hits?: number | null;
}
export interface Suggestions {
  /** Characters of the text that a pick takes the place of. */
  from: number;
  to: number;
  items: List<Suggestion>;
}
export interface WordOptions {
  options: List<{ id: string; label: Text; query: string; hits?: number | null }>;
}
export interface MyMasks {
  items: List<{ name: Text; fields: List<string>; pattern: boolean }>;
}
/** What is masked for the reader: it is said, not hidden. */
export function useMyMasks() {
  return useQuery({ queryKey: ['masks'], queryFn: ({ signal }) => get<MyMasks>('/masking/mine', {}, signal), staleTime: 300_000, retry: false });
}

// Saved searches and history

export interface SavedSearch {
  id: string;
  name: string;
  description?: string;
  folder?: string;
  tags?: List<string>;
  query: string;
  click?: unknown;
  tenant?: string;
  group?: string;
  time?: { since?: string; start?: string; end?: string };
  columns?: List<string>;
  chart?: unknown;
  visibility: 'private' | 'unit' | 'everybody';
  owner?: { id: string; username: string; name?: string };
  mine: boolean;
  editable: boolean;
  revision: number;
  updated_at?: string;
}
export type SavedDraft = Omit<SavedSearch, 'id' | 'mine' | 'editable' | 'revision' | 'owner' | 'updated_at'>;
export interface PastSearch {
  id: number;
  query: string;
  tenant?: string;
  group?: string;
  since?: string;
  start?: string;
  end?: string;
  count: number;
  last_at: string;
  rows?: number;
  took_ms?: number;
}
export interface SearchPreferences {
  followed_fields: List<string>;
  columns: List<string>;
  /** Of the columns, those that stand still while the others are scrolled. */
  pinned_columns?: List<string>;
}
const PREFERENCES = ['search-preferences'];
export function useSearchPreferences() {
  return useQuery({ queryKey: PREFERENCES, queryFn: ({ signal }) => get<SearchPreferences>('/me/search-preferences', {}, signal), staleTime: 300_000 });
}
export const savePreferences = (p: SearchPreferences) => put('/me/search-preferences', p);

// Log groups

export interface LogGroup {
  id: string;
  /** '' at the top. */
  parent: string;
  kind: 'directory' | 'group';
  name: string;
  description?: string;
  position: number;
  filter?: string;
  tenants?: List<string>;
  /** Searches look back no further; '' without bound. */
  span?: string;
  access?: { roles: List<string>; units: List<string>; users: List<string> };
  confines?: boolean;
  searches: number;
  revision: number;
  usable: boolean;
}
export function useLogGroups() {
  return useQuery({ queryKey: ['log-groups'], queryFn: async ({ signal }) => list((await get<Page<LogGroup>>('/log-groups', {}, signal)).items), staleTime: 60_000 });
}
export interface GroupTrend {
  step_ms: number;
  start: string;
  groups: List<{ id: string; name: string; total: number; buckets: number[] }>;
}

// Exports

export type ExportFormat = 'csv' | 'xlsx' | 'json' | 'ndjson';
export const EXPORT_FORMATS: ExportFormat[] = ['csv', 'xlsx', 'json', 'ndjson'];
export interface Export {
  id: string;
  name: string;
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled' | 'expired';
  format: ExportFormat;
  query: string;
  tenant?: string;
  group?: string;
  start: string;
  end: string;
  fields?: List<string>;
  max_rows: number;
  rows: number;
  estimated?: number | null;
  /** 0 to 1; null where it cannot be told. */
  progress?: number | null;
  bytes: number;
  error?: string;
  notes?: List<string>;
  kept: boolean;
  created_at: string;
  finished_at?: string | null;
  expires_at?: string | null;
  took_ms?: number;
  origin?: string;
}
export interface ExportLimits {
  max_rows: number;
  max_bytes: number;
  /** What one user's files may be together. */
  owner_bytes: number;
  owner_files: number;
  /** Days a file is there unless it is kept. */
  days: number;
  /** What mine are. */
  files: number;
  bytes: number;
}
export const exporting = (x: Export) => x.state === 'queued' || x.state === 'running';

// Log monitoring rules

export interface MonitorRun {
  id: string;
  due_at: string;
  started_at?: string | null;
  took_ms?: number;
  rows?: number;
  value?: number;
  outcome: 'running' | 'met' | 'not_met' | 'failed';
  error?: string;
  occurrence?: string;
  export_id?: string;
  manual?: boolean;
  catch_up?: boolean;
  missed?: number;
  window_start?: string;
  window_end?: string;
}
export interface Monitor {
  id: string;
  name: string;
  description?: string;
  tags?: List<string>;
  search_id?: string;
  search_changed?: boolean;
  query: string;
  group?: string;
  tenant?: string;
  schedule: string;
  time_zone: string;
  window: string;
  delay?: string;
  condition: { kind: 'rows' | 'value'; op: string; value: number; field?: string };
  action: { kind: 'alert' | 'export'; severity?: string; title?: Text; format?: ExportFormat; fields?: List<string>; receiver?: string };
  enabled: boolean;
  state: 'active' | 'disabled' | 'paused';
  paused_reason?: string;
  health: 'ok' | 'warning' | 'new';
  failures?: number;
  last_run?: MonitorRun | null;
  next_at?: string | null;
  owner?: { id: string; username: string; name?: string };
  mine: boolean;
  editable: boolean;
  revision: number;
}

/** Very many rows, newest first, line by line as the server finds them; fails where the search does on its way. */
export async function searchMany(asked: Asked, limit: number, signal: AbortSignal): Promise<SearchAnswer> {
  const begun = performance.now();
  const res = await request('GET', '/search', { query: { ...asked, limit, history: false }, accept: 'application/x-ndjson', signal });
  const items: LogEvent[] = [];
  const take = (line: string) => {
    if (!line) return;
    const row = JSON.parse(line) as LogEvent;
    if (row.error !== undefined && row['event.id'] === undefined && Object.keys(row).length === 1) throw new Error(String(row.error));
    items.push(row);
  };
  const reader = (res.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + decoder.decode(value, { stream: !done })).split('\n');
    rest = done ? '' : (lines.pop() ?? '');
    for (const line of lines) take(line);
    if (done) break;
  }
  return { items, truncated: items.length >= limit, took_ms: performance.now() - begun };
}
