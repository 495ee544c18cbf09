import { QuestionCircleOutlined } from '@ant-design/icons';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Segmented } from 'antd';
import { Suspense, lazy, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { ApiError, get, serverNow } from '../../api/client';
import { useCan } from '../../api/queries';
import { searchMany, useLogGroups, useMyMasks, type Asked } from '../../api/search';
import { list, type Histogram as HistogramData, type LogEvent, type Page, type SearchAnswer } from '../../api/types';
import { copyText, useFeedback } from '../../app/feedback';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { overlay } from '../../logic/compare';
import { textOf, wanted } from '../../logic/event';
import { faultOf, unreadable } from '../../logic/fault';
import { joined, number } from '../../logic/format';
import { filterIn, filterOut, narrowBy, phraseIn, phraseOut } from '../../logic/logsql';
import { computes } from '../../logic/plot';
import { draftOf } from '../../logic/saved';
import { SIGNALS, ofSignal, parseSignal } from '../../logic/signals';
import { parseRange, rangeBounds, rangeParams, withParams, type Range } from '../../logic/urlstate';
import { Head } from '../../parts/page';
import { RangePicker } from '../../parts/range';
import { Clicks } from '../../parts/search/clicks';
import { ColumnPicker } from '../../parts/search/columnpicker';
import { Change, CompareView, VersusPicker, useEarlier } from '../../parts/search/compare';
import { ContextDrawer } from '../../parts/search/context';
import { DeskContext, type Desk } from '../../parts/search/desk';
import { ExportDialog } from '../../parts/search/exporting';
import { Fields, type FieldHits } from '../../parts/search/fields';
import { GroupPicker } from '../../parts/search/groups';
import { OperatorHelp } from '../../parts/search/operators';
import { LanguageSwitch } from '../../parts/search/language';
import { PlotView } from '../../parts/search/plot';
import { usePreferences } from '../../parts/search/preferences';
import { QueryBar } from '../../parts/search/querybar';
import { Results } from '../../parts/search/results';
import { SaveDialog } from '../../parts/search/save';
import { SavedDrawer } from '../../parts/search/saved';
import { SelectionMenu } from '../../parts/search/selection';
import { SignalView } from '../../parts/search/signals';
import { Tail } from '../../parts/search/tail';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { Tabs } from '../../parts/tabs';
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
const VIEWS = ['raw', 'table', 'chart', 'compare'] as const;
type View = (typeof VIEWS)[number];
const LINES = [1, 3, 10];

const PANELS = ['saved', 'history', 'save', 'export', 'operators'] as const;
type Panel = (typeof PANELS)[number];

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
  const tab = parseSignal(url);
  const limit = Math.min(MOST, Math.max(PAGE, Number(url.get('n')) || PAGE));
  const [draft, setDraft] = useState(query);
  const lines = LINES.find((n) => String(n) === url.get('lines')) ?? (Number(localStorage.getItem('icewatch.search.lines')) || 1);
  const opened = PANELS.find((x) => x === url.get('panel')) ?? '';
  const setOpened = (panel: Panel | '') => setUrl({ panel: panel || undefined }, panel !== '');
  const around = url.get('around') ?? '';
  useEffect(() => setDraft(query), [query]);
  const [asked, bounds, again] = useAsked(ofSignal(query, tab), range, tenant, group);
  const earlier = useEarlier(asked, live);
  const summed = tab !== 'logs' && view === 'raw' && !live;
  const can = useCan();
  const navigate = useNavigate();
  const preferences = usePreferences();
  const masks = list(useMyMasks().data?.items);
  const groups = useLogGroups().data;

  const rows = useQuery({
    queryKey: ['search', asked, limit],
    enabled: !live && !summed && (view === 'raw' || view === 'table'),
    queryFn: ({ signal }) => {
      // Asked by its span, the first page enters the history as one that looks at now. More of it comes from the pinned times.
      const first = limit === PAGE && 'since' in range ? { query: asked.query, since: range.since, tenant, group } : asked;
      return limit > ONE_ANSWER ? searchMany(asked, limit, signal) : get<SearchAnswer>('/search', { ...first, limit, history: limit === PAGE && query.trim() !== '' && tab === 'logs' ? undefined : false }, signal);
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

  const ask = useCallback((q: string) => setUrl({ query: q, n: undefined }, true), [setUrl]);
  const run = () => {
    if (draft !== query) return ask(draft);
    again();
  };
  const filter = useCallback((field: string, value: string, out: boolean) => ask(out ? filterOut(query, field, value) : filterIn(query, field, value)), [query, ask]);
  const columns = url.get('cols')?.split(',').filter(Boolean) ?? (preferences.columns.length > 0 ? preferences.columns : COLUMNS);
  const pinned = (url.get('pin')?.split(',') ?? preferences.pinned).filter((f) => columns.includes(f));
  const columnKey = [...pinned, ...columns.filter((c) => !pinned.includes(c))].join(',');
  const pinnedKey = pinned.join(',');
  const setPinned = (next: string[]) => {
    setUrl({ pin: next.length > 0 ? next : ['-'] });
    preferences.save({ pinned_columns: next });
  };
  const setColumns = (next: string[]) => {
    setUrl({ cols: next, view: 'table' });
    preferences.save({ columns: next });
  };
  const words = useMemo(() => wanted(query), [query]);
  const desk: Desk = {
    filter,
    phrase: (text, out) => ask(out ? phraseOut(query, text) : phraseIn(query, text)),
    narrow: (f) => ask(narrowBy(query, f)),
    columns: useMemo(() => columnKey.split(',').filter(Boolean), [columnKey]),
    pinned: useMemo(() => pinnedKey.split(',').filter(Boolean), [pinnedKey]),
    pin: (f) => setPinned(pinned.includes(f) ? pinned.filter((x) => x !== f) : [...pinned, f]),
    toggleColumn: (f) => {
      const next = columns.includes(f) ? columns.filter((c) => c !== f) : [...columns, f];
      setColumns(next);
    },
    followed: preferences.followed,
    follow: (f) => preferences.save({ followed_fields: preferences.followed.includes(f) ? preferences.followed.filter((x) => x !== f) : [...preferences.followed, f] }),
    context: (e: LogEvent) => setUrl({ around: textOf(e, 'event.id') }, true),
    plot: (f) => setUrl({ view: 'chart', by: f, live: undefined }, true),
    words,
  };

  const problem = (summed || view === 'chart' || view === 'compare' ? null : rows.error) ?? histogram.error;
  const bad = problem instanceof ApiError && unreadable(problem);
  const fault = bad && draft === query && tab === 'logs' ? faultOf(problem as ApiError) : null;
  const items = list(rows.data?.items);
  const total = histogram.data?.total;
  const body = useRef<HTMLDivElement>(null);
  const share = (fixed: boolean) => {
    const p = fixed ? withParams(url, { since: undefined, start: asked.start, end: asked.end, live: undefined }) : url;
    void copyText(`${window.location.origin}/search?${p}`).then(() => done(t('do.copied')), failed);
  };
  const openSaved = (params: Record<string, string | undefined>) => setUrl({ ...params, panel: undefined, n: undefined }, true);
  const span: Record<string, string> = 'since' in range ? { since: range.since } : { start: range.start, end: range.end };
  const make = (path: string, more: Record<string, string | undefined>) => navigate(`${path}?${withParams(new URLSearchParams(), { query: query.trim() || '*', tenant, ...more })}`);
  const tabs = [
    { key: 'logs', title: t('signal.logs') },
    { key: 'flows', title: t('signal.flows') },
    { key: 'traces', title: t('signal.traces') },
  ] as const satisfies readonly { key: (typeof SIGNALS)[number]; title: string }[];
  const views = VIEWS.filter((v) => v !== 'compare' || earlier.before !== null || view === 'compare');
  const overlaid = useMemo(() => (histogram.data && earlier.histogram ? overlay(histogram.data, earlier.histogram) : undefined), [histogram.data, earlier.histogram]);
  return (
    <FilterContext.Provider value={filter}>
      <DeskContext.Provider value={desk}>
        <div className="page fill">
          <Head title={t('page.search')} sub={masks.length > 0 && <MaskHint names={masks.map((m) => m.name)} />}>
            {list(groups).some((g) => g.kind === 'group') && <GroupPicker value={group} onChange={(g) => setUrl({ group: g }, true)} />}
            <TenantFilter value={tenant} onChange={(v) => setUrl({ tenant: v }, true)} />
            <Button aria-pressed={live} type={live ? 'primary' : 'default'} onClick={() => setUrl({ live: live ? undefined : '1', view: view === 'chart' || view === 'compare' ? undefined : url.get('view') ?? undefined })}>
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
            {!live && <VersusPicker />}
            <Button onClick={() => setOpened('saved')}>{t('saved.button')}</Button>
            <Dropdown
              trigger={['click']}
              menu={{
                items: [
                  { key: 'save', label: t('save.title'), onClick: () => setOpened('save') },
                  { key: 'export', label: t('export.title'), onClick: () => setOpened('export') },
                  { key: 'history', label: t('saved.history'), onClick: () => setOpened('history') },
                  { type: 'divider' },
                  ...(can('create-search-monitor') ? [{ key: 'monitor', label: t('search.toMonitor'), onClick: () => make('/search/monitors', { new: '1', group }) }] : []),
                  ...(can('create-rule') || can('propose-rules') ? [{ key: 'rule', label: t('search.toRule'), onClick: () => make('/rules/new', span) }] : []),
                  { type: 'divider' },
                  { key: 'share', label: t('search.share'), onClick: () => share(false) },
                  { key: 'fixed', label: t('search.shareFixed'), onClick: () => share(true) },
                ],
              }}
            >
              <Button aria-label={t('search.menu')}>{t('search.menu')} ▾</Button>
            </Dropdown>
          </Head>
          <Tabs tabs={tabs} label={t('signal.label')} />
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
          {bad && (click || tab !== 'logs') && (
            <div className="stale" role="alert">
              <b>{t('search.bad')}</b> {faultOf(problem as ApiError)?.message ?? (problem as ApiError).message}
            </div>
          )}
          {!bad && <Stale query={rows} />}
          {!live && (
            <div className="panel" style={{ padding: '6px 6px 2px', marginBottom: 10, flex: 'none' }}>
              <div className="row" style={{ padding: '0 8px 2px' }}>
                <b data-testid="total">{total === undefined ? ' ' : t('search.total', { n: total })}</b>
                {total !== undefined && earlier.histogram && (
                  <span data-testid="versus-total">
                    <span className="dim">{t('versus.total', { n: earlier.histogram.total })}</span> <Change now={total} before={earlier.histogram.total} />
                  </span>
                )}
                {earlier.error ? <span className="late">{t('versus.failed')}</span> : null}
                {total !== undefined && !summed && (view === 'raw' || view === 'table') && items.length < total && <span className="dim">{t('search.shown', { n: items.length })}</span>}
                <span className="faint" style={{ marginLeft: 'auto', fontSize: 12 }}>
                  {rows.data?.took_ms !== undefined && t('search.took', { n: Math.round(rows.data.took_ms) })}
                </span>
              </div>
              {histogram.data ? (
                <Suspense fallback={<div className="histo" />}>
                  <Chart data={histogram.data} earlier={overlaid} onSpan={(a, b) => zoom({ start: new Date(a).toISOString(), end: new Date(b).toISOString() })} />
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
                <Segmented<View> aria-label={t('view.label')} size="small" value={view} onChange={(v) => setUrl({ view: v === 'raw' ? undefined : v, live: v === 'chart' || v === 'compare' ? undefined : live ? '1' : undefined })} options={views.map((v) => ({ value: v, label: v === 'raw' && tab !== 'logs' ? t(`signal.${tab}`) : t(`view.${v}`) }))} />
                {view === 'raw' && !summed && (
                  <Segmented<number>
                    aria-label={t('view.lines')}
                    size="small"
                    value={lines}
                    onChange={(n) => {
                      setUrl({ lines: String(n) });
                      localStorage.setItem('icewatch.search.lines', String(n));
                    }}
                    options={LINES.map((n) => ({ value: n, label: n === 1 ? t('view.line') : t('view.linesN', { n }) }))}
                  />
                )}
                {view === 'table' && <ColumnPicker columns={columns} seen={names} pinned={pinned} pin={desk.pin} change={setColumns} />}
                <span className="faint hintend">{t('search.selectHint')}</span>
              </div>
              {live ? (
                <Tail query={asked.query} tenant={tenant} group={group} lines={lines} table={view === 'table'} stop={() => setUrl({ live: undefined })} />
              ) : summed ? (
                <SignalView signal={tab} asked={asked} bad={bad} />
              ) : (view === 'chart' || view === 'compare') && bad ? (
                <div className="panel results">
                  <Empty title={t('search.bad')} why={t('search.help')} />
                </div>
              ) : view === 'chart' ? (
                <PlotView asked={asked} fields={names} />
              ) : view === 'compare' ? (
                <CompareView asked={asked} fields={names} />
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
                          <Button loading={rows.isFetching} onClick={() => setUrl({ n: String(nextLimit(limit)) })}>
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
          {around && <ContextDrawer id={around} close={() => setUrl({ around: undefined, minutes: undefined, scope: undefined })} />}
          {opened === 'operators' && <OperatorHelp close={() => setOpened('')} insert={(x) => { setDraft(draft.trim() ? `${draft} ${x}` : x); setUrl({ mode: undefined, panel: undefined }); }} />}
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
