import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, InputNumber, Segmented, Select } from 'antd';
import { Suspense, useEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { itemPath, useWords, type Statistics } from '../../api/cmdb';
import type { TrafficEdge } from '../../api/cmdbkept';
import { buildPath, get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type List, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { bytes, number } from '../../logic/format';
import { flow } from '../../logic/topology';
import { lineWidth, portName, trafficPicture, type TrafficLine } from '../../logic/traffic';
import type { GraphHandle } from '../../parts/cmdb/graph';
import { ItemPicker } from '../../parts/cmdb/itempicker';
import { LazyGraph } from '../../parts/cmdb/picture';
import { FormDialog } from '../../parts/dialog';
import { Head, Panel, Updated } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const STATES = ['waiting', 'accepted', 'rejected'] as const;
const DAYS = ['0', '1', '7', '31'] as const;
const SORTS = ['bytes', 'flows', 'last_seen'] as const;
const RENEW = ['cmdb-traffic', 'cmdb'];
/** Lines of a picture: more than that nobody reads. */
const DRAWN = 300;
const LIMIT = 100;
/** So few lines have their labels at once. */
const LABELLED = 12;
const MIB = 1024 * 1024;
/** What one decision may take. */
const MOST = 1000;

type Doing = { what: 'accept' | 'reject' | 'annotate'; edges: TrafficEdge[] };

/** Who talks to whom by totalled traffic, as a picture or a table; what people decide on it and write beside it. */
export default function Traffic() {
  const { t, locale } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const view = url.get('view') === 'rows' ? 'rows' : 'graph';
  const bySystem = url.get('by') === 'system';
  const state = STATES.find((s) => s === url.get('state'));
  const days = DAYS.find((d) => d === url.get('days')) ?? '7';
  const port = Number(url.get('port')) || undefined;
  const min = Number(url.get('min')) || undefined;
  const sort = url.get('sort') ?? '-bytes';
  const filter = {
    q: url.get('q') ?? '',
    state: state ?? '',
    zone: url.get('zone') ?? '',
    system: url.get('system') ?? '',
    item: url.get('item') ?? '',
    port,
    protocol: url.get('protocol') ?? '',
    min_bytes: min ? min * MIB : undefined,
    days,
    silent: url.get('silent') === 'true' || undefined,
    annotated: url.get('annotated') === 'true' || undefined,
    sort: view === 'rows' && SORTS.some((s) => s === sort.replace('-', '')) ? sort : '-bytes',
  };
  const narrowed = !!(filter.q || state || filter.zone || filter.system || filter.item || port || filter.protocol || min || filter.silent || filter.annotated);
  const clear = () => setUrl({ q: undefined, state: undefined, zone: undefined, system: undefined, item: undefined, port: undefined, protocol: undefined, min: undefined, silent: undefined, annotated: undefined });
  const key = JSON.stringify(filter);
  const query = useInfiniteQuery({
    queryKey: ['cmdb-traffic', view, key],
    queryFn: ({ signal, pageParam }) => get<Page<TrafficEdge>>('/cmdb/traffic', { ...filter, limit: view === 'graph' ? DRAWN : LIMIT, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (p) => p.next || undefined,
    placeholderData: keepPreviousData,
    refetchInterval: 60_000,
  });
  const edges = useMemo(() => (query.data?.pages ?? []).flatMap((p) => list(p.items)), [query.data]);
  const total = query.data?.pages[0]?.total ?? 0;
  const statistics = useQuery({ queryKey: ['cmdb', 'statistics'], queryFn: ({ signal }) => get<Statistics>('/cmdb/statistics', {}, signal), staleTime: 60_000 });
  const zones = Object.keys(statistics.data?.zones ?? {}).sort();

  const [chosen, setChosen] = useState<Set<string>>(new Set());
  useEffect(() => setChosen(new Set()), [key, view]);
  const [doing, setDoing] = useState<Doing | null>(null);
  const write = can('accept-cmdb-traffic');
  const reopen = (some: readonly TrafficEdge[]) => void act(() => post('/cmdb/traffic/reopen', { ids: some.map((e) => e.id) }), { said: t('traffic.reopened'), renew: RENEW });
  const sel = url.get('sel') ?? '';
  const one = edges.find((e) => String(e.id) === sel);
  const choose = (id: string) => setUrl({ sel: id || undefined });
  const at = edges.findIndex((e) => String(e.id) === sel);
  const step = (by: number) => {
    const next = edges[Math.max(0, Math.min(edges.length - 1, at + by))];
    if (view === 'rows' && next) choose(String(next.id));
  };
  useKeys({ j: () => step(1), k: () => step(-1), Enter: () => one && navigate(itemPath(one.to.id)), Escape: () => choose('') });

  const actions = (some: TrafficEdge[], small?: boolean): ReactNode => {
    if (!write || some.length === 0) return null;
    const size = small ? ('small' as const) : undefined;
    const undecided = some.filter((e) => e.state !== 'accepted');
    const decided = some.filter((e) => e.state !== 'waiting');
    const refused = some.filter((e) => e.state !== 'rejected');
    return (
      <>
        {undecided.length > 0 && (
          <Button size={size} type="primary" onClick={() => setDoing({ what: 'accept', edges: undecided })}>
            {t('traffic.acceptN', { n: undecided.length })}
          </Button>
        )}
        {refused.length > 0 && (
          <Button size={size} onClick={() => setDoing({ what: 'reject', edges: refused })}>
            {t('traffic.rejectN', { n: refused.length })}
          </Button>
        )}
        {decided.length > 0 && (
          <Button size={size} disabled={busy} onClick={() => reopen(decided)}>
            {t('traffic.reopenN', { n: decided.length })}
          </Button>
        )}
        <Button size={size} onClick={() => setDoing({ what: 'annotate', edges: some })}>
          {t('traffic.annotate')}
        </Button>
      </>
    );
  };
  const marked = edges.filter((e) => chosen.has(String(e.id))).slice(0, MOST);
  const empty = !query.isPending && edges.length === 0;

  return (
    <div className="page fill">
      <Head title={t('page.cmdb.traffic')} sub={query.data ? t('traffic.count', { n: number(total, locale) }) : t('traffic.lead')}>
        <Updated at={query.dataUpdatedAt} />
        <Segmented value={view} onChange={(v) => setUrl({ view: v === 'rows' ? 'rows' : undefined, sel: undefined }, true)} options={(['graph', 'rows'] as const).map((v) => ({ value: v, label: t(`traffic.view.${v}`) }))} />
        <Segmented value={days} onChange={(v) => setUrl({ days: v === '7' ? undefined : String(v) })} options={DAYS.map((d) => ({ value: d, label: t(`traffic.days.${d}`) }))} />
        <Dropdown trigger={['click']} menu={{ items: ['csv', 'xlsx'].map((f) => ({ key: f, label: <a href={buildPath('/cmdb/traffic/export', { ...filter, format: f })} download>{f.toUpperCase()}</a> })) }}>
          <Button>{t('cmdb.export')}</Button>
        </Dropdown>
        {can('look-cmdb-traffic') && (
          <Button loading={busy} onClick={() => void act(() => post('/cmdb/traffic/look'), { said: t('traffic.looked'), renew: RENEW })}>
            {t('traffic.look')}
          </Button>
        )}
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('traffic.find')} width={180} />
        {STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`traffic.state.${s}`)}
          </button>
        ))}
        <Select allowClear showSearch style={{ width: 110 }} placeholder={t('traffic.zone')} aria-label={t('traffic.zone')} value={filter.zone || undefined} onChange={(z?: string) => setUrl({ zone: z })} options={zones.map((z) => ({ value: z, label: z }))} />
        <span style={{ width: 150 }}>
          <ItemPicker label={t('traffic.system')} placeholder={t('traffic.system')} classes={['business_system']} value={filter.system} onChange={(id) => setUrl({ system: id || undefined })} />
        </span>
        <Settling label={t('traffic.port')} max={65535} value={port} set={(n) => setUrl({ port: n ? String(n) : undefined })} />
        <Select allowClear style={{ width: 90 }} placeholder={t('traffic.protocol')} aria-label={t('traffic.protocol')} value={filter.protocol || undefined} onChange={(p?: string) => setUrl({ protocol: p })} options={['tcp', 'udp', 'icmp'].map((p) => ({ value: p, label: p.toUpperCase() }))} />
        <Settling label={t('traffic.min')} max={1e9} suffix="MiB" width={112} value={min} set={(n) => setUrl({ min: n ? String(n) : undefined })} />
        <button className="plain toggle" aria-pressed={!!filter.annotated} onClick={() => setUrl({ annotated: filter.annotated ? undefined : 'true' })}>
          {t('traffic.annotatedOnly')}
        </button>
        <button className="plain toggle" aria-pressed={!!filter.silent} onClick={() => setUrl({ silent: filter.silent ? undefined : 'true', days: filter.silent ? undefined : '0' })}>
          {t('traffic.silentOnly')}
        </button>
        {filter.item && (
          <span className="chip">
            <span className="ellipsis">{[...edges.flatMap((e) => [e.from, e.to])].find((x) => x.id === filter.item)?.name || filter.item}</span>
            <button className="plain" aria-label={t('do.remove', { x: filter.item })} onClick={() => setUrl({ item: undefined })}>
              ✕
            </button>
          </span>
        )}
        {narrowed && (
          <Button type="link" size="small" onClick={clear}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {query.isPending ? (
        <div className="panel">
          <Skeleton lines={12} />
        </div>
      ) : query.error && !query.data ? (
        <Failed error={query.error} what="traffic.what" retry={() => void query.refetch()} />
      ) : empty ? (
        <div className="panel">
          <Empty title={t(narrowed || days !== '0' ? 'traffic.noneFound' : 'traffic.none')} why={narrowed ? undefined : t('traffic.noneWhy')}>
            {narrowed ? <Button onClick={clear}>{t('do.clear')}</Button> : days !== '0' ? <Button onClick={() => setUrl({ days: '0' })}>{t('traffic.days.0')}</Button> : <Link to="/connect">{t('page.connect')}</Link>}
          </Empty>
        </div>
      ) : view === 'graph' ? (
        <Drawn edges={edges} total={total} bySystem={bySystem} actions={actions} />
      ) : (
        <div className="split">
          <div className="panel grow">
            {marked.length > 0 && (
              <div className="batch" role="toolbar" aria-label={t('alerts.selected', { n: marked.length })}>
                <b>{t('alerts.selected', { n: marked.length })}</b>
                {actions(marked)}
                <Button type="text" onClick={() => setChosen(new Set())}>
                  {t('alerts.unselect')}
                </Button>
              </div>
            )}
            <DataTable
              label={t('page.cmdb.traffic')}
              rows={edges}
              rowKey={(e) => String(e.id)}
              marked={sel}
              onRow={(e) => choose(String(e.id))}
              choice={write ? { ids: chosen, set: setChosen, name: (e) => `${e.from.name} → ${e.to.name}` } : undefined}
              sort={filter.sort}
              onSort={(s) => setUrl({ sort: s && s !== '-bytes' ? s : undefined })}
              columns={[
                { key: 'from', title: t('traffic.from'), render: (e) => <End item={e.from} system={e.from_system} /> },
                { key: 'to', title: t('traffic.to'), render: (e) => <End item={e.to} system={e.to_system} /> },
                {
                  key: 'services',
                  title: t('traffic.services'),
                  render: (e) => (
                    <>
                      <Services of={e} most={one ? 1 : 3} />
                      {e.annotation && <div className="dim">{e.annotation}</div>}
                    </>
                  ),
                },
                { key: 'bytes', sort: 'bytes', most: true, title: t('traffic.bytes'), num: true, width: 104, render: (e) => <span className="nowrap">{bytes(e.bytes, locale)}</span> },
                ...(one ? [] : [{ key: 'flows', sort: 'flows', most: true, title: t('traffic.flows'), num: true, width: 80, render: (e: TrafficEdge) => number(e.flows, locale) }]),
                { key: 'last', sort: 'last_seen', most: true, title: t('traffic.last'), width: 110, render: (e) => <When time={e.last_seen} age /> },
                { key: 'state', title: t('traffic.state'), width: 90, render: (e) => <State of={e} /> },
              ]}
            />
            {query.hasNextPage && (
              <div style={{ padding: 12, textAlign: 'center' }}>
                <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  {t('do.more')}
                </Button>
              </div>
            )}
          </div>
          {one && (
            <aside className="panel preview" aria-label={t('traffic.what')}>
              <Details edge={one} actions={actions([one], true)} />
            </aside>
          )}
        </div>
      )}
      {doing && <Decide of={doing} close={() => setDoing(null)} done={() => setChosen(new Set())} />}
    </div>
  );
}

/** A number in the filter bar that is asked for once it is typed. */
function Settling({ label, value, set, max, suffix, width = 80 }: { label: string; value?: number; set: (n?: number) => void; max: number; suffix?: string; width?: number }) {
  const [typed, setTyped] = useState<number | null>(value ?? null);
  useEffect(() => setTyped(value ?? null), [value]);
  const send = () => (typed ?? undefined) !== value && set(typed ?? undefined);
  return <InputNumber controls={false} min={1} max={max} precision={0} style={{ width }} placeholder={label} aria-label={label} suffix={suffix} value={typed} onChange={setTyped} onBlur={send} onPressEnter={send} />;
}

function End({ item, system }: { item: TrafficEdge['from']; system?: TrafficEdge['from_system'] }) {
  const words = useWords();
  return (
    <>
      <Link className="ellipsis" to={itemPath(item.id)}>
        {item.name || item.id}
      </Link>
      <div className="faint ellipsis">{system && system.id !== item.id ? system.name : words.className(item.class)}</div>
    </>
  );
}

function State({ of: e }: { of: TrafficEdge }) {
  const { t } = useSettings();
  return (
    <span className={`tag nowrap${e.state === 'waiting' ? ' strong' : ''}`} title={e.decided_by ? t('traffic.decided', { x: e.decided_by }) : undefined}>
      {t(`traffic.state.${e.state}`)}
      {e.silent && ` · ${t('traffic.silent')}`}
    </span>
  );
}

function Services({ of: e, most = 3 }: { of: TrafficEdge; most?: number }) {
  const all = list(e.services);
  return (
    <span className="tags">
      {all.slice(0, most).map((s) => (
        <span className="tag mono" key={`${s.protocol}${s.port}`}>
          {portName(s)}
        </span>
      ))}
      {all.length > most && <span className="faint">+{all.length - most}</span>}
    </span>
  );
}

/** One edge: what for, how much on each day, what was decided and written. */
function Details({ edge: e, actions }: { edge: TrafficEdge; actions: ReactNode }) {
  const { t, locale } = useSettings();
  const words = useWords();
  const days = useQuery({ queryKey: ['cmdb-traffic', 'days', e.id], queryFn: async ({ signal }) => list((await get<{ items: List<{ day: string; flows: number; bytes: number }> }>(`/cmdb/traffic/${e.id}/days`, {}, signal)).items), staleTime: 60_000 });
  const most = Math.max(1, ...(days.data ?? []).map((d) => d.bytes));
  return (
    <div className="stack trafficedge">
      <div>
        <h3>
          <Link to={itemPath(e.from.id)}>{e.from.name || e.from.id}</Link> → <Link to={itemPath(e.to.id)}>{e.to.name || e.to.id}</Link>
        </h3>
        <div className="dim">
          {[e.from_system?.name, e.to_system?.name].filter(Boolean).join(' → ')} {e.zone !== 'default' && <span className="tag">{e.zone}</span>} <State of={e} /> {e.type && t('traffic.relation', { x: words.typeName(e.type) })}
        </div>
        {(e.decided_by || e.note) && (
          <div className="dim">
            {e.decided_by && t('traffic.decided', { x: e.decided_by })} {e.decided_at && <When time={e.decided_at} />} {e.note}
          </div>
        )}
        {e.annotation && (
          <div className="notice">
            {e.annotation}
            <div className="faint">
              {e.annotated_by} {e.annotated_at && <When time={e.annotated_at} />}
            </div>
          </div>
        )}
      </div>
      {actions && <div className="row" style={{ flexWrap: 'wrap', gap: 6 }}>{actions}</div>}
      <div className="dim">
        {t('traffic.bytes')} <b>{bytes(e.bytes, locale)}</b> · {t('traffic.flows')} <b>{number(e.flows, locale)}</b> · {t('traffic.first')} <When time={e.first_seen} /> · {t('traffic.last')} <When time={e.last_seen} />
      </div>
      <table className="data" aria-label={t('traffic.services')}>
        <tbody>
          {list(e.services).map((s) => (
            <tr key={`${s.protocol}${s.port}`}>
              <td className="mono">{portName(s)}</td>
              <td className="num">{bytes(s.bytes, locale)}</td>
              <td className="num">{number(s.flows, locale)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {days.data && days.data.some((d) => d.bytes > 0) && (
        <div>
          <div className="faint">{t('traffic.daily')}</div>
          <div className="daycolumns" role="img" aria-label={days.data.map((d) => `${d.day} ${bytes(d.bytes, locale)}`).join('; ')}>
            {days.data.map((d) => (
              <i key={d.day} style={{ height: `${d.bytes > 0 ? Math.max(4, (d.bytes / most) * 100) : 0}%` }} title={`${d.day} · ${bytes(d.bytes, locale)} · ${number(d.flows, locale)}`} />
            ))}
          </div>
        </div>
      )}
    </div>
  );
}

/** The picture, and beside it what stands behind the item or line that was clicked. */
function Drawn({ edges, total, bySystem, actions }: { edges: TrafficEdge[]; total: number; bySystem: boolean; actions: (some: TrafficEdge[], small?: boolean) => ReactNode }) {
  const { t, locale } = useSettings();
  const words = useWords();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const graph = useRef<GraphHandle>(null);
  const sel = url.get('sel') ?? '';
  const choose = (id: string) => setUrl({ sel: id || undefined });
  const picture = useMemo(() => trafficPicture(edges, bySystem), [edges, bySystem]);
  const drawn = useMemo(() => {
    const most = Math.max(...picture.lines.map((l) => l.bytes), 1);
    // Who only asks stands left, who only serves right.
    const served = new Set(picture.lines.map((l) => l.to));
    const first = picture.nodes.filter((n) => !served.has(n.id)).map((n) => n.id);
    const links = picture.lines.map((l) => ({ from: l.from, to: l.to, type: '' }));
    const at = flow(picture.nodes.map((n) => n.id), links, first.length > 0 ? first : picture.nodes.slice(0, 1).map((n) => n.id));
    const label = (l: TrafficLine) => {
      const ports = [...new Set(l.edges.flatMap((e) => list(e.services).slice(0, 2).map(portName)))];
      return `${ports.slice(0, 2).join(' ')}${ports.length > 2 ? '…' : ''} ${bytes(l.bytes, locale)}`;
    };
    return {
      nodes: picture.nodes.map((n) => ({ id: n.id, name: n.name || n.id, sub: words.className(n.class), kind: n.class, at: at.get(n.id) ?? { x: 0, y: 0 } })),
      // Among many lines only those that were asked for say what they are.
      edges: picture.lines.map((l) => ({ id: l.id, from: l.from, to: l.to, label: picture.lines.length <= LABELLED || [l.id, l.from, l.to].includes(sel) ? label(l) : '', width: lineWidth(l.bytes, most), dashed: l.waiting })),
    };
  }, [picture, words, locale, sel]);
  const line = picture.lines.find((l) => l.id === sel);
  const node = picture.nodes.find((n) => n.id === sel);
  const behind = line ? line.edges : node ? edges.filter((e) => [e.from.id, e.to.id, ...(bySystem ? [e.from_system?.id, e.to_system?.id] : [])].includes(node.id)) : [];
  return (
    <div className="split">
      <div className="panel canvas grow">
        <div className="graphbox" style={{ height: '100%' }}>
          <div className="graphtools">
            <Segmented size="small" value={bySystem ? 'system' : 'item'} onChange={(v) => setUrl({ by: v === 'system' ? 'system' : undefined, sel: undefined })} options={(['item', 'system'] as const).map((v) => ({ value: v, label: t(`traffic.by.${v}`) }))} />
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
          <div className="graphnote faint">{total > edges.length ? t('traffic.largest', { n: number(total, locale), m: number(edges.length, locale) }) : `${t('traffic.pick')} · ${t('traffic.dashed')}`}</div>
          <Suspense fallback={<Skeleton lines={10} />}>
            <LazyGraph ref={graph} label={t('ci.graphOf', { n: drawn.nodes.length, m: drawn.edges.length })} nodes={drawn.nodes} edges={drawn.edges} lines="across" chosen={sel} onChoose={choose} onEdge={choose} onOpen={(id) => navigate(itemPath(id))} height="100%" fitKey={`${bySystem} ${drawn.nodes.map((n) => n.id).join()}`} />
          </Suspense>
        </div>
      </div>
      {behind.length > 0 && (
        <aside className="panel preview" aria-label={t('traffic.what')}>
          {behind.length === 1 && behind[0] ? (
            <Details edge={behind[0]} actions={actions(behind, true)} />
          ) : (
            <Panel
              flush
              title={node ? t('traffic.edgesOf', { x: node.name || node.id }) : t('traffic.count', { n: number(behind.length, locale) })}
              end={
                node && (
                  <>
                    <Button size="small" type="link" onClick={() => setUrl(node.class === 'business_system' && bySystem ? { system: node.id, by: undefined, sel: undefined } : { item: node.id, sel: undefined }, true)}>
                      {t('traffic.only')}
                    </Button>
                    <Link to={itemPath(node.id)}>{t('traffic.open')}</Link>
                  </>
                )
              }
            >
              <div className="row" style={{ flexWrap: 'wrap', gap: 6, padding: '8px 14px' }}>{actions(behind, true)}</div>
              {behind.map((e) => (
                <div className="edgeline" key={e.id}>
                  <div>
                    <Link to={itemPath(e.from.id)}>{e.from.name || e.from.id}</Link> → <Link to={itemPath(e.to.id)}>{e.to.name || e.to.id}</Link> <State of={e} />
                  </div>
                  <div className="row dim" style={{ gap: 8, flexWrap: 'wrap' }}>
                    <Services of={e} /> {bytes(e.bytes, locale)}
                  </div>
                  {e.annotation && <div className="dim">{e.annotation}</div>}
                </div>
              ))}
            </Panel>
          )}
        </aside>
      )}
    </div>
  );
}

function Decide({ of: { what, edges }, close, done }: { of: Doing; close: () => void; done: () => void }) {
  const { t } = useSettings();
  const words = useWords();
  const { act, tell } = useAct();
  const ids = edges.map((e) => e.id);
  const n = ids.length;
  const undo = () => void act(() => post('/cmdb/traffic/reopen', { ids }), { said: t('traffic.reopened'), renew: RENEW });
  const before = edges.map((e) => ({ id: e.id, text: e.annotation ?? '' }));
  const back = () =>
    void act(
      async () => {
        // Those that had the same text go together.
        for (const text of new Set(before.map((b) => b.text))) await post('/cmdb/traffic/annotate', { ids: before.filter((b) => b.text === text).map((b) => b.id), text });
      },
      { said: t('ci.undone'), renew: RENEW },
    );
  return (
    <FormDialog<{ type: string; note?: string; text?: string }>
      title={t(what === 'annotate' ? 'traffic.annotateN' : `traffic.${what}Title`, { n })}
      ok={what === 'annotate' ? t('do.save') : t(`traffic.${what}N`, { n })}
      initial={{ type: 'depends_on', text: n === 1 ? edges[0]?.annotation : '' }}
      close={close}
      submit={async (v) => {
        if (what === 'annotate') {
          await post('/cmdb/traffic/annotate', { ids, text: v.text ?? '' });
          tell({ said: t('traffic.annotated'), undo: back, renew: RENEW });
        } else {
          await post(`/cmdb/traffic/${what}`, { ids, note: v.note ?? '', ...(what === 'accept' ? { type: v.type } : {}) });
          tell({ said: t(what === 'accept' ? 'traffic.accepted' : 'traffic.rejected', { n }), undo, renew: RENEW });
        }
        done();
      }}
    >
      {what === 'accept' && (
        <Form.Item name="type" label={t('traffic.type')} rules={[{ required: true }]}>
          <Select showSearch optionFilterProp="label" options={list(words.model?.relation_types).map((r) => ({ value: r.name, label: words.typeName(r.name) }))} />
        </Form.Item>
      )}
      {what === 'annotate' ? (
        <Form.Item name="text" label={t('traffic.annotation')} extra={t('traffic.annotateHint')}>
          <Input.TextArea autoFocus rows={3} maxLength={500} showCount />
        </Form.Item>
      ) : (
        <Form.Item name="note" label={t('traffic.note')}>
          <Input maxLength={500} autoFocus />
        </Form.Item>
      )}
    </FormDialog>
  );
}
