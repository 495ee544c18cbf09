import { useCallback, useRef } from 'react';
import type { TraceSummary, Within } from '../../api/traces';
import { useSettings } from '../../app/settings';
import { absolute, duration } from '../../logic/format';
import { Chart, tooltip, type Colours } from '../chart';

/** Traces as dots: when they began, how long they took, whether anything failed. A dot opens its trace. */
export default function Scatter({ items, within, open }: { items: readonly TraceSummary[]; within: Within; open: (id: string) => void }) {
  const { t, locale } = useSettings();
  const choose = useRef(open);
  choose.current = open;
  const option = useCallback(
    (c: Colours) => {
      const lengths = items.map((x) => Math.max(1, x.duration_ns));
      const wide = Math.max(...lengths) / Math.min(...lengths) > 100;
      const from = Date.parse(within.start);
      const to = Date.parse(within.end);
      const point = (x: TraceSummary) => ({ value: [Date.parse(x.start), Math.max(1, x.duration_ns)], id: x.trace_id, name: x.root ? `${x.root.service} ${x.root.operation}` : x.trace_id });
      const series = (name: string, some: TraceSummary[], color: string, symbol: string) => ({ name, type: 'scatter', data: some.map(point), symbol, symbolSize: symbol === 'diamond' ? 11 : 8, itemStyle: { color, opacity: 0.75 }, cursor: 'pointer' });
      return {
        grid: { left: 66, right: 16, top: 30, bottom: 22 },
        legend: { top: 0, left: 0, textStyle: { color: c.text, fontSize: 12 }, itemWidth: 12, itemHeight: 9 },
        tooltip: { ...tooltip(c), trigger: 'item', formatter: (p: { name: string; value: [number, number] }) => `${p.name}\n${absolute(p.value[0], true)}\n${duration(p.value[1], locale)}` },
        xAxis: { type: 'time', min: from, max: to, axisLine: { lineStyle: { color: c.line } }, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { color: c.dim, fontSize: 11, hideOverlap: true, formatter: (v: number) => (to - from > 36 * 3_600_000 ? absolute(v).slice(5, 16) : absolute(v).slice(11, 16)) } },
        yAxis: { type: wide ? 'log' : 'value', min: wide ? undefined : 0, splitNumber: 3, splitLine: { lineStyle: { color: c.border } }, axisLabel: { color: c.dim, fontSize: 11, formatter: (v: number) => duration(v, locale) } },
        series: [series(t('traces.ok'), items.filter((x) => x.errors === 0), c.accent, 'circle'), series(t('traces.failed'), items.filter((x) => x.errors > 0), c.warn, 'diamond')],
      };
    },
    [items, within, t, locale],
  );
  return <Chart label={t('traces.scatter')} option={option} height={170} ready={(c) => c.on('click', (e) => choose.current((e.data as { id: string }).id))} />;
}
