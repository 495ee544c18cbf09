import { Button, Checkbox, Form, Input, InputNumber, Select, Switch } from 'antd';
import { useEffect, useState } from 'react';
import { patch } from '../api/client';
import type { IdentityProvider, MappingRule } from '../api/federation';
import { list } from '../api/types';
import { useAct } from '../app/act';
import { useSettings } from '../app/settings';
import { Panel } from './page';
import { RolesPicker, TenantsPicker } from './pickers';
import { Refused } from './dialog';
import { UnitPicker } from './unittree';

const RENEW = ['identity-providers', 'identity-provider'] as const;

/** Which roles, tenants and organisation somebody gets who comes by this provider. */
export function Mapping({ provider: p }: { provider: IdentityProvider }) {
  const { t, tx } = useSettings();
  const { busy, act } = useAct();
  const [draft, setDraft] = useState(p.mapping ?? {});
  const [error, setError] = useState<unknown>(null);
  useEffect(() => setDraft(p.mapping ?? {}), [p.mapping]);
  const rules = list(draft.rules);
  const setRule = (i: number, change: Partial<MappingRule>) => setDraft({ ...draft, rules: rules.map((r, j) => (j === i ? { ...r, ...change } : r)) });
  const save = () => {
    setError(null);
    void act(
      async () => {
        try {
          await patch(`/identity-providers/${encodeURIComponent(p.id)}`, { mapping: { ...draft, rules: rules.filter((r) => r.value.trim() !== '') } });
        } catch (e) {
          setError(e);
          throw e;
        }
      },
      { said: t('idp.saved', { x: tx(p.name) || p.id }), renew: RENEW },
    );
  };
  return (
    <Panel title={t('idp.mapping')}>
      <p className="dim" style={{ marginBottom: 12 }}>
        {t('idp.mappingWhy')}
      </p>
      <Refused error={error} />
      <Checkbox checked={draft.create !== false} onChange={(e) => setDraft({ ...draft, create: e.target.checked })}>
        {t('idp.create')}
      </Checkbox>
      <div className="three" style={{ margin: '12px 0' }}>
        <label>
          <span className="hint">{t('idp.defaultRoles')}</span>
          <RolesPicker value={list(draft.default_roles)} onChange={(v) => setDraft({ ...draft, default_roles: v })} />
        </label>
        <label>
          <span className="hint">{t('idp.defaultTenants')}</span>
          <TenantsPicker value={list(draft.default_tenants)} onChange={(v) => setDraft({ ...draft, default_tenants: v })} />
        </label>
        <label>
          <span className="hint">{t('idp.defaultUnit')}</span>
          <UnitPicker value={draft.default_unit} onChange={(v) => setDraft({ ...draft, default_unit: v ?? '' })} />
        </label>
      </div>
      <h3 style={{ fontSize: 13 }}>{t('idp.rules')}</h3>
      <table className="data" aria-label={t('idp.rules')}>
        <thead>
          <tr>
            <th scope="col">{t('idp.claim')}</th>
            <th scope="col" title={t('idp.valueWhy')}>
              {t('idp.value')}
            </th>
            <th scope="col">{t('users.roles')}</th>
            <th scope="col">{t('users.tenants')}</th>
            <th scope="col">{t('users.unit')}</th>
            <th scope="col" />
          </tr>
        </thead>
        <tbody>
          {rules.map((r, i) => (
            <tr key={i}>
              <td style={{ width: 130 }}>
                <Input aria-label={t('idp.claim')} className="mono" placeholder="groups" value={r.claim ?? ''} onChange={(e) => setRule(i, { claim: e.target.value })} />
              </td>
              <td style={{ width: 200 }}>
                <Input aria-label={t('idp.value')} className="mono" placeholder="soc-*" value={r.value} onChange={(e) => setRule(i, { value: e.target.value })} />
              </td>
              <td>
                <RolesPicker value={list(r.roles)} onChange={(v) => setRule(i, { roles: v })} />
              </td>
              <td>
                <TenantsPicker value={list(r.tenants)} onChange={(v) => setRule(i, { tenants: v })} />
              </td>
              <td style={{ width: 190 }}>
                <UnitPicker value={r.unit} onChange={(v) => setRule(i, { unit: v ?? '' })} />
              </td>
              <td className="num">
                <Button size="small" type="text" aria-label={t('do.remove', { x: r.value })} onClick={() => setDraft({ ...draft, rules: rules.filter((_, j) => j !== i) })}>
                  ✕
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <div className="form-foot">
        <Button onClick={() => setDraft({ ...draft, rules: [...rules, { claim: 'groups', value: '', roles: [], tenants: [], unit: '' }] })}>{t('idp.addRule')}</Button>
        <Button type="primary" loading={busy} onClick={save}>
          {t('do.save')}
        </Button>
      </div>
    </Panel>
  );
}

/** When a directory is read, and what of its tree is taken over. */
export function SyncSettings({ provider: p }: { provider: IdentityProvider }) {
  const { t, tx } = useSettings();
  const { busy, act } = useAct();
  const [form] = Form.useForm<NonNullable<IdentityProvider['sync']>>();
  useEffect(() => form.setFieldsValue(p.sync ?? {}), [form, p.sync]);
  return (
    <Panel title={t('idp.sync')}>
      <Form form={form} layout="vertical" style={{ maxWidth: 760 }} onFinish={(v) => void act(() => patch(`/identity-providers/${encodeURIComponent(p.id)}`, { sync: { ...p.sync, ...v } }), { said: t('idp.saved', { x: tx(p.name) || p.id }), renew: RENEW })}>
        <div className="three">
          <Form.Item name="enabled" label={t('idp.syncEnabled')} valuePropName="checked">
            <Switch />
          </Form.Item>
          <Form.Item name="interval" label={t('idp.interval')}>
            <Input placeholder="1h" />
          </Form.Item>
          <Form.Item name="full_interval" label={t('idp.fullInterval')}>
            <Input placeholder="24h" />
          </Form.Item>
          <Form.Item name="units" label={t('idp.units')}>
            <Select options={(['none', 'ou', 'attribute'] as const).map((x) => ({ value: x, label: t(`idp.units.${x}`) }))} />
          </Form.Item>
          <Form.Item name="root_unit" label={t('idp.rootUnit')}>
            <UnitPicker />
          </Form.Item>
          <Form.Item name="max_vanished_percent" label={t('idp.vanished')}>
            <InputNumber min={0} max={100} addonAfter="%" style={{ width: '100%' }} />
          </Form.Item>
        </div>
        <Button type="primary" htmlType="submit" loading={busy}>
          {t('do.save')}
        </Button>
      </Form>
    </Panel>
  );
}
