import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Drawer, Input, Segmented, Switch } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get, post, put } from '../api/client';
import { useCan } from '../api/queries';
import { list, type List, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { number } from '../logic/format';
import { TextDiff } from '../parts/linediff';
import { Head } from '../parts/page';
import { Backtest } from '../parts/rules/backtest';
import { Preview } from '../parts/rules/switchon';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When, WhenFull } from '../parts/time';

interface Change {
  /** Absent for rules. */
  kind?: 'suppressions';
  id: string;
  title: string;
  action: 'created' | 'changed' | 'deleted';
  before?: string;
  after?: string;
  fields: List<string>;
  hits?: number;
}
interface Proposal {
  id: number;
  state: 'pending' | 'approved' | 'rejected' | 'withdrawn' | 'conflict' | 'expired' | 'rolled_back';
  stage: 'none' | 'test' | 'production';
  requester: string;
  mine: boolean;
  comment: string;
  created_at: string;
  expires_at: string;
  tested_at?: string;
  decider?: string;
  decided_at?: string;
  decision?: string;
  rolled_back_by?: string;
  rolled_back_at?: string;
  rolled_back_note?: string;
  created: number;
  changed: number;
  deleted: number;
  changes?: List<Change>;
}

const RENEW = ['rule-proposals', 'rules', 'rule'];
const STATES = ['pending', 'approved', 'rejected', 'withdrawn', 'conflict', 'expired', 'rolled_back', 'all'] as const;
/** Changes whose texts are open from the start. */
const OPEN = 5;
/** Changes that are listed at once. */
const SHOWN = 100;

/** Changes of rules that wait for a second person, that run in test, that came in force or were taken back. */
export default function RuleProposals() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const state = url.get('state') ?? 'pending';
  const open = url.get('open') ?? '';
  const policy = useQuery({ queryKey: ['rule-proposals', 'policy'], queryFn: ({ signal }) => get<{ required: boolean; suppressions?: boolean }>('/rule-proposals/policy', {}, signal) });
  const query = useQuery({
    queryKey: ['rule-proposals', state],
    queryFn: ({ signal }) => get<Page<Proposal>>('/rule-proposals', { state: state === 'all' ? '' : state }, signal),
    refetchInterval: 10_000,
  });
  const rows = list(query.data?.items);
  const required = policy.data?.required ?? false;
  const too = required && policy.data?.suppressions === true;
  return (
    <div className="page">
      <Head title={t('page.ruleProposals')} sub={t('proposals.lead')}>
        {can('set-rule-approval') ? (
          <span className="row">
          <label>
            <Switch size="small" checked={required} loading={busy || policy.isLoading} onChange={(on) => void act(() => put('/rule-proposals/policy', { required: on, suppressions: on && too }), { said: t(on ? 'proposals.requiredOn' : 'proposals.requiredOff'), renew: RENEW })} aria-label={t('proposals.required')} /> {t('proposals.required')}
          </label>
            {required && (
              <Checkbox checked={too} disabled={busy} onChange={(e) => void act(() => put('/rule-proposals/policy', { required, suppressions: e.target.checked }), { said: t(e.target.checked ? 'proposals.suppressionsOn' : 'proposals.suppressionsOff'), renew: RENEW })}>
                {t('proposals.suppressions')}
              </Checkbox>
            )}
          </span>
        ) : (
          policy.data && <span className="dim">{t(required ? 'proposals.requiredOn' : 'proposals.requiredOff')}</span>
        )}
      </Head>
      <div className="filters">
        <Segmented value={state} onChange={(v) => setUrl({ state: String(v) })} options={STATES.map((s) => ({ value: s, label: t(`proposals.state.${s}`) }))} />
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="proposals.what" lines={5}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('proposals.none')} why={t('proposals.noneWhy')}>
                {state !== 'all' && <Button onClick={() => setUrl({ state: 'all' })}>{t('proposals.state.all')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.ruleProposals')}
                rows={rows}
                rowKey={(r) => String(r.id)}
                onRow={(r) => setUrl({ open: String(r.id) })}
                marked={open}
                columns={[
                  { key: 'id', title: '#', num: true, render: (r) => r.id },
                  { key: 'state', title: t('proposals.state'), render: (r) => t(`proposals.state.${r.state}`) },
                  { key: 'stage', title: t('proposals.stage'), render: (r) => (r.stage === 'none' ? '–' : t(`proposals.stage.${r.stage}`)) },
                  { key: 'why', title: t('proposals.why'), render: (r) => <Link to={`/rules/proposals?${new URLSearchParams({ state, open: String(r.id) })}`}>{r.comment}</Link> },
                  { key: 'by', title: t('proposals.by'), render: (r) => r.requester },
                  { key: 'created', title: t('proposals.created'), num: true, render: (r) => number(r.created, locale) },
                  { key: 'changed', title: t('proposals.changed'), num: true, render: (r) => number(r.changed, locale) },
                  { key: 'deleted', title: t('proposals.deleted'), num: true, render: (r) => number(r.deleted, locale) },
                  { key: 'at', title: t('proposals.at'), render: (r) => <When time={r.created_at} /> },
                  { key: 'decided', title: t('proposals.decided'), render: (r) => r.decider || '–' },
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
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const [comment, setComment] = useState('');
  const [force, setForce] = useState(false);
  const [preview, setPreview] = useState(false);
  const [limit, setLimit] = useState(SHOWN);
  const path = `/rule-proposals/${encodeURIComponent(id)}`;
  const query = useQuery({ queryKey: ['rule-proposals', 'one', id], queryFn: ({ signal }) => get<Proposal>(path, {}, signal), refetchInterval: 10_000 });
  const decide = async (verb: 'approve' | 'reject' | 'withdraw' | 'test' | 'untest') => {
    const stays = verb === 'test' || verb === 'untest';
    if ((await act(() => post(`${path}/${verb}`, { comment: comment.trim() || undefined }), { said: t(`proposals.did.${verb}`), renew: RENEW })) && !stays) close();
  };
  const rollback = async () => {
    if (await act(() => post('/rule-proposals/rollback', { id: Number(id), comment: comment.trim(), force }), { said: t('proposals.did.rollback'), renew: RENEW })) close();
  };
  const box = <Input.TextArea rows={2} maxLength={1000} value={comment} aria-label={t('proposals.comment')} placeholder={t('proposals.comment')} onChange={(e) => setComment(e.target.value)} />;
  return (
    <Drawer open width={860} title={t('proposals.open', { n: id })} onClose={close}>
      <Loaded query={query} what="proposals.what" lines={6}>
        {(r) => {
          const changes = list(r.changes);
          const texts = changes.flatMap((c) => (c.action === 'deleted' || !c.after || c.kind ? [] : [c.after])).join('\n---\n');
          return (
            <div className="stack">
              <div>
                <b>{r.comment}</b>
                <div className="dim">
                  {r.requester} · <WhenFull time={r.created_at} /> · {t(`proposals.state.${r.state}` as Key)}
                  {r.stage !== 'none' && ` · ${t(`proposals.stage.${r.stage}`)}`}
                  {r.decider && ` · ${r.decider}`}
                </div>
                {r.decision && <div className={r.state === 'conflict' ? 'notice warn' : ''}>{r.decision}</div>}
                {r.rolled_back_by && (
                  <div className="notice">
                    {t('proposals.rolledBack', { by: r.rolled_back_by })} <WhenFull time={r.rolled_back_at ?? ''} /> {r.rolled_back_note}
                  </div>
                )}
              </div>
              {r.state === 'pending' && (
                <div className="row">
                  {r.stage === 'test' ? (
                    <>
                      <span>
                        {t('proposals.inTest')} <When time={r.tested_at ?? r.created_at} />
                      </span>
                      <Button disabled={busy} onClick={() => void decide('untest')}>
                        {t('proposals.untest')}
                      </Button>
                    </>
                  ) : (
                    <>
                      <Button disabled={busy} onClick={() => void decide('test')}>
                        {t('proposals.test')}
                      </Button>
                      <span className="dim">{t('proposals.testWhy')}</span>
                    </>
                  )}
                </div>
              )}
              {r.state === 'pending' &&
                (r.mine ? (
                  <div className="row">
                    <span className="dim">{t('proposals.own')}</span>
                    <Button disabled={busy} onClick={() => void decide('withdraw')}>
                      {t('proposals.withdraw')}
                    </Button>
                  </div>
                ) : (
                  <>
                    {box}
                    <div className="row">
                      <Button type="primary" loading={busy} onClick={() => (texts ? setPreview(true) : void decide('approve'))}>
                        {t('proposals.approve')}
                      </Button>
                      <Button danger disabled={busy || !comment.trim()} onClick={() => void decide('reject')}>
                        {t('proposals.reject')}
                      </Button>
                    </div>
                  </>
                ))}
              {r.state === 'approved' && (
                <>
                  {box}
                  <div className="row">
                    <Button danger disabled={busy || !comment.trim()} onClick={() => void rollback()}>
                      {t('proposals.rollback')}
                    </Button>
                    <Checkbox checked={force} onChange={(e) => setForce(e.target.checked)}>
                      {t('proposals.force')}
                    </Checkbox>
                  </div>
                </>
              )}
              {changes.slice(0, limit).map((c) => (
                <details key={`${c.kind ?? ''} ${c.id}`} open={changes.length <= OPEN} className="panel">
                  <summary>
                    {t(`proposals.${c.action}`)} · {c.kind && <span className="tag">{t(`proposals.kind.${c.kind}`)}</span>} {c.kind ? c.title || c.id : c.action === 'created' && r.stage !== 'production' ? c.title : <Link to={`/rules/${encodeURIComponent(c.id)}`}>{c.title || c.id}</Link>}{' '}
                    {c.hits !== undefined && <b>{t('proposals.hits', { n: number(c.hits, locale) })}</b>} <span className="dim">{list(c.fields).join(' · ')}</span>
                  </summary>
                  <div className="body">
                    <TextDiff before={c.before ?? ''} after={c.after ?? ''} />
                  </div>
                </details>
              ))}
              {preview && (
                <Preview title={t('proposals.open', { n: id })} ok={t('switchon.approve')} close={() => setPreview(false)} submit={() => void decide('approve')}>
                  <Backtest ruleText={texts} span="168h" brief ready={texts.length < 1 << 20} />
                </Preview>
              )}
              {changes.length > limit && <Button onClick={() => setLimit(limit + SHOWN)}>{t('proposals.more', { n: number(changes.length - limit, locale) })}</Button>}
            </div>
          );
        }}
      </Loaded>
    </Drawer>
  );
}
