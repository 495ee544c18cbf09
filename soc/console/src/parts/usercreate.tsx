import { useQueryClient } from '@tanstack/react-query';
import { Button, Form, Input, Space } from 'antd';
import { useState } from 'react';
import { useNavigate } from 'react-router-dom';
import type { Account } from '../api/access';
import { post } from '../api/client';
import { useUnits } from '../api/directory';
import { useCan } from '../api/queries';
import { list } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useT } from '../app/settings';
import { generatePassword, secureRandom } from '../logic/access';
import { FormDialog } from './dialog';
import { Passwords } from './passwords';
import { RolesPicker, TenantsPicker } from './pickers';
import { ReachInput } from './reach';
import { UnitPicker } from './unittree';

interface Values {
  username: string;
  display_name?: string;
  email?: string;
  phone?: string;
  unit?: string;
  password: string;
  roles?: string[];
  tenants?: string[];
  reach?: string;
}

/** A new user: who, where, what may be done, what may be seen. Hands the first password over at the end. */
export function UserCreate({ unit, close }: { unit: string; close: () => void }) {
  const t = useT();
  const client = useQueryClient();
  const navigate = useNavigate();
  const can = useCan();
  const { done } = useFeedback();
  const units = list(useUnits().data);
  const [made, setMade] = useState<{ user: Account; password: string } | null>(null);
  const access = can('set-user-access');
  if (made) {
    return (
      <Passwords
        rows={[{ username: made.user.username, password: made.password }]}
        close={() => {
          close();
          navigate(`/admin/users/${encodeURIComponent(made.user.id)}`);
        }}
      />
    );
  }
  return (
    <FormDialog<Values>
      title={t('users.new')}
      ok={t('users.new')}
      width={600}
      initial={{ unit, password: generatePassword(secureRandom), roles: access ? ['analyst'] : undefined, tenants: access ? ['*'] : undefined }}
      close={() => undefined}
      submit={async (v) => {
        const { roles, tenants, reach, ...who } = v;
        const body = access ? { ...who, roles: roles ?? [], tenants: tenants ?? [], ...(reach ? { reach } : {}) } : who;
        const user = await post<Account>('/users', Object.fromEntries(Object.entries(body).filter(([, x]) => x !== undefined && x !== '')));
        done(t('users.createdSaid', { x: user.username }));
        for (const key of ['users', 'units']) void client.invalidateQueries({ queryKey: [key] });
        setMade({ user, password: v.password });
      }}
      cancel={close}
    >
      {(form) => (
        <>
          <div className="two">
            <Form.Item name="username" label={t('users.username')} tooltip={t('users.usernameWhy')} rules={[{ required: true, message: t('login.needUser') }]}>
              <Input autoComplete="off" autoFocus spellCheck={false} />
            </Form.Item>
            <Form.Item name="display_name" label={t('users.display')}>
              <Input autoComplete="off" />
            </Form.Item>
            <Form.Item name="email" label={t('users.email')} rules={[{ type: 'email', message: t('word.required', { x: t('users.email') }) }]}>
              <Input autoComplete="off" />
            </Form.Item>
            <Form.Item name="phone" label={t('users.phone')}>
              <Input autoComplete="off" />
            </Form.Item>
          </div>
          {units.length > 0 && (
            <Form.Item name="unit" label={t('users.unit')}>
              <UnitPicker />
            </Form.Item>
          )}
          <Form.Item label={t('users.password')} extra={t('users.passwordWhy')}>
            <Space.Compact block>
              <Form.Item name="password" noStyle rules={[{ required: true, message: t('login.needPassword') }]}>
                <Input autoComplete="off" spellCheck={false} className="mono" aria-label={t('users.password')} />
              </Form.Item>
              <Button onClick={() => form.setFieldValue('password', generatePassword(secureRandom))}>{t('users.generate')}</Button>
            </Space.Compact>
          </Form.Item>
          {access && (
            <>
              <div className="two">
                <Form.Item name="roles" label={t('users.roles')}>
                  <RolesPicker />
                </Form.Item>
                <Form.Item name="tenants" label={t('users.tenants')}>
                  <TenantsPicker />
                </Form.Item>
              </div>
              <Form.Item name="reach" label={t('users.reach')} extra={t('reach.why')}>
                <ReachInput />
              </Form.Item>
            </>
          )}
        </>
      )}
    </FormDialog>
  );
}
