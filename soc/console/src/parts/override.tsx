import { Button, Form, Input, Radio } from 'antd';
import { useState } from 'react';
import { del, put } from '../api/client';
import { useCan } from '../api/queries';
import type { Incident } from '../api/types';
import { useAct } from '../app/act';
import { useT } from '../app/settings';
import { FormDialog } from './dialog';
import { Priority } from './severity';
import { When } from './time';

const RENEW = ['incident', 'incidents', 'shift'];
const PRIORITIES = ['P1', 'P2', 'P3', 'P4'];

/** Sets an incident's priority by hand, and takes that back. */
export function OverrideButton({ incident }: { incident: Incident }) {
  const t = useT();
  const can = useCan();
  const { act, tell } = useAct();
  const [open, setOpen] = useState(false);
  if (!can('respond') || incident.status === 'closed') return null;
  const path = `/incidents/${encodeURIComponent(incident.id)}/priority`;
  return (
    <>
      {incident.override && (
        <Button onClick={() => void act(() => del(path), { said: t('override.undone', { x: incident.id }), renew: RENEW })}>{t('override.undo')}</Button>
      )}
      <Button onClick={() => setOpen(true)}>{t('override.set')}</Button>
      {open && (
        <FormDialog<{ priority: string; reason: string }>
          title={t('override.title', { x: incident.id })}
          ok={t('override.set')}
          initial={{ priority: incident.priority }}
          close={() => setOpen(false)}
          submit={async (v) => {
            await put(path, { priority: v.priority, reason: v.reason.trim() });
            tell({ said: t('override.done', { x: incident.id, p: v.priority }), renew: RENEW });
          }}
        >
          <Form.Item name="priority" label={t('override.priority')}>
            <Radio.Group>
              {PRIORITIES.map((p) => (
                <Radio key={p} value={p}>
                  <Priority value={p} />
                </Radio>
              ))}
            </Radio.Group>
          </Form.Item>
          <Form.Item name="reason" label={t('override.reason')} extra={t('override.reasonWhy')} rules={[{ required: true, whitespace: true, message: t('override.reasonWhy') }]}>
            <Input.TextArea rows={3} maxLength={10_000} autoFocus />
          </Form.Item>
        </FormDialog>
      )}
    </>
  );
}

/** Who set the priority by hand, when and why, and what it would be otherwise. */
export function OverrideNote({ incident }: { incident: Incident }) {
  const t = useT();
  const o = incident.override;
  if (!o) return null;
  return (
    <div className="notice" style={{ marginTop: 10 }} data-testid="override">
      <Priority value={o.priority} /> {t('override.of', { p: incident.judged_priority ?? '' })} <When time={o.at} />
      <div style={{ overflowWrap: 'anywhere' }}>{t('override.by', { u: o.by, r: o.reason })}</div>
    </div>
  );
}
