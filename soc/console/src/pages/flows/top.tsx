import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Segmented, Select } from 'antd';
import { Suspense, lazy } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import { FLOW_BY, FLOW_METRICS, type FlowBy, type FlowMetric, type FlowSeries, type Top, type TopItem } from '../../api/flows';
import { list } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { flowsOf, itemName } from '../../logic/flows';
import { bytes, number } from '../../logic/format';
import { parseRange, rangeQuery } from '../../logic/urlstate';
import { PeerMark } from '../../parts/flows/peer';
import { Panel } from '../../parts/page';
import { Empty, Loaded, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { SPAN } from './span';

const Lines = lazy(() => import('../../parts/charts').then((m) => ({ default: m.Lines })));

/** The largest by a dimension of choice, over the range and over time. */
export function TopTalkers() {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const by: FlowBy = FLOW_BY.find((x) => x === url.get('by')) ?? 'host';
  const metric: FlowMetric = FLOW_METRICS.find((x) => x === url.get('metric')) ?? 'bytes';
  const range = parseRange(url, SPAN);
  const asked = { ...rangeQuery(range), by, metric };
  const say = (n: number) => (metric === 'bytes' ? bytes(n, locale) : number(n, locale));
  const top = useQuery({ queryKey: ['flow-top', asked], queryFn: ({ signal }) => get<Top>('/flows/top', { ...asked, limit: 20 }, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const series = useQuery({ queryKey: ['flow-series', asked], queryFn: ({ signal }) => get<FlowSeries>('/flows/series', { ...asked, limit: 6, buckets: 60 }, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const raw = (x: TopItem) => `/search?${new URLSearchParams({ query: flowsOf(by, x), ...('since' in range ? { since: range.since } : range) })}`;
  return (
    <>
      <div className="filters" role="search">
        <Select aria-label={t('flows.by')} value={by} onChange={(v) => setUrl({ by: v })} options={FLOW_BY.map((x) => ({ value: x, label: t(`flowby.${x}`) }))} style={{ width: 150 }} />
        <Segmented<FlowMetric> aria-label={t('plot.measure')} value={metric} onChange={(v) => setUrl({ metric: v })} options={FLOW_METRICS.map((x) => ({ value: x, label: t(`flowmetric.${x}`) }))} />
        {top.data && (
          <span className="dim">
            {t('flows.total', { b: bytes(top.data.total.bytes, locale), n: number(top.data.total.flows, locale) })} · {t('flows.estimate')}
          </span>
        )}
      </div>
      <Stale query={top} />
      <Loaded query={top} what="page.flows" lines={12}>
        {(d) =>
          list(d.items).length === 0 ? (
            <Panel>
              <Empty title={t('flows.none')} why={t('flows.noneWhy')}>
                <code className="cmd">flow: {'{'} listen: ":2055" {'}'}</code>
              </Empty>
            </Panel>
          ) : (
            <div className="stack">
              <Panel title={t('flows.overTime', { x: t(`flowby.${by}`), y: t(`flowmetric.${metric}`) })}>
                <Loaded query={series} what="page.flows" lines={5} small>
                  {(s) => {
                    const times = list(s.times).map((x) => Date.parse(x));
                    const lines = list(s.series).map((x) => ({ name: itemName(x), values: x.values }));
                    if (list(s.other).some((x) => x > 0)) lines.push({ name: t('plot.rest'), values: list(s.other) });
                    return (
                      <Suspense fallback={<Skeleton lines={5} />}>
                        <Lines area binary={metric === 'bytes'} data={{ times, lines }} label={t('flows.top')} say={say} height={230} />
                      </Suspense>
                    );
                  }}
                </Loaded>
              </Panel>
              <div className="panel" style={{ overflowX: 'auto' }}>
                <DataTable
                  label={t('flows.top')}
                  rows={list(d.items)}
                  rowKey={(x) => `${x.zone ?? ''}|${x.key}`}
                  columns={[
                    {
                      key: 'key',
                      title: t(`flowby.${by}`),
                      render: (x) =>
                        x.a && x.b ? (
                          <>
                            <PeerMark peer={x.a} /> ↔ <PeerMark peer={x.b} />
                          </>
                        ) : x.peer ? (
                          <PeerMark peer={x.peer} />
                        ) : (
                          <b style={{ fontWeight: 550 }}>{itemName(x)}</b>
                        ),
                    },
                    {
                      key: 'share',
                      title: t('flows.share'),
                      width: 220,
                      render: (x) => (
                        <span className="share">
                          <i style={{ width: `${Math.min(100, x.share * 100)}%` }} />
                          <span>{number(Math.round(x.share * 1000) / 10, locale)}%</span>
                        </span>
                      ),
                    },
                    ...FLOW_METRICS.map((m) => ({ key: m, title: t(`flowmetric.${m}`), num: true, render: (x: TopItem) => <span className={m === metric ? 'strongest' : 'dim'}>{m === 'bytes' ? bytes(x.bytes, locale) : number(x[m], locale)}</span> })),
                    { key: 'raw', title: '', width: 110, render: (x) => <Link to={raw(x)}>{t('flows.raw')}</Link> },
                  ]}
                />
              </div>
            </div>
          )
        }
      </Loaded>
    </>
  );
}
