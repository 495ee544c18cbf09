import { Button, Form, Input } from 'antd';
import { useEffect, useId, useState } from 'react';
import { Link } from 'react-router-dom';
import { patch } from '../api/client';
import { useUnitName } from '../api/directory';
import { useCan, useTenants } from '../api/queries';
import { list, type Tenant } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { fieldIs } from '../logic/logsql';
import { number } from '../logic/format';
import { Refused } from '../parts/dialog';
import { Head } from '../parts/page';
import { WordsInput } from '../parts/pickers';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { RemoveTenant, RemovedTenants } from '../parts/tenantremoval';
import { TenantUsagePanel } from '../parts/tenantusage';
import { UnitPicker } from '../parts/unittree';

export function systemsOf(x: Tenant): number {
  return Array.isArray(x.systems) ? x.systems.length : (x.systems ?? 0);
}

export default function Tenants() {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const query = useTenants();
  const can = useCan();
  const unitName = useUnitName();
  const [editing, setEditing] = useState('');
  const [removing, setRemoving] = useState<Tenant | null>(null);
  const edited = editing ? query.data?.find((x) => x.slug === editing) : undefined;
  const used = edited ? undefined : query.data?.find((x) => x.slug === url.get('usage'));
  const removed = url.get('removed') === '1';
  // Beside the open drawer there is room for what it changes, not for the rest.
  const columns = (all: Column<Tenant>[]) => (edited || used ? all.filter((c) => !['slug', 'domain', 'level', 'systems', 'links'].includes(c.key)) : all);
  // A domain that the catalogue does not name stands for itself.
  const domainName = (d: string) => t(`tenants.domain.${d}` as Key);
  const words = (x: Tenant) => [x.domain ? domainName(x.domain) : '', x.slug, x.name.zh, x.name.en, x.domain, unitName(x.unit), x.region, x.industry, ...list(x.labels)].join(' ').toLowerCase();
  const wanted = q.trim().toLowerCase();
  return (
    <div className="page">
      <Head title={t('page.tenants')} sub={query.data ? number(query.data.length, locale) : ''} />
      <div className="filters" role="search">
        <Input allowClear style={{ width: 320 }} placeholder={t('tenants.filter')} aria-label={t('tenants.filter')} value={q} onChange={(e) => setUrl({ q: e.target.value })} />
        {can('configure') && (
          <button className="plain toggle" aria-pressed={removed} onClick={() => setUrl({ removed: removed ? undefined : '1' })}>
            {t('removal.list')}
          </button>
        )}
      </div>
      {removed && (
        <div style={{ marginBottom: 14 }}>
          <RemovedTenants />
        </div>
      )}
      <Stale query={query} />
      <div className="withdetail">
        <div className="panel" style={{ overflowX: 'auto' }}>
          <Loaded query={query} what="tenants.what" lines={14}>
            {(all) => {
              const rows = all.filter((x) => !wanted || words(x).includes(wanted));
              if (rows.length === 0) return <Empty title={t('tenants.empty')} why={t('tenants.emptyWhy')} />;
              return (
                <DataTable
                  label={t('page.tenants')}
                  rows={rows}
                  rowKey={(x) => x.slug}
                  marked={edited?.slug ?? used?.slug}
                  onRow={can('describe-tenant') ? (x) => setEditing(x.slug) : undefined}
                  columns={columns([
                    { key: 'name', title: t('col.name'), render: (x) => <b style={{ fontWeight: 550 }}>{tx(x.name) || x.slug}</b> },
                    { key: 'slug', title: t('tenants.slug'), render: (x) => <span className="mono dim">{x.slug}</span> },
                    { key: 'domain', title: t('tenants.domain'), render: (x) => (x.domain ? domainName(x.domain) : '–') },
                    { key: 'unit', title: t('tenants.unit'), render: (x) => unitName(x.unit) || <span className="faint">–</span> },
                    { key: 'region', title: t('tenants.region'), render: (x) => (x.region ? <span className="nowrap">{x.region}</span> : <span className="faint">–</span>) },
                    { key: 'industry', title: t('tenants.industry'), render: (x) => (x.industry ? <span className="nowrap">{x.industry}</span> : <span className="faint">–</span>) },
                    {
                      key: 'labels',
                      title: t('tenants.labels'),
                      render: (x) =>
                        list(x.labels).length === 0 ? (
                          <span className="faint">–</span>
                        ) : (
                          <span className="tags">
                            {list(x.labels).map((l) => (
                              <span className="tag" key={l}>
                                {l}
                              </span>
                            ))}
                          </span>
                        ),
                    },
                    { key: 'level', title: t('tenants.level'), render: (x) => (x.protection_level ? t('tenants.levelN', { n: x.protection_level }) : '–') },
                    {
                      key: 'systems',
                      title: t('tenants.systems'),
                      num: true,
                      render: (x) => (systemsOf(x) > 0 ? <Link to={`/cmdb?class=business_system&tenant=${encodeURIComponent(x.slug)}`}>{number(systemsOf(x), locale)}</Link> : '0'),
                    },
                    {
                      key: 'links',
                      title: t('tenants.links'),
                      render: (x) => (
                        <span className="row nowrap" style={{ gap: 14, flexWrap: 'nowrap' }}>
                          <Link to={`/alerts?tenant=${encodeURIComponent(x.slug)}`}>{t('page.alerts')}</Link>
                          <Link to={`/incidents?tenant=${encodeURIComponent(x.slug)}`}>{t('page.incidents')}</Link>
                          <Link to={`/search?${new URLSearchParams({ query: fieldIs('icewatch.tenant', x.slug), since: '24h' })}`}>{t('page.search')}</Link>
                          <button className="plain link" aria-label={t('usage.of', { x: tx(x.name) || x.slug })} onClick={() => setUrl({ usage: x.slug })}>
                            {t('usage.link')}
                          </button>
                          {can('remove-tenant') && (
                            <button className="plain link" aria-label={t('removal.title', { x: tx(x.name) || x.slug })} onClick={() => setRemoving(x)}>
                              {t('removal.link')}
                            </button>
                          )}
                          {can('describe-tenant') && (
                            <button className="plain link" aria-label={t('tenants.edit', { x: tx(x.name) || x.slug })} onClick={() => setEditing(x.slug)}>
                              {t('do.edit')}
                            </button>
                          )}
                        </span>
                      ),
                    },
                  ])}
                />
              );
            }}
          </Loaded>
        </div>
        {edited && can('describe-tenant') && <Describe key={edited.slug} tenant={edited} close={() => setEditing('')} />}
        {used && <TenantUsagePanel key={used.slug} tenant={used} close={() => setUrl({ usage: undefined })} />}
      </div>
      {removing && <RemoveTenant tenant={removing} close={() => setRemoving(null)} />}
    </div>
  );
}

interface Facts {
  unit?: string;
  region?: string;
  industry?: string;
  labels?: string[];
}

/** Whose a tenant is, beside the list: what data scopes go by. */
function Describe({ tenant, close }: { tenant: Tenant; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const id = useId();
  const [form] = Form.useForm<Facts>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const name = tx(tenant.name) || tenant.slug;
  // Who works with the keyboard goes on where the drawer is, not at the row far down.
  useEffect(() => form.focusField('region'), [form]);
  const send = async (v: Facts) => {
    setBusy(true);
    setError(null);
    try {
      await patch<Tenant>(`/tenants/${encodeURIComponent(tenant.slug)}`, { unit: v.unit ?? '', region: (v.region ?? '').trim(), industry: (v.industry ?? '').trim(), labels: v.labels ?? [] });
      tell({ said: t('tenants.saved', { x: name }), renew: ['tenants', 'reach'] });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <aside className="panel drawer" aria-label={t('tenants.edit', { x: name })}>
      <header>
        <h2>{t('tenants.edit', { x: name })}</h2>
        <span className="end">
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body">
        <p className="hint" style={{ margin: '0 0 10px' }}>
          {t('tenants.editWhy')}
        </p>
        <Form<Facts>
          name={id}
          form={form}
          layout="vertical"
          requiredMark={false}
          initialValues={{ unit: tenant.unit || undefined, region: tenant.region, industry: tenant.industry, labels: list(tenant.labels) }}
          onFinish={(v) => void send(v)}
        >
          <Refused error={error} />
          <Form.Item name="unit" label={t('tenants.unit')}>
            <UnitPicker />
          </Form.Item>
          <Form.Item name="region" label={t('tenants.region')} rules={[{ max: 64, message: t('tenants.tooLong') }]}>
            <Input autoComplete="off" />
          </Form.Item>
          <Form.Item name="industry" label={t('tenants.industry')} rules={[{ max: 64, message: t('tenants.tooLong') }]}>
            <Input autoComplete="off" />
          </Form.Item>
          <Form.Item
            name="labels"
            label={t('tenants.labels')}
            rules={[{ validator: (_, v?: string[]) => ((v ?? []).length <= 32 && (v ?? []).every((l) => l.length <= 64 && !l.includes(';')) ? Promise.resolve() : Promise.reject(new Error(t('tenants.labelsRule')))) }]}
          >
            <WordsInput />
          </Form.Item>
          <div className="form-foot">
            <Button type="primary" htmlType="submit" loading={busy}>
              {t('do.save')}
            </Button>
            <Button onClick={close}>{t('do.cancel')}</Button>
          </div>
        </Form>
      </div>
    </aside>
  );
}
