import { useQuery } from '@tanstack/react-query';
import { Button, Input, Modal } from 'antd';
import { useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { del, get, post } from '../../api/client';
import type { Notice, NoticeDetail, NoticeState, Proof, Recipient } from '../../api/notices';
import { useCan, useMe } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useNow, usePageTitle } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { zh, type Key } from '../../locales/zh';
import { joined, number } from '../../logic/format';
import { answerOf, moveName, tally } from '../../logic/notices';
import { Refused } from '../../parts/dialog';
import { useTenantName } from '../../parts/names';
import { NoticeBody } from '../../parts/notices/body';
import { Favourite, NoticeStateMark } from '../../parts/notices/marks';
import { Panel } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Deadline, When, WhenFull } from '../../parts/time';

const iso = (ms: number | undefined) => (ms ? new Date(ms).toISOString() : undefined);
const RENEW = ['notices'];

/** The way of a notice, in its order. */
const WAY: NoticeState[] = ['draft', 'review', 'approved', 'published', 'closed'];

function proofLink(p: Proof): string | undefined {
  const id = encodeURIComponent(p.id);
  switch (p.kind) {
    case 'alert':
      return `/alerts/${id}`;
    case 'incident':
      return `/incidents/${id}`;
    case 'asset':
    case 'system':
      return `/cmdb/${id}`;
    case 'log':
      return `/search?${new URLSearchParams({ query: p.id })}`;
    default:
      return undefined;
  }
}

/** One notice: its text, where it is on its way, who has read and answered it, and what the reader may do. */
export default function NoticePage() {
  const { t, locale } = useSettings();
  const { id = '' } = useParams();
  const navigate = useNavigate();
  const can = useCan();
  const me = useMe().data;
  const { act, busy } = useAct();
  const tenantName = useTenantName();
  const now = useNow(60);
  const [moving, setMoving] = useState<NoticeState | null>(null);
  const path = `/notices/${encodeURIComponent(id)}`;
  const query = useQuery({ queryKey: ['notices', 'one', id], queryFn: ({ signal }) => get<NoticeDetail>(path, {}, signal), refetchInterval: 15_000 });
  const n = query.data?.notice;
  usePageTitle(n?.name ?? t('page.notices'));
  const write = can('update-notice');
  const to = can('move-notice') ? list(query.data?.to) : [];
  useKeys({ Escape: () => navigate('/notices'), e: () => n?.state === 'draft' && write && navigate(`${path}/edit`) });
  if (!n) return <div className="page">{query.error ? <Failed error={query.error} what="page.notices" retry={() => void query.refetch()} /> : <Skeleton lines={12} />}</div>;
  const restore = () => void act(() => post(`${path}/restore`), { said: t('inhibit.restored', { x: n.name }), renew: RENEW });
  const remove = () => void act(() => del(path), { said: t('inhibit.deleted', { x: n.name }), renew: RENEW, undo: restore }).then((ok) => ok && navigate('/notices'));
  const read = () => void act(() => post(`${path}/read`), { said: t(me?.all_tenants ? 'notice.markedRead' : 'notice.received'), renew: RENEW });
  const counts = tally(n, now);
  const recipients = list(n.recipients);
  // Those who see every tenant look on: receipts and answers are the units' own.
  const own = me?.all_tenants ? [] : recipients;
  const answers = n.kind === 'circular' && n.state === 'published' && own.some((r) => !r.replied_at) && can('reply-to-notice');
  const unread = n.state === 'published' && (!n.read || own.some((r) => !r.read_at));
  // An administrator may leave a step out: what was left out is not ticked.
  const been = new Set(list(query.data?.history).map((s) => s.action));
  const primary = to.find((s) => WAY.indexOf(s) > WAY.indexOf(n.state));
  return (
    <div className="page">
      <div className="row" style={{ marginBottom: 8 }}>
        <Link to="/notices">← {t('page.notices')}</Link>
        <div className="actions" style={{ marginLeft: 'auto' }}>
          {n.deleted_at ? (
            write && <Button onClick={restore}>{t('notify.restore')}</Button>
          ) : (
            <>
              {unread && (
                <Button type="primary" loading={busy} onClick={read}>
                  {t(me?.all_tenants ? 'notice.markRead' : 'notice.receive')}
                </Button>
              )}
              {n.state === 'draft' && write && (
                <Link to={`${path}/edit`}>
                  <Button>
                    {t('do.edit')} <kbd>e</kbd>
                  </Button>
                </Link>
              )}
              {to.map((s) => (
                <Button key={s} type={s === primary && !unread ? 'primary' : 'default'} onClick={() => setMoving(s)}>
                  {t(`notice.move.${moveName(n.state, s)}`)}
                </Button>
              ))}
              {(n.state === 'draft' || n.state === 'closed') && can('delete-notice') && <Button onClick={remove}>{t('do.delete')}</Button>}
            </>
          )}
        </div>
      </div>
      <Stale query={query} />
      {n.deleted_at ? (
        <div className="notice warn">
          {t('notice.wasDeleted', { x: n.deleted_by ?? '' })} <When time={iso(n.deleted_at)} />
        </div>
      ) : null}
      <h1 className="sentence">
        <Favourite notice={n} /> {n.name}
      </h1>
      <div className="meta">
        <SeverityMark level={n.level} />
        <span className="tag">{t(`notice.kind.${n.kind}`)}</span>
        <NoticeStateMark state={n.state} />
        {n.region && <span className="tag">{n.region}</span>}
        {list(n.tags).map((x) => (
          <Link className="tag" key={x} to={`/notices?tag=${encodeURIComponent(x)}`}>
            # {x}
          </Link>
        ))}
        {n.due && n.state === 'published' ? (
          <span>
            {t('notice.due')} <Deadline due={iso(n.due)} done={counts.all > 0 && counts.answered === counts.all ? iso(Math.max(...recipients.map((r) => r.replied_at ?? 0))) : undefined} />
          </span>
        ) : null}
        {n.published_at ? (
          <span>
            {t('notice.published')} <WhenFull time={iso(n.published_at)} />
          </span>
        ) : null}
      </div>
      {been.has('made') && (
        <ol className="way" aria-label={t('notice.way')}>
          {WAY.map((s) => (
            <li key={s} aria-current={s === n.state ? 'step' : undefined} className={WAY.indexOf(s) < WAY.indexOf(n.state) && (s === 'draft' || been.has(s)) ? 'past' : ''}>
              <span>{t(`notice.state.${s}`)}</span>
            </li>
          ))}
        </ol>
      )}
      {n.state === 'review' && !to.includes('approved') && <div className="notice">{t('notice.othersApprove')}</div>}
      {list(n.tenants).length === 0 && n.state === 'draft' && <div className="notice warn">{t('notice.noTenants')}</div>}
      <div className="cols">
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('notice.body')}>{list(n.body).length > 0 ? <NoticeBody body={list(n.body)} /> : <span className="dim">{t('notice.noBody')}</span>}</Panel>
          {answers && <Reply path={path} />}
          {recipients.length > 0 && (
            <Panel title={t('notice.recipients')} end={<span className="dim">{n.kind === 'circular' ? t('notice.answeredOf', { n: number(counts.answered, locale), m: counts.all }) : t('notice.readOf', { n: counts.read, m: counts.all })}</span>} flush>
              <DataTable
                label={t('notice.recipients')}
                rows={[...recipients].sort((a, b) => Number(!!a.replied_at) - Number(!!b.replied_at))}
                rowKey={(r) => r.tenant}
                columns={[
                  { key: 'tenant', title: t('col.tenant'), render: (r) => tenantName(r.tenant) },
                  {
                    key: 'state',
                    title: t('col.status'),
                    render: (r) => {
                      const a = answerOf(r, n, now);
                      return <span className={a === 'overdue' || a === 'late' ? 'tag strong late-mark' : 'tag'}>{t(`notice.answer.${a}`)}</span>;
                    },
                  },
                  { key: 'read', title: t('notice.readBy'), render: (r) => (r.read_at ? <span className="nowrap">{r.read_by} <When time={iso(r.read_at)} /></span> : <span className="faint">–</span>) },
                  ...(n.kind === 'circular'
                    ? [
                        {
                          key: 'reply',
                          title: t('notice.reply'),
                          render: (r: Recipient) =>
                            r.replied_at ? (
                              <>
                                <div style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>{r.reply}</div>
                                <span className="faint">
                                  {r.replied_by} <When time={iso(r.replied_at)} />
                                </span>
                              </>
                            ) : (
                              <span className="faint">–</span>
                            ),
                        },
                      ]
                    : []),
                ]}
              />
            </Panel>
          )}
        </div>
        <div className="stack" style={{ gap: 14 }}>
          {list(n.evidence).length > 0 && (
            <Panel title={t('notice.evidence')}>
              <ul className="plainlist">
                {list(n.evidence).map((p, i) => {
                  const link = proofLink(p);
                  return (
                    <li key={i} className="row">
                      <span className="tag">{t(`notice.proof.${p.kind}`)}</span>
                      {link ? (
                        <Link className="ellipsis" to={link} title={p.id}>
                          {p.title || p.id}
                        </Link>
                      ) : (
                        <span className="ellipsis">{p.title || p.id}</span>
                      )}
                    </li>
                  );
                })}
              </ul>
            </Panel>
          )}
          <Panel title={t('notice.facts')}>
            <dl className="facts">
              <dt>{t('notice.to')}</dt>
              <dd>{joined(list(n.tenants).map(tenantName), locale) || '–'}</dd>
              {list(n.receivers).length > 0 && (
                <>
                  <dt>{t('notice.receivers')}</dt>
                  <dd>{joined(list(n.receivers), locale)}</dd>
                </>
              )}
              <dt>{t('notice.madeBy')}</dt>
              <dd>
                {n.made_by} <WhenFull time={iso(n.made_at)} />
              </dd>
              {n.origin && (
                <>
                  <dt>{t('notice.origin')}</dt>
                  <dd>
                    <Link to={`/disposal-rules?edit=${encodeURIComponent(n.origin)}`}>{t('notice.byRule')}</Link>
                  </dd>
                </>
              )}
              {n.due ? (
                <>
                  <dt>{t('notice.dueBy')}</dt>
                  <dd>
                    <WhenFull time={iso(n.due)} />
                  </dd>
                </>
              ) : null}
            </dl>
          </Panel>
          <Panel title={t('notice.history')}>
            <ol className="timeline">
              {[...list(query.data?.history)].reverse().map((s, i) => (
                <li key={i} className={s.comment ? 'k-comment' : ''}>
                  <div className="t-head">
                    <b>{s.actor}</b>
                    <span>{`notice.step.${s.action}` in zh ? t(`notice.step.${s.action}` as Key) : s.action}</span>
                    <time dateTime={iso(s.at)}>
                      <When time={iso(s.at)} />
                    </time>
                  </div>
                  {s.tenant && <div className="t-text">{tenantName(s.tenant)}</div>}
                  {s.comment && s.action !== 'replied' && <div className="t-text">{s.comment}</div>}
                </li>
              ))}
            </ol>
          </Panel>
        </div>
      </div>
      {moving && <MoveDialog notice={n} to={moving} close={() => setMoving(null)} />}
    </div>
  );
}

/** Moves a notice on, with a word to the next. */
function MoveDialog({ notice: n, to, close }: { notice: Notice; to: NoticeState; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const [comment, setComment] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const name = moveName(n.state, to);
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      await post(`/notices/${encodeURIComponent(n.id)}/move`, { to, comment: comment.trim() || undefined });
      tell({ said: t('notice.moved', { x: n.name, y: t(`notice.state.${to}`) }), renew: RENEW });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open width={460} title={t(`notice.move.${name}`)} okText={t(`notice.move.${name}`)} cancelText={t('do.cancel')} confirmLoading={busy} onCancel={close} onOk={() => void send()}>
      <Refused error={error} />
      <p style={{ margin: '6px 0 10px' }}>{t(`notice.moveWhy.${name}`, { n: list(n.tenants).length })}</p>
      <label className="labelled">
        <span className="dim">{t('notice.comment')}</span>
        <Input.TextArea rows={3} maxLength={10_000} value={comment} onChange={(e) => setComment(e.target.value)} />
      </label>
    </Modal>
  );
}

/** The answer of the reader's units. */
function Reply({ path }: { path: string }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const [text, setText] = useState('');
  return (
    <Panel title={t('notice.replyTitle')}>
      <div className="stack" style={{ gap: 8 }}>
        <Input.TextArea className="grows" rows={4} maxLength={10_000} aria-label={t('notice.reply')} placeholder={t('notice.replyHint')} value={text} onChange={(e) => setText(e.target.value)} />
        <Button type="primary" style={{ alignSelf: 'flex-end' }} disabled={!text.trim()} loading={busy} onClick={() => void act(() => post(`${path}/reply`, { text: text.trim() }), { said: t('notice.replied'), renew: RENEW }).then((ok) => ok && setText(''))}>
          {t('notice.send')}
        </Button>
      </div>
    </Panel>
  );
}
