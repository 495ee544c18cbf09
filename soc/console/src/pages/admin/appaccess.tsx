import { Button, Checkbox, Form, Input, Radio, Select } from 'antd';
import { useEffect, useState } from 'react';
import { del, post, put } from '../../api/client';
import { useOperations } from '../../api/directory';
import type { Application } from '../../api/federation';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { useSettings } from '../../app/settings';
import { Ask, FormDialog } from '../../parts/dialog';
import { Panel } from '../../parts/page';
import { TenantsPicker } from '../../parts/pickers';
import { When } from '../../parts/time';
import { Secret } from '../../parts/tokens';

const RENEW = ['applications', 'application'] as const;
/** Operations of these need no permission. */
const FREE = ['public', 'any'];

/** What of the suite's API the application may call with a token of its own. */
export function ApiPermissions({ app }: { app: Application }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const { busy, act } = useAct();
  const operations = useOperations();
  const [draft, setDraft] = useState(app.permissions ?? {});
  useEffect(() => setDraft(app.permissions ?? {}), [app.permissions]);
  if (!list(app.client?.grant_types).includes('client_credentials')) return null;
  const may = can('set-application-permissions');
  const save = () =>
    act(() => put(`/applications/${encodeURIComponent(app.id)}/permissions`, { operations: list(draft.operations), tenants: list(draft.tenants) }), {
      said: t('apps.saved', { x: tx(app.name) }),
      renew: RENEW,
    });
  return (
    <Panel title={t('apps.permissions')}>
      <div className="stack">
        <label>
          <span className="hint">{t('apps.operations')}</span>
          <Select
            mode="multiple"
            disabled={!may}
            value={list(draft.operations)}
            onChange={(v: string[]) => setDraft({ ...draft, operations: v })}
            loading={operations.isPending}
            optionFilterProp="search"
            options={(operations.data ?? []).filter((o) => !FREE.includes(o.scope)).map((o) => ({ value: o.id, label: o.id, title: o.summary, search: `${o.id} ${o.path} ${o.summary ?? ''}` }))}
            style={{ width: '100%' }}
          />
        </label>
        <label>
          <span className="hint">{t('apps.permissionTenants')}</span>
          <TenantsPicker disabled={!may} value={list(draft.tenants)} onChange={(tenants) => setDraft({ ...draft, tenants })} />
        </label>
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

interface NewKey {
  how: 'RS256' | 'ES256' | 'pem';
  pem?: string;
  keep: boolean;
}

/** The keys by which the application proves itself, where it has no secret. */
export function Keys({ app }: { app: Application }) {
  const { t } = useSettings();
  const can = useCan();
  const { done, failed } = useFeedback();
  const { tell } = useAct();
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState('');
  const [secret, setSecret] = useState('');
  const keys = list(app.keys);
  if (app.client?.auth_method !== 'private_key_jwt') return null;
  const path = `/applications/${encodeURIComponent(app.id)}/keys`;
  return (
    <Panel
      title={t('apps.keys')}
      end={
        can('add-application-key') && (
          <Button size="small" onClick={() => setAdding(true)}>
            {t('apps.keyNew')}
          </Button>
        )
      }
    >
      {keys.length === 0 && <p className="dim">{t('apps.keysNone')}</p>}
      <div className="stack">
        {keys.map((k) => (
          <div key={k.kid} className="row wrap">
            <code className="grow">{k.kid}</code>
            <span>{k.algorithm}</span>
            {k.retires_at ? (
              <span className="dim">
                {t('apps.keyRetires')} <When time={k.retires_at} />
              </span>
            ) : (
              k.not_after && (
                <span className="dim">
                  {t('apps.keyEnds')} <When time={k.not_after} />
                </span>
              )
            )}
            {can('delete-application-key') && (
              <Button size="small" onClick={() => setRemoving(k.kid)}>
                {t('do.delete')}
              </Button>
            )}
          </div>
        ))}
      </div>
      {adding && (
        <FormDialog<NewKey>
          title={t('apps.keyNew')}
          ok={t('apps.keyNew')}
          initial={{ how: 'ES256', keep: true }}
          close={() => setAdding(false)}
          submit={async (v) => {
            const made = await post<{ private_key?: string }>(path, { ...(v.how === 'pem' ? { pem: v.pem ?? '' } : { generate: v.how }), overlap: v.keep ? '7d' : '0' });
            setSecret(made.private_key ?? '');
            tell({ renew: RENEW });
          }}
        >
          {(form) => (
            <>
              <Form.Item name="how">
                <Radio.Group className="stack" style={{ gap: 4 }} options={(['ES256', 'RS256', 'pem'] as const).map((x) => ({ value: x, label: t(`apps.key.${x}`) }))} />
              </Form.Item>
              <Form.Item noStyle shouldUpdate>
                {() =>
                  form.getFieldValue('how') === 'pem' && (
                    <Form.Item name="pem" rules={[{ required: true, message: t('word.required', { x: 'PEM' }) }]}>
                      <Input.TextArea rows={6} spellCheck={false} placeholder="-----BEGIN CERTIFICATE-----" />
                    </Form.Item>
                  )
                }
              </Form.Item>
              <Form.Item name="keep" valuePropName="checked">
                <Checkbox>{t('apps.keyOverlap')}</Checkbox>
              </Form.Item>
            </>
          )}
        </FormDialog>
      )}
      {removing && (
        <Ask
          title={t('apps.keyDelete')}
          why={t('apps.keyDeleteWhy')}
          ok={t('apps.keyDelete')}
          close={() => setRemoving('')}
          submit={async () => {
            await del(`${path}/${encodeURIComponent(removing)}`);
            tell({ renew: RENEW });
          }}
        />
      )}
      <Secret title={t('apps.keyOnce')} secret={secret} close={() => setSecret('')} copied={() => done(t('do.copied'))} failed={failed} />
    </Panel>
  );
}
