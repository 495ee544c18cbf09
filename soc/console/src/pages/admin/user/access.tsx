import { useQuery } from '@tanstack/react-query';
import { Button, Form } from 'antd';
import { useEffect, useState } from 'react';
import { Link } from 'react-router-dom';
import type { Account, Grant } from '../../../api/access';
import { put } from '../../../api/client';
import { all } from '../../../api/directory';
import { useCan, useMe } from '../../../api/queries';
import { list } from '../../../api/types';
import { useAct } from '../../../app/act';
import { useSettings } from '../../../app/settings';
import { GrantDialog, GrantTable } from '../../../parts/grants';
import { scopeText } from '../../../parts/names';
import { Panel } from '../../../parts/page';
import { RolesPicker, TenantsPicker } from '../../../parts/pickers';
import { Empty, Loaded } from '../../../parts/states';

interface Values {
  roles: string[];
  tenants: string[];
}

/** What a user may do: roles given directly, by groups, and by grants bound in time and place. */
export function UserAccess({ user }: { user: Account }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const me = useMe().data;
  const { busy, act } = useAct();
  const [form] = Form.useForm<Values>();
  const [adding, setAdding] = useState(false);
  const may = can('set-user-access');
  const values: Values = { roles: list(user.roles), tenants: user.all_tenants ? ['*'] : list(user.tenants) };
  useEffect(() => form.setFieldsValue({ roles: list(user.roles), tenants: user.all_tenants ? ['*'] : list(user.tenants) }), [form, user]);
  const grants = useQuery({
    queryKey: ['grants', 'user', user.id],
    queryFn: ({ signal }) => all<Grant>('/grants', { user: user.id, via: 'true' }, signal),
    enabled: can('list-grants'),
  });
  return (
    <div className="cols">
      <div className="stack">
        <Panel title={t('user.rolesOwn')}>
          <p className="dim" style={{ marginBottom: 10 }}>
            {t('user.rolesWhy')} {me?.separation && t('roles.separation')}
          </p>
          <Form
            form={form}
            layout="vertical"
            initialValues={values}
            disabled={!may}
            style={{ maxWidth: 620 }}
            onFinish={(v: Values) => void act(() => put(`/users/${encodeURIComponent(user.id)}/access`, v), { said: t('do.saved'), renew: ['users', 'user', 'roles', 'me'] })}
          >
            <Form.Item name="roles" label={t('users.roles')}>
              <RolesPicker />
            </Form.Item>
            <Form.Item name="tenants" label={t('users.tenants')}>
              <TenantsPicker />
            </Form.Item>
            {may && (
              <Button type="primary" htmlType="submit" loading={busy}>
                {t('do.save')}
              </Button>
            )}
          </Form>
        </Panel>
        {can('list-grants') && (
          <Panel
            title={t('grants.what')}
            flush
            end={
              can('create-grant') && (
                <Button size="small" onClick={() => setAdding(true)}>
                  {t('grants.new')}
                </Button>
              )
            }
          >
            <Loaded query={grants} what="grants.what" lines={3} small>
              {(rows) => (rows.length === 0 ? <Empty small title={t('grants.empty')} why={t('grants.emptyWhy')} /> : <GrantTable grants={rows} who={false} />)}
            </Loaded>
          </Panel>
        )}
      </div>
      <div className="stack">
        {list(user.scopes).length > 0 && <Panel title={t('user.scopes')}>
          <ul className="reasons">
            {list(user.scopes).map((s) => (
              <li key={s}>
                <b>{scopeText(t, s)}</b> <span className="dim">{scopeText(t, s, true)}</span>
              </li>
            ))}
          </ul>
        </Panel>}
        <Panel title={t('users.groups')}>
          {list(user.groups).length === 0 ? (
            <span className="dim">{t('user.noGroups')}</span>
          ) : (
            <span className="tags">
              {list(user.groups).map((g) => (
                <Link className="tag" key={g.id} to={`/admin/groups?group=${encodeURIComponent(g.id)}`}>
                  {tx(g.name) || g.id}
                </Link>
              ))}
            </span>
          )}
        </Panel>
      </div>
      {adding && <GrantDialog user={user.id} close={() => setAdding(false)} />}
    </div>
  );
}
