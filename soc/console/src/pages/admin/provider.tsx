import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Switch } from 'antd';
import { useEffect, useState } from 'react';
import { useNavigate, useParams } from 'react-router-dom';
import { del, get, patch, post } from '../../api/client';
import type { IdentityProvider, ProviderTest } from '../../api/federation';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { usePageTitle } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import type { Key } from '../../locales/zh';
import { ATTRIBUTES, TO_REGISTER, protocolBody } from '../../logic/providers';
import { Ask, Refused } from '../../parts/dialog';
import { Mapping, SyncSettings } from '../../parts/mapping';
import { Panel } from '../../parts/page';
import { ProtocolFields } from '../../parts/providerform';
import { Loaded, Stale } from '../../parts/states';
import { SyncRuns } from '../../parts/syncruns';
import { Tabs, useTab } from '../../parts/tabs';

const RENEW = ['identity-providers', 'identity-provider', 'auth-providers'] as const;

export default function ProviderPage() {
  const id = useParams().id ?? '';
  const query = useQuery({ queryKey: ['identity-provider', id], queryFn: ({ signal }) => get<IdentityProvider>(`/identity-providers/${encodeURIComponent(id)}`, {}, signal) });
  return (
    <div className="page">
      <Stale query={query} />
      <Loaded query={query} what="idp.what" lines={8}>
        {(p) => <Detail provider={p} />}
      </Loaded>
    </div>
  );
}

function Detail({ provider: p }: { provider: IdentityProvider }) {
  const { t, tx } = useSettings();
  const navigate = useNavigate();
  const { busy, act, tell } = useAct();
  const [test, setTest] = useState<ProviderTest | null>(null);
  const [testing, setTesting] = useState(false);
  const [removing, setRemoving] = useState(false);
  const name = tx(p.name) || p.id;
  usePageTitle(name);
  const path = `/identity-providers/${encodeURIComponent(p.id)}`;
  const tabs = [
    { key: 'connection' as const, title: t('idp.connection') },
    { key: 'mapping' as const, title: t('idp.mapping') },
    ...(p.kind === 'ldap' ? [{ key: 'sync' as const, title: t('idp.sync') }] : []),
  ];
  const tab = useTab(tabs);
  const runTest = async () => {
    setTesting(true);
    setTest(null);
    await act(async () => setTest(await post<ProviderTest>(`${path}/test`)));
    setTesting(false);
  };
  const enable = (enabled: boolean): Promise<boolean> => act(() => patch(path, { enabled }), { said: t('idp.saved', { x: name }), undo: () => void enable(!enabled), renew: RENEW });
  return (
    <>
      <div className="head">
        <h1>{name}</h1>
        <span className="sub">
          {t(`idp.kind.${p.kind}`)} · <code>{p.id}</code>
        </span>
        <div className="end">
          <label className="row">
            <Switch checked={p.enabled} loading={busy} onChange={(v) => void enable(v)} aria-label={t('idp.enabled')} />
            {t(p.enabled ? 'idp.enabled' : 'idp.disabled')}
          </label>
          <Button loading={testing} onClick={() => void runTest()}>
            {t('idp.test')}
          </Button>
          <Button onClick={() => setRemoving(true)}>{t('do.delete')}</Button>
        </div>
      </div>
      {test && (
        <div className={`notice ${test.ok ? 'good' : 'warn'}`} role="status" data-testid="provider-test" data-ok={test.ok}>
          <div className="row">
            <b className="grow">{test.ok ? `✓ ${t('idp.testOk')}` : `⚠ ${t('idp.testBad')}`}</b>
            <Button size="small" type="text" aria-label={t('do.close')} onClick={() => setTest(null)}>
              ✕
            </Button>
          </div>
          <ul>
            {list(test.checks).map((c, i) => (
              <li key={i}>
                {c.ok ? '✓' : '✕'} <b style={{ fontWeight: 550 }}>{c.name}</b> <span className="dim">{c.detail}</span>
              </li>
            ))}
          </ul>
        </div>
      )}
      <Tabs tabs={tabs} label={name} />
      {tab === 'connection' && <Connection provider={p} />}
      {tab === 'mapping' && <Mapping provider={p} />}
      {tab === 'sync' && (
        <div className="stack">
          <SyncSettings provider={p} />
          <SyncRuns provider={p} />
        </div>
      )}
      {removing && (
        <Ask
          title={t('idp.delete')}
          why={t('idp.deleteWhy')}
          ok={t('idp.delete')}
          name={p.id}
          close={() => setRemoving(false)}
          submit={async () => {
            await del(path);
            tell({ said: t('idp.deleted', { x: name }), renew: ['identity-providers', 'auth-providers'] });
            navigate('/admin/identity-providers', { replace: true });
          }}
        />
      )}
    </>
  );
}

interface Values {
  zh: string;
  en?: string;
  base_url?: string;
  protocol?: Record<string, unknown>;
  attributes?: Record<string, string>;
}

function Connection({ provider: p }: { provider: IdentityProvider }) {
  const { t, tx } = useSettings();
  const { busy, act } = useAct();
  const [error, setError] = useState<unknown>(null);
  const [form] = Form.useForm<Values>();
  const known = p[p.kind] ?? {};
  useEffect(() => {
    form.setFieldsValue({ zh: p.name.zh ?? '', en: p.name.en ?? '', base_url: p.base_url, protocol: (p[p.kind] ?? {}) as Record<string, {}>, attributes: p.attributes ?? {} });
  }, [form, p]);
  const save = (v: Values) => {
    setError(null);
    void act(
      async () => {
        try {
          await patch(`/identity-providers/${encodeURIComponent(p.id)}`, {
            name: { zh: v.zh, en: v.en ?? '' },
            ...(p.kind === 'ldap' ? {} : { base_url: v.base_url ?? '' }),
            [p.kind]: protocolBody(p.kind, v.protocol ?? {}),
            attributes: v.attributes ?? {},
          });
        } catch (e) {
          setError(e);
          throw e;
        }
      },
      { said: t('idp.saved', { x: tx(p.name) || p.id }), renew: RENEW },
    );
  };
  const register = TO_REGISTER[p.kind].map((k) => [k, known[k]] as const).filter(([, v]) => typeof v === 'string' && v);
  return (
    <div className="cols">
      <Panel title={t('idp.connection')}>
        <Refused error={error} />
        <Form form={form} layout="vertical" requiredMark={false} onFinish={save} style={{ maxWidth: 640 }}>
          <div className="two">
            <Form.Item name="zh" label={t('idp.nameZh')}>
              <Input />
            </Form.Item>
            <Form.Item name="en" label={t('idp.nameEn')}>
              <Input />
            </Form.Item>
          </div>
          {p.kind !== 'ldap' && (
            <Form.Item name="base_url" label={t('idp.baseUrl')}>
              <Input />
            </Form.Item>
          )}
          <ProtocolFields kind={p.kind} known={known} />
          <h3 style={{ fontSize: 13 }}>{t('idp.attributes')}</h3>
          <p className="hint" style={{ marginBottom: 8 }}>
            {t('idp.attributesWhy')}
          </p>
          <div className="two">
            {ATTRIBUTES.map((a) => (
              <Form.Item key={a} name={['attributes', a]} label={t(`attr.${a}` as Key)}>
                <Input className="mono" spellCheck={false} autoComplete="off" />
              </Form.Item>
            ))}
          </div>
          <Button type="primary" htmlType="submit" loading={busy}>
            {t('do.save')}
          </Button>
        </Form>
      </Panel>
      {register.length > 0 && (
        <Panel title={t('idp.register')}>
          <dl className="facts" style={{ gridTemplateColumns: 'minmax(0, 1fr)' }}>
            {register.map(([k, v]) => (
              <div key={k} style={{ display: 'contents' }}>
                <dt>{t(`idp.${k}` as Key)}</dt>
                <dd>
                  <code>{String(v)}</code>
                </dd>
              </div>
            ))}
          </dl>
        </Panel>
      )}
    </div>
  );
}
