import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { useState } from 'react';
import type { AuditRecord } from '../../api/audit';
import { get, request } from '../../api/client';
import { all } from '../../api/directory';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { download } from '../../logic/export';
import { parseRange, rangeParams, rangeQuery } from '../../logic/urlstate';
import { useAuditText } from '../../parts/audittext';
import { AuditDetail, ResultMark } from '../../parts/auditdetail';
import { Forward, Verify } from '../../parts/auditcheck';
import { Head, Panel } from '../../parts/page';
import { useOperationText } from '../../parts/operation';
import { RangePicker } from '../../parts/range';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';
import { When } from '../../parts/time';
import { Token } from '../../parts/token';
import { Track } from '../../parts/track';
import { UserPicker } from '../../parts/pickers';

const FALLBACK = '7d';
const PAGE = 100;
const RESULTS = ['ok', 'failed', 'denied'] as const;

/** So many changed fields are named in a row; the rest is in the record's details. */
const FIELDS_SHOWN = 6;

/** Who did what: the log, its proof, and each user's track. */
export default function Audit() {
  const { t } = useSettings();
  const { act } = useAct();
  const [params] = useUrl();
  const [verifying, setVerifying] = useState(0);
  const tabs = [
    { key: 'log' as const, title: t('audit.log') },
    { key: 'track' as const, title: t('audit.track') },
    { key: 'forward' as const, title: t('audit.forward') },
  ];
  const tab = useTab(tabs);
  const q = rangeQuery(parseRange(params, FALLBACK));
  const exportLog = () =>
    act(async () => {
      const res = await request('GET', '/audit/export', { query: { format: 'ndjson', from: q.since ?? q.start, to: q.end } });
      download(`audit-${new Date().toISOString().slice(0, 10)}.ndjson`, 'application/x-ndjson', await res.blob());
    });
  return (
    <div className="page">
      <Head title={t('page.audit')}>
        <Button title={t('audit.exportWhy')} onClick={() => void exportLog()}>
          {t('audit.export')}
        </Button>
        <Button type="primary" onClick={() => setVerifying((n) => n + 1)}>
          {t('audit.verify')}
        </Button>
      </Head>
      {verifying > 0 && <Verify key={verifying} close={() => setVerifying(0)} />}
      <Tabs tabs={tabs} label={t('page.audit')} />
      {tab === 'log' && <Log />}
      {tab === 'track' && <Tracks />}
      {tab === 'forward' && <Forward />}
    </div>
  );
}

function Tracks() {
  const { t } = useSettings();
  const can = useCan();
  const [params, setUrl] = useUrl();
  const user = params.get('user') ?? '';
  return (
    <>
      <div className="filters">
        {can('list-users') && (
          <div style={{ width: 300 }}>
            <UserPicker by="username" value={user} onChange={(v) => setUrl({ user: v })} placeholder={t('audit.trackOf')} />
          </div>
        )}
        {/* An auditor may not list users: the name can be typed. */}
        <Input.Search aria-label={t('users.username')} placeholder={t('users.username')} defaultValue={user} onSearch={(v) => setUrl({ user: v.trim() })} style={{ width: 200 }} />
      </div>
      {user ? (
        <Track user={user} />
      ) : (
        <Panel>
          <Empty title={t('audit.track')} why={t('audit.trackHint')} />
        </Panel>
      )}
    </>
  );
}

function Log() {
  const { t } = useSettings();
  const text = useOperationText();
  const words = useAuditText();
  const changed = (x: AuditRecord) => {
    const names = list(x.changes).map((c) => words.field(c.field));
    return names.length > FIELDS_SHOWN ? t('audit.fieldsMore', { x: names.slice(0, FIELDS_SHOWN).join(', '), n: names.length }) : names.join(', ');
  };
  const [params, setUrl] = useUrl();
  const [open, setOpen] = useState<AuditRecord | null>(null);
  const range = parseRange(params, FALLBACK);
  const r = rangeQuery(range);
  const filter = {
    q: params.get('q') ?? undefined,
    actor: params.get('actor') ?? undefined,
    action: params.get('action') ?? undefined,
    object: params.get('object') ?? undefined,
    result: params.get('result') ?? undefined,
    address: params.get('address') ?? undefined,
    session: params.get('session') ?? undefined,
    from: r.since ?? r.start,
    to: r.end,
  };
  const query = useInfiniteQuery({
    queryKey: ['audit', filter],
    queryFn: ({ signal, pageParam }) => get<Page<AuditRecord>>('/audit', { ...filter, limit: PAGE, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (p) => p.next || undefined,
  });
  const actions = useQuery({ queryKey: ['audit', 'actions'], queryFn: ({ signal }) => all<string>('/audit/actions', {}, signal), staleTime: 60_000 });
  const rows = (query.data?.pages ?? []).flatMap((p) => list(p.items));
  const chips = (['actor', 'object', 'address', 'session'] as const).filter((k) => params.get(k));
  return (
    <>
      <div className="filters">
        <SearchBox hint={t('audit.search')} width={280} />
        <Select
          aria-label={t('audit.action')}
          placeholder={t('audit.anyAction')}
          allowClear
          showSearch
          value={params.get('action') ?? undefined}
          onChange={(v?: string) => setUrl({ action: v })}
          options={list(actions.data).map((a) => ({ value: a, label: text({ id: a }) === a ? a : `${text({ id: a })} ${a}` }))}
          style={{ width: 190 }}
        />
        {RESULTS.map((x) => (
          <button key={x} className="plain toggle" aria-pressed={params.get('result') === x} onClick={() => setUrl({ result: params.get('result') === x ? undefined : x })}>
            {t(`audit.result.${x}`)}
          </button>
        ))}
        {chips.map((k) => (
          <span className="chip" key={k}>
            <span className="ellipsis">
              {t(`audit.${k}`)}: {params.get(k)}
            </span>
            <button className="plain" aria-label={t('do.remove', { x: t(`audit.${k}`) })} onClick={() => setUrl({ [k]: undefined })}>
              ✕
            </button>
          </span>
        ))}
        <span style={{ marginLeft: 'auto' }}>
          <RangePicker value={range} choices={['1h', '24h', '7d', '30d', '90d']} onChange={(x) => setUrl(rangeParams(x, FALLBACK))} />
        </span>
      </div>
      <Stale query={query} />
      <div className="withdetail">
        <Panel flush>
          <Loaded query={query} what="audit.what" lines={12}>
            {() =>
              rows.length === 0 ? (
                <Empty title={t('audit.empty')} why={t('audit.emptyWhy')} />
              ) : (
                <>
                  <div style={{ overflowX: 'auto' }}>
                    <DataTable
                      label={t('page.audit')}
                      rows={rows}
                      rowKey={(x) => String(x.seq)}
                      marked={open ? String(open.seq) : undefined}
                      onRow={setOpen}
                      columns={[
                        { key: 'time', title: t('col.time'), width: 100, render: (x) => <When time={x.time} /> },
                        {
                          key: 'actor',
                          title: t('audit.actor'),
                          render: (x) => (
                            <button className="plain link" onClick={() => setUrl({ actor: x.actor })}>
                              {x.actor || '–'}
                            </button>
                          ),
                        },
                        {
                          key: 'action',
                          title: t('audit.action'),
                          render: (x) => (
                            <button className="plain nowrap" title={x.action} onClick={() => setOpen(x)} aria-label={`${text({ id: x.action })} ${x.count && x.count > 1 ? t('audit.times', { n: x.count }) : ''} ${x.action} ${x.object ?? ''} · ${t('do.details')}`}>
                              {text({ id: x.action })} {!!x.count && x.count > 1 && <span className="tag">{t('audit.times', { n: x.count })}</span>}
                            </button>
                          ),
                        },
                        {
                          key: 'object',
                          title: t('audit.object'),
                          render: (x) => (
                            <span style={{ overflowWrap: 'anywhere' }} title={[x.object, x.detail].filter(Boolean).join(' · ')}>
                              {words.object(x.object) || '–'}{' '}
                              {list(x.changes).length > 0 ? <span className="faint">{changed(x)}</span> : <span className="dim">{words.detail(x.detail)}</span>}
                            </span>
                          ),
                        },
                        { key: 'result', title: t('audit.result'), render: (x) => <ResultMark result={x.result} /> },
                        { key: 'address', title: t('audit.address'), render: (x) => (x.address ? <Token field="source.ip" value={x.address} /> : '–') },
                      ]}
                    />
                  </div>
                  {query.hasNextPage && (
                    <div style={{ padding: 12, textAlign: 'center' }}>
                      <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                        {t('do.more')}
                      </Button>
                    </div>
                  )}
                </>
              )
            }
          </Loaded>
        </Panel>
        <AuditDetail record={open} close={() => setOpen(null)} />
      </div>
    </>
  );
}
