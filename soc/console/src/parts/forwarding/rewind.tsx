import { Modal, Radio } from 'antd';
import { useState } from 'react';
import { post } from '../../api/client';
import type { Target } from '../../api/forwarding';
import { useAct } from '../../app/act';
import { useT } from '../../app/settings';
import { localTime } from '../../logic/access';
import { Refused } from '../dialog';

/** Moves a target's position: what follows is sent, again where it was sent before. */
export function Rewind({ target: x, close }: { target: Target; close: () => void }) {
  const t = useT();
  const { tell } = useAct();
  const [to, setTo] = useState<'beginning' | 'now' | 'time'>('time');
  const [time, setTime] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const at = to === 'time' ? localTime(time) : to;
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      await post(`/forwarding/targets/${encodeURIComponent(x.id)}/rewind`, { to: at });
      tell({ said: t('forward.rewound', { x: x.name }), renew: ['forward-targets'] });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open width={480} title={t('forward.rewindOf', { x: x.name })} okText={t('forward.rewind')} okButtonProps={{ danger: true, disabled: !at }} cancelText={t('do.cancel')} confirmLoading={busy} onOk={() => void send()} onCancel={close}>
      <Refused error={error} />
      <p className="dim" style={{ margin: '8px 0 12px' }}>
        {t('forward.rewindWhy')}
      </p>
      <Radio.Group value={to} onChange={(e) => setTo(e.target.value as typeof to)} options={(['time', 'beginning', 'now'] as const).map((v) => ({ value: v, label: t(`forward.rewind.${v}`) }))} />
      {to === 'time' && <input type="datetime-local" className="when" style={{ marginTop: 10 }} aria-label={t('forward.rewind.time')} value={time} onChange={(e) => setTime(e.target.value)} />}
    </Modal>
  );
}
