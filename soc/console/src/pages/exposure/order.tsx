import { useQuery } from '@tanstack/react-query';
import { Button, Input, Modal } from 'antd';
import { useState } from 'react';
import { Link, useParams } from 'react-router-dom';
import { get, post } from '../../api/client';
import type { FindingOrder, FindingOrderDetail } from '../../api/findings';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { WorkOrders } from '../../parts/casework/workorders';
import { TenantName } from '../../parts/names';
import { Due, FindingStateMark, OrderStateMark } from '../../parts/exposure/marks';
import { Head, Panel } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const RENEW = ['findings', 'finding-orders'];

/** One work order of findings: what has yet to be repaired, where it was sent, and how it ends. */
export default function FindingOrderPage() {
  const { t, tx } = useSettings();
  const can = useCan();
  const { id = '' } = useParams();
  const { act, busy } = useAct();
  const [ending, setEnding] = useState<'done' | 'withdraw' | ''>('');
  const [note, setNote] = useState('');
  const at = `/finding-orders/${encodeURIComponent(id)}`;
  const query = useQuery({ queryKey: ['finding-orders', 'one', id], queryFn: ({ signal }) => get<FindingOrderDetail>(at, {}, signal), refetchInterval: 60_000 });
  const back = (change: string) => void act(() => post(`/finding-changes/${encodeURIComponent(change)}/undo`), { said: t('finding.undone'), renew: RENEW });
  const end = async () => {
    let change = '';
    const ok = await act(
      async () => {
        change = (await post<FindingOrder>(`${at}/${ending}`, { note: note.trim() || undefined })).done_change ?? '';
      },
      { said: t(ending === 'done' ? 'forder.state.done' : 'forder.state.withdrawn'), renew: RENEW, undo: () => change && back(change) },
    );
    if (ok) setEnding('');
  };
  return (
    <div className="page">
      <Loaded query={query} what="page.findingOrder" lines={12}>
        {({ order: o, members, history }) => (
          <>
            <Head title={o.title} sub={o.id}>
              {o.done_change && o.state !== 'open' && can('undo-finding-change') && (
                <Button disabled={busy} onClick={() => back(o.done_change ?? '')}>
                  {t('do.undo')}
                </Button>
              )}
              {o.state === 'open' && can('withdraw-finding-order') && <Button onClick={() => setEnding('withdraw')}>{t('forder.withdraw')}</Button>}
              {o.state === 'open' && can('finish-finding-order') && (
                <Button type="primary" onClick={() => setEnding('done')}>
                  {t('forder.finish')}
                </Button>
              )}
            </Head>
            <div className="row wrap" style={{ marginBottom: 10, gap: 16 }}>
              <OrderStateMark state={o.state} />
              <TenantName slug={o.tenant} />
              <span className="dim">
                {t('finding.owner')} {o.owner || '–'}
              </span>
              <span className="dim">
                {t('finding.due')} <Due at={o.due_at} overdue={o.overdue} />
              </span>
              <span className="dim">
                {t('forder.left')} {t('forder.leftOf', { n: o.left, m: o.findings })}
              </span>
              <span className="dim">
                {t('forder.madeBy')} {o.made_by} <When time={o.made_at} />
              </span>
            </div>
            <div className="stack">
              {o.note && (
                <Panel title={t('forder.result')}>
                  <p style={{ whiteSpace: 'pre-wrap' }}>{o.note}</p>
                </Panel>
              )}
              <Panel title={t('page.findings')} flush>
                <DataTable
                  label={t('page.findings')}
                  rows={list(members)}
                  rowKey={(f) => f.id}
                  columns={[
                    { key: 'level', title: t('vuln.level'), render: (f) => <SeverityMark level={f.level} /> },
                    { key: 'title', title: t('finding.title'), render: (f) => <Link to={`/findings/${encodeURIComponent(f.id)}`}>{tx(f.title) || f.weakness}</Link> },
                    { key: 'asset', title: t('finding.asset'), render: (f) => (f.item ? <Link to={`/cmdb/${encodeURIComponent(f.item)}`}>{f.name || f.host}</Link> : f.host) },
                    { key: 'state', title: t('col.status'), render: (f) => <FindingStateMark state={f.state} /> },
                    { key: 'due', title: t('finding.due'), render: (f) => <Due at={f.due_at} overdue={f.overdue} /> },
                  ]}
                />
              </Panel>
              <WorkOrders object={o.id} />
              <Panel title={t('finding.history')} flush>
                <DataTable
                  label={t('finding.history')}
                  rows={list(history).map((h, i) => ({ ...h, i }))}
                  rowKey={(h) => String(h.i)}
                  columns={[
                    { key: 'at', title: t('finding.at'), render: (h) => <When time={h.at} /> },
                    { key: 'by', title: t('finding.by'), render: (h) => h.actor },
                    { key: 'what', title: t('finding.what'), render: (h) => tx(h.text) },
                  ]}
                />
              </Panel>
            </div>
            {ending && (
              <Modal open title={t(ending === 'done' ? 'forder.finish' : 'forder.withdraw')} okText={t('finding.apply')} okButtonProps={{ disabled: busy }} onOk={() => void end()} onCancel={() => setEnding('')}>
                <p>{t(ending === 'done' ? 'forder.finishWhy' : 'forder.withdrawWhy')}</p>
                <Input.TextArea aria-label={t('forder.result')} placeholder={t('forder.result')} rows={3} maxLength={2000} value={note} onChange={(e) => setNote(e.target.value)} />
              </Modal>
            )}
          </>
        )}
      </Loaded>
    </div>
  );
}
