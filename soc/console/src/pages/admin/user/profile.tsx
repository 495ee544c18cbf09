import { Button, Form, Input } from 'antd';
import { useEffect } from 'react';
import type { Account } from '../../../api/access';
import { patch } from '../../../api/client';
import { useCan } from '../../../api/queries';
import { list } from '../../../api/types';
import { useAct } from '../../../app/act';
import { useT } from '../../../app/settings';
import { localInput, localTime } from '../../../logic/access';
import { Panel } from '../../../parts/page';
import { WordsInput } from '../../../parts/pickers';
import { WhenFull } from '../../../parts/time';
import { UnitPicker } from '../../../parts/unittree';

interface Values {
  display_name?: string;
  email?: string;
  phone?: string;
  unit?: string;
  tags?: string[];
  valid_from?: string;
  valid_until?: string;
}

function values(u: Account): Values {
  return { display_name: u.display_name, email: u.email ?? '', phone: u.phone ?? '', unit: u.unit ?? '', tags: list(u.tags), valid_from: localInput(u.valid_from), valid_until: localInput(u.valid_until) };
}

/** Bounds cannot be taken away one by one: without both the account is unbound first. */
function body({ valid_from, valid_until, ...v }: Values) {
  const from = localTime(valid_from);
  const until = localTime(valid_until);
  return { ...v, unbound: true, ...(from ? { valid_from: from } : {}), ...(until ? { valid_until: until } : {}) };
}

export function UserProfile({ user }: { user: Account }) {
  const t = useT();
  const can = useCan();
  const { busy, act } = useAct();
  const [form] = Form.useForm<Values>();
  useEffect(() => form.setFieldsValue(values(user)), [form, user]);
  const may = can('update-user');
  const external = !!user.source && user.source !== 'local';
  const save = (v: Values) =>
    act(() => patch(`/users/${encodeURIComponent(user.id)}`, body(v)), { said: t('do.saved'), renew: ['users', 'user', 'units'] });
  return (
    <div className="cols">
      <Panel>
        {external && <div className="notice">{t('user.managed', { x: user.source ?? '' })}</div>}
        <Form form={form} layout="vertical" requiredMark={false} initialValues={values(user)} disabled={!may} onFinish={(v) => void save(v)} style={{ maxWidth: 620, paddingTop: 8 }}>
          <div className="two">
            <Form.Item name="display_name" label={t('users.display')}>
              <Input autoComplete="off" />
            </Form.Item>
            <Form.Item name="unit" label={t('users.unit')}>
              <UnitPicker />
            </Form.Item>
            <Form.Item name="email" label={t('users.email')} rules={[{ type: 'email', message: t('word.required', { x: t('users.email') }) }]}>
              <Input autoComplete="off" />
            </Form.Item>
            <Form.Item name="phone" label={t('users.phone')}>
              <Input autoComplete="off" />
            </Form.Item>
            <Form.Item name="valid_from" label={t('users.validFrom')}>
              <input type="datetime-local" disabled={!may} />
            </Form.Item>
            <Form.Item name="valid_until" label={t('users.validUntil')}>
              <input type="datetime-local" disabled={!may} />
            </Form.Item>
          </div>
          <Form.Item name="tags" label={t('users.tags')}>
            <WordsInput />
          </Form.Item>
          {may && (
            <Button type="primary" htmlType="submit" loading={busy}>
              {t('do.save')}
            </Button>
          )}
        </Form>
      </Panel>
      <Panel>
        <dl className="facts" style={{ paddingTop: 10 }}>
          <dt>{t('users.username')}</dt>
          <dd>{user.username}</dd>
          <dt>{t('users.source')}</dt>
          <dd>{external ? user.source : t('users.local')}</dd>
          <dt>{t('users.last')}</dt>
          <dd>{user.last_login_at ? <WhenFull time={user.last_login_at} /> : t('word.never')}</dd>
          <dt>{t('users.created')}</dt>
          <dd>
            <WhenFull time={user.created_at} />
          </dd>
        </dl>
      </Panel>
    </div>
  );
}
