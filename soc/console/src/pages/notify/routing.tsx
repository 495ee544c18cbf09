import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Select, Switch } from 'antd';
import { useState } from 'react';
import { buildPath, get, post, put } from '../../api/client';
import type { ContactPoint, Hit, ImportedRouting, Interval, Route, RouteLine, Tree, TreeVersion, Where } from '../../api/notify';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { joined } from '../../logic/format';
import { changed, freshID, moved, pairsOf, tidy } from '../../logic/notify';
import { FormDialog } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { Empty, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { TenantFilter } from '../../parts/tenantfilter';
import { When } from '../../parts/time';

/** Who is told of which alerts: the tree, where an alert would go, and all versions. ?tenant= is a tenant's own tree. */
export default function Routing() {
  const { t } = useSettings();
  const can = useCan();
  const { act, busy, tell } = useAct();
  const [url, setUrl] = useUrl();
  const tenant = url.get('tenant') ?? '';
  const [draft, setDraft] = useState<{ of: string; tree: Tree } | null>(null);
  const [editing, setEditing] = useState<{ route: Route; into?: string } | null>(null);
  const [saving, setSaving] = useState<'tree' | 'intervals' | 'import' | null>(null);
  const [hits, setHits] = useState<readonly Hit[]>([]);
  const query = useQuery({ queryKey: ['routing', tenant], queryFn: ({ signal }) => get<TreeVersion>('/routing', { tenant }, signal) });
  const versions = useQuery({ queryKey: ['routing-versions', tenant], queryFn: ({ signal }) => get<Page<TreeVersion>>('/routing/versions', { tenant }, signal) });
  const contacts = useQuery({ queryKey: ['contacts'], queryFn: ({ signal }) => get<Page<ContactPoint>>('/contact-points', {}, signal) });
  const write = can('put-routing');
  const tree = draft?.of === tenant ? draft.tree : query.data?.tree;
  const dirty = draft?.of === tenant;
  const edit = (next: Tree) => setDraft({ of: tenant, tree: next });
  const renew = ['routing', 'routing-versions', 'routing-lines', 'contacts'];
  return (
    <div className="page">
      <Head title={t('page.routing')} sub={t('notify.routingLead')}>
        <TenantFilter value={tenant} onChange={(v) => setUrl({ tenant: v || undefined })} />
        <a href={buildPath('/routing/export', { tenant })} download className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }}>
          {t('notify.exportYaml')}
        </a>
        {write && (
          <>
            <Button onClick={() => setSaving('import')}>{t('notify.import')}</Button>
            <Button onClick={() => setSaving('intervals')}>{t('notify.intervals')}</Button>
            {dirty && <Button onClick={() => setDraft(null)}>{t('notify.discard')}</Button>}
            <Button type="primary" disabled={!dirty} onClick={() => setSaving('tree')}>
              {t('notify.save')}
            </Button>
          </>
        )}
      </Head>
      {dirty && (
        <div className="notice" role="status">
          {t('notify.unsaved')}
        </div>
      )}
      <div className="stack" style={{ gap: 14 }}>
      <Panel title={t('notify.tree')}>
        <Loaded query={query} what="page.routing" lines={6}>
          {() =>
            tree && (
              <ul style={{ listStyle: 'none', margin: 0, padding: 0 }}>
                <Node
                  route={tree.root}
                  root
                  hits={hits}
                  write={write}
                  edit={(route) => setEditing({ route })}
                  add={(into) => setEditing({ route: { id: freshID() }, into })}
                  move={(id, by) => edit(moved(tree, id, by))}
                  remove={(id) => edit(changed(tree, id, () => null))}
                />
              </ul>
            )
          }
        </Loaded>
      </Panel>
      <WhereForm draft={dirty ? tree : undefined} tenant={tenant} found={setHits} />
      <RouteList tenant={tenant} />
      <Panel title={t('notify.versions')} flush>
        <DataTable
          label={t('notify.versions')}
          rows={list(versions.data?.items)}
          rowKey={(v) => String(v.version)}
          columns={[
            { key: 'v', title: '#', num: true, render: (v) => v.version },
            { key: 'at', title: t('notify.at'), render: (v) => <When time={v.at} /> },
            { key: 'by', title: t('notify.by'), render: (v) => v.by },
            { key: 'note', title: t('notify.saveWhy'), render: (v) => v.note },
            {
              key: 'do',
              title: '',
              num: true,
              render: (v) =>
                can('restore-routing') &&
                v.version !== query.data?.version && (
                  <Button size="small" disabled={busy || dirty} onClick={() => void act(() => post(`/routing/versions/${v.version}/restore`, {}, { tenant }), { said: t('notify.restored'), renew })}>
                    {t('notify.restore')}
                  </Button>
                ),
            },
          ]}
        />
        {list(versions.data?.items).length === 0 && <Empty small title={t('notify.noVersions')} />}
      </Panel>
      </div>
      {editing && tree && (
        <RouteForm
          route={editing.route}
          root={editing.route.id === tree.root.id}
          contacts={list(contacts.data?.items).map((c) => c.name)}
          intervals={tree.intervals.map((i) => i.name)}
          submit={(r) => edit(editing.into !== undefined ? changed(tree, editing.into, (p) => ({ ...p, routes: [...(p.routes ?? []), r] })) : changed(tree, editing.route.id ?? '', (old) => (old.routes ? { ...r, routes: old.routes } : r)))}
          close={() => setEditing(null)}
        />
      )}
      {saving === 'tree' && tree && (
        <FormDialog<{ note: string }>
          title={t('notify.save')}
          ok={t('do.save')}
          submit={async ({ note }) => {
            await put('/routing', { tree, base: query.data?.version ?? 0, note: note ?? '' }, { tenant });
            setDraft(null);
            tell({ said: t('notify.saved'), renew });
          }}
          close={() => setSaving(null)}
        >
          <Form.Item name="note" label={t('notify.saveWhy')}>
            <Input autoFocus maxLength={500} />
          </Form.Item>
        </FormDialog>
      )}
      {saving === 'intervals' && tree && (
        <FormDialog<{ text: string }>
          title={t('notify.intervals')}
          ok={t('do.save')}
          width={640}
          initial={{ text: JSON.stringify(tree.intervals.length ? tree.intervals : [{ name: 'office', time_intervals: [{ times: [{ start_time: '09:00', end_time: '18:00' }], weekdays: ['monday:friday'] }] }], null, 2) }}
          submit={({ text }) => {
            try {
              edit({ ...tree, intervals: JSON.parse(text) as Interval[] });
              return Promise.resolve();
            } catch (e) {
              return Promise.reject(new Error(t('notify.intervalsBad', { why: e instanceof Error ? e.message : String(e) })));
            }
          }}
          close={() => setSaving(null)}
        >
          <Form.Item name="text" label={t('notify.intervals')} extra={t('notify.intervalsWhy')}>
            <Input.TextArea className="mono" rows={9} />
          </Form.Item>
        </FormDialog>
      )}
      {saving === 'import' && (
        <ImportForm
          tenant={tenant}
          done={() => {
            setDraft(null);
            tell({ said: t('notify.saved'), renew });
          }}
          close={() => setSaving(null)}
        />
      )}
    </div>
  );
}

interface NodeProps {
  route: Route;
  root?: boolean;
  hits: readonly Hit[];
  write: boolean;
  edit: (r: Route) => void;
  add: (into: string) => void;
  move: (id: string, by: -1 | 1) => void;
  remove: (id: string) => void;
}

function Node({ route: r, root, ...rest }: NodeProps) {
  const { t, locale } = useSettings();
  const id = r.id ?? '';
  const hit = rest.hits.find((h) => h.route === id);
  const times = [r.group_wait && `${t('notify.groupWait')} ${r.group_wait}`, r.group_interval && `${t('notify.groupInterval')} ${r.group_interval}`, r.repeat_interval && `${t('notify.repeat')} ${r.repeat_interval}`].filter((x): x is string => !!x);
  return (
    <li>
      <div className={hit ? 'notice' : undefined} style={{ padding: '6px 8px', opacity: r.disabled ? 0.5 : 1 }} data-route={id} data-hit={hit ? '' : undefined}>
        <div className="row" style={{ justifyContent: 'space-between' }}>
          <span>
            <b>{root ? t('notify.root') : r.name || id}</b> {r.disabled && <span className="tag">{t('notify.off')}</span>} {r.continue && <span className="tag">{t('notify.continue')}</span>} {r.direct && <span className="tag">{t('notify.direct')}</span>}{' '}
            <span className="tags">
              {(r.matchers ?? []).map((m) => (
                <span key={m} className="tag mono">
                  {m}
                </span>
              ))}
            </span>
          </span>
          {rest.write && (
            <span className="row">
              <Button size="small" onClick={() => rest.edit(r)}>
                {t('do.edit')}
              </Button>
              <Button size="small" onClick={() => rest.add(id)}>
                {t('notify.addRoute')}
              </Button>
              {!root && (
                <>
                  <Button size="small" aria-label={t('notify.moveUp')} onClick={() => rest.move(id, -1)}>
                    ↑
                  </Button>
                  <Button size="small" aria-label={t('notify.moveDown')} onClick={() => rest.move(id, 1)}>
                    ↓
                  </Button>
                  <Button size="small" onClick={() => rest.remove(id)}>
                    {t('do.delete')}
                  </Button>
                </>
              )}
            </span>
          )}
        </div>
        <div className="dim">
          → {r.nobody ? t('notify.nobody') : r.receivers?.length ? joined(r.receivers, locale) : root ? t('notify.nobody') : t('notify.inherits')}
          {r.group_by?.length ? ` · ${t('notify.groupBy')} ${r.group_by.join(', ')}` : ''}
          {times.length ? ` · ${times.join(' · ')}` : ''}
          {r.mute_time_intervals?.length ? ` · ${t('notify.mute')} ${r.mute_time_intervals.join(', ')}` : ''}
          {r.active_time_intervals?.length ? ` · ${t('notify.active')} ${r.active_time_intervals.join(', ')}` : ''}
          {r.escalate_after ? ` · ${t('notify.escalateAfter')} ${r.escalate_after} → ${(r.escalate_to ?? []).join(', ')}` : ''}
        </div>
        {r.description && <div className="faint">{r.description}</div>}
        {hit?.held_by && <div>{t('notify.held', { x: hit.held_by })}</div>}
      </div>
      {!!r.routes?.length && (
        <ul style={{ listStyle: 'none', margin: '0 0 0 12px', paddingLeft: 14, borderLeft: '2px solid var(--border-strong)' }}>
          {r.routes.map((child) => (
            <Node key={child.id} route={child} {...rest} />
          ))}
        </ul>
      )}
    </li>
  );
}

function RouteForm({ route, root, contacts, intervals, submit, close }: { route: Route; root: boolean; contacts: string[]; intervals: string[]; submit: (r: Route) => void; close: () => void }) {
  const { t } = useSettings();
  const tags = <Select mode="tags" open={false} tokenSeparators={['\n']} />;
  const several = (names: string[]) => <Select mode="multiple" options={names.map((n) => ({ value: n, label: n }))} />;
  return (
    <FormDialog<Route>
      title={route.name || root ? t('notify.editRoute') : t('notify.newRoute')}
      ok={t('do.save')}
      width={640}
      initial={route}
      submit={(v) => {
        submit({ ...tidy(v), id: route.id });
        return Promise.resolve();
      }}
      close={close}
    >
      {!root && (
        <>
          <Form.Item name="name" label={t('notify.name')} rules={[{ required: true, message: t('notify.name') }]}>
            <Input autoFocus maxLength={100} />
          </Form.Item>
          <Form.Item name="matchers" label={t('notify.matchers')} extra={t('notify.matchersWhy')}>
            {tags}
          </Form.Item>
        </>
      )}
      <Form.Item name="description" label={t('notify.note')}>
        <Input maxLength={1000} />
      </Form.Item>
      <Form.Item name="receivers" label={t('notify.receivers')} extra={root ? undefined : t('notify.receiversWhy')}>
        {several(contacts)}
      </Form.Item>
      <Form.Item name="group_by" label={t('notify.groupBy')} extra={t('notify.groupByWhy')}>
        {tags}
      </Form.Item>
      {(
        [
          ['group_wait', 'notify.groupWait', '30s'],
          ['group_interval', 'notify.groupInterval', '5m'],
          ['repeat_interval', 'notify.repeat', '4h'],
          ['escalate_after', 'notify.escalateAfter', '15m'],
        ] as const
      ).map(([name, label, hint]) => (
        <Form.Item key={name} name={name} label={t(label)}>
          <Input placeholder={hint} style={{ width: 160 }} />
        </Form.Item>
      ))}
      <Form.Item name="escalate_to" label={t('notify.escalateTo')}>
        {several(contacts)}
      </Form.Item>
      {!root && (
        <>
          <Form.Item name="mute_time_intervals" label={t('notify.mute')}>
            {several(intervals)}
          </Form.Item>
          <Form.Item name="active_time_intervals" label={t('notify.active')}>
            {several(intervals)}
          </Form.Item>
        </>
      )}
      {(root ? (['direct', 'no_resolved'] as const) : (['continue', 'direct', 'no_resolved', 'nobody', 'disabled'] as const)).map((name) => (
        <Form.Item key={name} name={name} valuePropName="checked" label={t(name === 'no_resolved' ? 'notify.noResolved' : `notify.${name}`)}>
          <Switch />
        </Form.Item>
      ))}
    </FormDialog>
  );
}

function WhereForm({ draft, tenant, found }: { draft?: Tree; tenant: string; found: (hits: readonly Hit[]) => void }) {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const [text, setText] = useState('');
  const [answer, setAnswer] = useState<Where | null>(null);
  const ask = () =>
    void act(async () => {
      const alert = text.trim().includes('=') ? undefined : text.trim();
      const r = await post<Where>('/routing/where', { ...(alert ? { alert } : { labels: pairsOf(text) }), ...(draft ? { draft, tenant } : {}) });
      setAnswer(r);
      found(list(r.routes));
    });
  return (
    <Panel title={t('notify.where')}>
      <div className="row" style={{ alignItems: 'flex-start' }}>
        <Input.TextArea aria-label={t('notify.whereWhy')} placeholder={`${t('notify.whereWhy')}\ntenant=e-seal\nseverity=high`} className="mono" rows={4} value={text} onChange={(e) => setText(e.target.value)} style={{ maxWidth: 420 }} />
        <Button type="primary" loading={busy} disabled={!text.trim()} onClick={ask}>
          {t('notify.whereAsk')}
        </Button>
        <div role="status" style={{ flex: 1 }}>
          {draft && <div className="faint">{t('notify.whereDraft')}</div>}
          {answer && list(answer.muted).length > 0 && <div className="notice warn">{t('notify.mutedNow')}</div>}
          {answer && list(answer.routes).every((h) => list(h.receivers).length === 0) && list(answer.every).length === 0 && <div>{t('notify.whereNobody')}</div>}
          {list(answer?.routes).map((h, i) => (
            <div key={i}>
              <b>{list(h.path).map((x) => (x === 'root' ? t('notify.rootShort') : x)).join(' / ')}</b> → {list(h.receivers).length ? joined(list(h.receivers), locale) : t('notify.nobody')}
              <div className="faint">
                {t('notify.groupBy')} {Object.entries(h.group_labels).map(([k, v]) => `${k}=${v}`).join(', ')} · {t('notify.groupWait')} {h.group_wait} · {t('notify.groupInterval')} {h.group_interval} · {t('notify.repeat')} {h.repeat_interval}
                {h.held_by && ` · ${t('notify.held', { x: h.held_by })}`}
              </div>
            </div>
          ))}
          {answer && list(answer.every).length > 0 && <div className="dim">{t('notify.everyToo', { x: joined(list(answer.every), locale) })}</div>}
        </div>
      </div>
    </Panel>
  );
}

function ImportForm({ tenant, done, close }: { tenant: string; done: () => void; close: () => void }) {
  const { t } = useSettings();
  const [found, setFound] = useState<ImportedRouting | null>(null);
  const send = (text: string, apply: boolean) => post<ImportedRouting>('/routing/import', { text, apply }, { tenant });
  return (
    <FormDialog<{ text: string }>
      title={t('notify.import')}
      ok={t('notify.importApply')}
      width={720}
      submit={async ({ text }) => {
        await send(text, true);
        done();
      }}
      close={close}
    >
      {(form) => (
        <>
          <Form.Item name="text" label="alertmanager.yml" rules={[{ required: true, message: 'alertmanager.yml' }]}>
            <Input.TextArea className="mono" rows={9} />
          </Form.Item>
          <Button onClick={() => void form.validateFields().then((v) => send(v.text, false)).then(setFound, (e: unknown) => setFound({ contact_points: [], problems: [{ line: 0, what: '', reason: e instanceof Error ? e.message : String(e) }] }))}>{t('notify.importCheck')}</Button>
          {found && (
            <ul role="status">
              {list(found.contact_points).map((p) => (
                <li key={p.name}>
                  {p.name} ({p.kind}): {t(p.state === 'new' ? 'notify.importNew' : p.state === 'exists' ? 'notify.importExists' : 'notify.importInvalid')} {p.error}
                </li>
              ))}
              {list(found.problems).map((p, i) => (
                <li key={i}>
                  {p.line > 0 && `${t('notify.line', { n: p.line })} `}
                  {p.what}: {p.reason}
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </FormDialog>
  );
}

/** The routes in force as a list, to be read at a glance and by those who audit. */
function RouteList({ tenant }: { tenant: string }) {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['routing-lines', tenant], queryFn: ({ signal }) => get<Page<RouteLine>>('/routing/routes', { tenant }, signal) });
  return (
    <Panel title={t('notify.lines')} flush>
      <Loaded query={query} what="notify.lines" lines={3}>
        {(page) => (
          <DataTable
            label={t('notify.lines')}
            rows={list(page.items)}
            rowKey={(r) => r.id}
            columns={[
              {
                key: 'name',
                title: t('col.name'),
                render: (r) => (
                  <>
                    <b style={{ fontWeight: 550, opacity: r.enabled ? 1 : 0.6 }}>{list(r.path).join(' › ')}</b>
                    {r.description && <div className="dim">{r.description}</div>}
                  </>
                ),
              },
              { key: 'type', title: t('notify.lineType'), render: (r) => t(`notify.line.${r.type}`) },
              { key: 'what', title: t('notify.lineWhat'), render: (r) => <span className="mono">{list(r.matchers).join(', ')}</span> },
              { key: 'to', title: t('notify.lineTo'), render: (r) => joined(list(r.receivers), locale) },
              { key: 'by', title: t('notify.lineMerge'), render: (r) => <span className="mono">{list(r.merge_by).join(', ')}</span> },
              { key: 'on', title: t('col.status'), render: (r) => t(r.enabled ? 'word.on' : 'word.off') },
              {
                key: 'at',
                title: t('notify.at'),
                render: (r) => (
                  <>
                    <When time={r.updated_at} /> <span className="dim">{r.updated_by}</span>
                  </>
                ),
              },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}
