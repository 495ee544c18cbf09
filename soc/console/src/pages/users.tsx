import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Form, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { get, patch, post } from '../api/client';
import { useMe, useTenants } from '../api/queries';
import { list, type Page, type User } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { Empty, Loaded } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

interface NewUser {
  username: string;
  display_name?: string;
  password: string;
  roles: string[];
  tenants: string[];
}

export default function Users() {
  const { t, tx } = useSettings();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const me = useMe().data;
  const tenants = useTenants().data ?? [];
  const tenantName = useTenantName();
  const [adding, setAdding] = useState(false);
  const [busy, setBusy] = useState(false);
  const [form] = Form.useForm<NewUser>();
  const query = useQuery({ queryKey: ['users'], queryFn: ({ signal }) => get<Page<User>>('/users', {}, signal) });
  const again = () => void client.invalidateQueries({ queryKey: ['users'] });
  const roleName = (r: string) => (`role.${r}` in zh ? t(`role.${r}` as Key) : r);

  const create = async () => {
    const v = await form.validateFields().catch(() => null);
    if (!v) return;
    setBusy(true);
    try {
      await post('/users', { ...v, display_name: v.display_name ?? '' });
      done(t('users.created', { x: v.username }));
      setAdding(false);
      form.resetFields();
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
      again();
    }
  };
  const setDisabled = async (u: User, disabled: boolean) => {
    try {
      await patch(`/users/${encodeURIComponent(u.id)}`, { disabled });
      done(t(disabled ? 'users.disabledN' : 'users.enabledN', { x: u.username }), () => void setDisabled(u, !disabled));
    } catch (e) {
      failed(e);
    } finally {
      again();
    }
  };
  return (
    <div className="page">
      <Head title={t('page.users')}>
        <Button type="primary" onClick={() => setAdding(true)}>
          {t('users.new')}
        </Button>
      </Head>
      <div className="panel">
        <Loaded query={query} what="users.what" lines={5}>
          {(page) =>
            list(page.items).length === 0 ? (
              <Empty title={t('users.empty')} />
            ) : (
              <DataTable
                label={t('page.users')}
                rows={list(page.items)}
                rowKey={(u) => u.id}
                columns={[
                  { key: 'username', title: t('users.username'), render: (u) => <b style={{ fontWeight: 550 }}>{u.username}</b> },
                  { key: 'display', title: t('users.display'), render: (u) => u.display_name || '–' },
                  { key: 'roles', title: t('users.roles'), render: (u) => list(u.roles).map(roleName).join(', ') },
                  { key: 'tenants', title: t('users.tenants'), render: (u) => (u.all_tenants ? t('users.allTenants') : list(u.tenants).map(tenantName).join(', ') || '–') },
                  {
                    key: 'status',
                    title: t('col.status'),
                    render: (u) => (
                      <span className="status">
                        <i className={`dot ${u.disabled ? 'off' : 'ok'}`} />
                        {t(u.disabled ? 'users.disabled' : 'users.enabled')}
                      </span>
                    ),
                  },
                  { key: 'last', title: t('users.last'), render: (u) => <When time={u.last_login_at} age /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (u) =>
                      u.id === me?.id ? null : (
                        <Button size="small" onClick={() => void setDisabled(u, !u.disabled)}>
                          {t(u.disabled ? 'users.enable' : 'users.disable')}
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      <Modal open={adding} title={t('users.new')} okText={t('users.new')} cancelText={t('do.cancel')} confirmLoading={busy} onCancel={() => setAdding(false)} onOk={() => void create()} width={440}>
        <Form form={form} layout="vertical" requiredMark={false} initialValues={{ roles: ['analyst'], tenants: ['*'] }}>
          <Form.Item name="username" label={t('users.username')} rules={[{ required: true, message: t('login.needUser') }]}>
            <Input autoComplete="off" autoFocus />
          </Form.Item>
          <Form.Item name="display_name" label={t('users.display')}>
            <Input autoComplete="off" />
          </Form.Item>
          <Form.Item name="password" label={t('users.password')} rules={[{ required: true, min: 12, message: t('account.short') }]}>
            <Input.Password autoComplete="new-password" />
          </Form.Item>
          <Form.Item name="roles" label={t('users.roles')} rules={[{ required: true }]}>
            <Select mode="multiple" options={['admin', 'analyst', 'viewer'].map((r) => ({ value: r, label: roleName(r) }))} />
          </Form.Item>
          <Form.Item name="tenants" label={t('users.tenants')} rules={[{ required: true }]}>
            <Select mode="multiple" optionFilterProp="label" options={[{ value: '*', label: t('users.allTenants') }, ...tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))]} />
          </Form.Item>
        </Form>
      </Modal>
    </div>
  );
}
