import { Input, Modal } from 'antd';
import { useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { post } from '../../api/client';
import type { FindingOrder } from '../../api/findings';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';

const RENEW = ['findings', 'finding-orders'];

/** Makes a work order of findings and opens it; it can be taken back. */
export function MakeOrder({ ids, close }: { ids: string[]; close: () => void }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const go = useNavigate();
  const [title, setTitle] = useState('');
  const [owner, setOwner] = useState('');
  const make = async () => {
    let made: FindingOrder | undefined;
    const ok = await act(
      async () => {
        made = await post<FindingOrder>('/finding-orders', { ids, title: title.trim() || undefined, owner: owner.trim() || undefined });
      },
      { said: t('forder.made'), renew: RENEW, undo: () => void act(() => post(`/finding-changes/${encodeURIComponent(made?.change ?? '')}/undo`), { said: t('finding.undone'), renew: RENEW }) },
    );
    if (!ok || !made) return;
    close();
    go(`/finding-orders/${encodeURIComponent(made.id)}`);
  };
  return (
    <Modal open title={`${t('forder.make')} · ${t('finding.chosen', { n: ids.length })}`} okText={t('forder.make')} okButtonProps={{ disabled: busy }} onOk={() => void make()} onCancel={close}>
      <div style={{ display: 'grid', gap: 10 }}>
        <Input aria-label={t('forder.name')} addonBefore={t('forder.name')} placeholder={t('forder.nameHint')} value={title} onChange={(e) => setTitle(e.target.value)} maxLength={300} />
        <Input aria-label={t('finding.owner')} addonBefore={t('finding.owner')} placeholder={t('forder.ownerHint')} value={owner} onChange={(e) => setOwner(e.target.value)} maxLength={200} />
      </div>
    </Modal>
  );
}
