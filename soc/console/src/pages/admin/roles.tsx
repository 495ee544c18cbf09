import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Form, Input, Select } from 'antd';
import { useEffect, useMemo, useState } from 'react';
import { Link } from 'react-router-dom';
import type { Operation, Role } from '../../api/access';
import { del, get, patch, post } from '../../api/client';
import { useOperations, useRoles } from '../../api/directory';
import { useCan, useMe } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { changeOf, compare, effective, grantable, heldBy } from '../../logic/roles';
import { Ask, FormDialog } from '../../parts/dialog';
import { scopeText } from '../../parts/names';
import { Head, Panel } from '../../parts/page';
import { useOperationText } from '../../parts/operation';
import { OperationTree, ROLE_SCOPES, ScopeCards } from '../../parts/permissions';
import { RolePicker } from '../../parts/pickers';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';

const RENEW = ['roles', 'users', 'me'] as const;

/** Roles: what each may do, kind by kind and operation by operation. */
export default function Roles() {
  const { t, tx } = useSettings();
  const can = useCan();
  const me = useMe().data;
  const [params, setUrl] = useUrl();
  const roles = useRoles();
  const operations = useOperations();
  const [adding, setAdding] = useState<Role | true | null>(null);
  const separated = !!me?.separation;
  const rows = useMemo(() => list(roles.data).map((r) => effective(r, separated)).sort((a, b) => Number(!!b.built_in) - Number(!!a.built_in)), [roles.data, separated]);
  const chosen = rows.find((r) => r.id === params.get('role')) ?? rows[0];
  const other = rows.find((r) => r.id === params.get('with'));
  const ops = useMemo(() => grantable(list(operations.data)), [operations.data]);
  return (
    <div className="page">
      <Head title={t('page.roles')} sub={roles.data ? t('word.count', { n: rows.length }) : undefined}>
        {can('create-role') && (
          <Button type="primary" onClick={() => setAdding(true)}>
            {t('roles.new')}
          </Button>
        )}
      </Head>
      <Stale query={roles} />
      {me?.separation && <div className="notice">{t('roles.separation')}</div>}
      <Loaded query={roles} what="roles.what" lines={8}>
        {() => (
          <div className="withside wide">
            <aside className="panel side" aria-label={t('roles.what')}>
              <ul className="rolelist">
                {rows.map((r) => (
                  <li key={r.id}>
                    <Link to={`/admin/roles?role=${encodeURIComponent(r.id)}`} aria-current={r.id === chosen?.id}>
                      <b style={{ fontWeight: 550 }}>{tx(r.name) || r.id}</b>
                      <span className="sub">
                        <span>{t(r.built_in ? 'roles.builtIn' : 'roles.custom')}</span>
                        {r.delegated && <span>{t('roles.delegated')}</span>}
                        {ops.length > 0 && <span>{t('roles.permissionsN', { n: ops.filter((o) => heldBy(r, o)).length, m: ops.length })}</span>}
                        {r.users !== undefined && <span style={{ marginLeft: 'auto' }}>{t('roles.usersN', { n: r.users })}</span>}
                      </span>
                    </Link>
                  </li>
                ))}
              </ul>
            </aside>
            {!chosen ? (
              <Panel>
                <Empty title={t('roles.empty')} />
              </Panel>
            ) : (
              <Loaded query={operations} what="roles.permissions" lines={10}>
                {() =>
                  other && other.id !== chosen.id ? (
                    <Compare a={chosen} b={other} operations={ops} stop={() => setUrl({ with: undefined })} />
                  ) : (
                    <RoleDetail key={chosen.id} role={chosen} operations={ops} copy={() => setAdding(chosen)} compareWith={(id) => setUrl({ with: id })} gone={() => setUrl({ role: undefined })} />
                  )
                }
              </Loaded>
            )}
          </div>
        )}
      </Loaded>
      {adding && <RoleNew from={adding === true ? undefined : adding} close={() => setAdding(null)} created={(id) => setUrl({ role: id })} />}
    </div>
  );
}

function RoleDetail({ role, operations, copy, compareWith, gone }: { role: Role; operations: readonly Operation[]; copy: () => void; compareWith: (id: string) => void; gone: () => void }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const { busy, act, tell } = useAct();
  const detail = useQuery({ queryKey: ['roles', role.id], queryFn: ({ signal }) => get<Role>(`/roles/${encodeURIComponent(role.id)}`, {}, signal), enabled: can('get-role') });
  const holders = role.users ?? detail.data?.holders;
  const [draft, setDraft] = useState(role);
  const [comparing, setComparing] = useState(false);
  const [removing, setRemoving] = useState(false);
  useEffect(() => setDraft(role), [role]);
  const may = can('update-role') && !role.built_in;
  const name = tx(role.name) || role.id;
  const before = [...list(role.scopes), ...list(role.operations)];
  const after = [...list(draft.scopes), ...list(draft.operations)];
  const change = changeOf(before, after);
  const renamed = JSON.stringify([role.name, role.description, !!role.delegated]) !== JSON.stringify([draft.name, draft.description, !!draft.delegated]);
  const dirty = change.added + change.removed > 0 || renamed;
  const path = `/roles/${encodeURIComponent(role.id)}`;
  const send = (r: Role) => patch(path, { name: r.name, description: r.description ?? {}, scopes: list(r.scopes), operations: list(r.operations), delegated: !!r.delegated });
  const save = () => act(() => send(draft), { said: t('roles.saved', { x: name }), undo: () => void act(() => send(role), { renew: RENEW }), renew: RENEW });
  return (
    <div className="stack" data-testid="role">
      <Panel
        title={
          <>
            {name} <code className="faint">{role.id}</code>
          </>
        }
        end={
          <>
            {holders !== undefined && <Link to={`/admin/users?role=${encodeURIComponent(role.id)}`}>{t('roles.usersN', { n: holders })}</Link>}
            <Button size="small" onClick={() => setComparing(true)}>
              {t('roles.compare')}
            </Button>
            {can('create-role') && (
              <Button size="small" onClick={copy}>
                {t('roles.copy')}
              </Button>
            )}
            {may && (
              <Button size="small" onClick={() => setRemoving(true)}>
                {t('do.delete')}
              </Button>
            )}
          </>
        }
      >
        {role.built_in ? (
          <>
            <p>{tx(role.description)}</p>
            <p className="hint">{t('roles.builtInWhy')}</p>
          </>
        ) : (
          <div className="two" style={{ maxWidth: 720, gap: 10 }}>
            <Input aria-label={t('roles.nameZh')} addonBefore={t('word.zh')} disabled={!may} value={draft.name.zh ?? ''} onChange={(e) => setDraft({ ...draft, name: { ...draft.name, zh: e.target.value } })} />
            <Input aria-label={t('roles.nameEn')} addonBefore={t('word.en')} disabled={!may} value={draft.name.en ?? ''} onChange={(e) => setDraft({ ...draft, name: { ...draft.name, en: e.target.value } })} />
            <Checkbox disabled={!may} checked={!!draft.delegated} onChange={(e) => setDraft({ ...draft, delegated: e.target.checked })}>
              {t('roles.delegated')} <span className="hint">{t('roles.delegatedWhy')}</span>
            </Checkbox>
          </div>
        )}
        <h3 style={{ fontSize: 13, marginTop: 14 }}>{t('roles.byScope')}</h3>
        <ScopeCards value={list(draft.scopes)} disabled={!may} onChange={(scopes) => setDraft({ ...draft, scopes })} />
      </Panel>
      <Panel title={`${t('roles.permissions')} · ${t('roles.permissionsN', { n: operations.filter((o) => heldBy(draft, o)).length, m: operations.length })}`} flush>
        <OperationTree operations={operations} role={draft} disabled={!may} onChange={(ops) => setDraft({ ...draft, operations: ops })} />
        {dirty && (
          <div className="bar" role="toolbar">
            <span>{t('roles.changed', { a: change.added, r: change.removed })}</span>
            <span style={{ marginLeft: 'auto' }} />
            <Button onClick={() => setDraft(role)}>{t('do.cancel')}</Button>
            <Button type="primary" loading={busy} onClick={() => void save()}>
              {t('do.save')}
            </Button>
          </div>
        )}
      </Panel>
      {comparing && (
        <FormDialog<{ role: string }> title={t('roles.compare')} ok={t('roles.compare')} close={() => setComparing(false)} submit={(v) => Promise.resolve(compareWith(v.role))}>
          <Form.Item name="role" label={t('roles.compareWith')} rules={[{ required: true, message: t('word.required', { x: t('roles.one') }) }]}>
            <RolePicker />
          </Form.Item>
        </FormDialog>
      )}
      {removing && (
        <Ask
          title={t('roles.delete')}
          why={t('roles.deleteWhy')}
          ok={`${t('do.delete')} ${name}`}
          close={() => setRemoving(false)}
          submit={async () => {
            await del(path);
            gone();
            tell({ said: t('roles.deleted', { x: name }), renew: RENEW });
          }}
        />
      )}
    </div>
  );
}

/** Two roles side by side: only where they differ, unless told otherwise. */
function Compare({ a, b, operations, stop }: { a: Role; b: Role; operations: readonly Operation[]; stop: () => void }) {
  const { t, tx } = useSettings();
  const text = useOperationText();
  const [all, setAll] = useState(false);
  const result = compare(operations, a, b);
  const rows = [...result.onlyA.map((o) => ({ o, a: true, b: false })), ...result.onlyB.map((o) => ({ o, a: false, b: true })), ...(all ? result.both.map((o) => ({ o, a: true, b: true })) : [])];
  const mark = (x: boolean) => (x ? <b style={{ color: 'var(--accent-text)' }}>✓</b> : <span className="faint">–</span>);
  return (
    <Panel
      flush
      title={`${tx(a.name) || a.id} ↔ ${tx(b.name) || b.id}`}
      end={
        <>
          <button className="plain toggle" aria-pressed={!all} onClick={() => setAll((x) => !x)}>
            {t('roles.compareOnly')}
          </button>
          <Button size="small" onClick={stop}>
            {t('do.close')}
          </Button>
        </>
      }
    >
      {rows.length === 0 ? (
        <Empty small title={t('roles.compareSame')} />
      ) : (
        <DataTable
          label={t('roles.compare')}
          rows={rows}
          rowKey={(r) => r.o.id}
          columns={[
            {
              key: 'op',
              title: t('roles.permissions'),
              render: ({ o }) => (
                <span>
                  {text(o)} <code className="faint">{o.id}</code>
                </span>
              ),
            },
            { key: 'scope', title: t('tokens.scopes'), render: ({ o }) => scopeText(t, o.scope) },
            { key: 'a', title: tx(a.name) || a.id, render: (r) => mark(r.a) },
            { key: 'b', title: tx(b.name) || b.id, render: (r) => mark(r.b) },
          ]}
        />
      )}
    </Panel>
  );
}

interface Values {
  id: string;
  zh: string;
  en?: string;
  description?: string;
  delegated?: boolean;
  scopes?: string[];
}

function RoleNew({ from, close, created }: { from?: Role; close: () => void; created: (id: string) => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  return (
    <FormDialog<Values>
      title={t(from ? 'roles.copy' : 'roles.new')}
      ok={t('roles.new')}
      width={520}
      initial={from ? { id: `${from.id}-2`, zh: from.name.zh ? `${from.name.zh} 2` : '', en: from.name.en ? `${from.name.en} 2` : '', delegated: from.delegated } : { scopes: ['read'] }}
      close={close}
      submit={async (v) => {
        await post('/roles', {
          id: v.id,
          name: { zh: v.zh, en: v.en ?? '' },
          description: { zh: v.description ?? '', en: '' },
          scopes: from ? list(from.scopes) : (v.scopes ?? []),
          operations: list(from?.operations),
          delegated: !!v.delegated,
        });
        tell({ said: t('roles.created', { x: v.zh }), renew: RENEW });
        created(v.id);
      }}
    >
      <div className="two">
        <Form.Item name="zh" label={t('roles.nameZh')} rules={[{ required: true, message: t('word.required', { x: t('col.name') }) }]}>
          <Input autoFocus autoComplete="off" />
        </Form.Item>
        <Form.Item name="en" label={t('roles.nameEn')}>
          <Input autoComplete="off" />
        </Form.Item>
      </div>
      <Form.Item name="id" label={t('roles.id')} extra={t('roles.idWhy')} rules={[{ required: true, pattern: /^[a-z][a-z0-9-]*$/, message: t('roles.idBad') }]}>
        <Input autoComplete="off" spellCheck={false} className="mono" />
      </Form.Item>
      {!from && (
        <Form.Item name="scopes" label={t('roles.startWith')} rules={[{ required: true, message: t('word.required', { x: t('roles.permissions') }) }]}>
          <Select mode="multiple" options={ROLE_SCOPES.map((s) => ({ value: s, label: `${scopeText(t, s)} · ${scopeText(t, s, true)}` }))} />
        </Form.Item>
      )}
      <Form.Item name="description" label={t('roles.description')}>
        <Input.TextArea rows={2} className="grows" />
      </Form.Item>
      <Form.Item name="delegated" valuePropName="checked">
        <Checkbox>
          {t('roles.delegated')} <span className="hint">{t('roles.delegatedWhy')}</span>
        </Checkbox>
      </Form.Item>
    </FormDialog>
  );
}
