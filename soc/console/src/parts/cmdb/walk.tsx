import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, InputNumber, Select } from 'antd';
import { useMemo } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { itemPath, useWords, type Item, type ItemRef, type Walk } from '../../api/cmdb';
import { get, post } from '../../api/client';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { flow, walkLinks } from '../../logic/topology';
import { Criticality } from '../severity';
import { Empty, Loaded } from '../states';
import { DataTable } from '../table';
import { Picture } from './picture';

export const WALKS = ['impact', 'root_cause', 'around'] as const;
const DRAWN = 200;

/** What an item would take down, what could take it down, or what is near: as a picture and as a list. */
export function WalkView({ item }: { item: Item }) {
  const { t, locale } = useSettings();
  const navigate = useNavigate();
  const words = useWords();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const kind = WALKS.find((k) => k === url.get('walk')) ?? 'impact';
  const depth = Math.min(16, Math.max(1, Number(url.get('depth')) || (kind === 'around' ? 1 : 4)));
  const types = (url.get('types') ?? '').split(',').filter(Boolean);
  const layout = url.get('layout') === 'lanes' ? 'lanes' : 'flow';
  const query = useQuery({ queryKey: ['cmdb', 'walk', item.id, kind, depth, types.join()], queryFn: ({ signal }) => get<Walk>(`/cmdb/items/${encodeURIComponent(item.id)}/walk`, { kind, depth, types: types.join() }, signal), placeholderData: keepPreviousData });
  const first = useMemo(() => [item.id], [item.id]);
  const drawn = useMemo(() => {
    const w = query.data;
    if (!w) return { items: [] as ItemRef[], links: [] };
    const near = list(w.steps).slice(0, DRAWN);
    return { items: [w.item, ...near.map((s) => s.item)], links: walkLinks({ ...w, steps: near }) };
  }, [query.data]);
  const keep = () =>
    act(async () => {
      const at = flow(drawn.items.map((i) => i.id), drawn.links, first);
      const made = await post<{ id: string }>('/cmdb/topologies', { name: `${item.name} · ${t(`ci.walk.${kind}`)}`, nodes: drawn.items.map((i) => ({ item: i.id, ...(at.get(i.id) ?? { x: 0, y: 0 }) })) });
      navigate(`/cmdb/topologies/${made.id}`);
    });
  return (
    <div className="stack" style={{ gap: 12 }}>
      <div className="filters" role="toolbar" aria-label={t('ci.tab.graph')} style={{ margin: 0 }}>
        {WALKS.map((k) => (
          <button key={k} className="plain toggle" aria-pressed={kind === k} onClick={() => setUrl({ walk: k === 'impact' ? undefined : k, depth: undefined })}>
            {t(`ci.walk.${k}`)}
          </button>
        ))}
        <label className="row" style={{ gap: 6 }}>
          {t('ci.depth')} <InputNumber size="small" min={1} max={16} value={depth} onChange={(v) => v && setUrl({ depth: String(v) })} style={{ width: 64 }} />
        </label>
        <Select size="small" mode="multiple" allowClear aria-label={t('ci.pathTypes')} placeholder={t('ci.pathTypes')} value={types} onChange={(v: string[]) => setUrl({ types: v })} options={list(words.model?.relation_types).map((r) => ({ value: r.name, label: words.typeName(r.name) }))} optionFilterProp="label" style={{ minWidth: 190 }} popupMatchSelectWidth={false} />
        {(['flow', 'lanes'] as const).map((l) => (
          <button key={l} className="plain toggle" aria-pressed={layout === l} onClick={() => setUrl({ layout: l === 'flow' ? undefined : l })}>
            {t(`ci.layout.${l}`)}
          </button>
        ))}
        {drawn.items.length > 1 && (
          <Button size="small" disabled={busy} style={{ marginLeft: 'auto' }} onClick={() => void keep()}>
            {t('ci.asTopology')}
          </Button>
        )}
      </div>
      <Loaded query={query} what="ci.tab.graph" lines={10}>
        {(w) =>
          list(w.steps).length === 0 ? (
            <div className="panel">
              <Empty title={t(`ci.walkNone.${kind}`)} why={t('ci.walkNoneWhy')}>
                <Link to={`${itemPath(item.id)}?tab=relations`}>{t('ci.tab.relations')}</Link>
              </Empty>
            </div>
          ) : (
            <>
              <div className="row wrap" style={{ gap: 6 }} data-testid="walkcounts">
                {Object.entries(w.counts)
                  .sort((a, b) => b[1] - a[1])
                  .map(([c, n]) => (
                    <span className="tag" key={c}>
                      {words.className(c)} <b className="num">{number(n, locale)}</b>
                    </span>
                  ))}
                {list(w.steps).length > DRAWN && <span className="faint">{t('ci.walkCut', { n: DRAWN })}</span>}
                {w.more && <span className="faint">{t('ci.walkMore')}</span>}
              </div>
              <div className="panel">
                <Picture items={drawn.items} links={drawn.links} first={first} layout={layout} />
              </div>
              <div className="panel" style={{ maxHeight: 420, overflow: 'auto' }}>
                <DataTable
                  label={t(`ci.walk.${kind}`)}
                  rows={list(w.steps)}
                  rowKey={(s) => s.item.id}
                  columns={[
                    { key: 'depth', title: t('ci.depth'), num: true, width: 60, render: (s) => s.depth },
                    { key: 'item', title: t('ci.item'), render: (s) => <Link to={itemPath(s.item.id)}>{s.item.name || s.item.id}</Link> },
                    { key: 'class', title: t('ci.class'), render: (s) => words.className(s.item.class) },
                    { key: 'type', title: t('ci.relateType'), render: (s) => words.typeName(s.type, s.forward) },
                    { key: 'criticality', title: t('ci.f.criticality'), width: 130, render: (s) => <Criticality value={s.item.criticality} /> },
                    { key: 'owner', title: t('ci.f.owner'), render: (s) => s.item.owner || '–' },
                  ]}
                />
              </div>
            </>
          )
        }
      </Loaded>
    </div>
  );
}
