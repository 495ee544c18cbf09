import { useQuery } from '@tanstack/react-query';
import { Button, Drawer, Input, Segmented } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { itemPath, useWords } from '../../api/cmdb';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type List, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import type { Key } from '../../locales/zh';
import { joined } from '../../logic/format';
import { ChangeTable } from '../../parts/cmdb/changelist';
import { Head } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When, WhenFull } from '../../parts/time';

interface Proposal {
  action: 'created' | 'updated' | 'deleted';
  item: { id: string; class: string; name: string };
  changes: List<{ field: string; before?: string; after?: string }>;
}
interface ChangeRequest {
  id: number;
  state: string;
  requester: string;
  mine: boolean;
  comment: string;
  created_at: string;
  expires_at: string;
  decider?: string;
  decided_at?: string;
  decision?: string;
  items: number;
  proposals?: List<Proposal>;
}

const RENEW = ['cmdb-requests', 'cmdb'];
const STATES = ['pending', 'approved', 'rejected', 'withdrawn', 'conflict', 'expired', ''] as const;

/** Changes of protected items: what would change, and who says yes. */
export default function ChangeRequests() {
  const { t, locale } = useSettings();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const state = url.get('state') ?? 'pending';
  const open = url.get('open') ?? '';
  const policy = useQuery({ queryKey: ['cmdb-requests', 'policy'], queryFn: ({ signal }) => get<{ classes: List<string>; days: number }>('/cmdb/change-requests/policy', {}, signal) });
  const query = useQuery({
    queryKey: ['cmdb-requests', state],
    queryFn: ({ signal }) => get<Page<ChangeRequest>>('/cmdb/change-requests', { state: state === 'all' ? '' : state, limit: 200 }, signal),
    refetchInterval: 10_000,
  });
  const words = useWords();
  const classes = list(policy.data?.classes);
  const rows = list(query.data?.items);
  return (
    <div className="page">
      <Head title={t('page.cmdbRequests')} sub={t('cmdbRequest.lead')}>
        {policy.data && <span className="dim">{classes.length ? t('cmdbRequest.protected', { x: joined(classes.map(words.className), locale) }) : t('cmdbRequest.unprotected')}</span>}
        {can('set-cmdb-approval') && <Link to="/admin/settings">{t('cmdbRequest.settings')}</Link>}
      </Head>
      <div className="filters">
        <Segmented value={state} onChange={(v) => setUrl({ state: String(v) })} options={STATES.map((s) => ({ value: s || 'all', label: t(`cmdbRequest.state.${s || 'all'}` as Key) }))} />
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="cmdbRequest.what" lines={5}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('cmdbRequest.none')} why={t(classes.length === 0 ? 'cmdbRequest.unprotectedWhy' : 'cmdbRequest.noneWhy')}>
                {classes.length === 0 && can('set-cmdb-approval') && (
                  <Link to="/admin/settings">
                    <Button>{t('cmdbRequest.settings')}</Button>
                  </Link>
                )}
                {state !== 'all' && <Button onClick={() => setUrl({ state: 'all' })}>{t('cmdbRequest.state.all')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.cmdbRequests')}
                rows={rows}
                rowKey={(r) => String(r.id)}
                onRow={(r) => setUrl({ open: String(r.id) })}
                marked={open}
                columns={[
                  { key: 'id', title: '#', num: true, render: (r) => r.id },
                  { key: 'state', title: t('cmdbRequest.state'), render: (r) => t(`cmdbRequest.state.${r.state}` as Key) },
                  { key: 'why', title: t('cmdbRequest.why'), render: (r) => <Link to={`/cmdb/requests?${new URLSearchParams({ state, open: String(r.id) })}`}>{r.comment}</Link> },
                  { key: 'by', title: t('cmdbRequest.by'), render: (r) => r.requester },
                  { key: 'items', title: t('cmdbRequest.items'), num: true, render: (r) => r.items },
                  { key: 'created', title: t('cmdbRequest.created'), render: (r) => <When time={r.created_at} /> },
                  { key: 'expires', title: t('cmdbRequest.expires'), render: (r) => (r.state === 'pending' ? <When time={r.expires_at} /> : '–') },
                  { key: 'decided', title: t('cmdbRequest.decided'), render: (r) => r.decider || '–' },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {open && <Details id={open} close={() => setUrl({ open: '' })} />}
    </div>
  );
}

function Details({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const words = useWords();
  const { act, busy } = useAct();
  const [comment, setComment] = useState('');
  const query = useQuery({ queryKey: ['cmdb-requests', 'one', id], queryFn: ({ signal }) => get<ChangeRequest>(`/cmdb/change-requests/${encodeURIComponent(id)}`, {}, signal) });
  const decide = async (verb: 'approve' | 'reject' | 'withdraw') => {
    if (await act(() => post(`/cmdb/change-requests/${encodeURIComponent(id)}/${verb}`, { comment: comment || undefined }), { said: t(`cmdbRequest.did.${verb}`), renew: RENEW })) close();
  };
  return (
    <Drawer open width={720} title={t('cmdbRequest.open', { n: id })} onClose={close}>
      <Loaded query={query} what="cmdbRequest.what" lines={6}>
        {(r) => (
          <div className="stack">
            <div>
              <b>{r.comment}</b>
              <div className="dim">
                {r.requester} · <WhenFull time={r.created_at} /> · {t(`cmdbRequest.state.${r.state}` as Key)}
                {r.decider && ` · ${r.decider}`}
              </div>
              {r.decision && <div className={r.state === 'conflict' ? 'notice warn' : ''}>{r.decision}</div>}
            </div>
            {list(r.proposals).map((p, i) => (
              <section key={i} className="panel">
                <header>
                  <h2>
                    {t(`cmdbRequest.${p.action}.item`)} · {p.action === 'created' ? p.item.name : <Link to={itemPath(p.item.id)}>{p.item.name}</Link>} <span className="dim">{words.className(p.item.class)}</span>
                  </h2>
                </header>
                <div className="body">
                  <ChangeTable changes={list(p.changes)} cls={p.item.class} />
                </div>
              </section>
            ))}
            {r.state === 'pending' &&
              (r.mine ? (
                <div className="row">
                  <span className="dim">{t('cmdbRequest.own')}</span>
                  <Button disabled={busy} onClick={() => void decide('withdraw')}>
                    {t('cmdbRequest.withdraw')}
                  </Button>
                </div>
              ) : (
                <>
                  <Input.TextArea rows={2} maxLength={1000} value={comment} aria-label={t('cmdbRequest.comment')} placeholder={t('cmdbRequest.commentWhy')} onChange={(e) => setComment(e.target.value)} />
                  <div className="row">
                    <Button type="primary" loading={busy} onClick={() => void decide('approve')}>
                      {t('cmdbRequest.approve')}
                    </Button>
                    <Button danger disabled={busy || !comment.trim()} onClick={() => void decide('reject')}>
                      {t('cmdbRequest.reject')}
                    </Button>
                  </div>
                </>
              ))}
          </div>
        )}
      </Loaded>
    </Drawer>
  );
}
