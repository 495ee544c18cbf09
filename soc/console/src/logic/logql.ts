/** Answers of LogQL as lines on one axis, and what is told of each. */
import type { LogQLMatrix } from '../api/logql';
import { list } from '../api/types';
import type { Lines } from './plot';

/** A stream's name as the language writes it; {} where no label is left. */
export function seriesName(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => a.localeCompare(b));
  return pairs.length === 1 ? (pairs[0]?.[1] ?? '') || '""' : `{${pairs.map(([k, v]) => `${k}="${v}"`).join(', ')}}`;
}

export interface Told {
  name: string;
  labels: Record<string, string>;
  last: number | null;
  least: number;
  most: number;
  mean: number;
}

/** The figures of each series, the largest mean first. A series without a single number is left out. */
export function told(m: LogQLMatrix): Told[] {
  return list(m.series)
    .flatMap((s) => {
      const values = s.points.map(([, v]) => v).filter((v): v is number => v !== null);
      if (values.length === 0) return [];
      return [
        {
          name: seriesName(s.labels),
          labels: s.labels,
          last: s.points[s.points.length - 1]?.[1] ?? null,
          least: values.reduce((a, b) => Math.min(a, b)),
          most: values.reduce((a, b) => Math.max(a, b)),
          mean: values.reduce((a, b) => a + b, 0) / values.length,
        },
      ];
    })
    .sort((a, b) => b.mean - a.mean);
}

/** The largest series as lines. The axis has every step: where a series has no point, its line has a gap. */
export function matrixOf(m: LogQLMatrix, most: number): Lines {
  const start = Date.parse(m.start);
  const steps = Math.max(0, Math.min(11_000, Math.floor((Date.parse(m.end) - start) / m.step_ms)));
  const times = new Set(Array.from({ length: steps + 1 }, (_, i) => start + i * m.step_ms));
  const byName = new Map(list(m.series).map((s) => [seriesName(s.labels), s]));
  const shown = told(m)
    .slice(0, most)
    .map((x) => byName.get(x.name) as NonNullable<LogQLMatrix['series']>[number]);
  for (const s of shown) for (const [at] of s.points) times.add(Date.parse(at));
  const axis = [...times].sort((a, b) => a - b);
  const place = new Map(axis.map((x, i) => [x, i]));
  return {
    times: axis,
    lines: shown.map((s) => {
      const values: (number | null)[] = axis.map(() => null);
      for (const [at, v] of s.points) values[place.get(Date.parse(at)) as number] = v;
      return { name: seriesName(s.labels), values };
    }),
  };
}
