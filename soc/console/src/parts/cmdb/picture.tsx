import { Button } from 'antd';
import { Suspense, lazy, useMemo, useRef, useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { itemPath, useWords, type ItemRef, type Link } from '../../api/cmdb';
import { useSettings } from '../../app/settings';
import { flow, lanes } from '../../logic/topology';
import { list } from '../../api/types';
import { Skeleton } from '../states';
import type { GraphHandle } from './graph';

// G6 is heavy: it comes with the first picture, not with the page.
export const LazyGraph = lazy(() => import('./graph').then((m) => ({ default: m.ItemGraph })));

/** Items and the relations among them, laid out by how far they are from the first ones, or in the lanes of their layers. */
export function Picture({ items, links, first, layout, height, arrows = true }: { items: readonly ItemRef[]; links: readonly Link[]; first: readonly string[]; layout: 'flow' | 'lanes'; height?: number | string; arrows?: boolean }) {
  const { t } = useSettings();
  const navigate = useNavigate();
  const words = useWords();
  const graph = useRef<GraphHandle>(null);
  const [chosen, setChosen] = useState('');
  const drawn = useMemo(() => {
    const layerOf = (i: ItemRef) => layerOfClass(words, i.class);
    const inLanes = layout === 'lanes' ? lanes(items.map((i) => ({ id: i.id, layer: layerOf(i) })), links, list(words.model?.layers).map((l) => l.name)) : null;
    const at = inLanes ? inLanes.at : flow(items.map((i) => i.id), links, first);
    return {
      nodes: items.map((i) => ({ id: i.id, name: i.name || i.id, sub: words.className(i.class), kind: i.class, at: at.get(i.id) ?? { x: 0, y: 0 }, main: first.includes(i.id) })),
      edges: links.map((l) => ({ id: `${l.from} ${l.type} ${l.to}`, from: l.from, to: l.to, label: words.typeName(l.type) })),
      lanes: inLanes?.lanes.map((l) => ({ ...l, title: l.key ? words.layerName(l.key) : t('ci.noLayer') })),
    };
  }, [items, links, first, layout, words, t]);
  if (!words.model) return <Skeleton lines={8} />;
  return (
    <div className="graphbox">
      <div className="graphtools">
        <Button size="small" onClick={() => graph.current?.zoom(1.25)} aria-label={t('ci.zoomIn')}>
          ＋
        </Button>
        <Button size="small" onClick={() => graph.current?.zoom(0.8)} aria-label={t('ci.zoomOut')}>
          －
        </Button>
        <Button size="small" onClick={() => graph.current?.fit()}>
          {t('ci.fit')}
        </Button>
      </div>
      <Suspense fallback={<Skeleton lines={10} />}>
        <LazyGraph ref={graph} label={t('ci.graphOf', { n: items.length, m: links.length })} nodes={drawn.nodes} edges={drawn.edges} lanes={drawn.lanes} lines={!arrows ? 'straight' : layout === 'lanes' ? 'down' : 'across'} chosen={chosen} onChoose={setChosen} onOpen={(id) => navigate(itemPath(id))} height={height} fitKey={`${layout} ${items.length} ${first.join()}`} />
      </Suspense>
    </div>
  );
}

/** The layer of a class, or of the one it extends. */
export function layerOfClass(words: ReturnType<typeof useWords>, cls: string): string {
  for (let c = words.classOf(cls), n = 0; c && n < 20; c = c.extends ? words.classOf(c.extends) : undefined, n++) if (c.layer) return c.layer;
  return '';
}
