import { useCallback, useRef } from 'react';
import type { FlowMap } from '../../api/flows';
import { list } from '../../api/types';
import { serverNow } from '../../api/client';
import { useSettings } from '../../app/settings';
import { links, peerName, serviceName, type Link } from '../../logic/flows';
import { bytes } from '../../logic/format';
import { Chart, tooltip, type Colours } from '../chart';

/** Who talks to whom: arrows lead from client to server, thickness is volume, what is new within a day stands out. */
export default function MapChart({ map, onNode, onLink }: { map: FlowMap; onNode: (id: string) => void; onLink: (l: Link) => void }) {
  const { t, locale } = useSettings();
  const on = useRef({ onNode, onLink });
  on.current = { onNode, onLink };
  const drawn = useRef<Link[]>([]);
  const option = useCallback(
    (c: Colours) => {
      const all = links(map, serverNow());
      drawn.current = all;
      const most = Math.max(1, ...all.map((l) => l.bytes));
      const center = new Set(list(map.center));
      const nodes = list(map.nodes);
      return {
        tooltip: {
          ...tooltip(c),
          formatter: (p: { dataType: string; dataIndex: number }) => {
            if (p.dataType === 'node') {
              const n = nodes[p.dataIndex];
              return n ? [n.ci?.name, n.address, n.ci?.system?.name, n.internal ? '' : t('flows.external')].filter(Boolean).join('\n') : '';
            }
            const l = all[p.dataIndex];
            return l ? [`${l.source.split('|')[1]} → ${l.target.split('|')[1]}`, bytes(l.bytes, locale), ...l.edges.slice(0, 6).map((e) => serviceName(e))].join('\n') : '';
          },
        },
        series: [
          {
            type: 'graph',
            layout: 'force',
            roam: true,
            draggable: true,
            force: { repulsion: 240, edgeLength: [60, 170], gravity: 0.08, layoutAnimation: false },
            edgeSymbol: ['none', 'arrow'],
            edgeSymbolSize: 7,
            data: nodes.map((n) => ({
              id: n.id,
              name: n.id,
              symbol: n.internal ? 'circle' : 'diamond',
              symbolSize: center.has(n.id) ? 30 : n.depth > 1 ? 12 : 18,
              itemStyle: { color: center.has(n.id) ? c.accent : n.internal ? c.series[2] : c.series[1], borderColor: c.surface, borderWidth: 2 },
              label: { show: true, position: 'right', color: c.text, fontSize: 12, fontWeight: center.has(n.id) ? 'bold' : 'normal', formatter: peerName(n) },
            })),
            links: all.map((l) => ({
              source: l.source,
              target: l.target,
              lineStyle: { color: l.fresh ? c.series[3] : c.line, width: 1 + 4 * Math.sqrt(l.bytes / most), curveness: 0.12, opacity: l.fresh ? 1 : 0.85 },
            })),
            emphasis: { focus: 'adjacency' },
          },
        ],
      };
    },
    [map, t, locale],
  );
  return (
    <Chart
      label={t('flows.map')}
      option={option}
      height={520}
      ready={(c) =>
        c.on('click', (e) => {
          const x = e as unknown as { dataType?: string; dataIndex: number; data: { id?: string } };
          if (x.dataType === 'node' && x.data.id) on.current.onNode(x.data.id);
          const l = drawn.current[x.dataIndex];
          if (x.dataType === 'edge' && l) on.current.onLink(l);
        })
      }
    />
  );
}
