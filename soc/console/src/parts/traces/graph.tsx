import { useCallback, useRef } from 'react';
import type { ServiceMap } from '../../api/traces';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { duration, number } from '../../logic/format';
import { layers } from '../../logic/layers';
import { Chart, tooltip, type Colours } from '../chart';

const ROW = 92;

/** Services from callers at the left to callees at the right. Thickness is calls; what fails stands out by colour and dashes. */
export default function Graph({ map, chosen, onNode }: { map: ServiceMap; chosen: string; onNode: (service: string) => void }) {
  const { t, locale } = useSettings();
  const choose = useRef(onNode);
  choose.current = onNode;
  const nodes = list(map.nodes);
  const edges = list(map.edges);
  const places = layers(nodes.map((n) => n.service), edges);
  const rows = Math.max(1, ...[...places.values()].map((p) => p.of));
  const option = useCallback(
    (c: Colours) => {
      const columns = Math.max(...[...places.values()].map((p) => p.layer), 0);
      const most = Math.max(1, ...edges.map((e) => e.calls));
      const rate = (n: number, of: number) => (of > 0 ? n / of : 0);
      const percent = (x: number) => `${(100 * x).toLocaleString(locale, { maximumSignificantDigits: 2 })}%`;
      return {
        tooltip: {
          ...tooltip(c),
          formatter: (p: { dataType: string; dataIndex: number }) => {
            if (p.dataType === 'node') {
              const n = nodes[p.dataIndex];
              return n ? [n.service, `${t('traces.spans')} ${number(n.spans, locale)}`, `${t('map.errorRate')} ${percent(rate(n.errors, n.spans))}`, `P50 ${duration(n.p50_ns, locale)}  P95 ${duration(n.p95_ns, locale)}`].join('\n') : '';
            }
            const e = edges[p.dataIndex];
            return e ? [`${e.parent} → ${e.child}`, `${t('map.calls')} ${number(e.calls, locale)}`, `${t('map.errorRate')} ${percent(rate(e.errors, e.calls))}`, `P50 ${duration(e.p50_ns, locale)}  P95 ${duration(e.p95_ns, locale)}`].join('\n') : '';
          },
        },
        grid: { left: 80, right: 80, top: 10, bottom: 30 },
        xAxis: { type: 'value', show: false, min: columns === 0 ? -1 : 0, max: Math.max(1, columns) },
        yAxis: { type: 'value', show: false, inverse: true, min: 0, max: 1 },
        series: [
          {
            type: 'graph',
            coordinateSystem: 'cartesian2d',
            edgeSymbol: ['none', 'arrow'],
            edgeSymbolSize: 8,
            data: nodes.map((n) => {
              const p = places.get(n.service) ?? { layer: 0, row: 0, of: 1 };
              const failing = rate(n.errors, n.spans) >= 0.01;
              return {
                id: n.service,
                name: n.service,
                value: [p.layer, (p.row + 0.5) / p.of],
                symbol: failing ? 'diamond' : 'circle',
                symbolSize: n.service === chosen ? 30 : 22,
                itemStyle: { color: failing ? c.warn : n.service === chosen ? c.accent : c.series[2], borderColor: c.surface, borderWidth: 2 },
                label: { show: true, position: 'bottom', color: c.text, fontSize: 12, lineHeight: 16, fontWeight: n.service === chosen ? 'bold' : 'normal', formatter: `${n.service}\nP95 ${duration(n.p95_ns, locale)}${n.errors > 0 ? ` ◆ ${percent(rate(n.errors, n.spans))}` : ''}` },
              };
            }),
            links: edges.map((e) => {
              const failing = rate(e.errors, e.calls) >= 0.01;
              return {
                source: e.parent,
                target: e.child,
                lineStyle: { color: failing ? c.warn : c.line, type: failing ? 'dashed' : 'solid', width: 1.2 + 3.5 * Math.sqrt(e.calls / most), curveness: 0.08, opacity: 0.95 },
                label: { show: edges.length <= 40, color: c.dim, fontSize: 11, backgroundColor: c.surface, padding: [1, 3], formatter: t('map.edge', { n: e.calls, d: duration(e.p95_ns, locale) }) },
              };
            }),
            emphasis: { focus: 'adjacency' },
          },
        ],
      };
    },
    [map, chosen, locale, t], // eslint-disable-line react-hooks/exhaustive-deps
  );
  return (
    <Chart
      label={t('map.label')}
      option={option}
      height={Math.max(220, Math.min(640, rows * ROW + 60))}
      ready={(c) =>
        c.on('click', (e) => {
          const x = e as unknown as { dataType?: string; name: string };
          if (x.dataType === 'node') choose.current(x.name);
        })
      }
    />
  );
}
