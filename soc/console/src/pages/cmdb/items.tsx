import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Dropdown, Input, Popover } from 'antd';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { itemPath, useWords, type Item, type Statistics } from '../../api/cmdb';
import { ApiError, get, request } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useFeedback } from '../../app/feedback';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { fieldText } from '../../logic/cmdb';
import { both, complete, formatFilter, parseFilter, quoted, type Filter } from '../../logic/cmdbfilter';
import { download, tableCSV } from '../../logic/export';
import { faultOf, unreadable } from '../../logic/fault';
import { number } from '../../logic/format';
import { BulkDialog } from '../../parts/cmdb/bulk';
import { ClassTree } from '../../parts/cmdb/classtree';
import { fieldName } from '../../parts/cmdb/fieldname';
import { FilterBuilder, emptyCondition } from '../../parts/cmdb/filterbuilder';
import { MARKS, MarkTags, ofMark } from '../../parts/cmdb/marks';
import { allItems, MOST } from '../../parts/cmdb/upsert';
import { ValueOf } from '../../parts/cmdb/value';
import { ViewMenu } from '../../parts/cmdb/views';
import { TenantName, useTenantName } from '../../parts/names';
import { Head } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Criticality } from '../../parts/severity';
import { ModelWaits } from '../../parts/cmdb/waiting';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable, type Column } from '../../parts/table';
import { When } from '../../parts/time';

const LIMIT = 100;
const CAPPED = 10_000;
const USUAL = ['name', 'class', 'addresses', 'zone', 'tenant', 'system', 'criticality', 'owner', 'labels', 'updated'] as const;
const PLAIN = ['organisation', 'business_system', 'person', 'room', 'cabinet', 'contract', 'supplier'];

/** What the server sorts by, where its name for a field is another than the item's; systems and labels it does not sort by. */
const SORTED: Record<string, string> = { addresses: 'address', hostnames: 'hostname', system: '', organisation: '', labels: '' };

/** The fields that a list shows of a class where nobody chose others. */
function usualColumns(cls: string, addresses: boolean): string[] {
  return USUAL.filter((c) => (cls ? c !== 'class' : true) && (addresses || !['addresses', 'zone'].includes(c)) && !(c === 'system' && PLAIN.includes(cls)) && !(c === 'tenant' && cls === 'organisation'));
}

/** All items: by class, words, and filters of any depth; a page at a time, in an order that stays. */
export default function Items() {
  const { t, locale } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const words = useWords();
  const tenantName = useTenantName();
  const { failed } = useFeedback();
  const [url, setUrl] = useUrl();
  const cls = url.get('class') === 'all' ? '' : (url.get('class') ?? '');
  const q = url.get('q') ?? '';
  const tenant = url.get('tenant') ?? '';
  const system = url.get('system') ?? '';
  const filter = url.get('filter') ?? '';
  const sort = url.get('sort') ?? '';
  const mark = MARKS.find((m) => m === url.get('mark'));
  const [open, setOpen] = useState(filter !== '');
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [bulk, setBulk] = useState<Item[] | null>(null);
  const statistics = useQuery({ queryKey: ['cmdb', 'statistics'], queryFn: ({ signal }) => get<Statistics>('/cmdb/statistics', {}, signal), staleTime: 30_000 });

  const asked = { class: cls, q, tenant, system, filter: mark ? both(filter, ofMark(mark)) : filter, sort };
  const query = useInfiniteQuery({
    queryKey: ['cmdb', 'items', asked],
    queryFn: ({ pageParam, signal }) => get<Page<Item>>('/cmdb/items', { ...asked, limit: LIMIT, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });
  const rows = useMemo(() => list(query.data?.pages).flatMap((p) => list(p.items)), [query.data]);
  const total = query.data?.pages[0]?.total ?? 0;
  const key = JSON.stringify({ ...asked, sort: '' });
  useEffect(() => setChosen(new Set()), [key]);
  const fault = query.error instanceof ApiError && unreadable(query.error) ? faultOf(query.error) : null;

  // The next page comes before the end of this one is reached.
  const end = useRef<HTMLDivElement>(null);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  useEffect(() => {
    const el = end.current;
    if (!el || !hasNextPage) return undefined;
    const o = new IntersectionObserver((e) => e.some((x) => x.isIntersecting) && !isFetchingNextPage && void fetchNextPage(), { rootMargin: '600px' });
    o.observe(el);
    return () => o.disconnect();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, rows.length]);

  const systems = useSystemNames(rows);
  const model = words.model;
  const theClass = words.classOf(cls);
  const columnsKey = `icewatch.cmdb.columns.${cls}`;
  const [saved, setSaved] = useState<string[] | null>(null);
  useEffect(() => setSaved(remembered(columnsKey)), [columnsKey]);
  const shown = url.get('cols')?.split(',') ?? saved ?? usualColumns(cls, !theClass || (theClass.addresses ?? 'none') !== 'none');
  const attributes = list(theClass?.attributes);
  const choose = (cols: string[]) => {
    setUrl({ cols });
    try {
      localStorage.setItem(columnsKey, JSON.stringify(cols));
    } catch {
      // A desk without storage forgets it.
    }
  };
  const label = (x: string) => setUrl({ filter: both(filter, `label = ${quoted(x)}`) }, true);
  const column = (c: string): Column<Item> => ({ sort: SORTED[c] ?? c, most: c === 'criticality' || c === 'updated', ...field(c) });
  const field = (c: string): Column<Item> => {
    switch (c) {
      case 'name':
        return {
          key: c,
          title: t('ci.f.name'),
          render: (i) => (
            <span className="row" style={{ gap: 6 }}>
              <Link className="clip" title={i.name || i.id} to={itemPath(i.id)}>
                {i.name || i.id}
              </Link>
              <MarkTags of={i} />
            </span>
          ),
        };
      case 'class':
        return { key: c, title: t('ci.f.class'), render: (i) => words.className(i.class) };
      case 'addresses':
        return { key: c, title: t('ci.f.addresses'), render: (i) => <span className="mono nowrap">{list(i.addresses).slice(0, 2).join(' ') || '–'}{list(i.addresses).length > 2 ? ` +${list(i.addresses).length - 2}` : ''}</span> };
      case 'tenant':
        return { key: c, title: t('ci.f.tenant'), render: (i) => (i.tenant ? <span className="clip"><TenantName slug={i.tenant} /></span> : <span className="faint">{t('ci.shared')}</span>) };
      case 'system':
      case 'organisation':
        return { key: c, title: t(`ci.f.${c}`), render: (i) => (i[c] ? <Link className="clip" title={systems.get(i[c]) ?? i[c]} to={itemPath(i[c])}>{systems.get(i[c]) ?? i[c]}</Link> : <span className="faint">–</span>) };
      case 'criticality':
        return { key: c, title: t('ci.f.criticality'), width: 96, render: (i) => <Criticality value={i.criticality} /> };
      case 'labels':
        return {
          key: c,
          title: t('ci.f.labels'),
          render: (i) => (
            <span className="row" style={{ gap: 4 }}>
              {list(i.labels).slice(0, 3).map((x) => (
                <button key={x} className="plain tag" onClick={() => label(x)}>
                  {x}
                </button>
              ))}
              {list(i.labels).length > 3 && <span className="faint" title={list(i.labels).slice(3).join(' ')}>+{list(i.labels).length - 3}</span>}
            </span>
          ),
        };
      case 'updated':
        return { key: c, title: t('ci.f.updated'), num: true, render: (i) => <When time={i.updated_at} /> };
      default: {
        const a = attributes.find((x) => `attr.${x.name}` === c);
        return { key: c, title: fieldName(c, words, t, cls), num: a?.type === 'integer' || a?.type === 'decimal', render: (i) => <span className="clip"><ValueOf item={i} field={c} /></span> };
      }
    }
  };
  const columns = shown.map(column);
  const exportAs = async (format: 'yaml' | 'csv') => {
    try {
      const res = await request('GET', '/cmdb/export', { query: { format, class: cls, q, tenant } });
      download(`icewatch-cmdb${cls ? `-${cls}` : ''}.${format}`, format === 'csv' ? 'text/csv' : 'application/yaml', await res.blob());
    } catch (e) {
      failed(e);
    }
  };
  /** What the filter shows, with the columns chosen: the server's export knows classes and words only. */
  const exportShown = async () => {
    try {
      const all = await allItems(asked, CAPPED);
      download(`icewatch-cmdb${cls ? `-${cls}` : ''}.csv`, 'text/csv', tableCSV([shown.map((c) => fieldName(c, words, t, cls)), ...all.map((i) => shown.map((c) => (c === 'updated' ? (i.updated_at ?? '') : fieldText(i, c))))]));
    } catch (e) {
      failed(e);
    }
  };
  const editAll = async () => {
    try {
      const all = await allItems(asked, MOST);
      if (all.length > MOST) failed(new Error(t('ci.labelTooMany', { n: MOST })));
      else setBulk(all);
    } catch (e) {
      failed(e);
    }
  };
  const narrowed = !!(q || tenant || system || filter || mark);
  return (
    <div className="page fill">
      <Head title={t('page.cmdb.items')} sub={query.data ? (total >= CAPPED && filter ? t('ci.totalMore', { n: CAPPED }) : t('ci.total', { n: total })) : ''}>
        <ViewMenu
          now={{ class: cls, q, filter: asked.filter, sort, columns: url.get('cols')?.split(',') ?? [] }}
          open={(v) => setUrl({ class: v.class || undefined, q: v.q || undefined, filter: v.filter || undefined, sort: v.sort || undefined, cols: list(v.columns).length > 0 ? list(v.columns) : undefined, mark: undefined, tenant: undefined, system: undefined }, true)}
        />
        <Dropdown
          menu={{
            items: [
              { key: 'shown', label: t('ci.exportCsv'), onClick: () => void exportShown() },
              { type: 'divider' },
              { key: 'yaml', label: 'YAML', onClick: () => void exportAs('yaml') },
              { key: 'csv', label: 'CSV', onClick: () => void exportAs('csv') },
            ],
          }}
        >
          <Button>{t('cmdb.export')} ▾</Button>
        </Dropdown>
        {can('import-cmdb') && <Link to="/cmdb/import"><Button>{t('cmdb.import')}</Button></Link>}
        {can('create-cmdb-item') && (
          <Button type="primary" onClick={() => navigate(`/cmdb/items/new${theClass && !theClass.abstract ? `?class=${cls}` : ''}`)}>
            {t('ci.new')}
          </Button>
        )}
      </Head>
      <div className="split cmdbsplit">
        <aside className="panel classpanel">{model ? <ClassTree model={model} chosen={cls} choose={(c) => setUrl({ class: c || undefined, cols: undefined }, true)} counts={statistics.data?.classes} all /> : <ModelWaits lines={10} small />}</aside>
        <div className="resultcol">
          <div className="filters" role="search">
            <SearchBox hint={t('cmdb.filter')} />
            <button className="plain toggle" aria-expanded={open} aria-pressed={filter !== ''} onClick={() => setOpen(!open)}>
              {t('ci.filter')} {open ? '▴' : '▾'}
            </button>
            {MARKS.map((m) => (
              <button key={m} className="plain toggle" aria-pressed={mark === m} onClick={() => setUrl({ mark: mark === m ? undefined : m }, true)}>
                {t(`ci.mark.${m}`)}
              </button>
            ))}
            {tenant && (
              <span className="chip">
                {tenantName(tenant)}
                <button className="plain" aria-label={t('do.remove', { x: tenantName(tenant) })} onClick={() => setUrl({ tenant: undefined })}>
                  ✕
                </button>
              </span>
            )}
            {system && (
              <span className="chip">
                {systems.get(system) ?? system}
                <button className="plain" aria-label={t('do.remove', { x: system })} onClick={() => setUrl({ system: undefined })}>
                  ✕
                </button>
              </span>
            )}
            <Popover
              trigger="click"
              placement="bottomRight"
              content={
                <div style={{ maxHeight: 420, overflow: 'auto', width: 230 }}>
                  <Checkbox.Group value={shown} onChange={(v) => choose([...shown.filter((c) => (v as string[]).includes(c)), ...(v as string[]).filter((c) => !shown.includes(c))])} style={{ display: 'flex', flexDirection: 'column', gap: 3 }}>
                    {USUAL.map((c) => (
                      <Checkbox key={c} value={c} disabled={c === 'name'}>
                        {t(`ci.f.${c}`)}
                      </Checkbox>
                    ))}
                    {attributes.map((a) => (
                      <Checkbox key={a.name} value={`attr.${a.name}`}>
                        {words.attributeName(a.name, cls)}
                      </Checkbox>
                    ))}
                  </Checkbox.Group>
                </div>
              }
            >
              <Button size="small" style={{ marginLeft: 'auto' }}>
                {t('ci.columns')}
              </Button>
            </Popover>
          </div>
          {open && <FilterPanel key={filter} filter={filter} cls={cls} fault={fault} apply={(f) => setUrl({ filter: f }, true)} />}
          <Stale query={query} />
          <div className="panel results" aria-busy={query.isFetching}>
            {query.isPending ? (
              <Skeleton lines={14} />
            ) : fault ? (
              <div className="state" role="alert">
                <h3>{fault.byte ? t('ci.filterAt', { n: fault.byte, x: fault.message }) : fault.message}</h3>
              </div>
            ) : query.error && rows.length === 0 ? (
              <Failed error={query.error} what="cmdb.what" retry={() => void query.refetch()} />
            ) : rows.length === 0 ? (
              <Empty title={narrowed ? t('ci.none') : t('ci.noneYet', { x: cls ? words.className(cls) : t('cmdb.what') })} why={t(narrowed ? 'ci.noneWhy' : 'ci.noneYetWhy')}>
                {narrowed ? <Button onClick={() => setUrl({ q: undefined, tenant: undefined, system: undefined, filter: undefined, mark: undefined })}>{t('do.clear')}</Button> : can('import-cmdb') && <Link to="/cmdb/import"><Button>{t('cmdb.import')}</Button></Link>}
              </Empty>
            ) : (
              <>
                <DataTable label={t('page.cmdb.items')} columns={columns} rows={rows} rowKey={(i) => i.id} onRow={(i) => navigate(itemPath(i.id))} sort={sort} onSort={(s) => setUrl({ sort: s })} choice={can('upsert-cmdb-items') ? { ids: chosen, set: setChosen, name: (i) => i.name } : undefined} />
                <div ref={end} style={{ padding: 10, textAlign: 'center' }} className="faint">
                  {hasNextPage ? (
                    <Button loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
                      {t('do.more')}
                    </Button>
                  ) : (
                    t('ci.shownOf', { n: rows.length })
                  )}
                </div>
              </>
            )}
            {can('upsert-cmdb-items') && rows.length > 0 && (chosen.size > 0 || narrowed) && (
              <div className="batch">
                <b>{t('ci.chosen', { n: chosen.size })}</b>
                <Button type="primary" size="small" disabled={chosen.size === 0} onClick={() => setBulk(rows.filter((i) => chosen.has(i.id)))}>
                  {t('ci.bulk')}
                </Button>
                {narrowed && total <= MOST && (
                  <Button size="small" onClick={() => void editAll()}>
                    {t('ci.bulkTitle', { n: total })}
                  </Button>
                )}
                <span className="faint num" style={{ marginLeft: 'auto' }}>
                  {t('ci.shownOf', { n: number(rows.length, locale) })}
                </span>
              </div>
            )}
          </div>
        </div>
      </div>
      {bulk && (
        <BulkDialog
          items={bulk}
          close={(done) => {
            setBulk(null);
            if (done) setChosen(new Set());
          }}
        />
      )}
    </div>
  );
}

function remembered(key: string): string[] | null {
  try {
    const v: unknown = JSON.parse(localStorage.getItem(key) ?? 'null');
    return Array.isArray(v) && v.length > 0 ? v.map(String) : null;
  } catch {
    return null;
  }
}

/** Names of the systems and organisations that rows belong to. */
function useSystemNames(rows: readonly Item[]): Map<string, string> {
  const ids = [...new Set(rows.flatMap((i) => [i.system ?? '', i.organisation ?? '']).filter(Boolean))].sort();
  const { data } = useQuery({
    enabled: ids.length > 0,
    queryKey: ['cmdb', 'systemnames', ids.join()],
    queryFn: async () => {
      const out = new Map<string, string>();
      for (let i = 0; i < ids.length; i += 100) {
        const page = await get<Page<Item>>('/cmdb/items', { filter: `id in (${ids.slice(i, i + 100).map(quoted).join(', ')})`, limit: 1000 });
        for (const x of list(page.items)) out.set(x.id, x.name);
      }
      return out;
    },
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });
  return data ?? new Map();
}

/** A filter, built by hand and as text: the one follows the other. */
function FilterPanel({ filter, cls, fault, apply }: { filter: string; cls: string; fault: { message: string; byte?: number } | null; apply: (f: string) => void }) {
  const { t } = useSettings();
  const [text, setText] = useState(filter);
  const [tree, setTree] = useState<Filter | null>(() => (filter ? parseFilter(filter) : { kind: 'and', kids: [emptyCondition()] }));
  const ready = tree === null || complete(tree) || text.trim() === '';
  return (
    <div className="panel filterpanel">
      {tree ? (
        <FilterBuilder
          value={tree}
          cls={cls}
          onChange={(f) => {
            setTree(f);
            if (complete(f)) setText(formatFilter(f));
            else if ((f.kind === 'and' || f.kind === 'or') && f.kids.length === 0) setText('');
          }}
        />
      ) : (
        <div className="dim">{t('ci.filterOnlyText')}</div>
      )}
      <form
        className="row"
        style={{ gap: 8 }}
        onSubmit={(e) => {
          e.preventDefault();
          apply(text.trim());
        }}
      >
        <Input
          className="mono"
          aria-label={t('ci.filterText')}
          placeholder={t('ci.filterHint')}
          status={fault ? 'error' : undefined}
          value={text}
          onChange={(e) => {
            setText(e.target.value);
            const f = parseFilter(e.target.value);
            setTree(f ?? (e.target.value.trim() === '' ? { kind: 'and', kids: [emptyCondition()] } : null));
          }}
        />
        <Button type="primary" htmlType="submit" disabled={!ready}>
          {t('ci.filterApply')}
        </Button>
        {filter && <Button onClick={() => apply('')}>{t('do.clear')}</Button>}
      </form>
      {fault && (
        <div className="bad" role="alert">
          {fault.byte ? (
            <>
              <code className="faultline">
                {text.slice(0, fault.byte - 1)}
                <mark>{text.slice(fault.byte - 1) || ' '}</mark>
              </code>
              {t('ci.filterAt', { n: fault.byte, x: fault.message })}
            </>
          ) : (
            fault.message
          )}
        </div>
      )}
    </div>
  );
}
