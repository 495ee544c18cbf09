import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Form, Input, Segmented } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import type { Device, Habits, Me, Session } from '../api/access';
import { del, get, patch, request } from '../api/client';
import { all, useOperations, useRoleName, useUnitName } from '../api/directory';
import { ME, useCan, useMe } from '../api/queries';
import { list } from '../api/types';
import { useAct } from '../app/act';
import { useFeedback } from '../app/feedback';
import { useSettings, type Theme } from '../app/settings';
import type { Locale } from '../logic/format';
import { byTag } from '../logic/roles';
import { Ask } from '../parts/dialog';
import { FactorPanel } from '../parts/factors';
import { scopeText, useTenantName } from '../parts/names';
import { useOperationText, useTagText } from '../parts/operation';
import { Head, Panel } from '../parts/page';
import { Avatar } from '../parts/person';
import { WordsInput } from '../parts/pickers';
import { DeviceTable, HabitView, SessionTable } from '../parts/sessions';
import { Loaded } from '../parts/states';
import { Tabs, useTab } from '../parts/tabs';
import { TokenList } from '../parts/tokens';
import { ChangePassword } from './must';

/** One's own account. */
export default function MePage() {
  const { t } = useSettings();
  const me = useMe().data;
  const tabs = [
    { key: 'profile' as const, title: t('me.profile') },
    { key: 'security' as const, title: t('me.security') },
    { key: 'devices' as const, title: t('me.devices') },
    { key: 'tokens' as const, title: t('me.tokens') },
    { key: 'access' as const, title: t('me.access') },
  ];
  const tab = useTab(tabs);
  if (!me) return null;
  return (
    <div className="page">
      <Head title={t('page.me')} />
      <Tabs tabs={tabs} label={t('page.me')} />
      {tab === 'profile' && <Profile me={me} />}
      {tab === 'security' && <Security />}
      {tab === 'devices' && <Devices />}
      {tab === 'tokens' && <MyTokens me={me} />}
      {tab === 'access' && <Access me={me} />}
    </div>
  );
}

const AVATAR_BYTES = 1 << 20;

function Profile({ me }: { me: Me }) {
  const { t, locale, setLocale, theme, setTheme } = useSettings();
  const client = useQueryClient();
  const { failed } = useFeedback();
  const { busy, act } = useAct();
  const unitName = useUnitName();
  const [shown, setShown] = useState(0);
  const again = () => {
    setShown((n) => n + 1);
    void client.invalidateQueries({ queryKey: ME });
  };
  const picture = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > AVATAR_BYTES) return failed(new Error(t('me.avatarBig')));
    if (await act(() => request('PUT', '/me/avatar', { raw: { data: file, type: file.type } }), { said: t('do.saved') })) again();
  };
  const language = (l: Locale) => {
    setLocale(l);
    void patch('/me', { locale: l === 'en-US' ? 'en' : l }).catch(() => undefined);
  };
  // The picture's address stays the same when it changes: a number makes the browser ask again.
  const face = me.avatar_url && shown ? `${me.avatar_url}${me.avatar_url.includes('?') ? '&' : '?'}v=${shown}` : me.avatar_url;
  return (
    <div className="cols">
      <Panel>
        <div className="person big" style={{ padding: '10px 0 16px' }}>
          <Avatar user={{ ...me, avatar_url: face }} />
          <div>
            <div className="row">
              <label className="filebtn">
                <input type="file" accept="image/png,image/jpeg" className="visually-hidden" onChange={(e) => void picture(e.target.files?.[0])} />
                {t('me.avatarChange')}
              </label>
              {me.avatar_url && <Button onClick={() => void act(() => del('/me/avatar'), { said: t('do.saved') }).then(again)}>{t('me.avatarRemove')}</Button>}
            </div>
            <div className="hint" style={{ marginTop: 4 }}>
              {t('me.avatarWhy')}
            </div>
          </div>
        </div>
        <Form
          layout="vertical"
          requiredMark={false}
          initialValues={{ display_name: me.display_name, email: me.email ?? '', phone: me.phone ?? '', tags: list(me.tags) }}
          onFinish={(v: object) => void act(() => patch('/me', v), { said: t('do.saved'), renew: ['me', 'users'] })}
          style={{ maxWidth: 620 }}
        >
          <div className="two">
            <Form.Item name="display_name" label={t('users.display')}>
              <Input autoComplete="name" />
            </Form.Item>
            <Form.Item name="email" label={t('users.email')} rules={[{ type: 'email', message: t('word.required', { x: t('users.email') }) }]}>
              <Input autoComplete="email" />
            </Form.Item>
            <Form.Item name="phone" label={t('users.phone')}>
              <Input autoComplete="tel" />
            </Form.Item>
            <Form.Item name="tags" label={t('users.tags')}>
              <WordsInput />
            </Form.Item>
          </div>
          <Button type="primary" htmlType="submit" loading={busy}>
            {t('do.save')}
          </Button>
        </Form>
      </Panel>
      <div className="stack">
        <Panel title={t('me.look')}>
          <div className="stack">
            <Segmented<Locale>
              block
              value={locale}
              onChange={language}
              options={[
                { value: 'zh-CN', label: '简体中文' },
                { value: 'en-US', label: 'English' },
              ]}
            />
            <Segmented<Theme> block value={theme} onChange={setTheme} options={(['light', 'dark', 'auto'] as const).map((x) => ({ value: x, label: t(`account.${x}`) }))} />
          </div>
        </Panel>
        <Panel>
          <dl className="facts" style={{ paddingTop: 10 }}>
            <dt>{t('users.username')}</dt>
            <dd>{me.username}</dd>
            <dt>{t('users.unit')}</dt>
            <dd>{me.unit ? unitName(me.unit) : t('users.noUnit')}</dd>
          </dl>
        </Panel>
      </div>
    </div>
  );
}

function Security() {
  const { t } = useSettings();
  const client = useQueryClient();
  return (
    <div className="stack" style={{ maxWidth: 760 }}>
      <Panel title={t('me.factors')}>
        <p className="dim" style={{ marginBottom: 6 }}>
          {t('me.factorsWhy')}
        </p>
        <FactorPanel changed={() => void client.invalidateQueries({ queryKey: ME })} />
      </Panel>
      <Panel title={t('me.password')}>
        <p className="dim" style={{ marginBottom: 10 }}>
          {t('me.passwordEnds')}
        </p>
        <ChangePassword done={() => void client.invalidateQueries()} />
      </Panel>
    </div>
  );
}

function Devices() {
  const { t } = useSettings();
  const { act, tell } = useAct();
  const [asking, setAsking] = useState(false);
  const sessions = useQuery({ queryKey: ['sessions', 'me'], queryFn: ({ signal }) => all<Session>('/me/sessions', {}, signal), refetchInterval: 30_000 });
  const devices = useQuery({ queryKey: ['devices', 'me'], queryFn: ({ signal }) => all<Device>('/me/devices', {}, signal) });
  const habits = useQuery({ queryKey: ['habits', 'me'], queryFn: ({ signal }) => get<Habits>('/me/accesses', {}, signal) });
  return (
    <div className="stack">
      <Panel
        title={t('sessions.open')}
        flush
        end={
          list(sessions.data).length > 1 && (
            <Button size="small" onClick={() => setAsking(true)}>
              {t('me.signOutOthers')}
            </Button>
          )
        }
      >
        <Loaded query={sessions} what="sessions.what" lines={2} small>
          {(rows) => <SessionTable sessions={rows} who={false} end={(s) => act(() => del(`/me/sessions/${encodeURIComponent(s.id)}`), { said: t('sessions.ended'), renew: ['sessions'] })} />}
        </Loaded>
      </Panel>
      <Panel title={t('devices.what')} flush>
        <Loaded query={devices} what="devices.what" lines={2} small>
          {(rows) => <DeviceTable devices={rows} forget={(d) => void act(() => del(`/me/devices/${encodeURIComponent(d.id)}`), { said: t('devices.forgotten'), renew: ['devices'] })} />}
        </Loaded>
      </Panel>
      <Panel title={t('habits.what')} flush>
        <Loaded query={habits} what="habits.what" lines={3} small>
          {(h) => <HabitView habits={h} />}
        </Loaded>
      </Panel>
      {asking && (
        <Ask
          title={t('me.signOutOthers')}
          why={t('me.signOutOthersWhy')}
          ok={t('me.signOutOthers')}
          close={() => setAsking(false)}
          submit={async () => {
            const answer = await del<{ ended?: number }>('/me/sessions');
            tell({ said: t('me.signedOut', { n: answer?.ended ?? 0 }), renew: ['sessions'] });
          }}
        />
      )}
    </div>
  );
}

function MyTokens({ me }: { me: Me }) {
  const { t } = useSettings();
  const [adding, setAdding] = useState(false);
  return (
    <Panel
      title={t('me.tokens')}
      flush
      end={
        <Button size="small" type="primary" onClick={() => setAdding(true)}>
          {t('tokens.new')}
        </Button>
      }
    >
      <TokenList path="/me/tokens" scopes={list(me.scopes).filter((s) => s !== 'admin')} adding={adding} setAdding={setAdding} />
    </Panel>
  );
}

/** What I may do and see, in words; the operations one by one below. */
function Access({ me }: { me: Me }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const roleName = useRoleName();
  const tenantName = useTenantName();
  const text = useOperationText();
  const tagText = useTagText();
  const operations = useOperations();
  const mine = list(operations.data).filter((o) => o.scope !== 'any' && o.scope !== 'public' && can(o.id));
  return (
    <div className="cols">
      <div className="stack">
        <Panel title={t('me.access')}>
          <ul className="reasons">
            {list(me.scopes).map((s) => (
              <li key={s}>
                <b>{scopeText(t, s)}</b> <span className="dim">{scopeText(t, s, true)}</span>
              </li>
            ))}
          </ul>
        </Panel>
        <Panel title={t('me.permissions', { n: mine.length })} flush>
          <Loaded query={operations} what="roles.permissions" lines={6} small>
            {() => (
              <>
                {byTag(mine).map(([tag, ops]) => (
                  <div className="opgroup" key={tag}>
                    <div className="h">{tagText(tag)}</div>
                    {ops.map((o) => (
                      <div className="op" key={o.id}>
                        <span aria-hidden="true">✓</span>
                        <span className="ellipsis">
                          {text(o)} <code className="faint">{o.id}</code>
                        </span>
                        <span className="faint">{scopeText(t, o.scope)}</span>
                      </div>
                    ))}
                  </div>
                ))}
              </>
            )}
          </Loaded>
        </Panel>
      </div>
      <div className="stack">
        <Panel title={t('users.roles')}>
          <span className="tags">
            {list(me.roles).map((r) => (
              <span className="tag" key={r}>
                {roleName(r)}
              </span>
            ))}
            {list(me.groups).map((g) => (
              <span className="tag" key={g.id}>
                {tx(g.name) || g.id}
              </span>
            ))}
            {list(me.roles).length === 0 && <span className="dim">{t('me.rolesNone')}</span>}
          </span>
          <p style={{ marginTop: 10 }}>
            <Link to={`/admin/users/${encodeURIComponent(me.id)}?tab=explain`}>{can('list-users') || can('security') ? t('me.why') : ''}</Link>
          </p>
        </Panel>
        <Panel title={t('me.scope')}>
          {me.all_tenants && !me.reach ? t('me.scopeAll') : me.all_tenants ? t('users.allTenants') : list(me.tenants).map(tenantName).join(', ') || t('reach.nothingSeen')}
          {me.reach && (
            <div style={{ marginTop: 6 }}>
              <code>{me.reach}</code>
            </div>
          )}
        </Panel>
      </div>
    </div>
  );
}
