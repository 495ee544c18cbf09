import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Input, type InputRef } from 'antd';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { get, request } from '../api/client';
import { useCan } from '../api/queries';
import { list, type CMDBClass, type CMDBItem, type Page } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useSettled, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { download } from '../logic/export';
import { number } from '../logic/format';
import { ImportDialog } from '../parts/cmdbimport';
import { TenantName, useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { Criticality } from '../parts/severity';
import { Empty, Failed, Skeleton, Stale } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { When } from '../parts/time';

export function useClasses() {
  return useQuery({
    queryKey: ['cmdb', 'classes'],
    queryFn: async ({ signal }) => list((await get<Page<CMDBClass>>('/cmdb/classes', {}, signal)).items),
    staleTime: 300_000,
  });
}

/** Names of business systems by id: a host names its system by id alone. */
function useSystemNames(): Map<string, string> | undefined {
  return useQuery({
    queryKey: ['cmdb', 'systems'],
    queryFn: async ({ signal }) => {
      const page = await get<Page<CMDBItem>>('/cmdb/items', { class: 'business_system', limit: 1000 }, signal);
      return new Map(list(page.items).map((i) => [i.id, i.name]));
    },
    staleTime: 60_000,
  }).data;
}

const LIMIT = 100;

export default function CMDB() {
  const { t, tx, locale } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const tenantName = useTenantName();
  const { failed } = useFeedback();
  const [url, setUrl] = useUrl();
  const classes = useClasses();
  const cls = url.get('class') ?? (url.get('q') ? '' : 'host');
  const tenant = url.get('tenant') ?? '';
  const q = url.get('q') ?? '';
  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (settled !== q && settled === text.trim()) setUrl({ q: settled, class: cls || 'all' });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps
  const wanted = cls === 'all' ? '' : cls;

  const filter = { class: wanted, q, tenant, limit: LIMIT };
  const key = JSON.stringify(filter);
  const query = useQuery({ queryKey: ['cmdb', 'items', key], queryFn: ({ signal }) => get<Page<CMDBItem>>('/cmdb/items', filter, signal) });
  const [more, setMore] = useState<{ key: string; rows: CMDBItem[]; next: string } | null>(null);
  const extra = more?.key === key ? more : null;
  const rows = [...list(query.data?.items), ...(extra?.rows ?? [])];
  const next = extra ? extra.next : (query.data?.next ?? '');
  const loadMore = async () => {
    try {
      const page = await get<Page<CMDBItem>>('/cmdb/items', { ...filter, cursor: next });
      setMore({ key, rows: [...(extra?.rows ?? []), ...list(page.items)], next: page.next ?? '' });
    } catch (e) {
      failed(e);
    }
  };
  const systems = useSystemNames();
  const [importing, setImporting] = useState(false);
  const input = useRef<InputRef>(null);
  useKeys({ '/': () => input.current?.focus() });

  const className = (c: string) => tx(classes.data?.find((x) => x.class === c)?.name) || c;
  const exportAs = async (format: 'yaml' | 'csv') => {
    try {
      const res = await request('GET', '/cmdb/export', { query: { format, class: wanted, q, tenant } });
      download(`icewatch-cmdb${wanted ? `-${wanted}` : ''}.${format}`, format === 'csv' ? 'text/csv' : 'application/yaml', await res.blob());
    } catch (e) {
      failed(e);
    }
  };
  const columns = useMemo<Column<CMDBItem>[]>(() => {
    const all: (Column<CMDBItem> & { not?: string[] })[] = [
      { key: 'name', title: t('col.name'), render: (i) => <Link to={`/cmdb/${encodeURIComponent(i.id)}`}>{i.name || i.id}</Link> },
      { key: 'addresses', title: t('cmdb.addresses'), not: ['organisation', 'business_system'], render: (i) => <span className="mono">{list(i.addresses).join(' ') || '–'}</span> },
      { key: 'zone', title: t('cmdb.zone'), not: ['organisation', 'business_system'], render: (i) => i.zone || '–' },
      { key: 'tenant', title: t('col.tenant'), not: ['organisation'], render: (i) => <TenantName slug={i.tenant} /> },
      { key: 'system', title: t('col.system'), not: ['organisation', 'business_system', 'network'], render: (i) => (i.system ? <Link to={`/cmdb/${encodeURIComponent(i.system)}`}>{systems?.get(i.system) ?? i.system}</Link> : '–') },
      { key: 'criticality', title: t('cmdb.criticality'), not: ['organisation'], width: 130, render: (i) => <Criticality value={i.criticality} /> },
      { key: 'owner', title: t('col.owner'), render: (i) => i.owner || '–' },
      { key: 'updated', title: t('cmdb.updated'), num: true, render: (i) => <When time={i.updated_at} /> },
    ];
    return all.filter((c) => !c.not?.includes(wanted));
  }, [t, wanted, systems]);
  const tabs = [...list(classes.data).map((c) => c.class), 'all'];

  return (
    <div className="page">
      <Head title={t('page.cmdb')} sub={query.data?.total !== undefined ? number(query.data.total, locale) : ''}>
        <Dropdown
          menu={{
            items: [
              { key: 'yaml', label: 'YAML', onClick: () => void exportAs('yaml') },
              { key: 'csv', label: 'CSV', onClick: () => void exportAs('csv') },
            ],
          }}
        >
          <Button>{t('cmdb.export')} ▾</Button>
        </Dropdown>
        {can('admin') && (
          <Button type="primary" onClick={() => setImporting(true)}>
            {t('cmdb.import')}
          </Button>
        )}
      </Head>
      <nav className="tabs" aria-label={t('page.cmdb')}>
        {tabs.map((c) => (
          <a
            key={c}
            href={`?class=${c}`}
            aria-current={(cls || 'all') === c ? 'page' : undefined}
            onClick={(e) => {
              e.preventDefault();
              setUrl({ class: c }, true);
            }}
          >
            {c === 'all' ? t('rules.all') : className(c)}
          </a>
        ))}
      </nav>
      <div className="filters" role="search">
        <Input ref={input} allowClear style={{ width: 280 }} placeholder={t('cmdb.filter')} aria-label={t('cmdb.filter')} value={text} suffix={text ? undefined : <kbd>/</kbd>} onChange={(e) => setText(e.target.value)} />
        {tenant && (
          <span className="chip">
            {tenantName(tenant)}
            <button className="plain" aria-label={t('do.remove', { x: tenantName(tenant) })} onClick={() => setUrl({ tenant: undefined })}>
              ✕
            </button>
          </span>
        )}
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        {query.isPending ? (
          <Skeleton lines={12} />
        ) : query.error && !query.data ? (
          <Failed error={query.error} what="cmdb.what" retry={() => void query.refetch()} />
        ) : rows.length === 0 ? (
          <Empty title={t(q || tenant ? 'cmdb.emptyFilter' : 'cmdb.empty', { x: wanted ? className(wanted) : t('cmdb.what') })} why={t('cmdb.emptyWhy')}>
            {q || tenant ? (
              <Button onClick={() => setUrl({ q: undefined, tenant: undefined })}>{t('do.clear')}</Button>
            ) : (
              can('admin') && <Button onClick={() => setImporting(true)}>{t('cmdb.import')}</Button>
            )}
          </Empty>
        ) : (
          <>
            <DataTable label={t('page.cmdb')} columns={columns} rows={rows} rowKey={(i) => i.id} onRow={(i) => navigate(`/cmdb/${encodeURIComponent(i.id)}`)} />
            {next && (
              <div style={{ padding: 12, textAlign: 'center' }}>
                <Button onClick={() => void loadMore()}>{t('do.more')}</Button>
              </div>
            )}
          </>
        )}
      </div>
      {importing && <ImportDialog classes={list(classes.data)} close={() => setImporting(false)} />}
    </div>
  );
}
