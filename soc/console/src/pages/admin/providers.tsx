import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Radio } from 'antd';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { all } from '../../api/directory';
import { post } from '../../api/client';
import type { IdentityProvider, ProviderKind } from '../../api/federation';
import { useCan } from '../../api/queries';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { protocolBody } from '../../logic/providers';
import { FormDialog } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { ProtocolFields } from '../../parts/providerform';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const KINDS: ProviderKind[] = ['oidc', 'saml', 'ldap'];

/** Where accounts come from beside our own. */
export default function Providers() {
  const { t, tx } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const { tell } = useAct();
  const [adding, setAdding] = useState(false);
  const query = useQuery({ queryKey: ['identity-providers'], queryFn: ({ signal }) => all<IdentityProvider>('/identity-providers', {}, signal) });
  const may = can('create-identity-provider') || can('security');
  return (
    <div className="page">
      <Head title={t('page.providers')}>
        {may && (
          <Button type="primary" onClick={() => setAdding(true)}>
            {t('idp.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <Panel flush>
        <Loaded query={query} what="idp.what" lines={4}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('idp.empty')} why={t('idp.emptyWhy')}>
                {may && <Button onClick={() => setAdding(true)}>{t('idp.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.providers')}
                rows={rows}
                rowKey={(p) => p.id}
                onRow={(p) => navigate(`/admin/identity-providers/${encodeURIComponent(p.id)}`)}
                columns={[
                  {
                    key: 'name',
                    title: t('col.name'),
                    render: (p) => (
                      <Link to={`/admin/identity-providers/${encodeURIComponent(p.id)}`} style={{ color: 'inherit' }}>
                        <b style={{ fontWeight: 550 }}>{tx(p.name) || p.id}</b> <code className="faint">{p.id}</code>
                      </Link>
                    ),
                  },
                  { key: 'kind', title: t('idp.kind'), render: (p) => t(`idp.kind.${p.kind}`) },
                  { key: 'where', title: t('audit.address'), render: (p) => <span className="mono dim">{String(p.oidc?.issuer ?? p.saml?.idp_entity_id ?? p.saml?.metadata_url ?? p.ldap?.url ?? '–')}</span> },
                  {
                    key: 'state',
                    title: t('col.status'),
                    render: (p) => (
                      <span className="status">
                        <i className={`dot ${p.enabled ? 'ok' : 'off'}`} />
                        {t(p.enabled ? 'idp.enabled' : 'idp.disabled')}
                      </span>
                    ),
                  },
                  {
                    key: 'sync',
                    title: t('idp.lastSync'),
                    num: true,
                    render: (p) =>
                      p.last_sync ? (
                        <span>
                          {t(`idp.run.${p.last_sync.state}`)} <When time={p.last_sync.started_at} age />
                        </span>
                      ) : (
                        <span className="faint">–</span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Panel>
      {adding && (
        <FormDialog<{ id: string; kind: ProviderKind; zh: string; en?: string; base_url?: string; protocol?: Record<string, unknown> }>
          title={t('idp.new')}
          ok={t('idp.new')}
          width={560}
          initial={{ kind: 'oidc', base_url: window.location.origin, protocol: { scopes: ['openid', 'profile', 'email'], sign_requests: true } }}
          close={() => setAdding(false)}
          submit={async (v) => {
            await post('/identity-providers', {
              id: v.id,
              kind: v.kind,
              name: { zh: v.zh, en: v.en ?? '' },
              // Off until it is tested and mapped.
              enabled: false,
              ...(v.kind === 'ldap' ? {} : { base_url: v.base_url }),
              [v.kind]: protocolBody(v.kind, v.protocol ?? {}),
            });
            tell({ said: t('idp.created', { x: v.zh }), renew: ['identity-providers'] });
            navigate(`/admin/identity-providers/${encodeURIComponent(v.id)}`);
          }}
        >
          {(form) => (
            <>
              <Form.Item name="kind" label={t('idp.kind')}>
                <Radio.Group className="stack" style={{ gap: 4 }}>
                  {KINDS.map((k) => (
                    <Radio key={k} value={k}>
                      {t(`idp.kind.${k}`)} <span className="hint">{t(`idp.kindWhy.${k}`)}</span>
                    </Radio>
                  ))}
                </Radio.Group>
              </Form.Item>
              <div className="two">
                <Form.Item name="zh" label={t('idp.nameZh')} rules={[{ required: true, message: t('word.required', { x: t('col.name') }) }]}>
                  <Input autoComplete="off" />
                </Form.Item>
                <Form.Item name="en" label={t('idp.nameEn')}>
                  <Input autoComplete="off" />
                </Form.Item>
              </div>
              <Form.Item name="id" label={t('idp.id')} extra={t('roles.idWhy')} rules={[{ required: true, pattern: /^[a-z][a-z0-9-]*$/, message: t('roles.idBad') }]}>
                <Input autoComplete="off" spellCheck={false} className="mono" />
              </Form.Item>
              <Form.Item noStyle dependencies={['kind']}>
                {() => {
                  const kind = (form.getFieldValue('kind') as ProviderKind | undefined) ?? 'oidc';
                  return (
                    <>
                      {kind !== 'ldap' && (
                        <Form.Item name="base_url" label={t('idp.baseUrl')}>
                          <Input autoComplete="off" />
                        </Form.Item>
                      )}
                      <ProtocolFields kind={kind} />
                    </>
                  );
                }}
              </Form.Item>
            </>
          )}
        </FormDialog>
      )}
    </div>
  );
}
