import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Form, Input, Select, type FormInstance } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { itemPath, useWords, type HistoryEntry } from '../../api/cmdb';
import type { Subscription, Wants } from '../../api/cmdbkept';
import { buildPath, del, get, post, put } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type List, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FIELDS } from '../../logic/cmdb';
import { joined, number } from '../../logic/format';
import { ChangeTable } from '../../parts/cmdb/changelist';
import { fieldName } from '../../parts/cmdb/fieldname';
import { FormDialog, Refused } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { Empty, Failed, Loaded, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';
import { When } from '../../parts/time';

interface Contact {
  name: string;
  kind: string;
  note: string;
  disabled: boolean;
}
interface Notice {
  change: HistoryEntry;
  kind: string;
  subscription: string;
  read: boolean;
}
interface Tested {
  delivery: string;
  state: 'pending' | 'delivered' | 'failed';
  http_status?: number;
  error?: string;
}

const KINDS = ['created', 'updated', 'deleted', 'related'] as const;
const RENEW = ['cmdb-subscriptions'];
const LIMIT = 50;

/** Who is told of which changes of items, and what one was told. */
export default function Subscriptions() {
  const { t } = useSettings();
  const can = useCan();
  const [editing, setEditing] = useState<Subscription | 'new' | null>(null);
  const tabs = (['list', 'notices'] as const).filter((k) => k === 'list' || can('list-cmdb-notices')).map((key) => ({ key, title: t(`sub.tab.${key}`) }));
  const tab = useTab(tabs);
  return (
    <div className="page">
      <Head title={t('page.cmdbSubscriptions')} sub={t('sub.lead')}>
        <Button href={buildPath('/cmdb/subscriptions/export', { format: 'xlsx' })}>{t('cmdb.export')}</Button>
        {can('create-cmdb-subscription') && (
          <Button type="primary" onClick={() => setEditing('new')}>
            {t('sub.new')}
          </Button>
        )}
      </Head>
      <Tabs tabs={tabs} label={t('page.cmdbSubscriptions')} />
      {tab === 'list' ? <Kept edit={setEditing} /> : <Notices />}
      {editing && <Editor of={editing === 'new' ? undefined : editing} close={() => setEditing(null)} />}
    </div>
  );
}

function Kept({ edit }: { edit: (s: Subscription | 'new') => void }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const words = useWords();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['cmdb-subscriptions'], queryFn: async ({ signal }) => list((await get<Page<Subscription>>('/cmdb/subscriptions', {}, signal)).items), refetchInterval: 30_000 });
  const body = (s: Subscription, enabled = s.enabled) => ({ revision: s.revision, name: s.name, enabled, wants: s.wants });
  const remove = (s: Subscription) =>
    act(() => del(`/cmdb/subscriptions/${s.id}`), { said: t('sub.deleted', { x: s.name }), undo: () => void act(() => post('/cmdb/subscriptions', { name: s.name, wants: s.wants }), { said: t('ci.restoredDone'), renew: RENEW }), renew: RENEW });
  const test = (s: Subscription) =>
    act(async () => {
      const r = await post<Tested>(`/cmdb/subscriptions/${s.id}/test`);
      if (r.state === 'failed') throw new Error(t('sub.testFailed', { x: r.error || String(r.http_status ?? '') }));
    }, { said: t('sub.tested', { x: s.wants.contact ?? '' }) });
  return (
    <>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="sub.what" lines={5}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('sub.none')} why={t('sub.noneWhy')}>
                {can('create-cmdb-subscription') && <Button onClick={() => edit('new')}>{t('sub.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.cmdbSubscriptions')}
                rows={rows}
                rowKey={(s) => s.id}
                columns={[
                  {
                    key: 'name',
                    title: t('ci.f.name'),
                    render: (s) => (
                      <>
                        <b>{s.name}</b> {!s.enabled && <span className="tag">{t('sub.paused')}</span>}
                        {!s.mine && <div className="dim">{s.owner}</div>}
                        {s.trouble && <div className="bad">{s.trouble}</div>}
                      </>
                    ),
                  },
                  {
                    key: 'what',
                    title: t('sub.of'),
                    render: (s) => (
                      <>
                        <div>{list(s.wants.classes).length > 0 ? joined(list(s.wants.classes).map(words.className), locale) : t('ci.allClasses')}</div>
                        <div className="dim">
                          {joined((list(s.wants.kinds).length > 0 ? list(s.wants.kinds) : KINDS).map((k) => t(`sub.kind.${k as (typeof KINDS)[number]}`)), locale)}
                          {list(s.wants.fields).length > 0 && ` · ${joined(list(s.wants.fields).map((f) => fieldName(f, words, t)), locale)}`}
                        </div>
                        {s.wants.filter && <code>{s.wants.filter}</code>}
                      </>
                    ),
                  },
                  { key: 'to', title: t('sub.to'), render: (s) => joined([...(s.wants.contact ? [s.wants.contact] : []), ...(s.wants.notices ? [t('sub.console')] : [])], locale) },
                  { key: 'told', title: t('sub.told'), num: true, render: (s) => number(s.told, locale) },
                  { key: 'last', title: t('sub.last'), render: (s) => (s.told_at ? <When time={s.told_at} /> : '–') },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (s) => (
                      <span className="row" style={{ gap: 6, justifyContent: 'flex-end' }}>
                        {s.mine && s.wants.contact && can('test-cmdb-subscription') && (
                          <Button size="small" disabled={busy} onClick={() => void test(s)}>
                            {t('sub.test')}
                          </Button>
                        )}
                        {can('change-cmdb-subscription') && (s.mine || s.enabled) && (
                          <Button size="small" disabled={busy} onClick={() => void act(() => put(`/cmdb/subscriptions/${s.id}`, body(s, !s.enabled)), { renew: RENEW })}>
                            {t(s.enabled ? 'sub.pause' : 'sub.resume')}
                          </Button>
                        )}
                        {s.mine && can('change-cmdb-subscription') && (
                          <Button size="small" onClick={() => edit(s)}>
                            {t('ci.edit')}
                          </Button>
                        )}
                        {s.mine && can('delete-cmdb-subscription') && (
                          <Button size="small" disabled={busy} aria-label={`${t('ci.delete')} ${s.name}`} onClick={() => void remove(s)}>
                            {t('ci.delete')}
                          </Button>
                        )}
                      </span>
                    ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </>
  );
}

type Values = Wants & { name: string };

function Editor({ of, close }: { of?: Subscription; close: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const words = useWords();
  const { tell } = useAct();
  const contacts = useQuery({ enabled: can('list-cmdb-subscription-contacts'), queryKey: ['cmdb-subscriptions', 'contacts'], queryFn: async ({ signal }) => list((await get<Page<Contact>>('/cmdb/subscription-contacts', {}, signal)).items) });
  const fields = [...FIELDS.map((f) => ({ value: f as string, label: fieldName(f, words, t) })), ...[...new Set(list(words.model?.classes).flatMap((c) => list(c.attributes).map((a) => a.name)))].map((a) => ({ value: `attr.${a}`, label: words.attributeName(a) }))];
  const wants = ({ name: _, ...v }: Values): Wants => ({ ...v, filter: v.filter?.trim() ?? '', contact: v.contact ?? '', notices: v.notices ?? false, classes: v.classes ?? [], kinds: v.kinds ?? [], fields: v.fields ?? [] });
  return (
    <FormDialog<Values>
      width={620}
      title={of ? t('sub.edit', { x: of.name }) : t('sub.new')}
      ok={t('ci.save')}
      initial={of ? { name: of.name, ...of.wants, contact: of.wants.contact || undefined } : { notices: true }}
      close={close}
      submit={async (v) => {
        await (of ? put(`/cmdb/subscriptions/${of.id}`, { revision: of.revision, enabled: of.enabled, name: v.name.trim(), wants: wants(v) }) : post('/cmdb/subscriptions', { name: v.name.trim(), wants: wants(v) }));
        tell({ said: t('ci.saved'), renew: RENEW });
      }}
    >
      {(form) => (
        <>
          <Form.Item name="name" label={t('ci.f.name')} rules={[{ required: true, whitespace: true, message: t('ci.required') }]}>
            <Input autoFocus maxLength={80} />
          </Form.Item>
          <Form.Item name="classes" label={t('ci.classes')}>
            <Select mode="multiple" optionFilterProp="label" placeholder={t('ci.allClasses')} options={list(words.model?.classes).map((c) => ({ value: c.class, label: words.className(c.class) }))} />
          </Form.Item>
          <Form.Item name="kinds" label={t('sub.kinds')}>
            <Select mode="multiple" placeholder={t('sub.allKinds')} options={KINDS.map((k) => ({ value: k, label: t(`sub.kind.${k}`) }))} />
          </Form.Item>
          <Form.Item name="fields" label={t('sub.fields')}>
            <Select mode="multiple" optionFilterProp="label" placeholder={t('sub.allFields')} options={fields} />
          </Form.Item>
          <Form.Item name="filter" label={t('ci.filterText')} extra={t('sub.filterWhy')}>
            <Input className="mono" maxLength={8192} placeholder="criticality >= 4 and zone = gov" />
          </Form.Item>
          <Form.Item name="contact" label={t('sub.contact')} extra={t('sub.contactWhy')}>
            <Select allowClear showSearch optionFilterProp="label" placeholder={t('sub.noContact')} options={list(contacts.data).map((c) => ({ value: c.name, label: c.note ? `${c.name} · ${c.note}` : c.name, disabled: c.disabled }))} />
          </Form.Item>
          <Form.Item name="notices" valuePropName="checked">
            <Checkbox>{t('sub.notices')}</Checkbox>
          </Form.Item>
          <Preview form={form} wants={wants} />
        </>
      )}
    </FormDialog>
  );
}

/** Which of the latest changes would have been told. */
function Preview({ form, wants }: { form: FormInstance<Values>; wants: (v: Values) => Wants }) {
  const { t } = useSettings();
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [found, setFound] = useState<{ looked: number; told: number; changes: List<HistoryEntry> } | null>(null);
  const look = async () => {
    setBusy(true);
    setError(null);
    setFound(null);
    try {
      setFound(await post('/cmdb/subscription-preview', wants({ ...form.getFieldsValue(), name: '' })));
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="stack" style={{ gap: 8 }}>
      <div>
        <Button loading={busy} onClick={() => void look()}>
          {t('sub.preview')}
        </Button>
      </div>
      <Refused error={error} />
      {found && (
        <div role="status" data-testid="subpreview">
          {t('sub.previewed', { n: found.looked, m: found.told })}
          {list(found.changes)
            .slice(0, 5)
            .map((h) => (
              <div key={h.id} className="dim ellipsis">
                {t(`ci.${h.action}`)} {words.className(h.class)} {h.name}
              </div>
            ))}
        </div>
      )}
    </div>
  );
}

function Notices() {
  const { t } = useSettings();
  const can = useCan();
  const words = useWords();
  const { act, busy } = useAct();
  const [before, setBefore] = useState<number[]>([]);
  const at = before[before.length - 1];
  const query = useQuery({ queryKey: ['cmdb-notices', at ?? 0], queryFn: async ({ signal }) => list((await get<Page<Notice>>('/cmdb/notices', { before: at, limit: LIMIT }, signal)).items), refetchInterval: 30_000 });
  const mark = (read: boolean, changes?: number[]) => act(() => post('/cmdb/notices/mark', { changes, read }), { renew: ['cmdb-notices'] });
  if (query.isPending) return <Skeleton lines={6} />;
  if (query.error && !query.data) return <Failed error={query.error} what="sub.notice" retry={() => void query.refetch()} />;
  const rows = list(query.data);
  if (rows.length === 0 && !at) {
    return (
      <div className="panel">
        <Empty title={t('sub.noticesNone')} why={t('sub.noticesNoneWhy')} />
      </div>
    );
  }
  return (
    <>
      <div className="filters">
        {can('mark-cmdb-notices') && (
          <Button disabled={busy || rows.every((n) => n.read)} onClick={() => void mark(true)}>
            {t('sub.allRead')}
          </Button>
        )}
      </div>
      <div className="panel">
        <DataTable
          label={t('sub.tab.notices')}
          rows={rows}
          rowKey={(n) => `${n.change.id} ${n.subscription}`}
          columns={[
            { key: 'when', title: t('ci.when'), width: 110, render: (n) => <When time={n.change.time} /> },
            { key: 'item', title: t('ci.item'), render: (n) => (n.change.action === 'deleted' ? <b>{n.change.name}</b> : <Link to={itemPath(n.change.item_id)}>{n.read ? n.change.name : <b>{n.change.name}</b>}</Link>) },
            { key: 'class', title: t('ci.class'), width: 110, render: (n) => words.className(n.change.class) },
            { key: 'what', title: t('ci.fieldsChanged'), render: (n) => (n.change.action === 'updated' ? <ChangeTable changes={list(n.change.changes)} cls={n.change.class} /> : t(`ci.${n.change.action}`)) },
            { key: 'who', title: t('ci.who'), width: 110, render: (n) => n.change.actor },
            {
              key: 'do',
              title: '',
              num: true,
              width: 90,
              render: (n) =>
                can('mark-cmdb-notices') && (
                  <Button size="small" disabled={busy} onClick={() => void mark(!n.read, [n.change.id])}>
                    {t(n.read ? 'sub.unread' : 'sub.read')}
                  </Button>
                ),
            },
          ]}
        />
      </div>
      <div className="row" style={{ justifyContent: 'center', padding: 10 }}>
        {at && <Button onClick={() => setBefore(before.slice(0, -1))}>{t('sub.newer')}</Button>}
        {rows.length === LIMIT && <Button onClick={() => setBefore([...before, rows[LIMIT - 1]?.change.id as number])}>{t('do.more')}</Button>}
      </div>
    </>
  );
}
