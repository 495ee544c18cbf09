import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Select } from 'antd';
import { Fragment, useMemo } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { itemPath, useWords, type KeyPath, type Link as Relation } from '../../api/cmdb';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { flow } from '../../logic/topology';
import { ItemPicker } from '../../parts/cmdb/itempicker';
import { Picture } from '../../parts/cmdb/picture';
import { Head } from '../../parts/page';
import { Criticality } from '../../parts/severity';
import { Empty, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';

/** The chain between two items; what was asked stands in the address. */
export default function PathPage() {
  const { t } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const words = useWords();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const from = url.get('from') ?? '';
  const to = url.get('to') ?? '';
  const hops = Math.min(16, Math.max(1, Number(url.get('hops')) || 8));
  const types = (url.get('types') ?? '').split(',').filter(Boolean);
  const classes = (url.get('classes') ?? '').split(',').filter(Boolean);
  const query = useQuery({
    enabled: !!from && !!to,
    queryKey: ['cmdb', 'path', from, to, hops, types.join(), classes.join()],
    queryFn: ({ signal }) => get<KeyPath>('/cmdb/path', { from, to, hops, types: types.join(), classes: classes.join() }, signal),
    placeholderData: keepPreviousData,
  });
  const drawn = useMemo(() => {
    const p = query.data;
    if (!p?.found) return null;
    const items = [p.from, ...list(p.steps).map((s) => s.item)];
    const links: Relation[] = list(p.steps).map((s, i) => {
      const before = (items[i] as { id: string }).id;
      return s.forward ? { from: before, type: s.type, to: s.item.id } : { from: s.item.id, type: s.type, to: before };
    });
    return { items, links, first: [p.from.id], marked: [p.from.id, p.to.id] };
  }, [query.data]);
  const keep = () =>
    act(async () => {
      if (!drawn || !query.data) return;
      const at = flow(drawn.items.map((i) => i.id), drawn.links, drawn.first);
      const made = await post<{ id: string }>('/cmdb/topologies', { name: `${query.data.from.name} → ${query.data.to.name}`, nodes: drawn.items.map((i) => ({ item: i.id, ...(at.get(i.id) ?? { x: 0, y: 0 }) })) });
      navigate(`/cmdb/topologies/${made.id}`);
    });
  return (
    <div className="page">
      <Head title={t('page.cmdb.path')} sub={t('ci.pathLead')}>
        {drawn && can('create-cmdb-topology') && (
          <Button disabled={busy} onClick={() => void keep()}>
            {t('ci.asTopology')}
          </Button>
        )}
      </Head>
      <div className="panel pathform" role="search">
        <label className="labelled">
          {t('ci.pathFrom')}
          <ItemPicker label={t('ci.pathFrom')} value={from} onChange={(v) => setUrl({ from: v }, true)} autoFocus={!from} />
        </label>
        <Button aria-label={t('ci.pathSwap')} title={t('ci.pathSwap')} disabled={!from && !to} onClick={() => setUrl({ from: to, to: from })}>
          ⇄
        </Button>
        <label className="labelled">
          {t('ci.pathTo')}
          <ItemPicker label={t('ci.pathTo')} value={to} onChange={(v) => setUrl({ to: v }, true)} />
        </label>
        <label className="labelled narrow">
          {t('ci.pathHops')}
          <Select aria-label={t('ci.pathHops')} value={hops} onChange={(v: number) => setUrl({ hops: v === 8 ? undefined : String(v) })} options={[1, 2, 3, 4, 6, 8, 12, 16].map((n) => ({ value: n, label: t('ci.pathHopsN', { n }) }))} />
        </label>
        <label className="labelled">
          {t('ci.pathTypes')}
          <Select mode="multiple" allowClear aria-label={t('ci.pathTypes')} value={types} onChange={(v: string[]) => setUrl({ types: v })} options={list(words.model?.relation_types).map((r) => ({ value: r.name, label: words.typeName(r.name) }))} optionFilterProp="label" maxTagCount="responsive" />
        </label>
        <label className="labelled">
          {t('ci.pathClasses')}
          <Select mode="multiple" allowClear aria-label={t('ci.pathClasses')} value={classes} onChange={(v: string[]) => setUrl({ classes: v })} options={list(words.model?.classes).map((c) => ({ value: c.class, label: words.className(c.class) }))} optionFilterProp="label" maxTagCount="responsive" />
        </label>
      </div>
      {!from || !to ? (
        <div className="panel">
          <Empty title={t('ci.pathStart')} why={t('ci.pathStartWhy')} />
        </div>
      ) : (
        <Loaded query={query} what="page.cmdb.path" lines={8}>
          {(p) =>
            !p.found ? (
              <div className="panel">
                <Empty title={t('ci.pathNone', { n: hops })} why={t('ci.pathNoneWhy')}>
                  {hops < 16 && <Button onClick={() => setUrl({ hops: '16' })}>{t('ci.pathHopsN', { n: 16 })}</Button>}
                  {(types.length > 0 || classes.length > 0) && <Button onClick={() => setUrl({ types: undefined, classes: undefined })}>{t('do.clear')}</Button>}
                </Empty>
              </div>
            ) : (
              <div className="stack" style={{ gap: 14 }}>
                <div className="panel chainline" data-testid="chain" aria-label={t('ci.chain')}>
                  <b className="tag strong">{t('ci.pathFound', { n: p.hops })}</b>
                  <Link to={itemPath(p.from.id)}>{p.from.name || p.from.id}</Link>
                  {list(p.steps).map((s) => (
                    <Fragment key={s.item.id}>
                      <span className="faint">
                        —{words.typeName(s.type, s.forward)}
                        {'→'}
                      </span>
                      <Link to={itemPath(s.item.id)}>{s.item.name || s.item.id}</Link>
                    </Fragment>
                  ))}
                </div>
                {drawn && (
                  <div className="panel">
                    <Picture items={drawn.items} links={drawn.links} first={drawn.marked} layout="flow" height={280} />
                  </div>
                )}
                <div className="panel">
                  <DataTable
                    label={t('ci.chain')}
                    rows={[{ item: p.from, type: '', forward: true }, ...list(p.steps)]}
                    rowKey={(s) => s.item.id}
                    columns={[
                      { key: 'type', title: t('ci.relateType'), render: (s) => (s.type ? words.typeName(s.type, s.forward) : <span className="faint">–</span>) },
                      { key: 'item', title: t('ci.item'), render: (s) => <Link to={itemPath(s.item.id)}>{s.item.name || s.item.id}</Link> },
                      { key: 'class', title: t('ci.class'), render: (s) => words.className(s.item.class) },
                      { key: 'criticality', title: t('ci.f.criticality'), width: 130, render: (s) => <Criticality value={s.item.criticality} /> },
                      { key: 'owner', title: t('ci.f.owner'), render: (s) => s.item.owner || '–' },
                    ]}
                  />
                </div>
              </div>
            )
          }
        </Loaded>
      )}
    </div>
  );
}
