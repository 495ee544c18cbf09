import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Input, Switch } from 'antd';
import { Suspense, lazy, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { ApiError, get, serverNow } from '../api/client';
import { list, type Histogram as HistogramData, type LogEvent, type Page, type SearchAnswer } from '../api/types';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { download, toCSV, toNDJSON } from '../logic/export';
import { fieldValues } from '../logic/evidence';
import { absolute, number } from '../logic/format';
import { filterIn, filterOut } from '../logic/logsql';
import { parseRange, rangeBounds, rangeParams } from '../logic/urlstate';
import { FieldTable } from '../parts/events';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { RangePicker } from '../parts/range';
import { Empty, Failed, Skeleton, Stale } from '../parts/states';
import { FilterContext } from '../parts/token';

const Chart = lazy(() => import('../parts/histogram'));
const SPANS = ['15m', '1h', '4h', '24h', '7d', '30d'];
const SPAN = '15m';
const PAGE = 200;
const MOST = 2000;
const LIVE_MS = 3000;
const LEADING = ['@timestamp', 'icewatch.tenant', 'host.name', 'event.dataset', 'message', 'event.original'];

const text = (e: LogEvent, name: string) => fieldValues(e[name]).join(' ');

/** What a row says in one line: the raw event, less a syslog header, whose time and host stand beside it already. */
function lineOf(e: LogEvent): string {
  const raw = text(e, 'event.original');
  const message = text(e, 'message');
  const program = text(e, 'process.name') || text(e, 'log.syslog.appname');
  const line = /^<\d{1,3}>/.test(raw) && message ? `${program ? `${program}: ` : ''}${message}` : raw || message || JSON.stringify(e);
  return line.replace(/\s+/g, ' ').trim();
}

/** The fields a row has, with where it came from; opens to all of them. */
function Row({ event }: { event: LogEvent }) {
  const { t } = useSettings();
  const tenantName = useTenantName();
  const [open, setOpen] = useState(false);
  const tenant = text(event, 'icewatch.tenant');
  return (
    <div className={`hit${open ? ' openrow' : ''}`} data-testid="hit">
      <button className="plain" aria-expanded={open} aria-label={`${t(open ? 'search.collapse' : 'search.expand')}: ${lineOf(event).slice(0, 120)}`} onClick={() => setOpen(!open)}>
        <span className="twist">▶</span>
        <span className="dim nowrap">{absolute(text(event, '@timestamp'), true).slice(5)}</span>
        <span className="ellipsis dim" title={`${tenantName(tenant)} ${text(event, 'host.name')}`}>
          {text(event, 'host.name') || tenantName(tenant)}
        </span>
        <span className="msg">{lineOf(event).slice(0, 1000)}</span>
      </button>
      {open && (
        <div className="all">
          <FieldTable event={event} />
        </div>
      )}
    </div>
  );
}

function TopValues({ field, query, start, end, tenant, filter }: { field: string; query: string; start: string; end: string; tenant: string; filter: (f: string, v: string, out: boolean) => void }) {
  const { t, locale } = useSettings();
  const values = useQuery({
    queryKey: ['values', field, query, start, end, tenant],
    queryFn: ({ signal }) => get<Page<{ value: string; hits: number }>>('/search/values', { field, query, start, end, tenant, limit: 10 }, signal),
    placeholderData: keepPreviousData,
  });
  if (values.error && !values.data) return <Failed small error={values.error} what="search.fieldsTitle" retry={() => void values.refetch()} />;
  if (!values.data) return <Skeleton lines={3} />;
  const rows = list(values.data.items);
  const max = Math.max(1, ...rows.map((r) => r.hits));
  if (rows.length === 0) return <div className="v faint">{t('search.noValues')}</div>;
  return (
    <div className="v">
      {rows.map((r) => (
        <div className="val" key={r.value}>
          <span className="fill" style={{ width: `${(r.hits / max) * 100}%` }} />
          <span className="ellipsis grow" title={r.value}>
            {r.value || '""'}
          </span>
          <span className="faint">{number(r.hits, locale)}</span>
          <button className="plain do" title={t('search.in', { x: r.value })} aria-label={t('search.in', { x: r.value })} onClick={() => filter(field, r.value, false)}>
            +
          </button>
          <button className="plain do" title={t('search.out', { x: r.value })} aria-label={t('search.out', { x: r.value })} onClick={() => filter(field, r.value, true)}>
            −
          </button>
        </div>
      ))}
    </div>
  );
}

export default function Search() {
  const { t, locale } = useSettings();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const query = url.get('query') ?? '';
  const tenant = url.get('tenant') ?? '';
  const live = url.get('live') === '1';
  const range = parseRange(url, SPAN);
  const rangeKey = JSON.stringify(range);
  const [limit, setLimit] = useState(PAGE);
  const [draft, setDraft] = useState(query);
  useEffect(() => setDraft(query), [query]);

  // A relative range is pinned to the moment of asking, so that rows, histogram and fields speak of the same span.
  const [asked, setAsked] = useState(() => serverNow());
  const relative = 'since' in range;
  useEffect(() => {
    setAsked(serverNow());
    setLimit(PAGE);
  }, [query, rangeKey, tenant]);
  useEffect(() => {
    if (!live || !relative) return undefined;
    const id = setInterval(() => {
      if (!document.hidden) setAsked(serverNow());
    }, LIVE_MS);
    return () => clearInterval(id);
  }, [live, relative]);
  const [from, to] = useMemo(() => rangeBounds(range, asked), [rangeKey, asked]); // eslint-disable-line react-hooks/exhaustive-deps
  const start = new Date(from).toISOString();
  // Events are stamped by their senders, whose clocks run a little ahead.
  const end = new Date(relative ? to + 60_000 : to).toISOString();
  const base = { query: query.trim() || '*', start, end, tenant };
  const key = [base.query, start, end, tenant];

  const rows = useQuery({
    queryKey: ['search', ...key, limit],
    queryFn: ({ signal }) => get<SearchAnswer>('/search', { ...base, limit }, signal),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const histogram = useQuery({
    queryKey: ['histogram', ...key],
    queryFn: ({ signal }) => get<HistogramData>('/search/histogram', { ...base, buckets: 60 }, signal),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const fields = useQuery({
    queryKey: ['fields', ...key],
    queryFn: ({ signal }) => get<Page<{ name: string; hits: number }>>('/search/fields', { ...base, limit: 200 }, signal),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });

  const run = () => {
    if (draft === query) {
      setAsked(serverNow());
      void rows.refetch();
    } else setUrl({ query: draft }, true);
  };
  const filter = useCallback(
    (field: string, value: string, out: boolean) => setUrl({ query: out ? filterOut(query, field, value) : filterIn(query, field, value) }, true),
    [query, setUrl],
  );
  const input = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    const el = input.current;
    if (!el) return;
    el.style.height = 'auto';
    el.style.height = `${Math.min(160, el.scrollHeight + 2)}px`;
  }, [draft]);
  useKeys({ '/': () => input.current?.focus() });

  const [openField, setOpenField] = useState('');
  const [fieldText, setFieldText] = useState('');
  const names = list(fields.data?.items)
    .filter((f) => f.name.toLowerCase().includes(fieldText.trim().toLowerCase()))
    .sort((a, b) => b.hits - a.hits || a.name.localeCompare(b.name));
  const items = list(rows.data?.items);
  const total = histogram.data?.total;
  const bad = rows.error instanceof ApiError && (rows.error.status === 400 || rows.error.status === 422);
  const name = `icewatch-${absolute(asked).replace(/[: ]/g, '-')}`;

  return (
    <FilterContext.Provider value={filter}>
      <div className="page fill">
        <Head title={t('page.search')}>
          {tenant && (
            <span className="chip">
              {tenantName(tenant)}
              <button className="plain" aria-label={t('do.remove', { x: tenantName(tenant) })} onClick={() => setUrl({ tenant: undefined })}>
                ✕
              </button>
            </span>
          )}
          <label className="row dim" style={{ gap: 6 }}>
            <Switch size="small" checked={live && relative} disabled={!relative} onChange={(on) => setUrl({ live: on ? '1' : undefined })} aria-label={t('search.live')} />
            {t('search.live')}
          </label>
          <RangePicker value={range} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />
          <Dropdown
            disabled={items.length === 0}
            menu={{
              items: [
                { key: 'n', type: 'group', label: t('search.exportRows', { n: items.length }) },
                { key: 'ndjson', label: 'NDJSON', onClick: () => download(`${name}.ndjson`, 'application/x-ndjson', toNDJSON(items)) },
                { key: 'csv', label: 'CSV', onClick: () => download(`${name}.csv`, 'text/csv;charset=utf-8', toCSV(items, LEADING)) },
              ],
            }}
          >
            <Button>{t('search.export')} ▾</Button>
          </Dropdown>
        </Head>
        <form
          className="searchbar"
          role="search"
          onSubmit={(e) => {
            e.preventDefault();
            run();
          }}
        >
          <textarea
            ref={input}
            rows={1}
            spellCheck={false}
            aria-label="LogsQL"
            placeholder={t('search.placeholder')}
            title={t('search.help')}
            value={draft}
            onChange={(e) => setDraft(e.target.value)}
            onKeyDown={(e) => {
              if (e.key === 'Enter' && !e.shiftKey && !e.nativeEvent.isComposing) {
                e.preventDefault();
                run();
              }
              if (e.key === 'Escape') e.currentTarget.blur();
            }}
          />
          <Button type="primary" htmlType="submit" style={{ height: 34 }} loading={rows.isFetching && !live}>
            {t('search.run')}
          </Button>
        </form>
        {bad ? (
          <div className="stale" role="alert">
            <b>{t('search.bad')}</b>
            <span style={{ overflowWrap: 'anywhere' }}>{(rows.error as Error).message}</span>
          </div>
        ) : (
          <Stale query={rows} />
        )}
        <div className="panel" style={{ padding: '6px 6px 2px', marginBottom: 10, flex: 'none' }}>
          <div className="row" style={{ padding: '0 8px 2px' }}>
            <b data-testid="total">{total === undefined ? ' ' : t('search.total', { n: total })}</b>
            {total !== undefined && items.length < total && <span className="dim">{t('search.shown', { n: items.length })}</span>}
            <span className="faint" style={{ marginLeft: 'auto', fontSize: 12 }}>
              {rows.data?.took_ms !== undefined && t('search.took', { n: Math.round(rows.data.took_ms) })}
            </span>
          </div>
          {histogram.data ? (
            <Suspense fallback={<div className="histo" />}>
              <Chart data={histogram.data} onSpan={(a, b) => setUrl({ start: new Date(a).toISOString(), end: new Date(b).toISOString(), since: undefined, live: undefined }, true)} />
            </Suspense>
          ) : (
            <div className="histo">{histogram.error && !bad ? <Failed small error={histogram.error} what="search.what" retry={() => void histogram.refetch()} /> : null}</div>
          )}
        </div>
        <div className="searchbody">
          <aside className="panel fieldlist" aria-label={t('search.fieldsTitle')}>
            <Input size="small" allowClear placeholder={t('search.fieldFilter')} aria-label={t('search.fieldFilter')} value={fieldText} onChange={(e) => setFieldText(e.target.value)} style={{ marginBottom: 6 }} />
            {!fields.data && !fields.error && <Skeleton lines={8} />}
            {fields.data && names.length === 0 && <div className="faint" style={{ padding: 6 }}>{t('search.noFields')}</div>}
            {names.map((f) => (
              <div key={f.name}>
                <button className="plain f" aria-expanded={openField === f.name} onClick={() => setOpenField(openField === f.name ? '' : f.name)}>
                  <span className="ellipsis" title={f.name}>
                    {f.name}
                  </span>
                  <span className="c">{Intl.NumberFormat(locale, { notation: 'compact' }).format(f.hits)}</span>
                </button>
                {openField === f.name && <TopValues field={f.name} query={base.query} start={start} end={end} tenant={tenant} filter={filter} />}
              </div>
            ))}
          </aside>
          <div className="panel results" aria-busy={rows.isFetching} aria-label={t('search.what')}>
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
                {items.map((e, i) => (
                  <Row key={text(e, 'event.id') || `${text(e, '@timestamp')}-${i}`} event={e} />
                ))}
                {items.length >= limit && limit < MOST && (
                  <div style={{ padding: 12, textAlign: 'center' }}>
                    <Button loading={rows.isFetching} onClick={() => setLimit(Math.min(MOST, limit * 2))}>
                      {t('search.more', { n: Math.min(MOST, limit * 2) })}
                    </Button>
                  </div>
                )}
                {rows.data?.truncated && limit >= MOST && <div className="dim" style={{ padding: 12, textAlign: 'center' }}>{t('search.truncated')}</div>}
              </>
            )}
          </div>
        </div>
      </div>
    </FilterContext.Provider>
  );
}
