import { useCallback, useRef } from 'react';
import { useSettings } from '../app/settings';
import { absolute, number } from '../logic/format';
import type { Lines as LineData, Point } from '../logic/plot';
import { Chart, tooltip, type Colours } from './chart';

/** How a value reads; whole and with separators where nothing else is said. */
export type Say = (n: number) => string;

function useSay(say?: Say): Say {
  const { locale } = useSettings();
  return useCallback((n: number) => (say ? say(n) : number(n, locale)), [say, locale]);
}

/** Values side by side, the largest on top, each with its name and number beside it. */
export function Bars({ points, label, say, onChoose }: { points: readonly Point[]; label: string; say?: Say; onChoose?: (name: string) => void }) {
  const text = useSay(say);
  const choose = useRef(onChoose);
  choose.current = onChoose;
  const option = useCallback(
    (c: Colours) => ({
      grid: { left: 8, right: 70, top: 4, bottom: 4, containLabel: true },
      tooltip: { ...tooltip(c), trigger: 'item', formatter: (p: { name: string; value: number }) => `${p.name}\n${text(p.value)}` },
      xAxis: { type: 'value', min: 0, show: false },
      yAxis: { type: 'category', inverse: true, data: points.map((p) => p.name || '""'), axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: c.text, fontSize: 12, width: 260, overflow: 'truncate' } },
      series: [{ type: 'bar', data: points.map((p) => p.value), barMaxWidth: 18, itemStyle: { color: c.accent, borderRadius: 2 }, label: { show: true, position: 'right', color: c.dim, formatter: (p: { value: number }) => text(p.value) } }],
    }),
    [points, text],
  );
  return <Chart label={label} option={option} height={Math.max(120, 26 * points.length + 16)} ready={(c) => c.on('click', (e) => choose.current?.(e.name))} />;
}

/** Shares of a whole. Seven slices at most: more cannot be told apart, so the rest is one. */
export function Pie({ points, label, say, onChoose }: { points: readonly Point[]; label: string; say?: Say; onChoose?: (name: string) => void }) {
  const { t } = useSettings();
  const text = useSay(say);
  const choose = useRef(onChoose);
  choose.current = onChoose;
  const rest = t('plot.rest');
  const option = useCallback(
    (c: Colours) => {
      const shown = points.slice(0, 7).map((p) => ({ name: p.name || '""', value: p.value }));
      const others = points.slice(7).reduce((n, p) => n + p.value, 0);
      if (others > 0) shown.push({ name: rest, value: others });
      return {
        color: c.series,
        tooltip: { ...tooltip(c), trigger: 'item', formatter: (p: { name: string; value: number; percent: number }) => `${p.name}\n${text(p.value)} (${p.percent}%)` },
        series: [{ type: 'pie', radius: ['42%', '72%'], data: shown, itemStyle: { borderColor: c.surface, borderWidth: 2 }, label: { color: c.text, formatter: (p: { name: string; percent: number }) => `${p.name.length > 32 ? `${p.name.slice(0, 31)}…` : p.name}  ${Math.round(p.percent)}%` } }],
      };
    },
    [points, text, rest],
  );
  return <Chart label={label} option={option} height={320} ready={(c) => c.on('click', (e) => e.name !== rest && choose.current?.(e.name))} />;
}

interface LinesProps {
  data: LineData;
  label: string;
  say?: Say;
  height?: number;
  /** Fills the lines and stacks them: parts of one whole. */
  area?: boolean;
  /** Bars, for what is counted by the day. */
  bars?: boolean;
  /** Steps of the axis are powers of two, as bytes are counted. */
  binary?: boolean;
  /** What each line is drawn in, where colours have a meaning. */
  colours?: (c: Colours) => string[];
  /** The span asked for, where the axis shall show all of it. */
  bounds?: readonly [number, number];
}

/** A step for an axis of about four that reads well in units of 1024. */
function binaryStep(most: number): number {
  return most > 0 ? 2 ** Math.ceil(Math.log2(most / 4)) : 1;
}

/** Values over time on one axis that begins at zero. */
export function Lines({ data, label, say, height = 220, area = false, bars = false, binary = false, colours, bounds }: LinesProps) {
  const text = useSay(say);
  const [from, to] = bounds ?? [];
  const option = useCallback(
    (c: Colours) => {
      const span = (to ?? 0) - (from ?? 0) || (data.times[data.times.length - 1] ?? 0) - (data.times[0] ?? 0);
      const many = data.lines.length > 1;
      const most = area || bars ? Math.max(0, ...data.times.map((_, i) => data.lines.reduce((n, l) => n + (l.values[i] ?? 0), 0))) : Math.max(0, ...data.lines.flatMap((l) => l.values.map((v) => v ?? 0)));
      const least = Math.min(0, ...data.lines.flatMap((l) => l.values.map((v) => v ?? 0)));
      return {
        color: colours?.(c) ?? c.series,
        grid: { left: 58, right: 16, top: many ? 34 : 12, bottom: 22 },
        legend: many ? { top: 0, left: 0, right: 0, type: data.lines.length > 6 ? 'scroll' : 'plain', pageTextStyle: { color: c.dim }, pageIconColor: c.text, pageIconInactiveColor: c.faint, textStyle: { color: c.text, fontSize: 12 }, itemWidth: 14, itemHeight: 8, icon: 'roundRect', formatter: (n: string) => (n.length > 40 ? `${n.slice(0, 39)}…` : n) } : undefined,
        tooltip: {
          ...tooltip(c),
          trigger: 'axis',
          order: 'valueDesc',
          formatter: (p: { seriesName: string; value: [number, number | null] }[]) => [absolute(p[0]?.value[0] ?? 0), ...p.filter((x) => x.value[1] !== null).map((x) => `${many ? `${x.seriesName}  ` : ''}${text(x.value[1] as number)}`)].join('\n'),
        },
        xAxis: { type: 'time', min: from, max: to, axisLine: { lineStyle: { color: c.line } }, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { color: c.dim, fontSize: 11, hideOverlap: true, formatter: (v: number) => (span > 10 * 86_400_000 ? absolute(v).slice(5, 10) : span > 36 * 3_600_000 ? absolute(v).slice(5, 16) : absolute(v).slice(11, span < 600_000 ? 19 : 16)) } },
        yAxis: { type: 'value', min: least < 0 ? undefined : 0, splitNumber: 3, interval: binary ? binaryStep(most) : undefined, max: binary && most > 0 ? Math.ceil(most / binaryStep(most)) * binaryStep(most) : undefined, splitLine: { lineStyle: { color: c.border } }, axisLabel: { color: c.dim, fontSize: 11, formatter: (v: number) => text(v) } },
        series: data.lines.map((l) => ({
          name: l.name,
          type: bars ? 'bar' : 'line',
          barMaxWidth: 14,
          // A point between gaps is no line: it shows by itself.
          symbolSize: 5,
          showSymbol: l.values.some((v, i) => v !== null && (l.values[i - 1] ?? null) === null && (l.values[i + 1] ?? null) === null),
          connectNulls: false,
          lineStyle: { width: area ? 1 : 1.8 },
          stack: area || bars ? 'all' : undefined,
          areaStyle: area || !many ? { opacity: area ? 0.55 : 0.12 } : undefined,
          data: data.times.map((x, i) => [x, l.values[i] ?? null]),
        })),
      };
    },
    [data, text, area, bars, binary, colours, from, to],
  );
  return <Chart label={label} option={option} height={height} />;
}

/** Parts of wholes side by side, each whole as long as the others: what share of each is which part. `note` is said after a bar. */
export function Shares({ rows, parts, label, colours }: { rows: readonly { name: string; values: readonly number[]; note: string }[]; parts: readonly string[]; label: string; colours: (c: Colours) => string[] }) {
  const text = useSay();
  const option = useCallback(
    (c: Colours) => ({
      color: colours(c),
      grid: { left: 8, right: 110, top: 30, bottom: 4, containLabel: true },
      legend: { top: 0, left: 0, textStyle: { color: c.text, fontSize: 12 }, itemWidth: 14, itemHeight: 8, icon: 'roundRect' },
      tooltip: { ...tooltip(c), trigger: 'item', formatter: (p: { seriesName: string; name: string; dataIndex: number; seriesIndex: number }) => `${p.name}\n${p.seriesName}  ${text(rows[p.dataIndex]?.values[p.seriesIndex] ?? 0)}` },
      xAxis: { type: 'value', min: 0, max: 1, show: false },
      yAxis: [
        { type: 'category', inverse: true, data: rows.map((r) => r.name), axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: c.text, fontSize: 12, width: 160, overflow: 'truncate' } },
        { type: 'category', inverse: true, position: 'right', data: rows.map((r) => r.note), axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: c.dim, fontSize: 12 } },
      ],
      series: parts.map((name, i) => ({
        name,
        type: 'bar',
        stack: 'all',
        barMaxWidth: 18,
        data: rows.map((r) => (r.values[i] ?? 0) / Math.max(1, r.values.reduce((n, v) => n + v, 0))),
      })),
    }),
    [rows, parts, colours, text],
  );
  return <Chart label={label} option={option} height={Math.max(120, 28 * rows.length + 46)} />;
}
