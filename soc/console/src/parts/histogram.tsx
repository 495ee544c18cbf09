import type { ECharts } from 'echarts/core';
import { useCallback, useRef } from 'react';
import { list, type Histogram as Data } from '../api/types';
import { useSettings } from '../app/settings';
import { absolute, clock, number } from '../logic/format';
import { Chart, tooltip, type Colours } from './chart';

/** A chart drawn anew forgets that dragging chooses. */
const dragging = (c: ECharts) => c.dispatchAction({ type: 'takeGlobalCursor', key: 'brush', brushOption: { brushType: 'lineX', brushMode: 'single' } });

/** Events over time, zero-based. Dragging chooses a span; a click chooses one bar. */
export default function Histogram({ data, earlier, onSpan }: { data: Data; /** Counts of an earlier window, one for each bar, drawn as a line over them. */ earlier?: readonly number[]; onSpan: (start: number, end: number) => void }) {
  const { t, locale, dark } = useSettings();
  const span = useRef(onSpan);
  span.current = onSpan;
  const latest = useRef(data);
  latest.current = data;

  const listen = (c: ECharts) => {
    const choose = (from: number, to: number) => {
      const b = list(latest.current.buckets);
      const first = b[Math.max(0, from)];
      const last = b[Math.min(b.length - 1, to)];
      if (first && last) span.current(Date.parse(first.time), Date.parse(last.time) + latest.current.step_ms);
    };
    c.on('brushEnd', (e: unknown) => {
      const r = (e as { areas?: { coordRange?: [number, number] }[] }).areas?.[0]?.coordRange;
      if (r) choose(r[0], r[1]);
      c.dispatchAction({ type: 'brush', areas: [] });
    });
    c.on('click', (e: { dataIndex?: number }) => {
      if (e.dataIndex !== undefined) choose(e.dataIndex, e.dataIndex);
    });
  };

  const option = useCallback(
    (c: Colours) => {
      const buckets = list(data.buckets);
      // The least that tells two bars apart: the day where there are several, seconds where bars are shorter than a minute.
      const days = data.step_ms * buckets.length > 36 * 3_600_000;
      const label = (v: string) => (days ? absolute(v).slice(5, 16) : absolute(v).slice(11, data.step_ms < 60_000 ? 19 : 16));
      return {
        grid: { left: 46, right: 8, top: 8, bottom: 20 },
        tooltip: {
          ...tooltip(c),
          trigger: 'axis',
          axisPointer: { type: 'shadow' },
          formatter: (p: { dataIndex: number }[]) => {
            const b = buckets[p[0]?.dataIndex ?? -1];
            const before = earlier?.[p[0]?.dataIndex ?? -1];
            return b ? `${absolute(b.time)}\n${number(b.count, locale)}${before === undefined ? '' : `\n${t('versus.before')} ${number(before, locale)}`}` : '';
          },
        },
        xAxis: {
          type: 'category',
          data: buckets.map((b) => b.time),
          axisTick: { show: false },
          axisLine: { lineStyle: { color: c.line } },
          axisLabel: { color: c.dim, fontSize: 11, hideOverlap: true, formatter: label },
        },
        yAxis: {
          type: 'value',
          min: 0,
          minInterval: 1,
          splitNumber: 2,
          splitLine: { lineStyle: { color: c.border } },
          axisLabel: { color: c.dim, fontSize: 11, formatter: (v: number) => Intl.NumberFormat(locale, { notation: 'compact' }).format(v) },
        },
        brush: { xAxisIndex: 0, brushType: 'lineX', transformable: false, removeOnClick: true, throttleType: 'debounce', brushStyle: { color: dark ? 'rgba(108,176,247,0.2)' : 'rgba(22,119,255,0.14)', borderColor: c.accent } },
        series: [
          { type: 'bar', data: buckets.map((b) => b.count), barCategoryGap: '12%', itemStyle: { color: c.accent, opacity: 0.85 } },
          ...(earlier ? [{ type: 'line', data: [...earlier], step: 'middle', symbol: 'none', silent: true, lineStyle: { color: c.text, width: 1.5, type: 'dashed', opacity: 0.75 } }] : []),
        ],
      };
    },
    [data, earlier, locale, dark, t],
  );
  return <Chart className="histo" label={t('search.histogram', { step: clock(data.step_ms, locale) })} option={option} ready={listen} drawn={dragging} />;
}
