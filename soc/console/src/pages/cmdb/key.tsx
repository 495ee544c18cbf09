import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input } from 'antd';
import { useState, type ReactNode } from 'react';
import { Link } from 'react-router-dom';
import { useWords } from '../../api/cmdb';
import { get, put } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type List, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { number, type Locale } from '../../logic/format';
import { ofMark } from '../../parts/cmdb/marks';
import { FormDialog } from '../../parts/dialog';
import { TenantName } from '../../parts/names';
import { Head, Panel, Updated } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';

interface KeyAssets {
  items: number;
  marked: number;
  members: number;
  classes: Record<string, number>;
  tenants: Record<string, number>;
  rules: List<{ name: string; items: number; error?: string }>;
}
interface Rule {
  name: string;
  filter: string;
}
interface Setting {
  value: { rules: List<Rule> };
}

const PATH = '/settings/cmdb-key-assets';
const RENEW = ['cmdb-key', 'settings'];
const itemsWith = (p: Record<string, string>) => `/cmdb/items?${new URLSearchParams(p)}`;

/** How many key assets there are, what happens to them, and the rules that name some. */
export default function KeyAssetsPage() {
  const { t, locale } = useSettings();
  const words = useWords();
  const can = useCan();
  const query = useQuery({ queryKey: ['cmdb-key', 'figures'], queryFn: ({ signal }) => get<KeyAssets>('/cmdb/key-assets', {}, signal), refetchInterval: 15_000 });
  const open = (of: 'alerts' | 'incidents') => ({ queryKey: ['cmdb-key', of], queryFn: async ({ signal }: { signal: AbortSignal }) => (await get<Page<unknown>>(`/${of}`, { key: true, status: 'open,acknowledged', limit: 1 }, signal)).total ?? 0, refetchInterval: 15_000 });
  const alerts = useQuery(open('alerts'));
  const incidents = useQuery(open('incidents'));
  const marked = itemsWith({ filter: ofMark('key_asset') });
  return (
    <div className="page">
      <Head title={t('page.cmdb.key')} sub={t('key.lead')}>
        <Updated at={query.dataUpdatedAt} />
        <Link to={marked}>{t('key.list')}</Link>
        <Link to="/risk?mark=key_asset">{t('key.risk')}</Link>
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.cmdb.key" lines={8}>
        {(k) => (
          <>
            <div className="stats five">
              <Stat to={marked} n={k.items} label={t('key.items')} />
              <Stat to={itemsWith({ filter: 'key_asset = true' })} n={k.marked} label={t('key.marked')} />
              <Stat to={itemsWith({ filter: 'system.key_asset = true' })} n={k.members} label={t('key.members')} />
              <Stat to="/alerts?key=true&since=90d" n={alerts.data} label={t('key.alerts')} />
              <Stat to="/incidents?key=true" n={incidents.data} label={t('key.incidents')} />
            </div>
            {k.items === 0 && (
              <div className="panel" style={{ marginBottom: 14 }}>
                <Empty small title={t('key.none')} why={t('key.noneWhy')}>
                  <Link to="/systems">{t('page.archive.system')}</Link>
                  <Link to="/cmdb/items">{t('page.cmdb.items')}</Link>
                </Empty>
              </div>
            )}
            {k.items > 0 && (
              <div className="cols even">
                <Counts title={t('key.byClass')} counts={k.classes} name={(c) => <Link to={itemsWith({ class: c, filter: ofMark('key_asset') })}>{words.className(c)}</Link>} locale={locale} />
                <Counts title={t('key.byTenant')} counts={k.tenants} name={(s) => <TenantName slug={s} />} locale={locale} />
              </div>
            )}
            <div style={{ marginTop: k.items > 0 ? 14 : 0 }}>
              <Rules results={list(k.rules)} editable={can('configure')} />
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}

function Stat({ to, n, label }: { to: string; n?: number; label: string }) {
  const { locale } = useSettings();
  return (
    <Link className="panel stat" to={to}>
      <span className="n">{n === undefined ? '–' : number(n, locale)}</span>
      <span className="l">{label}</span>
    </Link>
  );
}

function Counts({ title, counts, name, locale }: { title: string; counts: Record<string, number>; name: (key: string) => ReactNode; locale: Locale }) {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  const most = Math.max(1, ...rows.map(([, n]) => n));
  return (
    <Panel title={title} flush>
      {rows.map(([key, n]) => (
        <div className="figrow nostar" key={key}>
          <span className="ellipsis">{name(key)}</span>
          <span className="track">
            <i style={{ width: `${(n / most) * 100}%` }} />
          </span>
          <span className="num">{number(n, locale)}</span>
        </div>
      ))}
    </Panel>
  );
}

/** The rules with what each came to. Whoever may not change them sees how many items they name. */
function Rules({ results, editable }: { results: KeyAssets['rules'] & unknown[]; editable: boolean }) {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const [editing, setEditing] = useState<Rule | 'new' | null>(null);
  const setting = useQuery({ enabled: editable, queryKey: ['settings', 'cmdb-key-assets'], queryFn: ({ signal }) => get<Setting>(PATH, {}, signal) });
  const rules = list(setting.data?.value.rules);
  const filterOf = (name: string) => rules.find((r) => r.name === name)?.filter;
  const send = (next: readonly Rule[], said: string, before: readonly Rule[]) => act(() => put(PATH, { rules: next }), { said, undo: () => void act(() => put(PATH, { rules: before }), { said: t('ci.undone'), renew: RENEW }), renew: RENEW });
  const shown = editable && setting.data ? rules.map((r) => ({ ...r, ...results.find((x) => x.name === r.name) })) : results.map((r) => ({ ...r, filter: '' }));
  return (
    <Panel
      title={t('key.rules')}
      flush
      end={
        editable && (
          <Button size="small" disabled={!setting.data} onClick={() => setEditing('new')}>
            {t('key.ruleNew')}
          </Button>
        )
      }
    >
      {shown.length === 0 ? (
        <Empty small title={t('key.rulesNone')} why={t('key.rulesNoneWhy')} />
      ) : (
        <DataTable
          label={t('key.rules')}
          rows={shown}
          rowKey={(r) => r.name}
          columns={[
            { key: 'name', title: t('key.ruleName'), render: (r) => <b>{r.name}</b> },
            {
              key: 'filter',
              title: t('key.ruleFilter'),
              render: (r) => (
                <>
                  <code>{r.filter}</code>
                  {'error' in r && r.error && <div className="bad">{r.error}</div>}
                </>
              ),
            },
            { key: 'items', title: t('key.ruleItems'), num: true, width: 100, render: (r) => ('items' in r && r.items !== undefined ? r.filter ? <Link to={itemsWith({ filter: r.filter })}>{number(r.items, locale)}</Link> : number(r.items, locale) : '–') },
            ...(editable
              ? [
                  {
                    key: 'do',
                    title: '',
                    width: 130,
                    render: (r: Rule) => (
                      <span className="row" style={{ justifyContent: 'flex-end', gap: 4 }}>
                        <Button type="text" size="small" onClick={() => setEditing({ name: r.name, filter: filterOf(r.name) ?? '' })}>
                          {t('do.edit')}
                        </Button>
                        <Button type="text" size="small" disabled={busy} onClick={() => void send(rules.filter((x) => x.name !== r.name), t('key.ruleDeleted', { x: r.name }), rules)}>
                          {t('do.delete')}
                        </Button>
                      </span>
                    ),
                  },
                ]
              : []),
          ]}
        />
      )}
      {editing && (
        <FormDialog<Rule>
          title={editing === 'new' ? t('key.ruleNew') : t('key.ruleEdit', { x: editing.name })}
          ok={t('do.save')}
          initial={editing === 'new' ? undefined : editing}
          width={620}
          close={() => setEditing(null)}
          submit={async (v) => {
            const rule = { name: v.name.trim(), filter: v.filter.trim() };
            const next = editing === 'new' ? [...rules, rule] : rules.map((r) => (r.name === editing.name ? rule : r));
            await put(PATH, { rules: next });
            void act(async () => undefined, { said: t('key.ruleSaved', { x: rule.name }), undo: () => void act(() => put(PATH, { rules }), { said: t('ci.undone'), renew: RENEW }), renew: RENEW });
          }}
        >
          <Form.Item name="name" label={t('key.ruleName')} rules={[{ required: true, whitespace: true, max: 100 }]}>
            <Input autoFocus maxLength={100} />
          </Form.Item>
          <Form.Item name="filter" label={t('key.ruleFilter')} extra={t('key.ruleFilterHint')} rules={[{ required: true, whitespace: true }]}>
            <Input.TextArea rows={3} maxLength={4096} className="mono" />
          </Form.Item>
        </FormDialog>
      )}
    </Panel>
  );
}
