import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Suspense, lazy, useEffect, useMemo, useState } from 'react';
import { ApiError, get, serverNow } from '../../api/client';
import type { LogQLAnswer, LogQLMatrix } from '../../api/logql';
import { list } from '../../api/types';
import { copyText, useFeedback } from '../../app/feedback';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { faultOf, unreadable } from '../../logic/fault';
import { number } from '../../logic/format';
import { matrixOf, told } from '../../logic/logql';
import { parseRange, rangeBounds, rangeParams } from '../../logic/urlstate';
import { Head } from '../../parts/page';
import { RangePicker } from '../../parts/range';
import { LanguageSwitch } from '../../parts/search/language';
import { LogQLRows } from '../../parts/search/logqlrows';
import { QueryBar } from '../../parts/search/querybar';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { TenantFilter } from '../../parts/tenantfilter';

const Lines = lazy(() => import('../../parts/charts').then((m) => ({ default: m.Lines })));
const SPANS = ['5m', '15m', '1h', '4h', '24h', '7d', '30d'];
const SPAN = '15m';
const PAGE = 200;
const MOST = 5000;
/** More lines than these cannot be told apart. */
const LINES = 8;
const EXAMPLES = ['{tenant=~".+"} |= "Failed password"', '{tenant=~".+"} | logfmt | level="error"', 'sum by (host) (count_over_time({tenant=~".+"}[5m]))', 'topk(5, sum by (tenant) (rate({tenant=~".+"}[1m])))'];

/** The search page in LogQL: lines as the query made them, or a chart and its figures where the query counts. */
export default function LogQL() {
  const { t } = useSettings();
  const { done, failed } = useFeedback();
  const [url, setUrl] = useUrl();
  const query = url.get('query') ?? '';
  const tenant = url.get('tenant') ?? '';
  const range = parseRange(url, SPAN);
  const forward = url.get('direction') === 'forward';
  const [draft, setDraft] = useState(query);
  const [limit, setLimit] = useState(PAGE);
  const [round, setRound] = useState(0);
  useEffect(() => {
    setDraft(query);
    setLimit(PAGE);
  }, [query]);
  const key = JSON.stringify(range);
  const asked = useMemo(() => {
    const [from, to] = rangeBounds(range, serverNow());
    return { query: query.trim(), start: new Date(from).toISOString(), end: new Date('since' in range ? to + 60_000 : to).toISOString(), tenant };
  }, [query, key, tenant, round]); // eslint-disable-line react-hooks/exhaustive-deps
  const answer = useQuery({
    queryKey: ['logql', asked, limit, forward],
    enabled: asked.query !== '',
    queryFn: ({ signal }) => get<LogQLAnswer>('/search/logql', { ...asked, limit, direction: forward ? 'forward' : undefined }, signal),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const bad = answer.error instanceof ApiError && unreadable(answer.error);
  const fault = bad && draft === query ? faultOf(answer.error as ApiError) : null;
  const run = () => {
    if (draft !== query) setUrl({ query: draft }, true);
    else setRound((n) => n + 1);
  };
  const data = asked.query === '' || bad ? undefined : answer.data;
  return (
    <div className="page fill">
      <Head title={t('page.search')}>
        <TenantFilter value={tenant} onChange={(v) => setUrl({ tenant: v }, true)} />
        <RangePicker value={range} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />
        <Button onClick={() => void copyText(`${window.location.origin}/search?${url}`).then(() => done(t('do.copied')), failed)}>{t('search.share')}</Button>
      </Head>
      <div className="searchrow">
        <LanguageSwitch value="logql" draft={draft} />
        <div className="grow">
          <QueryBar language="LogQL" draft={draft} setDraft={setDraft} run={run} busy={answer.isFetching} asked={{ ...asked, group: '' }} fault={fault} />
        </div>
      </div>
      {!bad && <Stale query={answer} />}
      <div className="panel results" data-testid="logql">
        {asked.query === '' ? (
          <Empty title={t('logql.start')} why={t('logql.startWhy')}>
            <div className="stack" style={{ alignItems: 'flex-start', gap: 6 }}>
              {EXAMPLES.map((x) => (
                <button key={x} className="plain link mono" onClick={() => setUrl({ query: x }, true)}>
                  {x}
                </button>
              ))}
            </div>
          </Empty>
        ) : bad ? (
          <Empty title={t('search.bad')} why={faultOf(answer.error as ApiError).message} />
        ) : answer.error && !data ? (
          <Failed error={answer.error} what="search.what" retry={() => void answer.refetch()} />
        ) : !data ? (
          <Skeleton lines={14} />
        ) : data.type === 'matrix' ? (
          <MatrixView data={data} bounds={[Date.parse(asked.start), Date.parse(asked.end)]} />
        ) : list(data.events).length === 0 ? (
          <Empty title={t('search.empty')} why={t('search.emptyWhy')}>
            <Button onClick={() => setUrl(rangeParams({ since: '24h' }, SPAN), true)}>{t('search.widen')}</Button>
          </Empty>
        ) : (
          <>
            <div className="row" style={{ padding: '8px 14px 4px' }}>
              <b data-testid="total">{t(data.truncated ? 'logql.first' : 'logql.count', { n: list(data.events).length })}</b>
              <button className="plain toggle" style={{ marginLeft: 'auto' }} aria-pressed={forward} onClick={() => setUrl({ direction: forward ? undefined : 'forward' })}>
                {t('logql.oldest')}
              </button>
            </div>
            <LogQLRows events={list(data.events)} />
            {data.truncated && limit < MOST && (
              <div style={{ padding: 12, textAlign: 'center' }}>
                <Button loading={answer.isFetching} onClick={() => setLimit(Math.min(MOST, limit * 5))}>
                  {t('search.more', { n: Math.min(MOST, limit * 5) })}
                </Button>
              </div>
            )}
          </>
        )}
      </div>
    </div>
  );
}

function MatrixView({ data, bounds }: { data: LogQLMatrix; bounds: readonly [number, number] }) {
  const { t, locale } = useSettings();
  const rows = useMemo(() => told(data), [data]);
  const lines = useMemo(() => matrixOf(data, LINES), [data]);
  if (rows.length === 0) return <Empty title={t('search.empty')} why={t('search.emptyWhy')} />;
  return (
    <>
      <div style={{ padding: '10px 14px 0' }}>
        <Suspense fallback={<div style={{ height: 300 }} />}>
          <Lines data={lines} label={t('view.chart')} height={300} bounds={bounds} />
        </Suspense>
        {rows.length > LINES && <p className="faint">{t('logql.mostLines', { n: LINES, m: rows.length })}</p>}
      </div>
      <DataTable
        label={t('logql.figures')}
        rows={rows}
        rowKey={(r) => r.name}
        columns={[
          { key: 'name', title: t('logql.series'), render: (r) => <span className="mono">{r.name}</span> },
          { key: 'last', title: t('logql.last'), num: true, render: (r) => number(r.last, locale) },
          { key: 'mean', title: t('logql.mean'), num: true, render: (r) => number(r.mean, locale) },
          { key: 'least', title: t('logql.least'), num: true, render: (r) => number(r.least, locale) },
          { key: 'most', title: t('logql.most'), num: true, render: (r) => number(r.most, locale) },
        ]}
      />
    </>
  );
}
