import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Checkbox, Form, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { del, get, post } from '../api/client';
import { useTenants } from '../api/queries';
import { list, type Page, type Token } from '../api/types';
import { copyText, useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { TenantName } from '../parts/names';
import { Head } from '../parts/page';
import { Empty, Loaded } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

interface NewToken {
  name: string;
  tenant: string;
  scopes: string[];
  expires_in: string;
}

export default function Tokens() {
  const { t, tx } = useSettings();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const tenants = useTenants().data ?? [];
  const [adding, setAdding] = useState(false);
  const [busy, setBusy] = useState(false);
  const [made, setMade] = useState<Token | null>(null);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const [form] = Form.useForm<NewToken>();
  const query = useQuery({ queryKey: ['tokens'], queryFn: ({ signal }) => get<Page<Token>>('/tokens', {}, signal) });
  const again = () => void client.invalidateQueries({ queryKey: ['tokens'] });
  const scopeName = (s: string) => (`scope.${s}` in zh ? t(`scope.${s}` as Key) : s);

  const create = async () => {
    const v = await form.validateFields().catch(() => null);
    if (!v) return;
    setBusy(true);
    try {
      setMade(await post<Token>('/tokens', v));
      setAdding(false);
      form.resetFields();
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
      again();
    }
  };
  const revoke = async (k: Token) => {
    setBusy(true);
    try {
      await del(`/tokens/${encodeURIComponent(k.id)}`);
      done(t('tokens.revoked', { x: k.name }));
      setRevoking(null);
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
      again();
    }
  };
  return (
    <div className="page">
      <Head title={t('page.tokens')}>
        <Button type="primary" onClick={() => setAdding(true)}>
          {t('tokens.new')}
        </Button>
      </Head>
      <div className="panel">
        <Loaded query={query} what="tokens.what" lines={5}>
          {(page) =>
            list(page.items).length === 0 ? (
              <Empty title={t('tokens.empty')} why={t('tokens.emptyWhy')}>
                <Button onClick={() => setAdding(true)}>{t('tokens.new')}</Button>
              </Empty>
            ) : (
              <DataTable
                label={t('page.tokens')}
                rows={list(page.items)}
                rowKey={(k) => k.id}
                columns={[
                  { key: 'name', title: t('tokens.name'), render: (k) => <b style={{ fontWeight: 550 }}>{k.name}</b> },
                  { key: 'tenant', title: t('tokens.tenant'), render: (k) => (k.tenant ? <TenantName slug={k.tenant} /> : t('tokens.city')) },
                  { key: 'scopes', title: t('tokens.scopes'), render: (k) => list(k.scopes).map(scopeName).join(', ') },
                  { key: 'expires', title: t('tokens.expiresAt'), render: (k) => <When time={k.expires_at} /> },
                  { key: 'used', title: t('tokens.lastUsed'), render: (k) => <When time={k.last_used_at} /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (k) => (
                      <Button size="small" onClick={() => setRevoking(k)} aria-label={`${t('tokens.revoke')} ${k.name}`}>
                        {t('tokens.revoke')}
                      </Button>
                    ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      <Modal open={adding} title={t('tokens.new')} okText={t('tokens.new')} cancelText={t('do.cancel')} confirmLoading={busy} onCancel={() => setAdding(false)} onOk={() => void create()} width={440}>
        <Form form={form} layout="vertical" requiredMark={false} initialValues={{ tenant: '', scopes: ['ingest'], expires_in: '2160h' }}>
          <Form.Item name="name" label={t('tokens.name')} rules={[{ required: true, message: t('tokens.name') }]}>
            <Input autoFocus autoComplete="off" />
          </Form.Item>
          <Form.Item name="tenant" label={t('tokens.tenant')}>
            <Select showSearch optionFilterProp="label" options={[{ value: '', label: t('tokens.city') }, ...tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))]} />
          </Form.Item>
          <Form.Item name="scopes" label={t('tokens.scopes')} rules={[{ required: true, message: t('tokens.scopes') }]}>
            <Checkbox.Group options={['ingest', 'read', 'respond', 'admin'].map((s) => ({ value: s, label: scopeName(s) }))} />
          </Form.Item>
          <Form.Item name="expires_in" label={t('tokens.expires')}>
            <Select
              options={[
                { value: '720h', label: t('tokens.30d') },
                { value: '2160h', label: t('tokens.90d') },
                { value: '8760h', label: t('tokens.365d') },
              ]}
            />
          </Form.Item>
        </Form>
      </Modal>
      <Modal
        open={!!made}
        title={t('tokens.once')}
        closable={false}
        maskClosable={false}
        keyboard={false}
        footer={
          <Button type="primary" onClick={() => setMade(null)}>
            {t('tokens.done')}
          </Button>
        }
      >
        <div className="row" style={{ margin: '12px 0' }}>
          <code className="raw grow" data-testid="new-token">
            {made?.token}
          </code>
          <Button onClick={() => void copyText(made?.token ?? '').then(() => done(t('do.copied')), failed)}>{t('do.copy')}</Button>
        </div>
      </Modal>
      <Modal
        open={!!revoking}
        title={t('tokens.revoke')}
        okText={`${t('tokens.revoke')} ${revoking?.name ?? ''}`}
        okButtonProps={{ danger: true }}
        cancelText={t('do.cancel')}
        confirmLoading={busy}
        onCancel={() => setRevoking(null)}
        onOk={() => revoking && void revoke(revoking)}
        width={420}
      >
        {t('tokens.revokeAsk', { x: revoking?.name ?? '' })}
      </Modal>
    </div>
  );
}
