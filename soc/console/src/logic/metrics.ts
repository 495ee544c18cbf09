/** Answers of the metric lake as lines. */
import type { Lines } from './plot';

interface Series {
  metric: Record<string, string>;
  values: [number, string][];
}

/** Every series on one axis; a time a series has no value for is a gap in its line. */
export function matrixLines(result: readonly Series[], name: (metric: Record<string, string>) => string): Lines {
  const times = [...new Set(result.flatMap((s) => s.values.map(([at]) => at)))].sort((a, b) => a - b);
  const place = new Map(times.map((x, i) => [x, i]));
  return {
    times: times.map((x) => x * 1000),
    lines: result.map((s) => {
      const values: (number | null)[] = times.map(() => null);
      for (const [at, v] of s.values) {
        const n = Number(v);
        if (Number.isFinite(n)) values[place.get(at) as number] = n;
      }
      return { name: name(s.metric), values };
    }),
  };
}
