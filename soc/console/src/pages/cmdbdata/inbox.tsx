import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, InputNumber, Segmented, Select } from 'antd';
import { useEffect, useState } from 'react';
import { Link } from 'react-router-dom';
import { get, post, request } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type CMDBClass, type List, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { useSettled, useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { download } from '../../logic/export';
import { absolute, number } from '../../logic/format';
import { ItemPicker } from '../../parts/cmdb/itempicker';
import { FormDialog } from '../../parts/dialog';
import { TenantName } from '../../parts/names';
import { Head } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

interface Candidate {
  id: number;
  tenant: string;
  zone: string;
  value: string;
  other?: string;
  first_seen: string;
  last_seen: string;
  events: number;
  sources: List<string>;
  ports: List<{ port: number; service?: string }>;
  decided_by?: string;
  note?: string;
  item_id?: string;
}
interface InboxPage extends Page<Candidate> {
  status: { until?: string; error?: string; full: boolean };
}

const RENEW = ['cmdb-inbox', 'cmdb'];
const LIMIT = 200;

/** What is seen in events and unknown to the CMDB: made into items, or set aside. */
export default function CMDBInbox() {
  const { t, locale } = useSettings();
  const can = useCan();
  const write = can('approve-cmdb-inbox');
  const { act, busy } = useAct();
  const { failed } = useFeedback();
  const [url, setUrl] = useUrl();
  const state = url.get('state') ?? 'waiting';
  const q = url.get('q') ?? '';
  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => {
    if (settled !== q) setUrl({ q: settled });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [doing, setDoing] = useState<'' | 'approve' | 'ignore'>('');
  const [limit, setLimit] = useState(LIMIT);
  useEffect(() => setChosen(new Set()), [state, q]);
  const query = useQuery({ queryKey: ['cmdb-inbox', state, q, limit], queryFn: ({ signal }) => get<InboxPage>('/cmdb/inbox', { state, q, limit }, signal), refetchInterval: 30_000 });
  const rows = list(query.data?.items);
  const status = query.data?.status;
  const ids = rows.filter((r) => chosen.has(String(r.id))).map((r) => r.id);
  const exportAs = async (format: string) => {
    try {
      const res = await request('GET', '/cmdb/inbox/export', { query: { format, state, q } });
      download(`icewatch-cmdb-inbox.${format}`, res.headers.get('Content-Type') ?? '', await res.blob());
    } catch (e) {
      failed(e);
    }
  };
  const finished = () => {
    setDoing('');
    setChosen(new Set());
  };
  return (
    <div className="page">
      <Head title={t('page.cmdbInbox')} sub={status?.until ? t('inbox.until', { x: absolute(status.until) }) : t('inbox.lead')}>
        {write && (
          <Button loading={busy} onClick={() => void act(() => post('/cmdb/inbox/look'), { renew: RENEW })}>
            {t('inbox.look')}
          </Button>
        )}
        <Dropdown menu={{ items: ['xlsx', 'csv'].map((f) => ({ key: f, label: f.toUpperCase() })), onClick: (i) => void exportAs(i.key) }}>
          <Button>{t('cmdb.export')}</Button>
        </Dropdown>
        {can('set-cmdb-inbox') && <Link to="/admin/settings">{t('inbox.rules')}</Link>}
      </Head>
      {status?.error && <div className="notice warn">{t('inbox.failed', { x: status.error })}</div>}
      {status?.full && <div className="notice warn">{t('inbox.full')}</div>}
      <div className="filters">
        <Segmented
          value={state}
          onChange={(v) => setUrl({ state: String(v) })}
          options={(['waiting', 'ignored', 'approved'] as const).map((s) => ({ value: s, label: t(`inbox.state.${s}`) }))}
        />
        <Input.Search allowClear style={{ width: 260 }} value={text} placeholder={t('inbox.find')} aria-label={t('inbox.find')} onChange={(e) => setText(e.target.value)} />
        {write && ids.length > 0 && state !== 'approved' && (
          <>
            <Button type="primary" onClick={() => setDoing('approve')}>
              {t('inbox.approveN', { n: ids.length })}
            </Button>
            {state === 'waiting' ? (
              <Button onClick={() => setDoing('ignore')}>{t('inbox.ignoreN', { n: ids.length })}</Button>
            ) : (
              <Button onClick={() => void act(() => post('/cmdb/inbox/reopen', { ids }), { said: t('inbox.reopened'), renew: RENEW })}>{t('inbox.reopen')}</Button>
            )}
          </>
        )}
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="inbox.what" lines={6}>
          {(data) =>
            rows.length === 0 ? (
              <Empty title={t(q ? 'inbox.noneFound' : state === 'waiting' ? 'inbox.none' : `inbox.none.${state as 'ignored' | 'approved'}`)} why={q ? undefined : t(state === 'waiting' ? 'inbox.noneWhy' : `inbox.noneWhy.${state as 'ignored' | 'approved'}`)}>
                {q ? (
                  <Button onClick={() => setText('')}>{t('do.clear')}</Button>
                ) : state === 'waiting' ? (
                  write && (
                    <Button loading={busy} onClick={() => void act(() => post('/cmdb/inbox/look'), { renew: RENEW })}>
                      {t('inbox.look')}
                    </Button>
                  )
                ) : (
                  <Button onClick={() => setUrl({ state: undefined })}>{t('inbox.state.waiting')}</Button>
                )}
              </Empty>
            ) : (
              <>
                <DataTable
                  label={t('page.cmdbInbox')}
                  rows={rows}
                  rowKey={(c) => String(c.id)}
                  choice={write && state !== 'approved' ? { ids: chosen, set: setChosen, name: (c) => c.value } : undefined}
                  columns={[
                    {
                      key: 'value',
                      title: t('inbox.value'),
                      render: (c) => (
                        <>
                          {c.item_id ? (
                            <Link className="mono" to={`/cmdb/${encodeURIComponent(c.item_id)}`}>
                              {c.value}
                            </Link>
                          ) : (
                            <b className="mono">{c.value}</b>
                          )}
                          {c.zone !== 'default' && <span className="tag">{c.zone}</span>}
                          {(c.note || c.decided_by) && <div className="dim">{[c.decided_by, c.note].filter(Boolean).join(' · ')}</div>}
                        </>
                      ),
                    },
                    { key: 'with', title: t('inbox.with'), render: (c) => <span className="mono">{c.other || '–'}</span> },
                    { key: 'tenant', title: t('inbox.tenant'), render: (c) => <TenantName slug={c.tenant} /> },
                    {
                      key: 'ports',
                      title: t('inbox.ports'),
                      render: (c) => (
                        <span className="tags">
                          {list(c.ports).map((p) => (
                            <span key={p.port} className="tag mono">
                              {p.port}
                              {p.service && ` ${p.service}`}
                            </span>
                          ))}
                        </span>
                      ),
                    },
                    { key: 'sources', title: t('inbox.sources'), render: (c) => list(c.sources).join(' ') },
                    { key: 'events', title: t('inbox.events'), num: true, render: (c) => number(c.events, locale) },
                    { key: 'first', title: t('inbox.first'), render: (c) => <When time={c.first_seen} /> },
                    { key: 'last', title: t('inbox.last'), render: (c) => <When time={c.last_seen} /> },
                  ]}
                />
                {data.next && limit < 1000 && (
                  <div style={{ padding: 8, textAlign: 'center' }}>
                    <Button size="small" onClick={() => setLimit(1000)}>
                      {t('inbox.more')}
                    </Button>
                  </div>
                )}
              </>
            )
          }
        </Loaded>
      </div>
      {doing === 'approve' && <Approve ids={ids} tenants={[...new Set(rows.filter((r) => chosen.has(String(r.id))).map((r) => r.tenant))]} close={() => setDoing('')} done={finished} />}
      {doing === 'ignore' && <Ignore ids={ids} close={() => setDoing('')} done={finished} />}
    </div>
  );
}

interface Making {
  class: string;
  labels?: string[];
  system?: string;
  owner?: string;
}

function Approve({ ids, tenants, close, done }: { ids: number[]; tenants: string[]; close: () => void; done: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const classes = useQuery({ queryKey: ['cmdb', 'classes'], queryFn: async ({ signal }) => list((await get<Page<CMDBClass>>('/cmdb/classes', {}, signal)).items), staleTime: 300_000 });
  return (
    <FormDialog<Making>
      title={t('inbox.approveN', { n: ids.length })}
      ok={t('inbox.approve')}
      initial={{ class: 'host' }}
      submit={async (v) => {
        await post('/cmdb/inbox/approve', { ids, ...v });
        tell({ said: t('inbox.approved', { n: ids.length }), renew: RENEW });
      }}
      close={done}
      cancel={close}
    >
      <Form.Item name="class" label={t('inbox.class')} rules={[{ required: true }]}>
        <Select showSearch optionFilterProp="label" options={list(classes.data).map((c) => ({ value: c.class, label: tx(c.name) || c.class }))} />
      </Form.Item>
      {/* An item belongs to a system of its own tenant. */}
      <Form.Item name="system" label={t('inbox.system')} extra={tenants.length > 1 ? t('inbox.systemOne', { n: tenants.length }) : undefined}>
        <ItemPicker classes={['business_system']} tenant={tenants[0]} disabled={tenants.length > 1} />
      </Form.Item>
      <Form.Item name="owner" label={t('inbox.owner')}>
        <Input maxLength={256} />
      </Form.Item>
      <Form.Item name="labels" label={t('inbox.labels')}>
        <Select mode="tags" open={false} suffixIcon={null} placeholder={t('ci.listHint')} />
      </Form.Item>
    </FormDialog>
  );
}

function Ignore({ ids, close, done }: { ids: number[]; close: () => void; done: () => void }) {
  const { t } = useSettings();
  const { tell, act } = useAct();
  return (
    <FormDialog<{ days: number; note?: string }>
      title={t('inbox.ignoreN', { n: ids.length })}
      ok={t('inbox.ignore')}
      initial={{ days: 30 }}
      submit={async (v) => {
        await post('/cmdb/inbox/ignore', { ids, ...v });
        tell({ said: t('inbox.ignored', { n: ids.length }), renew: RENEW, undo: () => void act(() => post('/cmdb/inbox/reopen', { ids }), { said: t('inbox.reopened'), renew: RENEW }) });
      }}
      close={done}
      cancel={close}
    >
      <Form.Item name="days" label={t('inbox.days')} rules={[{ required: true }]}>
        <InputNumber min={0} max={3650} precision={0} />
      </Form.Item>
      <Form.Item name="note" label={t('inbox.note')}>
        <Input maxLength={500} />
      </Form.Item>
    </FormDialog>
  );
}
