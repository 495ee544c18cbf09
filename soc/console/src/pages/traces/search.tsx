import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { Suspense, lazy, useEffect, useMemo, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { get } from '../../api/client';
import { useTraceOperations, useTraceServices, type TraceAnswer, type TraceSummary, type Within } from '../../api/traces';
import { list } from '../../api/types';
import { useSettled, useUrl } from '../../app/hooks';
import { useKept } from '../../app/kept';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { CLIENTS, NO_TOKEN, authority, curlSpan } from '../../logic/connect';
import { duration, number } from '../../logic/format';
import { lengthOf, ordered, traceLink, type TraceOrder } from '../../logic/trace';
import { CodeBox } from '../../parts/codebox';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { ErrorCount } from '../../parts/traces/marks';

const Scatter = lazy(() => import('../../parts/traces/scatter'));
const ORDERS: TraceOrder[] = ['newest', 'longest', 'errors', 'spans'];
const KINDS = ['server', 'client', 'internal', 'producer', 'consumer'] as const;
const FEW = 100;
const MOST = 500;

/** Finds traces by what one of their spans must be: a table, and dots over time. */
export function TraceSearch({ within, again, widen }: { within: Within; again: () => void; widen: () => void }) {
  const { t, locale } = useSettings();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const service = url.get('service') ?? '';
  const operation = url.get('operation') ?? '';
  const kind = url.get('kind') ?? '';
  const tags = url.get('tags') ?? '';
  const min = url.get('min') ?? '';
  const max = url.get('max') ?? '';
  const errors = url.get('errors') === '1';
  const order = ORDERS.find((o) => o === url.get('order')) ?? 'newest';
  const limit = url.get('limit') === String(MOST) ? MOST : FEW;
  const services = useTraceServices(within);
  const operations = useTraceOperations(within, service);
  const badLength = (x: string) => x !== '' && lengthOf(x) === null;
  const query = useQuery({
    queryKey: ['traces', within, service, operation, kind, tags, min, max, errors, limit],
    enabled: !badLength(min) && !badLength(max),
    queryFn: ({ signal }) =>
      get<TraceAnswer>('/traces', { ...within, service, operation, kind, tags, min_duration: lengthOf(min) ?? undefined, max_duration: lengthOf(max) ?? undefined, errors: errors || undefined, limit }, signal),
    placeholderData: keepPreviousData,
  });
  const items = useMemo(() => ordered(list(query.data?.items), order), [query.data, order]);
  const longest = Math.max(1, ...items.map((x) => x.duration_ns));
  const filtered = !!(service || operation || kind || tags || min || max || errors);
  const clear = () => setUrl({ service: undefined, operation: undefined, kind: undefined, tags: undefined, min: undefined, max: undefined, errors: undefined });
  const [cursor, setCursor] = useKept('row', '');
  const at = items.findIndex((x) => x.trace_id === cursor);
  const open = (x: TraceSummary | undefined) => x && navigate(traceLink(x.trace_id));
  const move = (to: number) => {
    const next = Math.max(0, Math.min(items.length - 1, to));
    setCursor(items[next]?.trace_id ?? '');
    document.querySelector(`[data-id="${items[next]?.trace_id ?? ''}"]`)?.scrollIntoView({ block: 'nearest' });
  };
  useKeys({
    j: () => move(at + 1),
    k: () => move(at - 1),
    Enter: () => open(items[at]),
    r: again,
    '/': () => document.querySelector<HTMLInputElement>('#trace-tags')?.focus(),
  });
  const select = (value: string, placeholder: string, options: { value: string; label: string }[], change: (v?: string) => void, width: number) => (
    <Select showSearch allowClear aria-label={placeholder} placeholder={placeholder} value={value || undefined} options={options} onChange={change} optionFilterProp="label" popupMatchSelectWidth={false} style={{ width }} />
  );
  return (
    <>
      <div className="filters" role="search">
        {select(service, t('traces.anyService'), list(services.data).map((s) => ({ value: s.name, label: s.name })), (v) => setUrl({ service: v, operation: undefined }, true), 150)}
        {select(operation, t('traces.anyOperation'), [...new Set(list(operations.data).map((o) => o.name))].map((n) => ({ value: n, label: n })), (v) => setUrl({ operation: v }, true), 180)}
        {select(kind, t('traces.anyKind'), KINDS.map((k) => ({ value: k, label: t(`traces.kind.${k}`) })), (v) => setUrl({ kind: v }, true), 110)}
        <Typed id="trace-tags" param="tags" hint={t('traces.tags')} width={270} />
        <Typed param="min" hint={t('traces.min')} width={135} bad={badLength(min) ? t('traces.badLength') : ''} />
        <Typed param="max" hint={t('traces.max')} width={70} bad={badLength(max) ? t('traces.badLength') : ''} />
        <button className="plain toggle" aria-pressed={errors} onClick={() => setUrl({ errors: errors ? undefined : '1' }, true)}>
          <i className="dot error" /> {t('traces.errorsOnly')}
        </button>
        {filtered && (
          <Button type="text" size="small" onClick={clear}>
            {t('traces.clear')}
          </Button>
        )}
        <Button onClick={again} loading={query.isFetching} style={{ marginLeft: 'auto' }}>
          {t('search.run')}
        </Button>
      </div>
      <Stale query={query} />
      {query.error && !query.data ? (
        <div className="panel">
          <Failed error={query.error} what="traces.what" retry={() => void query.refetch()} />
        </div>
      ) : !query.data ? (
        <div className="panel">
          <Skeleton lines={14} />
        </div>
      ) : items.length === 0 ? (
        <div className="panel">{filtered || list(services.data).length > 0 ? <Empty title={t('traces.empty')} why={t('traces.emptyWhy')}>{filtered && <Button onClick={clear}>{t('traces.clear')}</Button>}<Button onClick={widen}>{t('search.widen')}</Button></Empty> : <HowToSend widen={widen} />}</div>
      ) : (
        <>
          <div className="panel" style={{ padding: '6px 8px', marginBottom: 12 }}>
            <Suspense fallback={<div style={{ height: 170 }} />}>
              <Scatter items={items} within={within} open={(id) => navigate(traceLink(id))} />
            </Suspense>
          </div>
          <div className="panel" style={{ overflowX: 'auto' }}>
            <header className="row" style={{ padding: '8px 14px 2px' }}>
              <b data-testid="trace-count">{t(query.data.truncated ? 'traces.countMore' : 'traces.count', { n: items.length })}</b>
              {query.data.truncated && limit < MOST && (
                <Button size="small" onClick={() => setUrl({ limit: String(MOST) })}>
                  {t('traces.more', { n: MOST })}
                </Button>
              )}
              <span className="row" style={{ marginLeft: 'auto', gap: 4 }} role="group" aria-label={t('traces.order')}>
                {ORDERS.map((o) => (
                  <button key={o} className="plain toggle" aria-pressed={order === o} onClick={() => setUrl({ order: o === 'newest' ? undefined : o })}>
                    {t(`traces.order.${o}`)}
                  </button>
                ))}
              </span>
            </header>
            <DataTable
              label={t('traces.what')}
              rows={items}
              rowKey={(x) => x.trace_id}
              marked={items[at]?.trace_id}
              onRow={open}
              columns={[
                {
                  key: 'root',
                  title: t('traces.root'),
                  render: (x) => (
                    <Link to={traceLink(x.trace_id)} className="peer">
                      {x.root ? (
                        <>
                          <b style={{ fontWeight: 550 }}>{x.root.service || '–'}</b> <span className="mono">{x.root.operation}</span>
                        </>
                      ) : (
                        <span className="dim" title={x.trace_id}>
                          {t('traces.noRoot')} <code>{x.trace_id.slice(0, 8)}</code>
                        </span>
                      )}
                    </Link>
                  ),
                },
                {
                  key: 'duration',
                  title: t('traces.duration'),
                  width: 240,
                  render: (x) => (
                    <span className="share">
                      <span className="num nowrap" style={{ width: 76 }}>
                        {duration(x.duration_ns, locale)}
                      </span>
                      <i style={{ width: `${(100 * x.duration_ns) / longest / 1.7}%` }} />
                    </span>
                  ),
                },
                { key: 'errors', title: t('traces.errors'), num: true, render: (x) => <ErrorCount n={x.errors} /> },
                { key: 'spans', title: t('traces.spans'), num: true, render: (x) => number(x.spans, locale) },
                { key: 'services', title: t('traces.services'), render: (x) => <Services of={x} /> },
                { key: 'start', title: t('traces.started'), num: true, render: (x) => <When time={x.start} /> },
              ]}
            />
          </div>
        </>
      )}
    </>
  );
}

/** A condition that is typed; it counts once the hand rests. */
function Typed({ id, param, hint, width, bad = '' }: { id?: string; param: string; hint: string; width: number; bad?: string }) {
  const [url, setUrl] = useUrl();
  const given = url.get(param) ?? '';
  const [text, setText] = useState(given);
  const settled = useSettled(text, 400);
  useEffect(() => setText(given), [given]);
  useEffect(() => {
    if (settled === text && settled.trim() !== given) setUrl({ [param]: settled.trim() });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps
  return <Input id={id} allowClear aria-label={hint} placeholder={hint} title={bad || hint} status={bad ? 'error' : undefined} value={text} onChange={(e) => setText(e.target.value)} style={{ width }} className="mono" />;
}

function Services({ of: x }: { of: TraceSummary }) {
  const all = list(x.services);
  return (
    <span className="tags">
      {all.slice(0, 4).map((s) => (
        <span key={s.name} className="tag">
          {s.errors > 0 && <i className="dot error" />}
          {s.name} <span className="faint">{s.spans}</span>
        </span>
      ))}
      {all.length > 4 && (
        <span className="tag" title={all.slice(4).map((s) => s.name).join(', ')}>
          +{all.length - 4}
        </span>
      )}
    </span>
  );
}

/** What to do where no trace ever came: the address, and one span to try. */
function HowToSend({ widen }: { widen: () => void }) {
  const { t } = useSettings();
  const place = { base: window.location.origin, tenant: '', token: NO_TOKEN };
  const { scheme, host, port } = authority(place.base);
  const sdk = CLIENTS.find((c) => c.id === 'otel-sdk');
  return (
    <div style={{ maxWidth: 860, margin: '0 auto', padding: '24px 20px' }} data-testid="how-to-send">
      <h3 style={{ fontSize: 14, marginBottom: 6 }}>{t('traces.never')}</h3>
      <p className="dim" style={{ marginBottom: 10 }}>
        {t('traces.neverWhy')} <code>{`${scheme}://${host}:${port}/otlp`}</code>
      </p>
      {sdk?.snippets(place).map((s) => <CodeBox key={s.into} into="OpenTelemetry SDK" text={s.text} />)}
      <p className="dim" style={{ marginBottom: 10 }}>
        {t('traces.neverTry')}
      </p>
      <CodeBox into="curl" text={curlSpan(place)} />
      <div className="row">
        <Link to="/connect?client=otel-sdk">
          <Button type="primary">{t('traces.connect')}</Button>
        </Link>
        <Button onClick={widen}>{t('search.widen')}</Button>
      </div>
    </div>
  );
}
