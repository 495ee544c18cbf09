import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Dropdown, Input, Modal, Select } from 'antd';
import { Suspense, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { Link, useBlocker, useNavigate, useParams } from 'react-router-dom';
import { itemPath, useWords, type Drawing, type DrawingContent, type DrawingVersion, type Link as Relation, type Relation as OfItem, type Subgraph } from '../../api/cmdb';
import { ApiError, get, post, put } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { useUrl, useSettled } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { download } from '../../logic/export';
import { flow, lanes, placesAround, type Point } from '../../logic/topology';
import type { GraphHandle } from '../../parts/cmdb/graph';
import { ItemPicker } from '../../parts/cmdb/itempicker';
import { LazyGraph, layerOfClass } from '../../parts/cmdb/picture';
import { RelateDialog } from '../../parts/cmdb/relations';
import { FormDialog, Refused } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { Failed, Skeleton } from '../../parts/states';
import { WhenFull } from '../../parts/time';
import { PropertiesFields, type Properties } from './topologies';

const MOST = 2000;

export default function TopologyPage() {
  const { id = '' } = useParams();
  const query = useQuery({ queryKey: ['cmdb', 'topology', id], queryFn: ({ signal }) => get<Drawing>(`/cmdb/topologies/${encodeURIComponent(id)}`, {}, signal), refetchOnWindowFocus: false, staleTime: Infinity, gcTime: 0 });
  if (!query.data) return <div className="page">{query.error ? <Failed error={query.error} what="page.cmdb.topology" retry={() => void query.refetch()} /> : <Skeleton lines={12} />}</div>;
  return <Desk key={`${query.data.id} ${query.dataUpdatedAt}`} drawing={query.data} />;
}

const contentOf = (d: Drawing): DrawingContent => ({ name: d.name, scenario: d.scenario, description: d.description, shared: d.shared, layout: d.layout, filter: d.filter, hidden_types: list(d.hidden_types), nodes: list(d.nodes), notes: list(d.notes) });

/** One drawing: the picture, and beside it everything that can be done with what stands in it, by hand or by keyboard. */
function Desk({ drawing }: { drawing: Drawing }) {
  const { t } = useSettings();
  const words = useWords();
  const can = useCan();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const graph = useRef<GraphHandle>(null);
  const [content, setContentNow] = useState<DrawingContent>(() => contentOf(drawing));
  const [revision, setRevision] = useState(drawing.revision);
  const [dirty, setDirty] = useState(false);
  const [fits, setFits] = useState(0);
  const [past, setPast] = useState<DrawingContent[]>([]);
  const [dialog, setDialog] = useState<'' | 'properties' | 'copy' | 'versions' | 'relate'>('');
  const [relateTo, setRelateTo] = useState('');
  const chosen = url.get('node') ?? '';
  const choose = (id: string) => setUrl({ node: id || undefined });
  const editable = drawing.editable && !drawing.deleted;

  const change = useCallback(
    (next: (c: DrawingContent) => DrawingContent) => {
      setContentNow((c) => {
        setPast((p) => [...p.slice(-49), c]);
        return next(c);
      });
      setDirty(true);
    },
    [],
  );
  const stepBack = () => {
    const last = past[past.length - 1];
    if (!last) return;
    setPast(past.slice(0, -1));
    setContentNow(last);
  };
  const ids = useMemo(() => list(content.nodes).map((n) => n.item), [content.nodes]);
  const filter = useSettled(content.filter ?? '', 400);
  const key = useSettled(ids.join(' '), 60);
  const query = useQuery({
    queryKey: ['cmdb', 'graph', key, filter],
    queryFn: () => post<Subgraph>('/cmdb/graph', { items: key ? key.split(' ') : [], filter }),
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });
  const items = useMemo(() => new Map(list(query.data?.items).map((i) => [i.id, i])), [query.data]);
  const relations = useMemo(() => {
    const hidden = new Set(list(content.hidden_types));
    return list(query.data?.relations).filter((r) => !hidden.has(r.type));
  }, [query.data, content.hidden_types]);

  // Where things stand: by their lanes, or where they were put; what the filter brings stands where there is room.
  const layered = content.layout === 'layers';
  const scene = useMemo(() => {
    const placed = new Map(list(content.nodes).map((n) => [n.item, n]));
    const all = [...items.values()];
    const inLanes = layered ? lanes(all.map((i) => ({ id: i.id, layer: layerOfClass(words, i.class) })), relations, list(words.model?.layers).map((l) => l.name)) : null;
    const at = new Map<string, Point>(inLanes?.at ?? [...placed.values()].filter((n) => items.has(n.item)).map((n) => [n.item, { x: n.x, y: n.y }]));
    const homeless = all.filter((i) => !at.has(i.id));
    const places = placesAround({ x: 0, y: 0 }, homeless.length, [...at.values()]);
    homeless.forEach((i, n) => at.set(i.id, places[n] ?? { x: 0, y: 0 }));
    return {
      at,
      nodes: all.map((i) => ({ id: i.id, name: i.name || i.id, sub: words.className(i.class), kind: i.class, at: at.get(i.id) as Point, note: placed.get(i.id)?.note })),
      edges: relations.map((r) => ({ id: `${r.from} ${r.type} ${r.to}`, from: r.from, to: r.to, label: words.typeName(r.type) })),
      notes: list(content.notes).map((n, i) => ({ id: `note ${i}`, text: n.text, at: { x: n.x, y: n.y } })),
      lanes: inLanes?.lanes.map((l) => ({ ...l, title: l.key ? words.layerName(l.key) : t('ci.noLayer') })),
    };
  }, [content.nodes, content.notes, items, relations, layered, words, t]);

  const put1 = (id: string, at: Point) => {
    if (id.startsWith('note ')) change((c) => ({ ...c, notes: list(c.notes).map((n, i) => (`note ${i}` === id ? { ...n, ...at } : n)) }));
    else if (!layered) change((c) => ({ ...c, nodes: ids.includes(id) ? list(c.nodes).map((n) => (n.item === id ? { ...n, ...at } : n)) : [...list(c.nodes), { item: id, ...at }] }));
  };
  const add = (found: readonly string[], around?: Point) => {
    const fresh = [...new Set(found)].filter((x) => !ids.includes(x));
    if (fresh.length === 0) {
      done(t('ci.topo.grewNone'));
      return;
    }
    if (ids.length + fresh.length > MOST) {
      failed(new Error(t('ci.topo.full')));
      return;
    }
    const places = placesAround(around ?? { x: 0, y: 0 }, fresh.length, [...scene.at.values()]);
    change((c) => ({ ...c, nodes: [...list(c.nodes), ...fresh.map((item, i) => ({ item, ...(places[i] ?? { x: 0, y: 0 }) }))] }));
    setFits((n) => n + 1);
    done(t('ci.topo.grew', { n: fresh.length }));
  };
  const grow = (id: string, type: string, forward?: boolean) =>
    act(async () => {
      const page = await get<Page<OfItem>>(`/cmdb/items/${encodeURIComponent(id)}/relations`, { type, direction: forward === undefined ? '' : forward ? 'forward' : 'backward', limit: 200 });
      add(list(page.items).map((r) => r.item.id), scene.at.get(id));
    });
  const remove = (id: string) => {
    if (id.startsWith('note ')) change((c) => ({ ...c, notes: list(c.notes).filter((_, i) => `note ${i}` !== id) }));
    else change((c) => ({ ...c, nodes: list(c.nodes).filter((n) => n.item !== id) }));
    choose('');
  };
  const arrange = async (how: 'flow' | 'force') => {
    const first = list(query.data?.items).filter((i) => i.class === 'business_system').map((i) => i.id);
    const at = how === 'force' ? await graph.current?.force() : flow([...items.keys()], relations, first.length > 0 ? first : [...items.keys()].slice(0, 1));
    if (!at) return;
    change((c) => ({ ...c, layout: 'free', nodes: list(c.nodes).map((n) => ({ ...n, ...(at.get(n.item) ?? {}) })) }));
    setFits((n) => n + 1);
  };

  const [clash, setClash] = useState<unknown>(null);
  const save = async () => {
    if (!editable || !dirty) return;
    try {
      const d = await put<Drawing>(`/cmdb/topologies/${drawing.id}`, { revision, content });
      setRevision(d.revision);
      setDirty(false);
      setClash(null);
      done(t('ci.topo.saved'));
      void client.invalidateQueries({ queryKey: ['cmdb', 'topologies'] });
    } catch (e) {
      if (e instanceof ApiError && e.status === 409) setClash(e);
      else failed(e);
    }
  };
  const reload = () => {
    setDirty(false);
    void client.invalidateQueries({ queryKey: ['cmdb', 'topology', drawing.id] });
  };
  useKeys({
    'mod+s': () => void save(),
    'mod+z': stepBack,
    Delete: () => chosen && editable && remove(chosen),
    '+': () => graph.current?.zoom(1.25),
    '-': () => graph.current?.zoom(0.8),
    '0': () => graph.current?.fit(),
  });
  useEffect(() => {
    if (!dirty) return undefined;
    const warn = (e: BeforeUnloadEvent) => e.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [dirty]);
  const blocker = useBlocker(({ currentLocation, nextLocation }) => dirty && currentLocation.pathname !== nextLocation.pathname);

  const png = () =>
    act(async () => {
      const blob = await graph.current?.png();
      if (blob) download(`${content.name}.png`, 'image/png', blob);
    });
  const json = () => download(`${content.name}.json`, 'application/json', JSON.stringify(content, null, 2));
  const chosenItem = items.get(chosen);
  const chosenNote = /^note (\d+)$/.exec(chosen);
  return (
    <div className="page fill">
      <Head
        title={content.name}
        sub={
          <>
            {content.scenario && <span className="tag">{content.scenario}</span>} {t(content.shared ? 'ci.topo.sharedMark' : 'ci.topo.private')}
            {dirty && <span className="tag warn" style={{ marginLeft: 8 }}>{t('ci.topo.unsaved')}</span>}
          </>
        }
      >
        <Select
          aria-label={t('ci.layout')}
          value={layered ? 'layers' : 'free'}
          onChange={(v: 'layers' | 'free') => {
            // What the lanes made stays where it is, to go on from there.
            change((c) => ({ ...c, layout: v, nodes: v === 'free' ? list(c.nodes).map((n) => ({ ...n, ...(scene.at.get(n.item) ?? {}) })) : c.nodes }));
            setFits((n) => n + 1);
          }}
          options={[
            { value: 'free', label: t('ci.layout.free') },
            { value: 'layers', label: t('ci.layout.lanes') },
          ]}
          popupMatchSelectWidth={false}
        />
        <Dropdown
          menu={{
            items: [
              { key: 'flow', label: t('ci.layout.flow'), onClick: () => void arrange('flow') },
              { key: 'force', label: t('ci.layout.force'), onClick: () => void arrange('force') },
            ],
          }}
        >
          <Button>{t('ci.topo.arrange')} ▾</Button>
        </Dropdown>
        <Dropdown
          menu={{
            items: [
              { key: 'png', label: t('ci.topo.png'), onClick: () => void png() },
              { key: 'json', label: t('ci.topo.json'), onClick: json },
              { type: 'divider' },
              { key: 'copy', label: t('ci.topo.copy'), onClick: () => setDialog('copy'), disabled: !can('create-cmdb-topology') },
              { key: 'properties', label: t('ci.topo.properties'), onClick: () => setDialog('properties'), disabled: !editable },
              { key: 'versions', label: t('ci.topo.versions'), onClick: () => setDialog('versions') },
            ],
          }}
        >
          <Button aria-label={t('do.more')}>⋯</Button>
        </Dropdown>
        {editable && (
          <Button type="primary" disabled={!dirty} onClick={() => void save()} title="Ctrl+S">
            {t('ci.topo.save')}
          </Button>
        )}
      </Head>
      {!editable && <div className="notice">{t('ci.topo.readonly', { x: drawing.owner })}</div>}
      {clash !== null && (
        <div className="row" style={{ gap: 8, marginBottom: 8 }}>
          <Refused error={clash} />
          <Button onClick={reload}>{t('ci.topo.reload')}</Button>
          <Button onClick={() => setDialog('copy')}>{t('ci.topo.copy')}</Button>
        </div>
      )}
      {query.error && <Failed small error={query.error} what="ci.graph" retry={() => void query.refetch()} />}
      {query.data?.more && <div className="notice">{t('ci.topo.cut')}</div>}
      <div className="split">
        <div className="panel canvas graphbox">
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
          {scene.nodes.length + scene.notes.length === 0 && !query.isFetching && (
            <div className="state canvasempty">
              <h3>{t('ci.topo.empty')}</h3>
              <div>{t('ci.topo.emptyWhy')}</div>
            </div>
          )}
          {words.model && (
            <Suspense fallback={<Skeleton lines={12} />}>
              <LazyGraph
                ref={graph}
                label={t('ci.graphOf', { n: scene.nodes.length, m: scene.edges.length })}
                nodes={scene.nodes}
                edges={scene.edges}
                notes={scene.notes}
                lanes={scene.lanes}
                chosen={chosen}
                onChoose={choose}
                onOpen={(x) => navigate(itemPath(x))}
                onMove={editable ? put1 : undefined}
                lines={layered ? 'down' : 'straight'}
                height="100%"
                fitKey={`${fits} ${layered} ${scene.nodes.length > 0}`}
              />
            </Suspense>
          )}
        </div>
        <aside className="panel sidebox">
          {editable && (
            <>
              <h2>{t('ci.topo.add')}</h2>
              <AddItem add={(x) => add([x], chosenItem && scene.at.get(chosenItem.id))} />
            </>
          )}
          {chosenItem ? (
            <Chosen
              item={chosenItem}
              note={list(content.nodes).find((n) => n.item === chosen)?.note ?? ''}
              own={ids.includes(chosen)}
              editable={editable}
              busy={busy}
              grow={(type, forward) => void grow(chosen, type, forward)}
              remove={() => remove(chosen)}
              setNote={(note) => change((c) => ({ ...c, nodes: list(c.nodes).map((n) => (n.item === chosen ? { ...n, note: note || undefined } : n)) }))}
              others={[...items.values()].filter((i) => i.id !== chosen)}
              relate={(to) => {
                setRelateTo(to);
                setDialog('relate');
              }}
            />
          ) : chosenNote && editable ? (
            <>
              <h2>{t('ci.topo.note')}</h2>
              <Input.TextArea aria-label={t('ci.topo.note')} rows={2} maxLength={2000} value={list(content.notes)[Number(chosenNote[1])]?.text ?? ''} onChange={(e) => e.target.value && change((c) => ({ ...c, notes: list(c.notes).map((n, i) => (i === Number(chosenNote[1]) ? { ...n, text: e.target.value } : n)) }))} />
              <Button size="small" onClick={() => remove(chosen)}>
                {t('ci.topo.remove')}
              </Button>
            </>
          ) : null}
          <h2>
            {t('ci.topo.onIt')} <span className="faint num">{items.size}</span>
          </h2>
          <ul className="onit" aria-label={t('ci.topo.onIt')}>
            {scene.nodes.slice(0, 300).map((n) => (
              <li key={n.id}>
                <button
                  className={`plain${n.id === chosen ? ' on' : ''}`}
                  onClick={() => {
                    choose(n.id);
                    graph.current?.focus(n.id);
                  }}
                >
                  <span className="ellipsis">{n.name}</span>
                  <span className="faint">{n.sub}</span>
                </button>
              </li>
            ))}
          </ul>
          {editable && (
            <>
              <Button
                size="small"
                onClick={() => {
                  change((c) => ({ ...c, notes: [...list(c.notes), { text: t('ci.topo.note'), x: 0, y: -90 }] }));
                  choose(`note ${list(content.notes).length}`);
                }}
              >
                + {t('ci.topo.noteAdd')}
              </Button>
              <label className="labelled">
                {t('ci.topo.filter')}
                <Input className="mono" placeholder={t('ci.filterHint')} title={t('ci.topo.filterWhy')} value={content.filter ?? ''} onChange={(e) => change((c) => ({ ...c, filter: e.target.value }))} />
              </label>
              <label className="labelled">
                {t('ci.topo.hidden')}
                <Select mode="multiple" allowClear aria-label={t('ci.topo.hidden')} value={list(content.hidden_types)} onChange={(v: string[]) => change((c) => ({ ...c, hidden_types: v }))} options={list(words.model?.relation_types).map((r) => ({ value: r.name, label: words.typeName(r.name) }))} optionFilterProp="label" />
              </label>
            </>
          )}
        </aside>
      </div>
      {dialog === 'relate' && chosenItem && (
        <RelateDialog
          from={chosenItem}
          to={items.get(relateTo)}
          close={(made?: Relation) => {
            setDialog('');
            if (made) void query.refetch();
          }}
        />
      )}
      {(dialog === 'properties' || dialog === 'copy') && (
        <FormDialog<Properties>
          title={t(dialog === 'copy' ? 'ci.topo.copy' : 'ci.topo.properties')}
          ok={t('do.save')}
          initial={dialog === 'copy' ? { name: t('ci.topo.copyName', { x: content.name }), scenario: content.scenario, description: content.description } : { name: content.name, scenario: content.scenario, description: content.description, shared: content.shared }}
          submit={async (v) => {
            if (dialog === 'properties') {
              change((c) => ({ ...c, ...v }));
              return;
            }
            const made = await post<Drawing>('/cmdb/topologies', { ...content, ...v });
            setDirty(false);
            setTimeout(() => navigate(`/cmdb/topologies/${made.id}`), 0);
          }}
          close={() => setDialog('')}
        >
          <PropertiesFields />
        </FormDialog>
      )}
      {dialog === 'versions' && <Versions drawing={drawing} editable={drawing.editable} close={() => setDialog('')} restored={reload} />}
      {blocker.state === 'blocked' && (
        <Modal open title={t('ci.topo.unsaved')} okText={t('ci.topo.save')} cancelText={t('do.cancel')} onCancel={() => blocker.reset()} onOk={() => void save().then(() => blocker.proceed())} footer={(_, { OkBtn, CancelBtn }) => [<CancelBtn key="c" />, <Button key="d" onClick={() => blocker.proceed()}>{t('ci.change.discard')}</Button>, <OkBtn key="o" />]} />
      )}
    </div>
  );
}

/** Finds an item and puts it on; the box is empty again for the next one. */
function AddItem({ add }: { add: (id: string) => void }) {
  const { t } = useSettings();
  const [n, setN] = useState(0);
  return (
    <ItemPicker
      key={n}
      label={t('ci.topo.add')}
      placeholder={t('ci.topo.addHint')}
      value=""
      onChange={(id) => {
        if (id) add(id);
        setN(n + 1);
      }}
    />
  );
}

function Chosen({
  item,
  note,
  own,
  editable,
  busy,
  grow,
  remove,
  setNote,
  others,
  relate,
}: {
  item: { id: string; name: string; class: string; owner?: string };
  note: string;
  own: boolean;
  editable: boolean;
  busy: boolean;
  grow: (type: string, forward?: boolean) => void;
  remove: () => void;
  setNote: (text: string) => void;
  others: readonly { id: string; name: string }[];
  relate: (to: string) => void;
}) {
  const { t } = useSettings();
  const words = useWords();
  const can = useCan();
  const query = useQuery({ queryKey: ['cmdb', 'relations', item.id, 'some'], queryFn: ({ signal }) => get<Page<OfItem>>(`/cmdb/items/${encodeURIComponent(item.id)}/relations`, { limit: 200 }, signal) });
  const kinds = new Map<string, { type: string; forward: boolean; n: number }>();
  for (const r of list(query.data?.items)) {
    const k = `${r.type} ${r.forward}`;
    kinds.set(k, { type: r.type, forward: r.forward, n: (kinds.get(k)?.n ?? 0) + 1 });
  }
  return (
    <section className="chosenitem" data-testid="chosen">
      <h2>
        <Link to={itemPath(item.id)}>{item.name || item.id}</Link>
      </h2>
      <div className="dim">
        {words.className(item.class)} {item.owner}
      </div>
      {editable && (
        <>
          <div className="row wrap" style={{ gap: 4 }}>
            {kinds.size > 1 && (
              <Button size="small" disabled={busy} onClick={() => grow('')}>
                {t('ci.topo.growAll')}
              </Button>
            )}
            {[...kinds.values()].map((k) => (
              <Button size="small" key={`${k.type} ${k.forward}`} disabled={busy} title={t('ci.topo.grow')} onClick={() => grow(k.type, k.forward)}>
                + {words.typeName(k.type, k.forward)} <span className="num faint">{k.n}</span>
              </Button>
            ))}
          </div>
          {own && <Input aria-label={t('ci.topo.note')} placeholder={t('ci.topo.note')} maxLength={200} value={note} onChange={(e) => setNote(e.target.value)} />}
          {can('relate-cmdb-items') && others.length > 0 && <Select showSearch aria-label={t('ci.topo.link')} placeholder={t('ci.topo.link')} optionFilterProp="label" value={undefined} onChange={(v: string) => relate(v)} options={others.slice(0, 500).map((o) => ({ value: o.id, label: o.name || o.id }))} />}
          {own && (
            <Button size="small" onClick={remove}>
              {t('ci.topo.remove')} <kbd>Del</kbd>
            </Button>
          )}
        </>
      )}
    </section>
  );
}

function Versions({ drawing, editable, close, restored }: { drawing: Drawing; editable: boolean; close: () => void; restored: () => void }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['cmdb', 'topology', drawing.id, 'versions'], queryFn: ({ signal }) => get<Page<DrawingVersion>>(`/cmdb/topologies/${drawing.id}/versions`, {}, signal), gcTime: 0 });
  const restore = async (revision: number) => {
    if (await act(() => post(`/cmdb/topologies/${drawing.id}/restore`, { revision }), { said: t('ci.restoredDone') })) {
      close();
      restored();
    }
  };
  return (
    <Modal open title={t('ci.topo.versions')} footer={null} onCancel={close} width={600}>
      <table className="data" aria-label={t('ci.topo.versions')}>
        <tbody>
          {list(query.data?.items).map((v, i) => (
            <tr key={v.revision}>
              <td className="num">{v.revision}</td>
              <td>{t(`ci.${v.action}`)}</td>
              <td>{v.actor}</td>
              <td>
                <WhenFull time={v.at} />
              </td>
              <td>
                {v.name} · {t('ci.total', { n: v.items })}
              </td>
              <td>
                {i > 0 && editable && (
                  <Button size="small" disabled={busy} onClick={() => void restore(v.revision)}>
                    {t('ci.topo.restore')}
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Modal>
  );
}
