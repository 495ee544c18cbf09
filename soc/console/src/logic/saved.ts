/** Saved and past searches as addresses of the search page, and back. */
import type { PastSearch, SavedDraft, SavedSearch } from '../api/search';
import { list } from '../api/types';
import { durationMs } from './urlstate';

type Params = Record<string, string | undefined>;

/** A span as the page's URL has it: Go's 24h0m0s is 24h. */
export function span(text: string | undefined): string | undefined {
  if (!text) return undefined;
  const short = text.replace(/(?<=[hm])0[ms]/g, '').replace(/(?<=h)0s$/, '');
  return Number.isNaN(durationMs(short)) ? undefined : short;
}

/** What the URL must say to show the search; what it does not name is taken out of it. */
export function savedParams(s: Pick<SavedSearch, 'query' | 'tenant' | 'group' | 'time' | 'columns' | 'chart'>): Params {
  const chart = (s.chart ?? {}) as Record<string, string | undefined>;
  return {
    query: s.query,
    tenant: s.tenant,
    group: s.group,
    since: span(s.time?.since),
    start: s.time?.start,
    end: s.time?.end,
    cols: list(s.columns).join(','),
    view: chart.view,
    shape: chart.shape,
    measure: chart.measure,
    of: chart.of,
    by: chart.by,
    tab: chart.tab,
    vs: chart.vs,
    fields: chart.fields,
    live: undefined,
  };
}

export function pastParams(p: PastSearch): Params {
  return { query: p.query, tenant: p.tenant, group: p.group, since: span(p.since), start: p.since ? undefined : p.start, end: p.since ? undefined : p.end, live: undefined };
}

/** The page's address as a search to be saved. */
export function draftOf(url: URLSearchParams, usual: string): Omit<SavedDraft, 'name' | 'visibility'> {
  const start = url.get('start');
  const end = url.get('end');
  const chart = Object.fromEntries(['view', 'shape', 'measure', 'of', 'by', 'tab', 'vs', 'fields'].map((k) => [k, url.get(k)]).filter(([, v]) => v));
  return {
    query: url.get('query') ?? '',
    tenant: url.get('tenant') ?? '',
    group: url.get('group') ?? '',
    time: start && end ? { start, end } : { since: url.get('since') ?? usual },
    columns: (url.get('cols') ?? '').split(',').filter(Boolean),
    chart: Object.keys(chart).length > 0 ? chart : null,
  };
}
