import { useQueryClient } from '@tanstack/react-query';
import { Button, Form } from 'antd';
import { useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { post } from '../api/client';
import { ME } from '../api/queries';
import type { User } from '../api/types';
import { useFeedback } from '../app/feedback';
import { usePageTitle } from '../app/hooks';
import { useT } from '../app/settings';
import { Refused } from '../parts/dialog';
import { FactorPanel } from '../parts/factors';
import { Logo } from '../parts/logo';
import { PasswordFields } from '../parts/newpassword';

/** What a session owes before it may do anything else: a new password, a second factor. */
export default function Must({ user }: { user: User }) {
  const t = useT();
  const client = useQueryClient();
  const navigate = useNavigate();
  const title = t(user.must_change_password ? 'must.password' : 'must.factor');
  usePageTitle(title);
  const signOut = async () => {
    await post('/auth/logout').catch(() => undefined);
    client.clear();
    navigate('/login', { replace: true });
  };
  return (
    <main className="signin">
      <div className="box" style={{ width: user.must_change_password ? 400 : 560 }}>
        <div className="brand">
          <Logo size={32} />
          <span>
            <b>{title}</b>
            <span className="dim">{t(user.must_change_password ? 'must.passwordWhy' : 'must.factorWhy')}</span>
          </span>
        </div>
        {user.must_change_password ? <ChangePassword done={() => void client.invalidateQueries()} /> : <FactorPanel changed={() => undefined} />}
        <div className="foot">
          <span>{user.username}</span>
          <span>
            {!user.must_change_password && (
              <Button type="link" size="small" onClick={() => void client.invalidateQueries({ queryKey: ME })}>
                {t('must.go')}
              </Button>
            )}
            <Button type="link" size="small" onClick={() => void signOut()}>
              {t('account.signout')}
            </Button>
          </span>
        </div>
      </div>
    </main>
  );
}

/** The change of one's own password as a form. */
export function ChangePassword({ done, ok }: { done: () => void; ok?: string }) {
  const t = useT();
  const feedback = useFeedback();
  const [form] = Form.useForm<{ current: string; next: string; repeat: string }>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const send = async (v: { current: string; next: string }) => {
    setBusy(true);
    setError(null);
    try {
      await post('/me/password', { current: v.current, new: v.next });
      feedback.done(t('account.changed'));
      form.resetFields();
      done();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Form form={form} layout="vertical" requiredMark={false} onFinish={(v) => void send(v)} style={{ maxWidth: 400 }}>
      <Refused error={error} />
      <PasswordFields />
      <Button type="primary" htmlType="submit" loading={busy}>
        {ok ?? t('account.password')}
      </Button>
    </Form>
  );
}
