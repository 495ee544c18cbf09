import { useInfiniteQuery } from '@tanstack/react-query';
import { Button, Form, Input, Switch } from 'antd';
import { useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import type { Drawing, DrawingContent, ListedDrawing } from '../../api/cmdb';
import { del, get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { WhenFull } from '../../parts/time';

export interface Properties {
  name: string;
  scenario?: string;
  description?: string;
  shared?: boolean;
}

/** What a topology is called, for what, and who sees it. */
export function PropertiesFields() {
  const { t } = useSettings();
  return (
    <>
      <Form.Item name="name" label={t('ci.topo.name')} rules={[{ required: true, whitespace: true, message: t('ci.required') }]}>
        <Input autoFocus maxLength={200} />
      </Form.Item>
      <Form.Item name="scenario" label={t('ci.topo.scenario')}>
        <Input maxLength={200} placeholder={t('ci.topo.scenarioHint')} />
      </Form.Item>
      <Form.Item name="description" label={t('ci.topo.description')}>
        <Input.TextArea maxLength={2000} rows={2} />
      </Form.Item>
      <Form.Item name="shared" label={t('ci.topo.shared')} valuePropName="checked" extra={t('ci.topo.sharedWhy')}>
        <Switch />
      </Form.Item>
    </>
  );
}

/** A file as the export of a topology writes it. */
export function readDrawing(text: string): DrawingContent {
  const v = JSON.parse(text) as Partial<DrawingContent>;
  if (typeof v !== 'object' || v === null || !Array.isArray(v.nodes)) throw new Error('nodes');
  const { name = '', scenario, description, layout, filter, hidden_types, nodes, notes } = v;
  return { name: String(name), scenario, description, layout, filter, hidden_types, nodes, notes };
}

/** The topologies that people drew. */
export default function Topologies() {
  const { t } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const { act, tell, busy } = useAct();
  const [url, setUrl] = useUrl();
  const [making, setMaking] = useState<'free' | 'layers' | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const filter = { q: url.get('q') ?? '', scenario: url.get('scenario') ?? '', mine: url.get('mine') === '1' || undefined, deleted: url.get('deleted') === '1' || undefined };
  const query = useInfiniteQuery({
    queryKey: ['cmdb', 'topologies', filter],
    queryFn: ({ pageParam, signal }) => get<Page<ListedDrawing>>('/cmdb/topologies', { ...filter, limit: 50, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
  });
  const rows = list(query.data?.pages).flatMap((p) => list(p.items));
  const narrowed = !!(filter.q || filter.scenario || filter.mine || filter.deleted);
  const restore = (d: ListedDrawing, revision: number) => act(() => post(`/cmdb/topologies/${d.id}/restore`, { revision }), { said: t('ci.restoredDone'), renew: ['cmdb'] });
  const remove = (d: ListedDrawing) => act(() => del(`/cmdb/topologies/${d.id}`), { said: t('ci.topo.deleted', { x: d.name }), renew: ['cmdb'], undo: () => void restore(d, d.revision) });
  const takeIn = async (f: File | undefined) => {
    if (!f) return;
    await act(async () => {
      let content: DrawingContent;
      try {
        content = readDrawing(await f.text());
      } catch (e) {
        throw new Error(t('ci.topo.importBad', { x: e instanceof Error ? e.message : String(e) }));
      }
      const made = await post<Drawing>('/cmdb/topologies', { ...content, name: content.name || f.name.replace(/\.json$/i, '') });
      tell({ renew: ['cmdb'] });
      navigate(`/cmdb/topologies/${made.id}`);
    });
  };
  return (
    <div className="page">
      <Head title={t('page.cmdb.topologies')} sub={t('ci.topo.lead')}>
        {can('create-cmdb-topology') && (
          <>
            <input ref={file} type="file" accept=".json,application/json" className="visually-hidden" tabIndex={-1} aria-hidden="true" onChange={(e) => void takeIn(e.target.files?.[0]).then(() => file.current && (file.current.value = ''))} />
            <Button onClick={() => file.current?.click()}>{t('ci.topo.import')}</Button>
            <Button onClick={() => setMaking('layers')}>{t('ci.topo.newLayers')}</Button>
            <Button type="primary" onClick={() => setMaking('free')}>
              {t('ci.topo.new')}
            </Button>
          </>
        )}
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('ci.topo.find')} />
        <button className="plain toggle" aria-pressed={!!filter.mine} onClick={() => setUrl({ mine: filter.mine ? undefined : '1' })}>
          {t('ci.topo.mine')}
        </button>
        <button className="plain toggle" aria-pressed={!!filter.deleted} onClick={() => setUrl({ deleted: filter.deleted ? undefined : '1' })}>
          {t('ci.topo.deletedOnes')}
        </button>
        {filter.scenario && (
          <span className="chip">
            {filter.scenario}
            <button className="plain" aria-label={t('do.remove', { x: filter.scenario })} onClick={() => setUrl({ scenario: undefined })}>
              ✕
            </button>
          </span>
        )}
      </div>
      <Stale query={query} />
      <div className="panel">
        {query.isPending ? (
          <Skeleton lines={6} />
        ) : query.error && rows.length === 0 ? (
          <Failed error={query.error} what="page.cmdb.topologies" retry={() => void query.refetch()} />
        ) : rows.length === 0 ? (
          <Empty title={t(narrowed ? 'ci.topo.noneFound' : 'ci.topo.none')} why={narrowed ? undefined : t('ci.topo.noneWhy')}>
            {narrowed ? <Button onClick={() => setUrl({ q: undefined, scenario: undefined, mine: undefined, deleted: undefined })}>{t('do.clear')}</Button> : can('create-cmdb-topology') && <Button type="primary" onClick={() => setMaking('free')}>{t('ci.topo.new')}</Button>}
          </Empty>
        ) : (
          <DataTable
            label={t('page.cmdb.topologies')}
            rows={rows}
            rowKey={(d) => d.id}
            onRow={(d) => !d.deleted && navigate(`/cmdb/topologies/${d.id}`)}
            columns={[
              {
                key: 'name',
                title: t('ci.topo.name'),
                render: (d) => (
                  <>
                    {d.deleted ? d.name : <Link to={`/cmdb/topologies/${d.id}`}>{d.name}</Link>}
                    {d.description && <div className="faint ellipsis" style={{ maxWidth: 520 }}>{d.description}</div>}
                  </>
                ),
              },
              {
                key: 'scenario',
                title: t('ci.topo.scenario'),
                render: (d) =>
                  d.scenario ? (
                    <button className="plain tag" onClick={() => setUrl({ scenario: d.scenario })}>
                      {d.scenario}
                    </button>
                  ) : (
                    <span className="faint">–</span>
                  ),
              },
              { key: 'items', title: t('ci.topo.count'), num: true, render: (d) => d.items },
              { key: 'owner', title: t('ci.topo.owner'), render: (d) => <>{d.owner} <span className="faint">{t(d.shared ? 'ci.topo.sharedMark' : 'ci.topo.private')}</span></> },
              { key: 'updated', title: t('ci.topo.updated'), render: (d) => <><WhenFull time={d.updated_at} /> <span className="faint">{d.updated_by}</span></> },
              {
                key: 'do',
                title: '',
                render: (d) =>
                  d.editable &&
                  (d.deleted ? (
                    <Button size="small" disabled={busy} onClick={() => void restore(d, d.revision)}>
                      {t('ci.topo.restore')}
                    </Button>
                  ) : (
                    <Button size="small" disabled={busy} onClick={() => void remove(d)}>
                      {t('ci.topo.delete')}
                    </Button>
                  )),
              },
            ]}
          />
        )}
        {query.hasNextPage && (
          <div style={{ padding: 12, textAlign: 'center' }}>
            <Button onClick={() => void query.fetchNextPage()}>{t('do.more')}</Button>
          </div>
        )}
      </div>
      {making && (
        <FormDialog<Properties>
          title={t(making === 'layers' ? 'ci.topo.newLayers' : 'ci.topo.new')}
          ok={t('do.create')}
          submit={async (v) => {
            const made = await post<Drawing>('/cmdb/topologies', { ...v, layout: making, nodes: [] });
            tell({ renew: ['cmdb'] });
            navigate(`/cmdb/topologies/${made.id}`);
          }}
          close={() => setMaking(null)}
        >
          <PropertiesFields />
        </FormDialog>
      )}
    </div>
  );
}
