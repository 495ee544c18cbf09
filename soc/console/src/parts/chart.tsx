import { BarChart, GraphChart, LineChart, PieChart, ScatterChart } from 'echarts/charts';
import { BrushComponent, GridComponent, LegendComponent, TooltipComponent } from 'echarts/components';
import { init, use, type ECharts, type EChartsCoreOption } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import { useEffect, useRef } from 'react';
import type { Severity } from '../api/types';
import { useSettings } from '../app/settings';
import { FONT } from '../app/theme';
import { SERIES } from '../logic/palette';

use([BarChart, GraphChart, LineChart, PieChart, ScatterChart, BrushComponent, GridComponent, LegendComponent, TooltipComponent, CanvasRenderer]);

/** The page's colours as the theme has them now. */
export interface Colours {
  text: string;
  dim: string;
  faint: string;
  border: string;
  line: string;
  surface: string;
  raised: string;
  accent: string;
  warn: string;
  /** What a level is drawn in. */
  severity: Record<Severity, string>;
  /** Colours that tell series apart. */
  series: string[];
}

function colours(dark: boolean): Colours {
  const css = getComputedStyle(document.documentElement);
  const v = (name: string) => css.getPropertyValue(name).trim();
  return {
    text: v('--text'),
    dim: v('--dim'),
    faint: v('--faint'),
    border: v('--border'),
    line: v('--border-strong'),
    surface: v('--surface'),
    raised: v('--raised'),
    accent: v('--accent'),
    warn: v('--medium'),
    severity: { critical: v('--critical'), high: v('--high'), medium: v('--medium'), low: v('--low'), informational: v('--informational') },
    series: SERIES[dark ? 'dark' : 'light'],
  };
}

/** A tooltip that the content policy allows: drawn, never markup. */
export function tooltip(c: Colours): object {
  return { renderMode: 'richText', confine: true, backgroundColor: c.raised, borderColor: c.border, textStyle: { color: c.text, fontSize: 12 } };
}

/** A drawing that fits its box and follows the theme. `option` is called anew when it or the theme changes; `ready` once, to listen; `drawn` after each drawing. */
export function Chart({ option, label, className, height, ready, drawn }: { option: (c: Colours) => EChartsCoreOption; label: string; className?: string; height?: number; ready?: (c: ECharts) => void; drawn?: (c: ECharts) => void }) {
  const { dark } = useSettings();
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts | null>(null);
  const begin = useRef(ready);
  const after = useRef(drawn);
  useEffect(() => {
    if (!box.current) return undefined;
    const c = init(box.current, undefined, { renderer: 'canvas' });
    chart.current = c;
    begin.current?.(c);
    const size = new ResizeObserver(() => c.resize());
    size.observe(box.current);
    return () => {
      size.disconnect();
      c.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(() => {
    if (!chart.current) return;
    chart.current.setOption({ animation: false, textStyle: { fontFamily: FONT }, ...option(colours(dark)) }, { notMerge: true });
    after.current?.(chart.current);
  }, [option, dark]);
  return <div ref={box} className={className} style={height ? { height } : undefined} role="img" aria-label={label} />;
}
