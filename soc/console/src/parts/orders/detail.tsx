import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Link } from 'react-router-dom';
import { get, post } from '../../api/client';
import type { OrderDetail } from '../../api/dispatch';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { CommentBox } from '../acting';
import { TenantName } from '../names';
import { Failed, Skeleton } from '../states';
import { When, WhenFull } from '../time';
import { WhyNot } from '../why';
import { OrderState } from './state';

const iso = (ms: number | undefined) => (ms ? new Date(ms).toISOString() : undefined);

/** The page of an alert, an incident or a work order of findings. */
export const objectLink = (id: string) => `/${id.startsWith('FO-') ? 'finding-orders' : id.startsWith('INC-') ? 'incidents' : 'alerts'}/${encodeURIComponent(id)}`;

/** One work order: where it stands, what its system was told, and what can be done about it. */
export function OrderPanel({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['work-orders', 'one', id], queryFn: ({ signal }) => get<OrderDetail>(`/work-orders/${encodeURIComponent(id)}`, {}, signal), refetchInterval: 10_000 });
  const o = query.data?.order;
  const renew = ['work-orders', 'incident', 'alert'];
  const step = (action: 'again' | 'sync') => void act(() => post(`/work-orders/${encodeURIComponent(id)}/${action}`), { said: t(action === 'again' ? 'order.sentAgain' : 'order.synced'), renew });
  const write = can('resend-work-order');
  return (
    <aside className="panel preview" aria-label={t('order.one', { x: id })} data-testid="order">
      <header>
        <h2 className="mono">{o?.external || id}</h2>
        <div className="end">
          <Button size="small" type="text" aria-label={t('do.close')} onClick={close}>
            ✕
          </Button>
        </div>
      </header>
      <div className="body">
        {query.error && !o ? (
          <Failed small error={query.error} what="order.title" retry={() => void query.refetch()} />
        ) : !o ? (
          <Skeleton lines={6} />
        ) : (
          <div className="stack">
            <div className="row wrap">
              <OrderState order={o} />
              {o.their_state && <span className="dim">{t('order.theirs', { x: o.their_state })}</span>}
            </div>
            <Link to={objectLink(o.object)} style={{ fontWeight: 600, overflowWrap: 'anywhere' }}>
              {o.title || o.object}
            </Link>
            {o.error && (
              <div className="notice warn" role="status" style={{ overflowWrap: 'anywhere', margin: 0 }}>
                <WhyNot error={o.error} />
              </div>
            )}
            {write && (
              <div className="actions">
                {(o.state === 'failed' || o.state === 'rejected') && (
                  <Button type="primary" loading={busy} onClick={() => step('again')}>
                    {t('order.again')}
                  </Button>
                )}
                {(o.state === 'open' || o.state === 'working') && (
                  <Button loading={busy} onClick={() => step('sync')}>
                    {t('order.sync')}
                  </Button>
                )}
                {o.link && (
                  <Button href={o.link} target="_blank" rel="noreferrer noopener">
                    {t('order.there')} ↗
                  </Button>
                )}
              </div>
            )}
            <dl className="facts">
              <dt>{t('order.system')}</dt>
              <dd>{o.connection_name}</dd>
              <dt>{t('col.tenant')}</dt>
              <dd>
                <TenantName slug={o.tenant} />
              </dd>
              <dt>{t('order.handler')}</dt>
              <dd>{o.handler || '–'}</dd>
              <dt>{t('order.note')}</dt>
              <dd style={{ whiteSpace: 'pre-wrap' }}>{o.note || '–'}</dd>
              <dt>{t('order.madeBy')}</dt>
              <dd>
                {o.made_by} <WhenFull time={iso(o.made_at)} />
              </dd>
              <dt>{t('order.synced.at')}</dt>
              <dd>
                <WhenFull time={iso(o.synced_at)} />
              </dd>
            </dl>
            {can('respond') && !o.object.startsWith('FO-') && o.state !== 'done' && o.state !== 'rejected' && (
              <div>
                <h3 className="under">{t('order.comment')}</h3>
                <CommentBox submit={(text) => act(() => post(`${objectLink(o.object)}/comments`, { text }), { said: t('order.commented'), renew })} />
              </div>
            )}
            <div>
              <h3 className="under">{t('order.messages')}</h3>
              <ul className="plainlist">
                {list(query.data?.messages).map((m) => (
                  <li key={m.id}>
                    <div className="row">
                      <i className={`dot ${m.state === 'delivered' ? 'ok' : m.state === 'failed' ? 'error' : 'open'}`} />
                      <span>{t(`order.message.${m.kind}`)}</span>
                      <span className="dim">{t(`order.sent.${m.state}`)}</span>
                      {m.http_status ? <span className="faint">HTTP {m.http_status}</span> : null}
                      {m.attempts > 1 && <span className="faint">{t('incident.attempt', { n: m.attempts })}</span>}
                      <span className="dim" style={{ marginLeft: 'auto' }}>
                        <When time={iso(m.settled_at ?? m.made_at)} />
                      </span>
                    </div>
                    {m.error && (
                      <div className="faint" style={{ overflowWrap: 'anywhere' }}>
                        <WhyNot error={m.error} status={m.http_status} />
                        {m.next_at ? (
                          <>
                            {' · '}
                            {t('order.next')} <When time={iso(m.next_at)} age />
                          </>
                        ) : null}
                      </div>
                    )}
                  </li>
                ))}
              </ul>
            </div>
          </div>
        )}
      </div>
    </aside>
  );
}
