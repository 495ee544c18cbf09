import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Form, Input, InputNumber, Radio, Select } from 'antd';
import { useEffect, useState } from 'react';
import { useNavigate, useParams } from 'react-router-dom';
import { del, get, patch, post, put, request } from '../../api/client';
import { useGroups } from '../../api/directory';
import type { Application, ApplicationConfiguration } from '../../api/federation';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { usePageTitle } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { Ask } from '../../parts/dialog';
import { Panel } from '../../parts/page';
import { RolesPicker, WordsInput } from '../../parts/pickers';
import { LOGO_BYTES } from '../../parts/settingform';
import { Loaded, Stale } from '../../parts/states';
import { Secret } from '../../parts/tokens';
import { AppIcon } from '../portal';
import { ApiPermissions, Keys } from './appaccess';
import { Menus } from './appmenus';

const RENEW = ['applications', 'application', 'portal'] as const;
const GRANTS = ['authorization_code', 'refresh_token', 'client_credentials'];
const METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'];

export default function ApplicationPage() {
  const id = useParams().id ?? '';
  const can = useCan();
  const query = useQuery({ queryKey: ['application', id], queryFn: ({ signal }) => get<Application>(`/applications/${encodeURIComponent(id)}${can('get-application') ? '' : '/client'}`, {}, signal) });
  return (
    <div className="page">
      <Stale query={query} />
      <Loaded query={query} what="apps.what" lines={8}>
        {(a) => <Detail app={a} />}
      </Loaded>
    </div>
  );
}

interface Profile {
  zh: string;
  en?: string;
  description?: string;
  category?: string;
  url?: string;
  version?: string;
  position?: number;
}

function Detail({ app }: { app: Application }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const { failed, done } = useFeedback();
  const { busy, act, tell } = useAct();
  const [dialog, setDialog] = useState<'delete' | 'close' | 'secret' | null>(null);
  const [secret, setSecret] = useState('');
  const [profile] = Form.useForm<Profile>();
  const path = `/applications/${encodeURIComponent(app.id)}`;
  const name = tx(app.name) || app.id;
  usePageTitle(name);
  const may = can('update-application');
  useEffect(() => {
    profile.setFieldsValue({ zh: app.name.zh ?? '', en: app.name.en ?? '', description: tx(app.description), category: app.category, url: app.url, version: app.version, position: app.position });
  }, [profile, app, tx]);
  const icon = (file: File | undefined) => {
    if (!file) return;
    if (file.size > LOGO_BYTES) return failed(new Error(t('welcome.logoBig')));
    void act(() => request('PUT', `${path}/icon`, { raw: { data: file, type: file.type } }), { said: t('apps.saved', { x: name }), renew: RENEW });
  };
  return (
    <>
      <div className="head">
        <div className="person">
          <AppIcon card={app} />
          <h1>{name}</h1>
          <span className="status">
            <i className={`dot ${app.open ? 'ok' : 'off'}`} />
            {t(app.open ? 'apps.open' : 'apps.closed')}
          </span>
        </div>
        <div className="end">
          {may &&
            (app.open ? (
              <Button onClick={() => setDialog('close')}>{t('apps.closeDo')}</Button>
            ) : (
              <Button type="primary" loading={busy} onClick={() => void act(() => post(`${path}/open`), { said: t('apps.opened', { x: name }), renew: RENEW })}>
                {t('apps.openDo')}
              </Button>
            ))}
          {can('delete-application') && <Button onClick={() => setDialog('delete')}>{t('do.delete')}</Button>}
        </div>
      </div>
      <div className="cols">
        <div className="stack">
          <Panel title={t('apps.profile')}>
            <Form
              form={profile}
              layout="vertical"
              requiredMark={false}
              disabled={!may}
              style={{ maxWidth: 640 }}
              onFinish={(v: Profile) =>
                void act(() => patch(path, { name: { zh: v.zh, en: v.en ?? '' }, description: { ...app.description, zh: v.description ?? '' }, category: v.category ?? '', url: v.url ?? '', version: v.version ?? '', position: v.position ?? 0 }), {
                  said: t('apps.saved', { x: v.zh }),
                  renew: RENEW,
                })
              }
            >
              <div className="two">
                <Form.Item name="zh" label={t('apps.nameZh')} rules={[{ required: true, message: t('word.required', { x: t('col.name') }) }]}>
                  <Input />
                </Form.Item>
                <Form.Item name="en" label={t('apps.nameEn')}>
                  <Input />
                </Form.Item>
                <Form.Item name="url" label={t('apps.url')}>
                  <Input placeholder="https://" />
                </Form.Item>
                <Form.Item name="category" label={t('apps.category')}>
                  <Input />
                </Form.Item>
                <Form.Item name="version" label={t('apps.version')}>
                  <Input />
                </Form.Item>
                <Form.Item name="position" label={t('apps.position')}>
                  <InputNumber style={{ width: '100%' }} />
                </Form.Item>
              </div>
              <Form.Item name="description" label={t('apps.description')}>
                <Input.TextArea rows={2} className="grows" />
              </Form.Item>
              {may && (
                <div className="row">
                  <Button type="primary" htmlType="submit" loading={busy}>
                    {t('do.save')}
                  </Button>
                  <label className="filebtn" title={t('apps.iconWhy')}>
                    <input type="file" accept="image/png,image/jpeg" className="visually-hidden" onChange={(e) => icon(e.target.files?.[0])} />
                    {t('apps.icon')}…
                  </label>
                </div>
              )}
            </Form>
          </Panel>
          <Client app={app} newSecret={() => setDialog('secret')} />
          <Keys app={app} />
          <ApiPermissions app={app} />
          <Menus app={app} />
        </div>
        <div className="stack">
          <Audience app={app} />
          <Configuration app={app} />
        </div>
      </div>
      {dialog === 'delete' && (
        <Ask
          title={t('apps.delete')}
          why={t('apps.deleteWhy')}
          ok={t('apps.delete')}
          name={name}
          close={() => setDialog(null)}
          submit={async () => {
            await del(path);
            tell({ said: t('apps.deleted', { x: name }), renew: ['applications', 'portal'] });
            navigate('/admin/applications', { replace: true });
          }}
        />
      )}
      {dialog === 'close' && (
        <Ask
          title={`${t('apps.closeDo')} ${name}`}
          why={t('apps.closeWhy')}
          ok={t('apps.closeDo')}
          close={() => setDialog(null)}
          submit={async () => {
            await post(`${path}/close`);
            tell({ said: t('apps.closedSaid', { x: name }), renew: RENEW });
          }}
        />
      )}
      {dialog === 'secret' && (
        <Ask
          title={t('apps.secretNew')}
          why={t('apps.secretWhy')}
          ok={t('apps.secretNew')}
          close={() => setDialog(null)}
          submit={async () => {
            setSecret((await post<{ client_secret: string }>(`${path}/secret`)).client_secret);
            tell({ renew: RENEW });
          }}
        />
      )}
      <Secret title={t('apps.secretOnce')} secret={secret} close={() => setSecret('')} copied={() => done(t('do.copied'))} failed={failed} />
    </>
  );
}

function Client({ app, newSecret }: { app: Application; newSecret: () => void }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const { busy, act } = useAct();
  const c = app.client;
  type Values = Required<Pick<NonNullable<Application['client']>, 'type'>> & { auth_method?: string; redirect_uris?: string[]; post_logout_redirect_uris?: string[]; grant_types?: string[]; scopes?: string[]; consent?: boolean };
  const [form] = Form.useForm<Values>();
  const type = Form.useWatch('type', form) ?? c?.type ?? 'none';
  const may = can('set-application-client');
  useEffect(() => {
    form.setFieldsValue({
      type: c?.type ?? 'none',
      auth_method: c?.auth_method || 'client_secret_basic',
      redirect_uris: list(c?.redirect_uris),
      post_logout_redirect_uris: list(c?.post_logout_redirect_uris),
      grant_types: list(c?.grant_types).length > 0 ? list(c?.grant_types) : ['authorization_code', 'refresh_token'],
      scopes: list(c?.scopes).length > 0 ? list(c?.scopes) : ['openid', 'profile', 'email'],
      consent: c?.consent,
    });
  }, [form, c]);
  return (
    <Panel
      title={t('apps.client')}
      end={
        c?.type === 'confidential' &&
        c.auth_method !== 'private_key_jwt' &&
        can('new-application-secret') && (
          <Button size="small" onClick={newSecret}>
            {t('apps.secretNew')}
          </Button>
        )
      }
    >
      <Form
        form={form}
        layout="vertical"
        disabled={!may}
        style={{ maxWidth: 640 }}
        onFinish={(v: Values) =>
          void act(
            () =>
              put(`/applications/${encodeURIComponent(app.id)}/client`, {
                type: v.type,
                auth_method: v.type === 'confidential' ? v.auth_method : 'none',
                redirect_uris: v.redirect_uris ?? [],
                post_logout_redirect_uris: v.post_logout_redirect_uris ?? [],
                grant_types: v.grant_types ?? [],
                scopes: v.scopes ?? [],
                consent: !!v.consent,
              }),
            { said: t('apps.saved', { x: tx(app.name) }), renew: RENEW },
          )
        }
      >
        <Form.Item name="type" label={t('apps.type')}>
          <Radio.Group className="stack" style={{ gap: 4 }} options={(['none', 'confidential', 'public'] as const).map((x) => ({ value: x, label: t(`apps.type.${x}`) }))} />
        </Form.Item>
        {type !== 'none' && (
          <>
            {type === 'confidential' && (
              <Form.Item name="auth_method" label={t('apps.auth_method')}>
                <Select options={METHODS.slice(0, 3).map((m) => ({ value: m, label: m }))} />
              </Form.Item>
            )}
            <Form.Item name="redirect_uris" label={t('apps.redirect_uris')}>
              <WordsInput placeholder="https://" />
            </Form.Item>
            <Form.Item name="post_logout_redirect_uris" label={t('apps.post_logout_redirect_uris')}>
              <WordsInput placeholder="https://" />
            </Form.Item>
            <Form.Item name="grant_types" label={t('apps.grant_types')}>
              <Checkbox.Group options={GRANTS} />
            </Form.Item>
            <Form.Item name="scopes" label={t('apps.scopes')}>
              <WordsInput />
            </Form.Item>
            <Form.Item name="consent" valuePropName="checked">
              <Checkbox>{t('apps.consent')}</Checkbox>
            </Form.Item>
          </>
        )}
        {may && (
          <Button type="primary" htmlType="submit" loading={busy}>
            {t('do.save')}
          </Button>
        )}
      </Form>
    </Panel>
  );
}

function Audience({ app }: { app: Application }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const { busy, act } = useAct();
  const groups = useGroups(can('list-groups'));
  const [draft, setDraft] = useState(app.audience ?? {});
  useEffect(() => setDraft(app.audience ?? {}), [app.audience]);
  const may = can('set-application-audience');
  const save = () =>
    act(() => put(`/applications/${encodeURIComponent(app.id)}/audience`, { everyone: !!draft.everyone, roles: list(draft.roles), groups: list(draft.groups), users: list(draft.users) }), { said: t('apps.saved', { x: tx(app.name) }), renew: RENEW });
  return (
    <Panel title={t('apps.audience')}>
      <div className="stack">
        <Radio.Group disabled={!may} className="stack" style={{ gap: 4 }} value={!!draft.everyone} onChange={(e) => setDraft({ ...draft, everyone: e.target.value as boolean })}>
          <Radio value={true}>{t('apps.everyone')}</Radio>
          <Radio value={false}>{t('apps.some')}</Radio>
        </Radio.Group>
        {!draft.everyone && (
          <>
            <label>
              <span className="hint">{t('users.roles')}</span>
              <RolesPicker disabled={!may} value={list(draft.roles)} onChange={(roles) => setDraft({ ...draft, roles })} />
            </label>
            <label>
              <span className="hint">{t('users.groups')}</span>
              <Select mode="multiple" disabled={!may} value={list(draft.groups)} onChange={(v: string[]) => setDraft({ ...draft, groups: v })} options={(groups.data ?? []).map((g) => ({ value: g.id, label: tx(g.name) || g.id }))} style={{ width: '100%' }} />
            </label>
          </>
        )}
        {may && (
          <div>
            <Button type="primary" loading={busy} onClick={() => void save()}>
              {t('do.save')}
            </Button>
          </div>
        )}
      </div>
    </Panel>
  );
}

/** What to write into the application's own configuration. */
function Configuration({ app }: { app: Application }) {
  const { t } = useSettings();
  const query = useQuery({
    queryKey: ['application', app.id, 'configuration', app.client?.type],
    queryFn: ({ signal }) => get<ApplicationConfiguration>(`/applications/${encodeURIComponent(app.id)}/configuration`, {}, signal),
    enabled: !!app.client && app.client.type !== 'none',
  });
  if (!query.data) return null;
  const rows = Object.entries({ issuer: query.data.issuer, discovery: query.data.discovery, client_id: query.data.client_id, scopes: list(query.data.scopes).join(' ') }).filter(([, v]) => v);
  return (
    <Panel title={t('apps.configuration')}>
      <dl className="facts">
        {rows.map(([k, v]) => (
          <div key={k} style={{ display: 'contents' }}>
            <dt>{k}</dt>
            <dd>
              <code>{v}</code>
            </dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
