import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Form, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { del, post } from '../api/client';
import { all } from '../api/directory';
import { useTenants } from '../api/queries';
import { list, type Token } from '../api/types';
import { useAct } from '../app/act';
import { copyText, useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';
import { Ask, FormDialog } from './dialog';
import { TenantName, scopeText } from './names';
import { WordsInput } from './pickers';
import { Empty, Loaded } from './states';
import { DataTable } from './table';
import { When } from './time';

interface NewToken {
  name: string;
  tenant: string;
  scopes: string[];
  expires_in: string;
  addresses?: string[];
}

/** API tokens: everybody's (/tokens) or one's own (/me/tokens). */
export function TokenList({ path, scopes, adding, setAdding }: { path: '/tokens' | '/me/tokens'; /** The scopes a new one may hold. */ scopes: readonly string[]; adding: boolean; setAdding: (x: boolean) => void }) {
  const { t, tx } = useSettings();
  const { done, failed } = useFeedback();
  const { tell } = useAct();
  const tenants = useTenants().data ?? [];
  const [made, setMade] = useState<Token | null>(null);
  const [asking, setAsking] = useState<{ what: 'revoke' | 'rotate'; token: Token } | null>(null);
  const query = useQuery({ queryKey: ['tokens', path], queryFn: ({ signal }) => all<Token>(path, {}, signal) });
  const own = path === '/me/tokens';
  const at = (k: Token) => `${path}/${encodeURIComponent(k.id)}`;
  return (
    <>
      <Loaded query={query} what="tokens.what" lines={4} small={own}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty small={own} title={t('tokens.empty')} why={t('tokens.emptyWhy')}>
              <Button onClick={() => setAdding(true)}>{t('tokens.new')}</Button>
            </Empty>
          ) : (
            <div style={{ overflowX: 'auto' }}>
              <DataTable
                label={t('page.tokens')}
                rows={rows}
                rowKey={(k) => k.id}
                columns={[
                  { key: 'name', title: t('tokens.name'), render: (k) => <b style={{ fontWeight: 550 }}>{k.name}</b> },
                  ...(own ? [] : [{ key: 'owner', title: t('tokens.owner'), render: (k: Token) => k.owner || k.created_by || '–' }]),
                  { key: 'tenant', title: t('tokens.tenant'), render: (k) => (k.tenant ? <TenantName slug={k.tenant} /> : t('tokens.city')) },
                  { key: 'scopes', title: t('tokens.scopes'), render: (k) => list(k.scopes).map((s) => scopeText(t, s)).join(', ') },
                  { key: 'addresses', title: t('tokens.addresses'), render: (k) => (list(k.addresses).length > 0 ? <span className="mono">{list(k.addresses).join(', ')}</span> : <span className="faint">–</span>) },
                  { key: 'expires', title: t('tokens.expiresAt'), num: true, render: (k) => (k.expires_at ? Date.parse(k.expires_at) < Date.now() ? t('tokens.expired') : <When time={k.expires_at} /> : t('tokens.never')) },
                  {
                    key: 'used',
                    title: t('tokens.lastUsed'),
                    num: true,
                    render: (k) => (
                      <span title={k.last_address}>
                        <When time={k.last_used_at} age />
                      </span>
                    ),
                  },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (k) => (
                      <span className="row" style={{ justifyContent: 'flex-end' }}>
                        <Button size="small" onClick={() => setAsking({ what: 'rotate', token: k })} aria-label={`${t('tokens.rotate')} ${k.name}`}>
                          {t('tokens.rotate')}
                        </Button>
                        <Button size="small" onClick={() => setAsking({ what: 'revoke', token: k })} aria-label={`${t('tokens.revoke')} ${k.name}`}>
                          {t('tokens.revoke')}
                        </Button>
                      </span>
                    ),
                  },
                ]}
              />
            </div>
          )
        }
      </Loaded>
      {adding && (
        <FormDialog<NewToken>
          title={t('tokens.new')}
          ok={t('tokens.new')}
          width={460}
          initial={{ tenant: '', scopes: scopes.includes('ingest') && !own ? ['ingest'] : ['read'], expires_in: '2160h' }}
          close={() => setAdding(false)}
          submit={async (v) => {
            const { tenant, addresses, ...rest } = v;
            setMade(await post<Token>(path, { ...rest, ...(tenant ? { tenant } : {}), ...(list(addresses).length > 0 ? { addresses } : {}) }));
            tell({ renew: ['tokens'] });
          }}
        >
          <Form.Item name="name" label={t('tokens.name')} rules={[{ required: true, message: t('word.required', { x: t('tokens.name') }) }]}>
            <Input autoFocus autoComplete="off" />
          </Form.Item>
          <Form.Item name="scopes" label={t('tokens.scopes')} rules={[{ required: true, message: t('word.required', { x: t('tokens.scopes') }) }]}>
            <Checkbox.Group options={scopes.map((s) => ({ value: s, label: scopeText(t, s) }))} />
          </Form.Item>
          <Form.Item name="tenant" label={t('tokens.tenant')}>
            <Select showSearch optionFilterProp="label" options={[{ value: '', label: t('tokens.city') }, ...tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))]} />
          </Form.Item>
          <Form.Item name="expires_in" label={t('tokens.expires')}>
            <Select
              options={[
                { value: '720h', label: t('tokens.30d') },
                { value: '2160h', label: t('tokens.90d') },
                { value: '8760h', label: t('tokens.365d') },
                { value: 'never', label: t('tokens.never') },
              ]}
            />
          </Form.Item>
          <Form.Item name="addresses" label={t('tokens.addresses')} extra={t('tokens.addressesWhy')}>
            <WordsInput />
          </Form.Item>
        </FormDialog>
      )}
      <Secret title={t('tokens.once')} secret={made?.token ?? ''} close={() => setMade(null)} copied={() => done(t('do.copied'))} failed={failed} />
      {asking && (
        <Ask
          title={t(`tokens.${asking.what}`)}
          why={t(asking.what === 'revoke' ? 'tokens.revokeAsk' : 'tokens.rotateWhy', { x: asking.token.name })}
          ok={`${t(`tokens.${asking.what}`)} ${asking.token.name}`}
          close={() => setAsking(null)}
          submit={async () => {
            if (asking.what === 'revoke') await del(at(asking.token));
            else setMade(await post<Token>(`${at(asking.token)}/rotate`));
            tell({ said: asking.what === 'revoke' ? t('tokens.revoked', { x: asking.token.name }) : undefined, renew: ['tokens'] });
          }}
        />
      )}
    </>
  );
}

/** A secret that is shown once; it cannot be clicked away by accident. */
export function Secret({ title, secret, close, copied, failed }: { title: string; secret: string; close: () => void; copied: () => void; failed: (e: unknown) => void }) {
  const { t } = useSettings();
  return (
    <Modal
      open={!!secret}
      title={title}
      closable={false}
      maskClosable={false}
      keyboard={false}
      footer={
        <Button type="primary" onClick={close}>
          {t('tokens.done')}
        </Button>
      }
    >
      <div className="row" style={{ margin: '12px 0' }}>
        <code className="raw grow" data-testid="new-token">
          {secret}
        </code>
        <Button onClick={() => void copyText(secret).then(copied, failed)}>{t('do.copy')}</Button>
      </div>
    </Modal>
  );
}
