import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, InputNumber, Select, Switch } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import type { Acknowledge, ContactField, ContactKind, ContactPoint, Tried, Wording } from '../../api/notify';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { joined } from '../../logic/format';
import { pairsOf, pairsText } from '../../logic/notify';
import { Ask, FormDialog } from '../../parts/dialog';
import { useTenantName } from '../../parts/names';
import { Head } from '../../parts/page';
import { TenantsPicker } from '../../parts/pickers';
import { Empty, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';

/** Where notifications go. ?new=1 makes a contact point. */
export default function Contacts() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { tell } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const [editing, setEditing] = useState<ContactPoint | null>(null);
  const [removing, setRemoving] = useState<ContactPoint | null>(null);
  const query = useQuery({ queryKey: ['contacts'], queryFn: ({ signal }) => get<Page<ContactPoint>>('/contact-points', {}, signal) });
  const kinds = useQuery({ queryKey: ['contact-kinds'], staleTime: Infinity, queryFn: ({ signal }) => get<Page<ContactKind>>('/contact-kinds', {}, signal) });
  const write = can('create-contact-point');
  const rows = list(query.data?.items);
  const kindName = (name: string) => list(kinds.data?.items).find((k) => k.name === name)?.[locale === 'zh-CN' ? 'zh' : 'en'] ?? name;
  const fresh = url.get('new') === '1' && kinds.data;
  return (
    <div className="page">
      <Head title={t('page.contacts')} sub={t('notify.contactsLead')}>
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('notify.newContact')}
          </Button>
        )}
      </Head>
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.contacts" lines={5}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('notify.noContacts')} why={t('notify.noContactsWhy')}>
                {write && <Button onClick={() => setUrl({ new: '1' })}>{t('notify.newContact')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.contacts')}
                rows={rows}
                rowKey={(c) => c.name}
                columns={[
                  {
                    key: 'name',
                    title: t('notify.name'),
                    render: (c) => (
                      <>
                        {c.name} {c.disabled && <span className="tag">{t('notify.off')}</span>}
                        {c.note && <div className="faint">{c.note}</div>}
                      </>
                    ),
                  },
                  { key: 'kind', title: t('notify.kind'), render: (c) => kindName(c.kind) },
                  { key: 'tenants', title: t('notify.tenants'), render: (c) => (list(c.tenants).length ? joined(list(c.tenants).map(tenantName), locale) : <span className="dim">{t('notify.allTenants')}</span>) },
                  {
                    key: 'used',
                    title: t('notify.usedBy'),
                    render: (c) => joined([...(c.every ? [t('notify.every')] : []), ...list(c.used_by).map((s) => (s === 'city' ? t('notify.city') : tenantName(s)))], locale),
                  },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (c) =>
                      c.origin === 'config' ? (
                        <span className="dim">{t('notify.fromConfig')}</span>
                      ) : (
                        write && (
                          <span className="row" style={{ justifyContent: 'flex-end' }}>
                            <Button size="small" disabled={!c.editable} onClick={() => setEditing(c)}>
                              {t('do.edit')}
                            </Button>
                            <Button size="small" disabled={!c.editable || list(c.used_by).length > 0} title={list(c.used_by).length > 0 ? t('notify.inUse') : undefined} onClick={() => setRemoving(c)}>
                              {t('do.delete')}
                            </Button>
                          </span>
                        )
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {fresh && <ContactForm kinds={list(kinds.data?.items)} close={() => setUrl({ new: undefined })} />}
      {editing && kinds.data && <ContactForm kinds={list(kinds.data.items)} contact={editing} close={() => setEditing(null)} />}
      {removing && (
        <Ask
          title={t('do.remove', { x: removing.name })}
          why={t('notify.removeWhy')}
          ok={t('do.delete')}
          submit={async () => {
            await del(`/contact-points/${encodeURIComponent(removing.name)}`);
            tell({ said: t('notify.removed', { x: removing.name }), renew: ['contacts'] });
          }}
          close={() => setRemoving(null)}
        />
      )}
    </div>
  );
}

type Values = { name: string; kind: string; note?: string; tenants?: string[]; language: 'zh' | 'en'; wording?: string; send_resolved: boolean; every: boolean; disabled: boolean; acknowledge: Acknowledge; settings?: Record<string, unknown> };

function ContactForm({ kinds, contact, close }: { kinds: readonly ContactKind[]; contact?: ContactPoint; close: () => void }) {
  const { t, locale } = useSettings();
  const { tell } = useAct();
  const [tried, setTried] = useState<Tried | null>(null);
  const [trying, setTrying] = useState(false);
  const wordings = useQuery({ queryKey: ['wordings'], queryFn: ({ signal }) => get<Page<Wording>>('/wordings', {}, signal) });
  const names = [...new Set(list(wordings.data?.items).map((w) => w.name))];
  const fieldsOf = (kind: string) => list(kinds.find((k) => k.name === kind)?.fields);
  /** What the server takes: pairs are lines in the form, and empty settings are left out. */
  const bodyOf = (v: Values) => {
    const settings: Record<string, unknown> = {};
    for (const f of fieldsOf(v.kind)) {
      const x = v.settings?.[f.name];
      if (x === undefined || x === null || x === '' || x === false || (Array.isArray(x) && x.length === 0)) continue;
      settings[f.name] = f.type === 'pairs' ? pairsOf(String(x)) : x;
    }
    return { kind: v.kind, settings, note: v.note ?? '', tenants: v.tenants ?? [], language: v.language, wording: v.wording ?? '', send_resolved: v.send_resolved, every: v.every, disabled: v.disabled, acknowledge: v.acknowledge };
  };
  const shown = Object.fromEntries(
    Object.entries(contact?.settings ?? {}).map(([k, v]) => [k, fieldsOf(contact?.kind ?? '').find((f) => f.name === k)?.type === 'pairs' ? pairsText(v as Record<string, string>) : v]),
  );
  const initial: Partial<Values> = contact
    ? { ...contact, tenants: [...list(contact.tenants)], settings: shown }
    : { kind: 'email', language: 'zh', send_resolved: true, every: false, disabled: false, acknowledge: 'signed_in', settings: {} };
  return (
    <FormDialog<Values>
      title={contact ? t('notify.editContact', { x: contact.name }) : t('notify.newContact')}
      ok={t('do.save')}
      width={640}
      initial={initial}
      submit={async (v) => {
        if (contact) await put(`/contact-points/${encodeURIComponent(contact.name)}`, bodyOf({ ...v, kind: contact.kind }));
        else await post('/contact-points', { name: v.name, ...bodyOf(v) });
        tell({ said: t('notify.saved'), renew: ['contacts'] });
      }}
      close={close}
    >
      {(form) => (
        <>
          {!contact && (
            <>
              <Form.Item name="name" label={t('notify.name')} extra={t('notify.nameWhy')} rules={[{ required: true, pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, message: t('notify.nameWhy') }]}>
                <Input autoFocus maxLength={64} />
              </Form.Item>
              <Form.Item name="kind" label={t('notify.kind')}>
                <Select options={kinds.map((k) => ({ value: k.name, label: locale === 'zh-CN' ? k.zh : k.en }))} onChange={() => setTried(null)} />
              </Form.Item>
            </>
          )}
          <Form.Item noStyle shouldUpdate={(a: Values, b: Values) => a.kind !== b.kind}>
            {() => {
              const kind = kinds.find((k) => k.name === (contact?.kind ?? form.getFieldValue('kind')));
              return (
                <>
                  {list(kind?.limits).length > 0 && <div className="notice">{t('notify.limit', { x: list(kind?.limits).join(', ') })}</div>}
                  {list(kind?.fields).map((f) => (
                    <Setting key={f.name} field={f} labels={f.name === 'preset' ? Object.fromEntries(list(kind?.gateways).map((g) => [g.key, `${locale === 'zh-CN' ? g.zh : g.en} (${list(g.vars).join(', ')})`])) : {}} />
                  ))}
                </>
              );
            }}
          </Form.Item>
          <Form.Item name="tenants" label={t('notify.tenants')}>
            <TenantsPicker />
          </Form.Item>
          <Form.Item name="wording" label={t('notify.wording')}>
            <Select allowClear placeholder={t('notify.wordingDefault')} options={names.map((n) => ({ value: n, label: n }))} />
          </Form.Item>
          <Form.Item name="language" label={t('notify.language')}>
            <Select options={[{ value: 'zh', label: '中文' }, { value: 'en', label: 'English' }]} />
          </Form.Item>
          <Form.Item name="acknowledge" label={t('notify.acknowledge')} extra={t('notify.acknowledgeWhy')}>
            <Select options={(['signed_in', 'anyone', 'none'] as const).map((v) => ({ value: v, label: t(`notify.acknowledge.${v}`) }))} />
          </Form.Item>
          {(['send_resolved', 'every', 'disabled'] as const).map((name) => (
            <Form.Item key={name} name={name} valuePropName="checked" label={t(name === 'send_resolved' ? 'notify.resolved' : name === 'every' ? 'notify.every' : 'notify.disabled')}>
              <Switch />
            </Form.Item>
          ))}
          <Form.Item name="note" label={t('notify.note')}>
            <Input maxLength={500} />
          </Form.Item>
          <Button
            loading={trying}
            onClick={() => {
              const v = { ...(form.getFieldsValue() as Values) };
              setTrying(true);
              post<Tried>('/contact-points/test', { name: contact?.name ?? '', ...bodyOf({ ...v, kind: contact?.kind ?? v.kind }) })
                .then(setTried, (e: unknown) => setTried({ ok: false, error: e instanceof Error ? e.message : String(e), duration_ms: 0 }))
                .finally(() => setTrying(false));
            }}
          >
            {t('do.test')}
          </Button>
          {tried && (
            <div className={tried.ok ? 'notice' : 'notice warn'} role="status" style={{ marginTop: 8 }}>
              {tried.ok ? t('notify.tryOK', { ms: tried.duration_ms }) : t('notify.tryFailed', { why: tried.error ?? '' })}
            </div>
          )}
        </>
      )}
    </FormDialog>
  );
}

function Setting({ field: f, labels }: { field: ContactField; labels: Record<string, string> }) {
  const { t, locale } = useSettings();
  const label = locale === 'zh-CN' ? f.zh : f.en;
  const name = ['settings', f.name];
  if (f.type === 'switch')
    return (
      <Form.Item name={name} label={label} valuePropName="checked">
        <Switch />
      </Form.Item>
    );
  return (
    <Form.Item name={name} label={label} extra={f.type === 'pairs' ? t('notify.pairs') : undefined} rules={f.required ? [{ required: true, message: label }] : []}>
      {f.type === 'number' ? (
        <InputNumber style={{ width: '100%' }} />
      ) : f.type === 'list' ? (
        <Select mode="tags" tokenSeparators={[',', ' ', '，']} open={false} />
      ) : f.type === 'choice' ? (
        <Select allowClear placeholder={f.default} options={list(f.choices).map((c) => ({ value: c, label: labels[c] ?? c }))} />
      ) : f.type === 'long' || f.type === 'pairs' ? (
        <Input.TextArea rows={3} className="mono" />
      ) : (
        <Input placeholder={f.default} autoComplete="off" />
      )}
    </Form.Item>
  );
}
