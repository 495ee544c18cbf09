import { useQuery } from '@tanstack/react-query';
import { Button, Input, Modal } from 'antd';
import { useState } from 'react';
import { get, post, request } from '../api/client';
import type { RemovedTenant } from '../api/storage';
import { list, type Page, type Tenant } from '../api/types';
import { useAct } from '../app/act';
import { useSettings } from '../app/settings';
import { absolute } from '../logic/format';
import { Refused } from './dialog';
import { Empty, Loaded } from './states';
import { DataTable } from './table';
import { WhenFull } from './time';

const RENEW = ['tenants', 'removed-tenants', 'storage'];
const restore = (slug: string) => post(`/tenants/${encodeURIComponent(slug)}/restore`);

/** Takes a tenant out: its name is asked for, a reason is kept, and until a stated day it can be brought back. */
export function RemoveTenant({ tenant, close }: { tenant: Tenant; close: () => void }) {
  const { t, tx } = useSettings();
  const { act, tell } = useAct();
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const name = tx(tenant.name) || tenant.slug;
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      const res = await request('DELETE', `/tenants/${encodeURIComponent(tenant.slug)}`, { body: { reason } });
      const { restorable_until: until } = (await res.json()) as { restorable_until: string };
      tell({ said: t('removal.done', { x: name, d: absolute(until).slice(0, 10) }), undo: () => void act(() => restore(tenant.slug), { said: t('removal.restored', { x: name }), renew: RENEW }), renew: RENEW });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open title={t('removal.title', { x: name })} okText={t('removal.ok')} okButtonProps={{ danger: true, disabled: typed !== tenant.slug || reason.trim() === '' }} cancelText={t('do.cancel')} confirmLoading={busy} onCancel={close} onOk={() => void send()} width={480}>
      <Refused error={error} />
      <p>{t('removal.why')}</p>
      <div className="stack" style={{ gap: 8 }}>
        <Input aria-label={t('removal.reason')} placeholder={t('removal.reason')} value={reason} onChange={(e) => setReason(e.target.value)} />
        <Input aria-label={t('do.typeName', { x: tenant.slug })} placeholder={t('do.typeName', { x: tenant.slug })} value={typed} onChange={(e) => setTyped(e.target.value)} />
      </div>
    </Modal>
  );
}

/** Tenants that were taken out, and until when they can come back. */
export function RemovedTenants() {
  const { t, tx } = useSettings();
  const { act } = useAct();
  const query = useQuery({ queryKey: ['removed-tenants'], queryFn: async ({ signal }) => list((await get<Page<RemovedTenant>>('/tenants/removed', {}, signal)).items) });
  return (
    <div className="panel" style={{ overflowX: 'auto' }}>
      <Loaded query={query} what="tenants.what" lines={4}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title={t('removal.none')} />
          ) : (
            <DataTable
              label={t('removal.list')}
              rows={rows}
              rowKey={(x) => x.slug}
              columns={[
                { key: 'name', title: t('col.name'), render: (x) => <b>{tx(x.name) || x.slug}</b> },
                { key: 'slug', title: t('tenants.slug'), render: (x) => <span className="mono dim">{x.slug}</span> },
                { key: 'when', title: t('removal.when'), render: (x) => <WhenFull time={x.removed_at} /> },
                { key: 'who', title: t('removal.who'), render: (x) => x.removed_by },
                { key: 'reason', title: t('removal.reason'), render: (x) => x.reason || '–' },
                { key: 'until', title: t('removal.until'), render: (x) => <WhenFull time={x.restorable_until} /> },
                {
                  key: 'do',
                  title: '',
                  render: (x) =>
                    x.restorable && (
                      <Button size="small" onClick={() => void act(() => restore(x.slug), { said: t('removal.restored', { x: tx(x.name) || x.slug }), renew: RENEW })}>
                        {t('removal.restore')}
                      </Button>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </div>
  );
}
