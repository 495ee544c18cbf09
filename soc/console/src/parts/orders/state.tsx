import type { Order } from '../../api/dispatch';
import { useT } from '../../app/settings';

/** Where a work order stands, in our words; theirs where it is pointed at. */
export function OrderState({ order: o }: { order: Pick<Order, 'state' | 'their_state'> }) {
  const t = useT();
  return (
    <span className={o.state === 'failed' || o.state === 'rejected' ? 'tag bad' : o.state === 'done' ? 'tag' : 'tag strong'} title={o.their_state ? t('order.theirs', { x: o.their_state }) : undefined}>
      <i className={`dot ${o.state === 'done' ? 'closed' : o.state === 'working' ? 'acknowledged' : o.state === 'failed' || o.state === 'rejected' ? 'error' : 'open'}`} />
      {t(`order.state.${o.state}`)}
    </span>
  );
}
