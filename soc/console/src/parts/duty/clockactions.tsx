import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Select } from 'antd';
import { useState } from 'react';
import { get, post } from '../../api/client';
import type { Terms } from '../../api/duty';
import type { Incident } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../dialog';

/** What can be done to an incident's clock: pause and resume it, confirm a device fault, propose its solution. */
export function ClockActions({ incident: i }: { incident: Incident }) {
  const { t, tx } = useSettings();
  const { act, tell } = useAct();
  const [open, setOpen] = useState<'pause' | 'confirm-fault' | 'propose' | null>(null);
  const terms = useQuery({ queryKey: ['sla', 'terms'], enabled: open === 'pause', queryFn: ({ signal }) => get<Terms>('/sla/terms', {}, signal) });
  if (i.status !== 'acknowledged') return null;
  const path = `/incidents/${encodeURIComponent(i.id)}`;
  const renew = ['incident', 'incidents'];
  const dialog = { close: () => setOpen(null), ok: t('do.save') };
  return (
    <>
      {i.sla?.paused_at ? (
        <Button onClick={() => void act(() => post(`${path}/resume`, {}), { said: t('sla.resumed'), renew })}>{t('sla.resume')}</Button>
      ) : (
        <Button onClick={() => setOpen('pause')}>{t('sla.pause')}</Button>
      )}
      {!i.sla?.fault && <Button onClick={() => setOpen('confirm-fault')}>{t('sla.confirm')}</Button>}
      {i.sla?.fault && !i.sla.proposed_at && <Button onClick={() => setOpen('propose')}>{t('sla.proposeText')}</Button>}
      {open === 'pause' && (
        <FormDialog<{ reason: string; comment?: string }>
          {...dialog}
          title={t('sla.pause')}
          submit={async (v) => {
            await post(`${path}/pause`, { reason: v.reason, comment: v.comment ?? '' });
            tell({ said: t('sla.paused'), renew });
          }}
        >
          <Form.Item name="reason" label={t('sla.reason')} rules={[{ required: true }]}>
            <Select options={(terms.data?.reasons ?? []).map((r) => ({ value: r.key, label: tx(r.name) }))} />
          </Form.Item>
          <Form.Item name="comment" label={t('duty.note')}>
            <Input.TextArea rows={2} maxLength={10000} />
          </Form.Item>
        </FormDialog>
      )}
      {open === 'confirm-fault' && (
        <FormDialog<{ kind: string }>
          {...dialog}
          title={t('sla.confirm')}
          initial={{ kind: 'online' }}
          submit={async (v) => {
            await post(`${path}/confirm-fault`, v);
            tell({ said: t('sla.confirmed'), renew });
          }}
        >
          <Form.Item name="kind" label={t('sla.kind')} rules={[{ required: true }]}>
            <Select options={(['online', 'offline'] as const).map((k) => ({ value: k, label: t(`sla.kind.${k}`) }))} />
          </Form.Item>
        </FormDialog>
      )}
      {open === 'propose' && (
        <FormDialog<{ text: string }>
          {...dialog}
          title={t('sla.proposeText')}
          submit={async (v) => {
            await post(`${path}/propose`, v);
            tell({ said: t('sla.proposed'), renew });
          }}
        >
          <Form.Item name="text" label={t('sla.proposeText')} rules={[{ required: true, whitespace: true }]}>
            <Input.TextArea rows={4} maxLength={10000} />
          </Form.Item>
        </FormDialog>
      )}
    </>
  );
}
