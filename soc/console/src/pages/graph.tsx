import { useQueries } from '@tanstack/react-query';
import { Button, Dropdown, Input, Select } from 'antd';
import { Suspense, lazy, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useSearchParams } from 'react-router-dom';
import { ABNORMAL, EDGE_KINDS, neighbours, trace, type Narrow, type Neighbours, type Progress, type Traced } from '../api/graph';
import { list } from '../api/types';
import { useAct } from '../app/act';
import { usePageTitle } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { download, toCSV } from '../logic/export';
import { arranged, entityOf, entityRef, grow, hops, LAYOUTS, LIMITS, readGraph, scene as sceneOf, writeGraph, type GraphState, type LayoutName } from '../logic/graph';
import type { Point } from '../logic/topology';
import { parseRange, rangeParams } from '../logic/urlstate';
import type { CanvasHandle } from '../parts/graph/canvas';
import { EdgeFacts, EdgeList, NodeFacts, NodeList, PathList, useEdgeWord, type Doing } from '../parts/graph/side';
import { AddEntity, Start } from '../parts/graph/start';
import { PHASES } from '../api/judgement';
import { Head } from '../parts/page';
import { RangePicker } from '../parts/range';
import { Empty, Failed, Skeleton } from '../parts/states';
import { useEntityCard } from '../parts/token';

const RelationCanvas = lazy(() => import('../parts/graph/canvas').then((m) => ({ default: m.RelationCanvas })));
const LargeCanvas = lazy(() => import('../parts/graph/large').then((m) => ({ default: m.LargeCanvas })));
/** Beyond so many, entities are drawn on a plain canvas. */
const MANY = 300;
const SPAN = '7d';
const SPANS = ['1h', '24h', '7d', '30d', '90d'];
const TRANSPORTS = ['tcp', 'udp', 'icmp', 'sctp'];
type Tab = 'chosen' | 'nodes' | 'edges' | 'paths';

/** Who met whom, drilled step by step; and the path of a threat, traced by itself. All of it lives in the URL. */
export default function GraphPage() {
  const { t } = useSettings();
  usePageTitle(t('page.graph'));
  const [params, setParams] = useSearchParams();
  const state = useMemo(() => readGraph(params), [params]);
  const past = useRef<string[]>([]);
  const change = useCallback(
    (next: (s: GraphState) => Partial<GraphState>, keep = true) =>
      setParams(
        (p) => {
          const s = readGraph(p);
          if (keep) past.current = [...past.current.slice(-99), p.toString()];
          return writeGraph(p, { ...s, ...next(s) });
        },
        { replace: true },
      ),
    [setParams],
  );
  const undo = () => {
    const last = past.current.pop();
    if (last !== undefined) setParams(new URLSearchParams(last), { replace: true });
  };
  const add = (id: string) => change((s) => (s.seeds.includes(id) ? {} : { seeds: [...s.seeds, id], node: '' }));
  if (state.seeds.length === 0) {
    return (
      <div className="page">
        <Head title={t('page.graph')} sub={t('graph.lead')} />
        <Start add={add} />
      </div>
    );
  }
  return <Desk state={state} change={change} undo={undo} canUndo={past.current.length > 0} add={add} />;
}

function Desk({ state, change, undo, canUndo, add }: { state: GraphState; change: (next: (s: GraphState) => Partial<GraphState>, keep?: boolean) => void; undo: () => void; canUndo: boolean; add: (id: string) => void }) {
  const { t, locale } = useSettings();
  const { act } = useAct();
  const [params, setParams] = useSearchParams();
  const graph = useRef<CanvasHandle>(null);
  const word = useEdgeWord();
  const range = parseRange(params, SPAN);
  const [tab, setTab] = useState<Tab>(state.trace ? 'paths' : 'nodes');
  const [asked, setAsked] = useState(0);

  // What narrows the graph, as the API takes it.
  const rangeKey = JSON.stringify(range);
  const narrow = useMemo((): Narrow => {
    const r = JSON.parse(rangeKey) as typeof range;
    return {
      ...('since' in r ? { start: r.since } : { start: r.start, end: r.end }),
      ...(state.kinds.length ? { kinds: state.kinds } : {}),
      ...(state.ports ? { ports: state.ports } : {}),
      ...(state.transports.length ? { transports: state.transports } : {}),
      ...(state.abnormal.length ? { abnormal: state.abnormal } : {}),
      ...(state.phases.length ? { phases: state.phases } : {}),
    };
  }, [rangeKey, state.kinds, state.ports, state.transports, state.abnormal, state.phases]);
  const narrowKey = JSON.stringify(narrow);
  const filtered = state.kinds.length + state.transports.length + state.abnormal.length + state.phases.length > 0 || state.ports !== '';
  const wanted = useMemo(() => {
    const most = new Map(state.open.map((o) => [o.id, o.most ?? state.limit]));
    return [...new Set([...state.seeds, ...state.open.map((o) => o.id)])].map((id) => ({ id, limit: most.get(id) ?? state.limit }));
  }, [state.seeds, state.open, state.limit]);
  const queries = useQueries({
    queries: wanted.map((w) => ({
      queryKey: ['graph', w.id, w.limit, narrowKey, asked],
      queryFn: () => neighbours(w.id, w.limit, JSON.parse(narrowKey) as Narrow),
      staleTime: Infinity,
      refetchOnWindowFocus: false,
    })),
  });
  const stamp = queries.map((q) => q.dataUpdatedAt).join(' ');
  const answers = useMemo(() => new Map(queries.flatMap((q, i): [string, Neighbours][] => (q.data ? [[wanted[i]?.id ?? '', q.data]] : []))), [stamp, wanted]);
  const loading = queries.some((q) => q.isFetching);
  const error = queries.find((q) => q.error)?.error;

  const tracing = useTrace(state, narrow, asked);
  const scene = useMemo(() => sceneOf(state, answers, tracing.result), [state, answers, tracing.result]);
  const depth = useMemo(() => hops(scene), [scene]);
  const path = useMemo(() => new Map(list(list(tracing.result?.paths)[state.path]?.steps).map((s, i) => [s.edge, i + 1])), [tracing.result, state.path]);

  // Who has a place keeps it, until the layout is chosen anew.
  const places = useRef(new Map<string, Point>());
  const [forced, setForced] = useState<{ key: string; at: Map<string, Point> }>();
  const nodesKey = scene.nodes.map((n) => n.id).join(' ');
  const at = useMemo(() => {
    if (state.layout === 'columns' || state.layout === 'rings') return arranged(scene, state.layout, state.pins);
    if (state.layout === 'force' && forced) places.current = new Map([...places.current, ...forced.at]);
    const now = grow(scene, places.current, state.pins);
    places.current = new Map([...places.current, ...now]);
    return now;
  }, [nodesKey, state.layout, state.pins, forced]);
  useEffect(() => {
    if (state.layout !== 'force' || loading || scene.nodes.length === 0 || forced?.key === nodesKey) return;
    void graph.current?.force().then((moved) => {
      if (moved.size > 0) setForced({ key: nodesKey, at: moved });
    });
  }, [state.layout, loading, nodesKey, forced]);

  const openIds = useMemo(() => new Set([...state.seeds, ...state.open.map((o) => o.id)]), [state.seeds, state.open]);
  const isOpen = (id: string) => openIds.has(id) || scene.roots.has(id);
  const seedOf = (id: string) => state.seeds.find((s) => s === id || list(answers.get(s)?.asked).includes(id)) ?? id;
  const doing: Doing = {
    choose: (id) => {
      change(() => ({ node: id }), false);
      if (id) setTab('chosen');
    },
    expand: (id, most) => change((s) => ({ open: [...s.open.filter((o) => o.id !== seedOf(id)), { id: seedOf(id), ...(most ? { most } : {}) }], node: id })),
    collapse: (id) => change((s) => ({ open: s.open.filter((o) => o.id !== id) })),
    hide: (id) => change((s) => ({ hide: [...s.hide, id], node: '' })),
    pin: (id) =>
      change((s) => {
        const pins = new Map(s.pins);
        if (!pins.delete(id)) pins.set(id, at.get(id) ?? { x: 0, y: 0 });
        return { pins };
      }),
    trace: (id, direction) => {
      setTab('paths');
      change(() => ({ trace: direction, from: id, at: '', path: 0, node: id }));
    },
  };
  const chosen = state.node;
  const node = scene.nodes.find((n) => n.id === chosen);
  const edge = node ? undefined : scene.edges.find((e) => e.id === chosen);
  const span: Record<string, string> = 'since' in range ? { since: range.since } : { start: range.start, end: range.end };

  useKeys({
    'mod+z': undo,
    e: () => node && !isOpen(node.id) && !node.masked && doing.expand(node.id),
    c: () => node && doing.collapse(node.id),
    h: () => node && doing.hide(node.id),
    p: () => node && doing.pin(node.id),
    t: () => node && !node.masked && doing.trace(node.id, 'backward'),
    '+': () => graph.current?.zoom(1.25),
    '-': () => graph.current?.zoom(0.8),
    '0': () => graph.current?.fit(),
  });
  const filters = { kinds: [] as string[], ports: '', transports: [] as string[], abnormal: [] as string[], phases: [] as string[] };
  const many = (key: 'kinds' | 'transports' | 'abnormal' | 'phases', label: Key, options: { value: string; label: string }[], width: number) => (
    <Select mode={key === 'transports' ? 'tags' : 'multiple'} aria-label={t(label)} placeholder={t(label)} value={state[key]} onChange={(v: string[]) => change(() => ({ [key]: v.map((x) => x.trim().toLowerCase()) }))} options={options} maxTagCount="responsive" style={{ width }} popupMatchSelectWidth={false} allowClear />
  );
  const partial = [...new Map([...[...answers.values()].flatMap((a) => list(a.partial)), ...list(tracing.result?.partial)].map((p) => [p.source, p])).values()];
  const farthest = Math.max(0, ...depth.values());
  const Canvas = scene.nodes.length > MANY ? LargeCanvas : RelationCanvas;
  const pinned = useMemo(() => new Set(state.pins.keys()), [state.pins]);
  const card = useEntityCard();
  const anchor = useRef<HTMLSpanElement>(null);
  const hover = (on: { id: string; x: number; y: number } | null) => {
    const n = on && scene.nodes.find((x) => x.id === on.id);
    const entity = n && !n.masked ? entityRef(n) : undefined;
    if (!on || !entity || !anchor.current) return card(null);
    Object.assign(anchor.current.style, { left: `${on.x + 8}px`, top: `${on.y + 8}px` });
    card({ entity, anchor: anchor.current });
  };
  const empty = !loading && !error && scene.edges.length === 0 && !state.trace;
  return (
    <div className="page fill">
      <Head title={t('page.graph')} sub={<span data-testid="drawn">{t('graph.drawn', { n: scene.nodes.length, m: scene.edges.length, h: farthest })}</span>}>
        <AddEntity add={add} />
        <RangePicker value={range} choices={SPANS} onChange={(r) => setParams((p) => { const q = new URLSearchParams(p); for (const [k, v] of Object.entries(rangeParams(r, SPAN))) v ? q.set(k, v) : q.delete(k); return q; }, { replace: true })} />
        <Button disabled={!canUndo} onClick={undo} title="Ctrl+Z">
          {t('graph.undo')}
        </Button>
        <Dropdown
          menu={{
            items: [
              { key: 'fit', label: t('graph.fit'), onClick: () => graph.current?.fit() },
              { key: 'reload', label: t('graph.reload'), onClick: () => setAsked((n) => n + 1) },
              { key: 'png', label: t('graph.png'), onClick: () => void act(async () => { const blob = await graph.current?.png(); if (blob) download('graph.png', 'image/png', blob); }) },
              { key: 'csv', label: t('graph.csv'), onClick: () => download('relations.csv', 'text/csv', toCSV(scene.edges.map((e) => ({ from: e.from, to: e.to, kind: e.kind, port: e.port || '', protocol: e.transport, label: e.label, count: e.count, bytes: e.bytes, first_seen: e.first_seen, last_seen: e.last_seen, outcome: e.outcome, abnormal: list(e.abnormal).join(' '), phases: list(e.phases).join(' '), alerts: list(e.alerts).map((x) => x.id).join(' ') })), ['from', 'to', 'kind', 'port', 'protocol', 'label', 'count', 'bytes', 'first_seen', 'last_seen', 'outcome', 'abnormal', 'phases', 'alerts'])) },
              { type: 'divider' },
              { key: 'clear', label: t('graph.clear'), onClick: () => change(() => ({ seeds: [], open: [], hide: [], pins: new Map(), node: '', trace: '' })) },
            ],
          }}
        >
          <Button aria-label={t('do.more')}>⋯</Button>
        </Dropdown>
      </Head>
      <div className="filters" role="search">
        {many('kinds', 'graph.kinds', EDGE_KINDS.map((k) => ({ value: k, label: t(`edge.${k}`) })), 190)}
        <PortBox value={state.ports} set={(ports) => change(() => ({ ports }))} />
        {many('transports', 'graph.transports', TRANSPORTS.map((k) => ({ value: k, label: k })), 120)}
        {many('abnormal', 'graph.abnormal', ABNORMAL.map((k) => ({ value: k, label: t(`abnormal.${k}`) })), 190)}
        {many('phases', 'graph.phases', PHASES.map((k) => ({ value: k, label: t(`phase.${k}`) })), 170)}
        <Select<number> aria-label={t('graph.limit')} value={state.limit} onChange={(limit) => change(() => ({ limit }))} options={LIMITS.map((n) => ({ value: n, label: t('graph.limitN', { n }) }))} popupMatchSelectWidth={false} />
        <Select<LayoutName>
          aria-label={t('graph.layout')}
          value={state.layout}
          onChange={(layout) => {
            if (layout === 'grow') places.current = new Map();
            setForced(undefined);
            change(() => ({ layout }));
          }}
          options={LAYOUTS.map((l) => ({ value: l, label: t(`layout.${l}`) }))}
          popupMatchSelectWidth={false}
        />
        {filtered && <Button onClick={() => change(() => filters)}>{t('graph.clearFilters')}</Button>}
        {scene.hidden > 0 && <Button onClick={() => change(() => ({ hide: [] }))}>{t('graph.hiddenN', { n: scene.hidden })}</Button>}
      </div>
      {scene.beyond > 0 && <div className="notice">{t('graph.beyond', { n: scene.beyond })}</div>}
      {partial.length > 0 && <div className="notice" title={partial.map((p) => p.reason).join('\n')}>{t('graph.partial', { x: partial.map((p) => t(`graph.source.${p.source}`)).join(locale === 'en-US' ? ', ' : '、') })}</div>}
      <div className="split" style={{ gap: 12 }}>
        <div className="canvas panel" aria-busy={loading}>
          {error && scene.nodes.length === 0 ? (
            <Failed error={error} what="graph.what" retry={() => setAsked((n) => n + 1)} />
          ) : scene.nodes.length === 0 ? (
            <Skeleton lines={12} />
          ) : (
            <Suspense fallback={<Skeleton lines={12} />}>
              <Canvas ref={graph} label={t('page.graph')} scene={scene} at={at} pinned={pinned} chosen={chosen} path={path} word={word} fitKey={`${state.layout} ${forced?.key.length ?? 0} ${nodesKey.length}`} onChoose={doing.choose} onEdge={doing.choose} onOpen={(id) => (isOpen(id) ? doing.collapse(id) : doing.expand(id))} onMove={(id, p) => change((s) => ({ pins: new Map([...s.pins, [id, p]]) }))} onHover={hover} />
            </Suspense>
          )}
          <span ref={anchor} aria-hidden="true" style={{ position: 'fixed', width: 1, height: 1, pointerEvents: 'none' }} />
          {empty && (
            <div className="canvasempty state">
              <h3>{t('graph.none')}</h3>
              <div>{t('graph.noneWhy')}</div>
            </div>
          )}
        </div>
        <aside className="sidebox panel" aria-label={t('graph.tab.chosen')} style={{ width: 360 }}>
          <div className="row" role="tablist" style={{ gap: 2 }}>
            {(['chosen', 'nodes', 'edges', ...(state.trace ? ['paths'] : [])] as Tab[]).map((k) => (
              <Button key={k} role="tab" size="small" type={tab === k ? 'primary' : 'text'} aria-selected={tab === k} onClick={() => setTab(k)}>
                {t(`graph.tab.${k}`)}
              </Button>
            ))}
          </div>
          {error && scene.nodes.length > 0 && <Failed small error={error} what="graph.what" retry={() => setAsked((n) => n + 1)} />}
          {tab === 'chosen' && (node ? <NodeFacts node={node} scene={scene} open={isOpen(node.id)} pinned={state.pins.has(node.id)} limit={wanted.find((w) => w.id === seedOf(node.id))?.limit ?? state.limit} span={span} doing={doing} /> : edge ? <EdgeFacts edge={edge} scene={scene} span={span} doing={doing} /> : <Empty small title={t('graph.choose')} />)}
          {tab === 'nodes' && <NodeList scene={scene} chosen={chosen} depth={depth} doing={doing} />}
          {tab === 'edges' && <EdgeList scene={scene} chosen={chosen} doing={doing} />}
          {tab === 'paths' &&
            state.trace &&
            (tracing.error ? (
              <Failed small error={tracing.error} what="graph.tab.paths" retry={() => setAsked((n) => n + 1)} />
            ) : (
              <PathList traced={tracing.result} progress={tracing.progress} direction={state.trace} path={state.path} stop={() => change(() => ({ trace: '' }))} close={() => { setTab('chosen'); change(() => ({ trace: '' })); }} pick={(path) => change(() => ({ path }), false)} doing={doing} />
            ))}
          <div className="faint" style={{ marginTop: 'auto' }}>
            {t('graph.legend')}
            <br />
            {t('graph.keys')}
          </div>
        </aside>
      </div>
    </div>
  );
}

function PortBox({ value, set }: { value: string; set: (v: string) => void }) {
  const { t } = useSettings();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const bad = text !== '' && !/^\s*\d{1,5}(\s*-\s*\d{1,5})?(\s*,\s*\d{1,5}(\s*-\s*\d{1,5})?)*\s*$/.test(text);
  const done = () => !bad && text !== value && set(text.replace(/\s+/g, ''));
  return <Input aria-label={t('graph.ports')} placeholder={t('graph.ports')} value={text} status={bad ? 'error' : ''} aria-invalid={bad} style={{ width: 190 }} onChange={(e) => setText(e.target.value)} onBlur={done} onPressEnter={done} allowClear />;
}

/** Runs the trace that the URL asks for, once for each question. */
function useTrace(state: GraphState, narrow: Narrow, asked: number): { result?: Traced; progress?: Progress; error?: unknown } {
  const [out, setOut] = useState<{ result?: Traced; progress?: Progress; error?: unknown }>({});
  const key = state.trace ? JSON.stringify([state.trace, entityOf('ip', state.from), state.at, narrow, asked]) : '';
  useEffect(() => {
    setOut({});
    if (!key) return undefined;
    const [direction, node, at, filter] = JSON.parse(key) as ['backward' | 'forward', string, string, Narrow];
    const stop = new AbortController();
    trace({ ...filter, node, direction, ...(at ? { at } : {}) }, (progress) => setOut({ progress }), stop.signal)
      .then((result) => setOut({ result }))
      .catch((error: unknown) => {
        if (!stop.signal.aborted) setOut({ error });
      });
    return () => stop.abort();
  }, [key]);
  return out;
}
