import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Dropdown } from 'antd';
import { Link } from 'react-router-dom';
import { get, post } from '../../api/client';
import type { Order, OrderTarget } from '../../api/dispatch';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { OrderState } from '../orders/state';
import { Panel } from '../page';
import { Failed } from '../states';
import { When } from '../time';

/** Work orders of an alert or incident in other systems, and where they stand. */
export function WorkOrders({ object }: { object: string }) {
  const { t } = useSettings();
  const can = useCan();
  const make = can('create-work-order');
  const { act, busy } = useAct();
  const client = useQueryClient();
  const sees = can('list-work-orders');
  const query = useQuery({ enabled: sees, queryKey: ['work-orders', object], queryFn: ({ signal }) => get<Page<Order>>('/work-orders', { object, limit: 50 }, signal), refetchInterval: 15_000 });
  const targets = useQuery({ enabled: make, queryKey: ['work-order-targets'], queryFn: ({ signal }) => get<Page<OrderTarget>>('/work-order-targets', {}, signal), staleTime: 60_000 });
  const orders = list(query.data?.items);
  const choices = list(targets.data?.items);
  const renew = ['work-orders'];
  const create = (connection: string) =>
    act(() => post('/work-orders', { connection, object }), { said: t('order.made', { x: choices.find((c) => c.id === connection)?.name ?? connection }), renew }).then(() => client.invalidateQueries({ queryKey: ['incident', object] }));
  const step = (o: Order, action: 'again' | 'sync') => void act(() => post(`/work-orders/${encodeURIComponent(o.id)}/${action}`), { said: t(action === 'again' ? 'order.sentAgain' : 'order.synced'), renew });
  if (!sees || (orders.length === 0 && choices.length === 0 && !query.error)) return null;
  return (
    <Panel
      id="work-orders"
      title={t('order.title')}
      end={
        make &&
        choices.length > 0 && (
          <Dropdown trigger={['click']} menu={{ items: choices.map((c) => ({ key: c.id, label: c.name })), onClick: ({ key }) => void create(key) }}>
            <Button size="small" loading={busy}>
              {t('order.make')} ▾
            </Button>
          </Dropdown>
        )
      }
    >
      {query.error && !query.data && <Failed small error={query.error} what="order.title" retry={() => void query.refetch()} />}
      {query.data && orders.length === 0 && <span className="dim">{t('order.none')}</span>}
      {orders.map((o) => (
        <div key={o.id} style={{ padding: '3px 0' }}>
          <div className="row wrap">
            <OrderState order={o} />
            <b>{o.connection_name}</b>
            {o.link ? (
              <a href={o.link} target="_blank" rel="noreferrer noopener" className="mono">
                {o.external || o.id}
              </a>
            ) : (
              <span className="mono">{o.external}</span>
            )}
            {o.handler && <span className="dim">{o.handler}</span>}
            <span className="dim" style={{ marginLeft: 'auto' }}>
              {o.made_by} <When time={new Date(o.made_at).toISOString()} />
            </span>
            <Link to={`/orders?${new URLSearchParams({ object, order: o.id })}`}>{t('do.details')}</Link>
            {make && (o.state === 'failed' || o.state === 'rejected') && (
              <Button size="small" type="text" onClick={() => step(o, 'again')}>
                {t('order.again')}
              </Button>
            )}
            {make && (o.state === 'open' || o.state === 'working') && (
              <Button size="small" type="text" onClick={() => step(o, 'sync')}>
                {t('order.sync')}
              </Button>
            )}
          </div>
          {(o.error || o.note) && (
            <div className="faint" style={{ overflowWrap: 'anywhere' }}>
              {o.error || o.note}
            </div>
          )}
        </div>
      ))}
    </Panel>
  );
}
