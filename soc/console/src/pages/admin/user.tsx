import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, Space } from 'antd';
import { useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import type { Account } from '../../api/access';
import { del, get, patch, post } from '../../api/client';
import { useUnitName } from '../../api/directory';
import { useCan, useMe } from '../../api/queries';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { usePageTitle } from '../../app/hooks';
import { useT } from '../../app/settings';
import { generatePassword, secureRandom } from '../../logic/access';
import { Ask, FormDialog } from '../../parts/dialog';
import { Passwords } from '../../parts/passwords';
import { Avatar, UserStateMark } from '../../parts/person';
import { UserPicker } from '../../parts/pickers';
import { Loaded, Stale } from '../../parts/states';
import { Tabs, useTab } from '../../parts/tabs';
import { Track } from '../../parts/track';
import { UserAccess } from './user/access';
import { Explain } from './user/explain';
import { UserProfile } from './user/profile';
import { UserReach } from './user/reach';
import { UserSessions } from './user/sessions';

type TabKey = 'profile' | 'access' | 'reach' | 'sessions' | 'track' | 'explain';
type Dialog = 'password' | 'signout' | 'factors' | 'delete' | 'copy';
const RENEW = ['users', 'user', 'grants', 'sessions'] as const;

export default function UserPage() {
  const id = useParams().id ?? '';
  const query = useQuery({ queryKey: ['user', id], queryFn: ({ signal }) => get<Account>(`/users/${encodeURIComponent(id)}`, {}, signal) });
  return (
    <div className="page">
      <Stale query={query} />
      <Loaded query={query} what="users.one" lines={10}>
        {(user) => <UserDetail user={user} />}
      </Loaded>
    </div>
  );
}

function UserDetail({ user }: { user: Account }) {
  const t = useT();
  const can = useCan();
  const me = useMe().data;
  const navigate = useNavigate();
  const { done } = useFeedback();
  const { busy, act, tell } = useAct();
  const unitName = useUnitName();
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const [fresh, setFresh] = useState('');
  usePageTitle(user.display_name || user.username);
  const own = user.id === me?.id;
  const path = `/users/${encodeURIComponent(user.id)}`;
  const name = user.display_name || user.username;

  const tabs = [
    { key: 'profile' as const, title: t('user.profile') },
    { key: 'access' as const, title: t('user.access') },
    { key: 'reach' as const, title: t('user.reach') },
    ...(can('list-sessions') ? [{ key: 'sessions' as const, title: t('user.sessions') }] : []),
    ...(can('audit') ? [{ key: 'track' as const, title: t('user.track') }] : []),
    ...(can('security') || own ? [{ key: 'explain' as const, title: t('user.explain') }] : []),
  ] satisfies { key: TabKey; title: string }[];
  const tab = useTab(tabs);

  const setDisabled = (disabled: boolean): Promise<boolean> =>
    act(() => patch(path, { disabled }), {
      said: t(disabled ? 'users.disabledN' : 'users.enabledN', { x: user.username }),
      undo: () => void setDisabled(!disabled),
      renew: RENEW,
    });
  const items = [
    ...(can('set-user-access') ? [{ key: 'copy', label: t('user.copyFrom'), onClick: () => setDialog('copy') }] : []),
    ...(can('end-user-sessions') || can('security') ? [{ key: 'signout', label: t('user.signOut'), onClick: () => setDialog('signout') }] : []),
    ...(can('security') && !own ? [{ key: 'factors', label: t('user.resetFactors'), onClick: () => setDialog('factors') }] : []),
    ...(can('delete-user') && !own ? [{ type: 'divider' as const }, { key: 'delete', label: t('user.delete'), danger: true, onClick: () => setDialog('delete') }] : []),
  ];
  return (
    <>
      <div className="head" style={{ alignItems: 'center' }}>
        <div className="person big">
          <Avatar user={user} />
          <div>
            <h1>{name}</h1>
            <div className="row wrap dim" style={{ gap: '4px 12px' }}>
              <span>{user.username}</span>
              {user.unit && <Link to={`/admin/units?unit=${encodeURIComponent(user.unit)}`}>{unitName(user.unit)}</Link>}
              <UserStateMark user={user} />
              {user.must_change_password && <span>{t('user.must')}</span>}
            </div>
          </div>
        </div>
        <div className="end">
          {can('security') && (user.locked || user.locked_until) && (
            <Button type="primary" loading={busy} onClick={() => void act(() => post(`${path}/unlock`), { said: t('user.unlocked', { x: user.username }), renew: RENEW })}>
              {t('user.unlock')}
            </Button>
          )}
          {can('update-user') && !own && <Button onClick={() => setDialog('password')}>{t('user.resetPassword')}</Button>}
          {can('update-user') && !own && (
            <Button loading={busy} onClick={() => void setDisabled(!user.disabled)}>
              {t(user.disabled ? 'users.enable' : 'users.disable')}
            </Button>
          )}
          {items.length > 0 && (
            <Dropdown trigger={['click']} menu={{ items }}>
              <Button aria-label={t('user.more')}>…</Button>
            </Dropdown>
          )}
        </div>
      </div>
      <Tabs tabs={tabs} label={name} />
      {tab === 'profile' && <UserProfile user={user} />}
      {tab === 'access' && <UserAccess user={user} />}
      {tab === 'reach' && <UserReach user={user} />}
      {tab === 'sessions' && <UserSessions user={user} />}
      {tab === 'track' && <Track user={user.username} />}
      {tab === 'explain' && <Explain user={user} own={own} />}

      {dialog === 'password' && (
        <FormDialog<{ password: string }>
          title={t('user.resetPassword')}
          ok={t('user.resetPassword')}
          width={440}
          initial={{ password: generatePassword(secureRandom) }}
          close={() => setDialog(null)}
          submit={async (v) => {
            await patch(path, { password: v.password });
            tell({ said: t('user.resetDone', { x: user.username }), renew: RENEW });
            setFresh(v.password);
          }}
        >
          {(form) => (
            <>
              <p className="dim" style={{ marginBottom: 12 }}>
                {t('user.resetWhy', { x: name })}
              </p>
              <Form.Item label={t('account.new')}>
                <Space.Compact block>
                  <Form.Item name="password" noStyle rules={[{ required: true, message: t('login.needPassword') }]}>
                    <Input className="mono" autoComplete="off" spellCheck={false} aria-label={t('account.new')} />
                  </Form.Item>
                  <Button onClick={() => form.setFieldValue('password', generatePassword(secureRandom))}>{t('users.generate')}</Button>
                </Space.Compact>
              </Form.Item>
            </>
          )}
        </FormDialog>
      )}
      {fresh && <Passwords rows={[{ username: user.username, password: fresh }]} close={() => setFresh('')} />}
      {dialog === 'signout' && (
        <Ask
          title={t('user.signOut')}
          why={t('user.signOutWhy', { x: name })}
          ok={t('user.signOut')}
          close={() => setDialog(null)}
          submit={async () => {
            const answer = await del<{ ended?: number }>(`${path}/sessions`);
            done(t('user.signedOut', { n: answer?.ended ?? 0 }));
            tell({ renew: RENEW });
          }}
        />
      )}
      {dialog === 'factors' && (
        <Ask
          title={t('user.resetFactors')}
          why={t('user.resetFactorsWhy', { x: name })}
          ok={t('user.resetFactors')}
          close={() => setDialog(null)}
          submit={async () => {
            await del(`${path}/factors`);
            tell({ said: t('user.factorsReset', { x: name }), renew: [...RENEW, 'factors'] });
          }}
        />
      )}
      {dialog === 'delete' && (
        <Ask
          title={t('user.delete')}
          why={t('users.deleteWhy')}
          ok={t('user.delete')}
          name={user.username}
          close={() => setDialog(null)}
          submit={async () => {
            await del(path);
            done(t('user.deleted', { x: name }));
            tell({ renew: ['users'] });
            navigate('/admin/users', { replace: true });
          }}
        />
      )}
      {dialog === 'copy' && (
        <FormDialog<{ from: string }>
          title={t('user.copyFrom')}
          ok={t('do.copy')}
          close={() => setDialog(null)}
          submit={async (v) => {
            await post(`${path}/access/copy`, { from: v.from });
            tell({ said: t('user.copied'), renew: RENEW });
          }}
        >
          <p className="dim" style={{ marginBottom: 12 }}>
            {t('user.copyWhy', { x: name })}
          </p>
          <Form.Item name="from" label={t('user.copyPick')} rules={[{ required: true, message: t('word.required', { x: t('user.copyPick') }) }]}>
            <UserPicker />
          </Form.Item>
        </FormDialog>
      )}
    </>
  );
}
