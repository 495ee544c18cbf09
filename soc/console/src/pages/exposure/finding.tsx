import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { Link, useParams } from 'react-router-dom';
import { get, post } from '../../api/client';
import { placeOf, type FindingDetail } from '../../api/findings';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { Due, FindingStateMark, OrderStateMark } from '../../parts/exposure/marks';
import { Head, Panel } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { engineName, happened } from '../../logic/findings';
import { ChangeFindings } from './findings';
import { MakeOrder } from './makeorder';

/** One finding: why it matters, what helps, what happened to it. */
export default function FindingPage() {
  const { t, tx } = useSettings();
  const can = useCan();
  const { id = '' } = useParams();
  const [changing, setChanging] = useState(false);
  const [ordering, setOrdering] = useState(false);
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['findings', 'one', id], queryFn: ({ signal }) => get<FindingDetail>(`/findings/${encodeURIComponent(id)}`, {}, signal) });
  return (
    <div className="page">
      <Loaded query={query} what="page.finding" lines={12}>
        {(f) => (
          <>
            <Head title={tx(f.title) || f.weakness} sub={[f.weakness, ...list(f.aliases), ...list(f.cwes)].join(' · ')}>
              {f.weakness.startsWith('CVE-') && can('get-vulnerability') && (
                <Link className="ant-btn ant-btn-default" to={`/vulnerabilities/${encodeURIComponent(f.weakness)}`}>
                  {t('page.vulnerability')}
                </Link>
              )}
              {can('retest-findings') && list(f.engines).includes('icewatch-scanner') && f.state !== 'closed' && (
                <Button disabled={busy} onClick={() => void act(() => post('/finding-retests', { ids: [f.id] }), { said: t('finding.retested'), renew: ['findings', 'scans'] })}>
                  {t('finding.retest')}
                </Button>
              )}
              {can('create-finding-order') && ['open', 'verified', 'repair'].includes(f.state) && !list(f.orders).some((o) => o.state === 'open') && <Button onClick={() => setOrdering(true)}>{t('forder.make')}</Button>}
              {can('change-findings') && (
                <Button type="primary" onClick={() => setChanging(true)}>
                  {t('finding.move')}
                </Button>
              )}
            </Head>
            <div className="row wrap" style={{ marginBottom: 10, gap: 16 }}>
              <SeverityMark level={f.level} />
              <FindingStateMark state={f.state} />
              {f.item ? <Link to={`/cmdb/${encodeURIComponent(f.item)}`}>{f.name || f.host}</Link> : <span className="mono">{f.host}</span>}
              {(f.item && f.name !== f.host) || placeOf(f) ? <span className="mono">{[f.item && f.name !== f.host ? f.host : '', placeOf(f)].filter(Boolean).join(' · ')}</span> : null}
              {!f.item && <span className="tag">{t('finding.unknownAsset')}</span>}
              <span className="dim">
                {t('finding.owner')} {f.owner || '–'}
              </span>
              <span className="dim">
                {t('finding.due')} <Due at={f.due_at} overdue={f.overdue} />
              </span>
              {f.until && (
                <span className="dim">
                  {t('finding.until')} <When time={f.until} />
                </span>
              )}
            </div>
            <div className="stack">
            <Panel title={`${t('finding.priority')} ${f.priority}`}>
              <span>{tx(f.why)}</span>
            </Panel>
            {f.attacked_at && (
              <Panel title={t('finding.alerts')}>
                <span className="row wrap">
                  <When time={f.attacked_at} />
                  {list(f.alerts).map((a) => (
                    <Link key={a} className="mono" to={`/alerts/${encodeURIComponent(a)}`}>
                      {a}
                    </Link>
                  ))}
                </span>
              </Panel>
            )}
            {list(f.orders).length > 0 && (
              <Panel title={t('page.findingOrders')}>
                {list(f.orders).map((o) => (
                  <div key={o.id} className="row wrap">
                    <Link to={`/finding-orders/${encodeURIComponent(o.id)}`}>{o.title}</Link>
                    <OrderStateMark state={o.state} />
                    <span className="dim">
                      {o.owner || '–'} · {t('finding.due')} <Due at={o.due_at} overdue={o.overdue} />
                    </span>
                  </div>
                ))}
              </Panel>
            )}
            <Panel title={t('vuln.description')}>
              <p style={{ whiteSpace: 'pre-wrap' }}>{tx(f.text) || <span className="dim">–</span>}</p>
            </Panel>
            <Panel title={t('vuln.solution')}>
              <p style={{ whiteSpace: 'pre-wrap' }}>{tx(f.solution) || <span className="dim">{t('vuln.noSolution')}</span>}</p>
            </Panel>
            {f.evidence && (
              <Panel title={t('finding.evidence')}>
                <pre style={{ whiteSpace: 'pre-wrap' }}>{f.evidence}</pre>
              </Panel>
            )}
            <Panel title={t('finding.engines')}>
              <span className="dim">
                {list(f.engines).map((e) => engineName(e, t)).join(t('finding.did.sep'))} · <span className="mono">{list(f.checks).join(' · ')}</span> · {t('finding.first')} <When time={f.first_seen} /> · {t('finding.seen')} <When time={f.last_seen} />
              </span>
            </Panel>
            <Panel title={t('finding.history')} flush>
              <DataTable
                label={t('finding.history')}
                rows={list(f.history).map((h, i) => ({ ...h, i }))}
                rowKey={(h) => String(h.i)}
                columns={[
                  { key: 'at', title: t('finding.at'), render: (h) => <When time={h.at} /> },
                  { key: 'by', title: t('finding.by'), render: (h) => engineName(h.actor, t) },
                  { key: 'what', title: t('finding.what'), render: (h) => (h.undone ? <s>{happened(h.action, t)}</s> : happened(h.action, t)) },
                  { key: 'comment', title: t('finding.comment'), render: (h) => (h.action === 'undone' ? happened(h.comment ?? '', t) : engineName(h.comment ?? '', t)) },
                ]}
              />
            </Panel>
            </div>
            {ordering && <MakeOrder ids={[f.id]} close={() => setOrdering(false)} />}
            {changing && <ChangeFindings ids={[f.id]} close={() => setChanging(false)} />}
          </>
        )}
      </Loaded>
    </div>
  );
}
