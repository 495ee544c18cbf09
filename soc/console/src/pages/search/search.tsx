import { QuestionCircleOutlined } from '@ant-design/icons';
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Dropdown, Segmented, Select } from 'antd';
import { Suspense, lazy, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { ApiError, get, serverNow } from '../../api/client';
import { parseQuery, renderQuery, savePreferences, useLogGroups, searchMany, useMyMasks, useSearchPreferences, type Asked, type Clause } from '../../api/search';
import { list, type Histogram as HistogramData, type LogEvent, type Page, type SearchAnswer } from '../../api/types';
import { useAct } from '../../app/act';
import { copyText, useFeedback } from '../../app/feedback';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { textOf, wanted } from '../../logic/event';
import { faultOf, unreadable } from '../../logic/fault';
import { joined, number } from '../../logic/format';
import { filterIn, filterOut, narrowBy, phraseIn, phraseOut } from '../../logic/logsql';
import { computes } from '../../logic/plot';
import { draftOf } from '../../logic/saved';
import { parseRange, rangeBounds, rangeParams, withParams, type Range } from '../../logic/urlstate';
import { Head } from '../../parts/page';
import { RangePicker } from '../../parts/range';
import { ClickMode } from '../../parts/search/clickmode';
import { ContextDrawer } from '../../parts/search/context';
import { DeskContext, type Desk } from '../../parts/search/desk';
import { ExportDialog } from '../../parts/search/exporting';
import { Fields, type FieldHits } from '../../parts/search/fields';
import { GroupPicker } from '../../parts/search/groups';
import { OperatorHelp } from '../../parts/search/operators';
import { LanguageSwitch } from '../../parts/search/language';
import { PlotView } from '../../parts/search/plot';
import { QueryBar } from '../../parts/search/querybar';
import { Results } from '../../parts/search/results';
import { SaveDialog } from '../../parts/search/save';
import { SavedDrawer } from '../../parts/search/saved';
import { SelectionMenu } from '../../parts/search/selection';
import { Tail } from '../../parts/search/tail';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { TenantFilter } from '../../parts/tenantfilter';
import { FilterContext } from '../../parts/token';

const LogQL = lazy(() => import('./logql'));
const Chart = lazy(() => import('../../parts/histogram'));
const SPANS = ['5m', '15m', '1h', '4h', '24h', '7d', '30d'];
const SPAN = '15m';
const PAGE = 200;
/** As many rows are brought to the page, in these steps once doubling ends. */
const STEPS = [2000, 10_000, 100_000];
const MOST = 100_000;
/** The server answers so many in one document; more come line by line. */
const ONE_ANSWER = 10_000;
const nextLimit = (limit: number) => (limit * 2 < STEPS[0]! ? limit * 2 : (STEPS.find((s) => s > limit) ?? MOST));
const COLUMNS = ['host.name', 'event.dataset', 'source.ip', 'message'];
const VIEWS = ['raw', 'table', 'chart'] as const;
type View = (typeof VIEWS)[number];
const LINES = [1, 3, 10];

type Opened = '' | 'saved' | 'history' | 'save' | 'export' | 'operators';

/** What was asked, pinned to the moment of asking, so that rows, histogram and fields speak of the same span. */
function useAsked(query: string, range: Range, tenant: string, group: string): [asked: Asked, bounds: [number, number], again: () => void] {
  const key = JSON.stringify(range);
  const [round, setRound] = useState(0);
  const [from, to] = useMemo(() => rangeBounds(range, serverNow()), [query, key, tenant, group, round]); // eslint-disable-line react-hooks/exhaustive-deps
  // Events are stamped by their senders, whose clocks run a little ahead.
  const end = 'since' in range ? to + 60_000 : to;
  const asked = useMemo<Asked>(() => ({ query: query.trim() || '*', start: new Date(from).toISOString(), end: new Date(end).toISOString(), tenant, group }), [query, from, end, tenant, group]);
  return [asked, [from, to], () => setRound((n) => n + 1)];
}

/** The fields one follows and the columns of one's table: kept by the server, so that they are there at every desk. */
function usePreferences() {
  const client = useQueryClient();
  const { act } = useAct();
  const data = useSearchPreferences().data;
  const followed = useMemo(() => list(data?.followed_fields), [data]);
  const columns = useMemo(() => list(data?.columns), [data]);
  const save = (change: { followed_fields?: string[]; columns?: string[] }) => {
    const next = { followed_fields: followed, columns, ...change };
    client.setQueryData(['search-preferences'], next);
    void act(() => savePreferences(next));
  };
  return { followed, columns, save };
}

/** The search page in the language that the URL names. */
export default function SearchPage() {
  const [url] = useUrl();
  return url.get('lang') === 'logql' ? (
    <Suspense fallback={<div className="page"><Skeleton lines={12} /></div>}>
      <LogQL />
    </Suspense>
  ) : (
    <Search />
  );
}

function Search() {
  const { t, locale } = useSettings();
  const { done, failed } = useFeedback();
  const [url, setUrl] = useUrl();
  const query = url.get('query') ?? '';
  const tenant = url.get('tenant') ?? '';
  const group = url.get('group') ?? '';
  const live = url.get('live') === '1';
  const click = url.get('mode') === 'click';
  const range = parseRange(url, SPAN);
  const view: View = VIEWS.find((v) => v === url.get('view')) ?? (computes(query) ? 'chart' : 'raw');
  const [limit, setLimit] = useState(PAGE);
  const [draft, setDraft] = useState(query);
  const [lines, setLines] = useState(() => Number(localStorage.getItem('icewatch.search.lines')) || 1);
  const [opened, setOpened] = useState<Opened>('');
  const [around, setAround] = useState('');
  useEffect(() => {
    setDraft(query);
    setLimit(PAGE);
  }, [query]);
  const [asked, bounds, again] = useAsked(query, range, tenant, group);
  const preferences = usePreferences();
  const masks = list(useMyMasks().data?.rules);
  const groups = useLogGroups().data;

  const rows = useQuery({
    queryKey: ['search', asked, limit],
    enabled: !live && view !== 'chart',
    queryFn: ({ signal }) => {
      // Asked by its span, the first page enters the history as one that looks at now. More of it comes from the pinned times.
      const first = limit === PAGE && 'since' in range ? { query: asked.query, since: range.since, tenant, group } : asked;
      return limit > ONE_ANSWER ? searchMany(asked, limit, signal) : get<SearchAnswer>('/search', { ...first, limit, history: limit === PAGE && query.trim() !== '' ? undefined : false }, signal);
    },
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const histogram = useQuery({
    queryKey: ['histogram', asked],
    enabled: !live,
    queryFn: ({ signal }) => get<HistogramData>('/search/histogram', { ...asked, buckets: 60 }, signal),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const fields = useQuery({
    queryKey: ['fields', asked],
    queryFn: async ({ signal }) => list((await get<Page<FieldHits>>('/search/fields', { ...asked, limit: 500 }, signal)).items),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const names = useMemo(() => list(fields.data).map((f) => f.name), [fields.data]);

  // Zooming leaves a way back, beside the browser's own.
  const trail = useRef<Range[]>([]);
  const zoom = (r: Range) => {
    trail.current.push(range);
    setUrl({ ...rangeParams(r, SPAN), live: undefined }, true);
  };
  const back = () => {
    const r = trail.current.pop();
    if (r) setUrl(rangeParams(r, SPAN), true);
  };
  const widen = () => {
    const [from, to] = bounds;
    zoom({ start: new Date(from - (to - from)).toISOString(), end: new Date(Math.min(to + (to - from), Math.max(to, serverNow()))).toISOString() });
  };

  const ask = useCallback((q: string) => setUrl({ query: q }, true), [setUrl]);
  const run = () => {
    if (draft !== query) return ask(draft);
    again();
  };
  const filter = useCallback((field: string, value: string, out: boolean) => ask(out ? filterOut(query, field, value) : filterIn(query, field, value)), [query, ask]);
  const columns = url.get('cols')?.split(',').filter(Boolean) ?? (preferences.columns.length > 0 ? preferences.columns : COLUMNS);
  const columnKey = columns.join(',');
  const words = useMemo(() => wanted(query), [query]);
  const desk: Desk = {
    filter,
    phrase: (text, out) => ask(out ? phraseOut(query, text) : phraseIn(query, text)),
    narrow: (f) => ask(narrowBy(query, f)),
    columns: useMemo(() => columnKey.split(',').filter(Boolean), [columnKey]),
    toggleColumn: (f) => {
      const next = columns.includes(f) ? columns.filter((c) => c !== f) : [...columns, f];
      setUrl({ cols: next, view: view === 'chart' ? 'table' : url.get('view') ?? 'table' });
      preferences.save({ columns: next });
    },
    followed: preferences.followed,
    follow: (f) => preferences.save({ followed_fields: preferences.followed.includes(f) ? preferences.followed.filter((x) => x !== f) : [...preferences.followed, f] }),
    context: (e: LogEvent) => setAround(textOf(e, 'event.id')),
    plot: (f) => setUrl({ view: 'chart', by: f, live: undefined }, true),
    words,
  };

  const problem = rows.error ?? (view === 'chart' ? histogram.error : null);
  const bad = problem instanceof ApiError && unreadable(problem);
  const fault = bad && draft === query ? faultOf(problem as ApiError) : null;
  const items = list(rows.data?.items);
  const total = histogram.data?.total;
  const body = useRef<HTMLDivElement>(null);
  const share = (fixed: boolean) => {
    const p = fixed ? withParams(url, { since: undefined, start: asked.start, end: asked.end, live: undefined }) : url;
    void copyText(`${window.location.origin}/search?${p}`).then(() => done(t('do.copied')), failed);
  };
  const openSaved = (params: Record<string, string | undefined>) => {
    setOpened('');
    setUrl(params, true);
  };
  return (
    <FilterContext.Provider value={filter}>
      <DeskContext.Provider value={desk}>
        <div className="page fill">
          <Head title={t('page.search')} sub={masks.length > 0 && <MaskHint names={masks.map((m) => m.name)} />}>
            {list(groups).some((g) => g.kind === 'group') && <GroupPicker value={group} onChange={(g) => setUrl({ group: g }, true)} />}
            <TenantFilter value={tenant} onChange={(v) => setUrl({ tenant: v }, true)} />
            <Button aria-pressed={live} type={live ? 'primary' : 'default'} onClick={() => setUrl({ live: live ? undefined : '1', view: view === 'chart' ? undefined : url.get('view') ?? undefined })}>
              {t('tail.button')}
            </Button>
            {!live && trail.current.length > 0 && (
              <Button onClick={back} title={t('search.zoomBack')} aria-label={t('search.zoomBack')}>
                ↩
              </Button>
            )}
            {!live && (
              <Button onClick={widen} title={t('search.zoomOut')} aria-label={t('search.zoomOut')}>
                ⟷
              </Button>
            )}
            {!live && <RangePicker value={range} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />}
            <Button onClick={() => setOpened('saved')}>{t('saved.button')}</Button>
            <Dropdown
              trigger={['click']}
              menu={{
                items: [
                  { key: 'save', label: t('save.title'), onClick: () => setOpened('save') },
                  { key: 'export', label: t('export.title'), onClick: () => setOpened('export') },
                  { key: 'history', label: t('saved.history'), onClick: () => setOpened('history') },
                  { type: 'divider' },
                  { key: 'share', label: t('search.share'), onClick: () => share(false) },
                  { key: 'fixed', label: t('search.shareFixed'), onClick: () => share(true) },
                ],
              }}
            >
              <Button aria-label={t('search.menu')}>{t('search.menu')} ▾</Button>
            </Dropdown>
          </Head>
          <div className="searchrow">
            <LanguageSwitch value="logsql" draft={draft} />
            <Segmented
              aria-label={t('click.mode')}
              value={click ? 'click' : 'text'}
              onChange={(m) => setUrl({ mode: m === 'click' ? 'click' : undefined, query: draft })}
              options={[
                { value: 'text', label: t('click.textMode') },
                { value: 'click', label: t('click.clickMode') },
              ]}
            />
            <div className="grow">{click ? <Clicks query={query} fields={names} asked={asked} ask={ask} /> : <QueryBar draft={draft} setDraft={setDraft} run={run} busy={rows.isFetching} asked={asked} fault={fault} />}</div>
            <Button type="text" style={{ height: 34 }} icon={<QuestionCircleOutlined />} aria-label={t('operators.title')} title={t('operators.title')} onClick={() => setOpened('operators')} />
          </div>
          {click && fault && (
            <div className="stale" role="alert">
              <b>{t('search.bad')}</b> {fault.message}
            </div>
          )}
          {!bad && <Stale query={rows} />}
          {!live && (
            <div className="panel" style={{ padding: '6px 6px 2px', marginBottom: 10, flex: 'none' }}>
              <div className="row" style={{ padding: '0 8px 2px' }}>
                <b data-testid="total">{total === undefined ? ' ' : t('search.total', { n: total })}</b>
                {total !== undefined && view !== 'chart' && items.length < total && <span className="dim">{t('search.shown', { n: items.length })}</span>}
                <span className="faint" style={{ marginLeft: 'auto', fontSize: 12 }}>
                  {rows.data?.took_ms !== undefined && t('search.took', { n: Math.round(rows.data.took_ms) })}
                </span>
              </div>
              {histogram.data ? (
                <Suspense fallback={<div className="histo" />}>
                  <Chart data={histogram.data} onSpan={(a, b) => zoom({ start: new Date(a).toISOString(), end: new Date(b).toISOString() })} />
                </Suspense>
              ) : (
                <div className="histo">{histogram.error && !bad ? <Failed small error={histogram.error} what="search.what" retry={() => void histogram.refetch()} /> : null}</div>
              )}
            </div>
          )}
          <div className="searchbody" ref={body}>
            <Fields asked={asked} fields={fields.data} error={fields.error} bad={bad} />
            <div className="resultcol">
              <div className="viewbar">
                <Segmented<View> aria-label={t('view.label')} size="small" value={view} onChange={(v) => setUrl({ view: v === 'raw' ? undefined : v, live: v === 'chart' ? undefined : live ? '1' : undefined })} options={VIEWS.map((v) => ({ value: v, label: t(`view.${v}`) }))} />
                {view === 'raw' && (
                  <Segmented<number>
                    aria-label={t('view.lines')}
                    size="small"
                    value={lines}
                    onChange={(n) => {
                      setLines(n);
                      localStorage.setItem('icewatch.search.lines', String(n));
                    }}
                    options={LINES.map((n) => ({ value: n, label: n === 1 ? t('view.line') : t('view.linesN', { n }) }))}
                  />
                )}
                {view === 'table' && (
                  <Select
                    aria-label={t('view.columns')}
                    size="small"
                    mode="tags"
                    value={columns}
                    maxTagCount="responsive"
                    onChange={(next: string[]) => {
                      setUrl({ cols: next });
                      preferences.save({ columns: next });
                    }}
                    options={names.map((n) => ({ value: n, label: n }))}
                    style={{ minWidth: 240, maxWidth: 620, flex: 1 }}
                  />
                )}
                <span className="faint hintend">{t('search.selectHint')}</span>
              </div>
              {live ? (
                <Tail query={asked.query} tenant={tenant} group={group} lines={lines} table={view === 'table'} stop={() => setUrl({ live: undefined })} />
              ) : view === 'chart' && bad ? (
                <div className="panel results">
                  <Empty title={t('search.bad')} why={t('search.help')} />
                </div>
              ) : view === 'chart' ? (
                <PlotView asked={asked} fields={names} />
              ) : (
                <div className="panel results">
                  {rows.isPending ? (
                    <Skeleton lines={16} />
                  ) : rows.error && !rows.data ? (
                    bad ? <Empty title={t('search.bad')} why={t('search.help')} /> : <Failed error={rows.error} what="search.what" retry={() => void rows.refetch()} />
                  ) : items.length === 0 ? (
                    <Empty title={t('search.empty')} why={t('search.emptyWhy')}>
                      <Button onClick={() => setUrl(rangeParams({ since: '24h' }, SPAN), true)}>{t('search.widen')}</Button>
                    </Empty>
                  ) : (
                    <>
                      <Results events={items} table={view === 'table'} lines={lines} busy={rows.isFetching} />
                      {items.length >= limit && limit < MOST && (
                        <div style={{ padding: 12, textAlign: 'center' }}>
                          <Button loading={rows.isFetching} onClick={() => setLimit(nextLimit(limit))}>
                            {t('search.more', { n: number(nextLimit(limit), locale) })}
                          </Button>
                        </div>
                      )}
                      {(rows.data?.truncated || items.length >= MOST) && limit >= MOST && (
                        <div className="dim" style={{ padding: 12, textAlign: 'center' }}>
                          {t('search.truncated')}{' '}
                          <button className="plain link" onClick={() => setOpened('export')}>
                            {t('export.title')}
                          </button>
                        </div>
                      )}
                    </>
                  )}
                </div>
              )}
            </div>
          </div>
          <SelectionMenu within={body} asked={asked} />
          {around && <ContextDrawer id={around} close={() => setAround('')} />}
          {opened === 'operators' && <OperatorHelp close={() => setOpened('')} insert={(x) => { setDraft(draft.trim() ? `${draft} ${x}` : x); setUrl({ mode: undefined }); setOpened(''); }} />}
          {(opened === 'saved' || opened === 'history') && <SavedDrawer show={opened} setShow={setOpened} close={() => setOpened('')} open={openSaved} />}
          {opened === 'save' && <SaveDialog draft={draftOf(url, SPAN)} close={() => setOpened('')} />}
          {opened === 'export' && <ExportDialog asked={asked} fields={names} columns={view === 'table' ? columns : []} close={() => setOpened('')} />}
        </div>
      </DeskContext.Provider>
    </FilterContext.Provider>
  );
}

/** Says that values are masked for the reader: what is missing must not look like what is not there. */
function MaskHint({ names }: { names: readonly { zh?: string; en?: string }[] }) {
  const { t, tx, locale } = useSettings();
  return (
    <span className="tag" data-testid="mask-hint" title={t('search.maskedWhy')}>
      {t('search.maskedFor', { x: joined(names.map(tx), locale) })}
    </span>
  );
}

/** Click mode around the text in the URL, which stays the truth: it is read into conditions and written back at each change. */
function Clicks({ query, fields, asked, ask }: { query: string; fields: readonly string[]; asked: Asked; ask: (q: string) => void }) {
  const { t } = useSettings();
  const { failed } = useFeedback();
  const parsed = useQuery({ queryKey: ['parse', query], queryFn: () => parseQuery(query), staleTime: Infinity, placeholderData: keepPreviousData });
  if (parsed.error && !parsed.data) return <Failed small error={parsed.error} what="click.mode" retry={() => void parsed.refetch()} />;
  if (!parsed.data) return <div className="clicks" />;
  if (parsed.data.error)
    return (
      <div className="stale" role="alert">
        <b>{t('click.unreadable')}</b> {parsed.data.error.message}
      </div>
    );
  const change = async (clause: Clause | null, pipes: string) => {
    try {
      const r = await renderQuery(clause, pipes);
      if (r.error) failed(new Error(r.error.message));
      else ask(r.query);
    } catch (e) {
      failed(e);
    }
  };
  return <ClickMode clause={parsed.data.clause} pipes={parsed.data.pipes} fields={fields} asked={asked} onChange={(c, p) => void change(c, p)} />;
}
