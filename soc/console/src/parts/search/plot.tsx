import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { AutoComplete, Segmented, Select } from 'antd';
import { Suspense, lazy } from 'react';
import { get } from '../../api/client';
import type { Asked } from '../../api/search';
import { list, type LogEvent, type SearchAnswer } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { MEASURES, SHAPES, columnsOf, computes, lines, parsePlot, plotQuery, plotReady, points, stepFor, type Measure, type Plot, type Shape } from '../../logic/plot';
import { Empty, Failed, Skeleton } from '../states';
import { useDesk } from './desk';

const Bars = lazy(() => import('../charts').then((m) => ({ default: m.Bars })));
const Pie = lazy(() => import('../charts').then((m) => ({ default: m.Pie })));
const Lines = lazy(() => import('../charts').then((m) => ({ default: m.Lines })));

/** A figure over the events found, drawn at once (LOG-20). The choice stands in the URL. */
export function PlotView({ asked, fields }: { asked: Asked; fields: readonly string[] }) {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const own = computes(asked.query);
  const plot: Plot = { ...parsePlot(url) };
  if (!plot.by && plot.shape !== 'line') plot.by = fields.find((f) => /^(event\.dataset|host\.name|source\.ip)$/.test(f)) ?? '';
  const span = Date.parse(asked.end) - Date.parse(asked.start);
  const query = plotQuery(asked.query, plot, span);
  const ready = own || plotReady(plot);
  const rows = useQuery({
    queryKey: ['plot', { ...asked, query }],
    enabled: ready,
    queryFn: async ({ signal }) => list((await get<SearchAnswer>('/search', { ...asked, query, limit: 5000, history: false }, signal)).items),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  const field = (key: 'by' | 'of', label: string, placeholder: string) => (
    <AutoComplete
      aria-label={label}
      placeholder={placeholder}
      allowClear
      value={plot[key]}
      options={fields.filter((f) => f.toLowerCase().includes(plot[key].toLowerCase()) || fields.includes(plot[key])).map((f) => ({ value: f, label: f }))}
      onChange={(v?: string) => setUrl({ [key]: v ?? '' })}
      popupMatchSelectWidth={280}
      style={{ width: 190 }}
    />
  );
  return (
    <div className="panel results" data-testid="plot" style={{ display: 'flex', flexDirection: 'column' }}>
      <div className="tailbar">
        <Segmented<Shape> aria-label={t('plot.shape')} value={plot.shape} onChange={(shape) => setUrl({ shape })} options={SHAPES.map((s) => ({ value: s, label: t(`plot.${s}`) }))} />
        {own ? (
          <span className="dim">{t('plot.own')}</span>
        ) : (
          <>
            <Select<Measure> aria-label={t('plot.measure')} value={plot.measure} onChange={(measure) => setUrl({ measure })} options={MEASURES.map((m) => ({ value: m, label: t(`measure.${m}`) }))} style={{ width: 130 }} />
            {plot.measure !== 'count' && field('of', t('plot.of'), t('plot.of'))}
            <span className="dim">{t(plot.shape === 'line' ? 'plot.overTimeBy' : 'plot.by')}</span>
            {field('by', t('plot.by'), t(plot.shape === 'line' ? 'plot.none' : 'plot.field'))}
            {plot.shape === 'line' && <span className="faint">{t('plot.step', { n: stepFor(span) })}</span>}
          </>
        )}
      </div>
      <div className="grow" style={{ padding: '4px 14px 14px', minHeight: 260, overflow: 'auto' }}>
        {!ready ? (
          <Empty title={t('plot.choose')} why={t('plot.chooseWhy')} />
        ) : rows.error && !rows.data ? (
          <Failed error={rows.error} what="plot.what" retry={() => void rows.refetch()} />
        ) : !rows.data ? (
          <Skeleton lines={8} />
        ) : rows.data.length === 0 ? (
          <Empty title={t('search.empty')} why={t('search.emptyWhy')} />
        ) : (
          <Drawing plot={own && plot.shape === 'line' && !rows.data.some((r) => r['@timestamp']) ? { ...plot, shape: 'bar' } : plot} rows={rows.data} bounds={[Date.parse(asked.start), Date.parse(asked.end)]} />
        )}
      </div>
    </div>
  );
}

function Drawing({ plot, rows, bounds }: { plot: Plot; rows: readonly LogEvent[]; bounds: readonly [number, number] }) {
  const { t, locale } = useSettings();
  const desk = useDesk();
  const choose = (name: string) => plot.by && desk?.filter(plot.by, name, false);
  if (plot.shape === 'table') {
    const { labels, values } = columnsOf(rows);
    return (
      <table className="data" aria-label={t('plot.what')}>
        <thead>
          <tr>
            {labels.map((l) => (
              <th key={l} scope="col">
                {l}
              </th>
            ))}
            {values.map((v) => (
              <th key={v} scope="col" className="num">
                {v === 'value' ? t(`measure.${plot.measure}`) : v}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((r, i) => (
            <tr key={i}>
              {labels.map((l) => (
                <td key={l} className="mono">
                  {String(r[l] ?? '')}
                </td>
              ))}
              {values.map((v) => (
                <td key={v} className="num">
                  {number(Number(r[v]), locale)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    );
  }
  const label = `${t(`measure.${plot.measure}`)} · ${plot.by || t('col.time')}`;
  return (
    <Suspense fallback={<Skeleton lines={8} />}>
      {plot.shape === 'line' ? (
        <Lines data={lines(rows, plot, t('plot.rest'))} label={label} height={320} bounds={bounds} />
      ) : plot.shape === 'pie' ? (
        <Pie points={points(rows)} label={label} onChoose={choose} />
      ) : (
        <Bars points={points(rows)} label={label} onChoose={choose} />
      )}
    </Suspense>
  );
}
