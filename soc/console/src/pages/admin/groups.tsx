import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Radio } from 'antd';
import { useState } from 'react';
import { useNavigate } from 'react-router-dom';
import type { Account, Grant, Group, GroupKind } from '../../api/access';
import { del, patch, post, put } from '../../api/client';
import { all, useGroups, useUnitName } from '../../api/directory';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { Ask, FormDialog } from '../../parts/dialog';
import { GrantDialog, GrantTable } from '../../parts/grants';
import { Head, Panel } from '../../parts/page';
import { Person } from '../../parts/person';
import { UserPicker } from '../../parts/pickers';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';
import { UnitPicker } from '../../parts/unittree';

const KINDS: GroupKind[] = ['group', 'post', 'project'];
const RENEW = ['groups', 'members', 'users', 'user', 'grants'] as const;

/** Groups and posts with their members, and every grant there is. */
export default function Groups() {
  const { t } = useSettings();
  const can = useCan();
  const [params, setUrl] = useUrl();
  const [adding, setAdding] = useState<'group' | 'grant' | null>(null);
  const tabs = [{ key: 'groups' as const, title: t('groups.what') }, ...(can('list-grants') ? [{ key: 'grants' as const, title: t('grants.what') }] : [])];
  const tab = useTab(tabs);
  return (
    <div className="page">
      <Head title={t('page.groups')}>
        {tab === 'groups' && can('create-group') && (
          <Button type="primary" onClick={() => setAdding('group')}>
            {t('groups.new')}
          </Button>
        )}
        {tab === 'grants' && can('create-grant') && (
          <Button type="primary" onClick={() => setAdding('grant')}>
            {t('grants.new')}
          </Button>
        )}
      </Head>
      <Tabs tabs={tabs} label={t('page.groups')} />
      {tab === 'groups' ? <GroupList chosen={params.get('group') ?? ''} pick={(id) => setUrl({ group: id })} add={() => setAdding('group')} /> : <Grants add={() => setAdding('grant')} />}
      {adding === 'group' && <GroupDialog close={() => setAdding(null)} done={(id) => setUrl({ group: id })} />}
      {adding === 'grant' && <GrantDialog close={() => setAdding(null)} />}
    </div>
  );
}

function Grants({ add }: { add: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const query = useQuery({ queryKey: ['grants'], queryFn: ({ signal }) => all<Grant>('/grants', {}, signal) });
  return (
    <>
      <Stale query={query} />
      <Panel flush>
        <Loaded query={query} what="grants.what" lines={6}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('grants.empty')} why={t('grants.emptyWhy')}>
                {can('create-grant') && <Button onClick={add}>{t('grants.new')}</Button>}
              </Empty>
            ) : (
              <div style={{ overflowX: 'auto' }}>
                <GrantTable grants={rows} />
              </div>
            )
          }
        </Loaded>
      </Panel>
    </>
  );
}

function GroupList({ chosen, pick, add }: { chosen: string; pick: (id: string) => void; add: () => void }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const [params, setUrl] = useUrl();
  const unitName = useUnitName();
  const query = useGroups();
  const q = (params.get('q') ?? '').toLowerCase();
  const kind = params.get('kind') ?? '';
  const groups = list(query.data);
  const rows = groups.filter((g) => (!kind || g.kind === kind) && (!q || `${g.name.zh ?? ''} ${g.name.en ?? ''} ${g.id}`.toLowerCase().includes(q)));
  const open = groups.find((g) => g.id === chosen);
  return (
    <>
      <div className="filters">
        <SearchBox hint={t('groups.search')} />
        {KINDS.map((k) => (
          <button key={k} className="plain toggle" aria-pressed={kind === k} onClick={() => setUrl({ kind: kind === k ? undefined : k })}>
            {t(`groupkind.${k}`)}
          </button>
        ))}
      </div>
      <Stale query={query} />
      <div className="halves">
        <Panel flush>
          <Loaded query={query} what="groups.what" lines={6}>
            {() =>
              rows.length === 0 ? (
                <Empty title={t('groups.empty')} why={t('groups.emptyWhy')}>
                  {can('create-group') && <Button onClick={add}>{t('groups.new')}</Button>}
                </Empty>
              ) : (
                <DataTable
                  label={t('page.groups')}
                  rows={rows}
                  rowKey={(g) => g.id}
                  marked={chosen}
                  onRow={(g) => pick(g.id)}
                  columns={[
                    {
                      key: 'name',
                      title: t('col.name'),
                      render: (g) => (
                        <button className="plain" onClick={() => pick(g.id)}>
                          <b style={{ fontWeight: 550 }}>{tx(g.name) || g.id}</b>
                        </button>
                      ),
                    },
                    { key: 'kind', title: t('groups.kind'), render: (g) => <span className="tag">{t(`groupkind.${g.kind}`)}</span> },
                    { key: 'unit', title: t('users.unit'), render: (g) => (g.unit ? unitName(g.unit) : <span className="faint">–</span>) },
                    { key: 'members', title: t('groups.members'), num: true, render: (g) => g.members ?? '–' },
                  ]}
                />
              )
            }
          </Loaded>
        </Panel>
        {groups.length > 0 && (open ? <GroupDetail key={open.id} group={open} gone={() => pick('')} /> : <Panel><Empty title={t('groups.pick')} /></Panel>)}
      </div>
    </>
  );
}

function GroupDetail({ group, gone }: { group: Group; gone: () => void }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const { act, tell } = useAct();
  const [dialog, setDialog] = useState<'edit' | 'delete' | 'member' | 'grant' | null>(null);
  const name = tx(group.name) || group.id;
  const path = `/groups/${encodeURIComponent(group.id)}`;
  const members = useQuery({ queryKey: ['members', group.id], queryFn: ({ signal }) => all<Account>(`${path}/members`, {}, signal) });
  const grants = useQuery({ queryKey: ['grants', 'group', group.id], queryFn: ({ signal }) => all<Grant>('/grants', { group: group.id }, signal), enabled: can('list-grants') });
  const may = can('update-group');
  const remove = (u: Account) =>
    act(() => del(`${path}/members/${encodeURIComponent(u.id)}`), {
      said: t('groups.memberRemoved', { x: u.display_name || u.username, y: name }),
      undo: () => void act(() => put(`${path}/members/${encodeURIComponent(u.id)}`, {}), { renew: RENEW }),
      renew: RENEW,
    });
  const about = typeof group.description === 'string' ? group.description : tx(group.description);
  return (
    <div className="stack">
      <Panel
        title={name}
        flush
        end={
          may && (
            <>
              <Button size="small" onClick={() => setDialog('member')}>
                {t('groups.addMember')}
              </Button>
              <Button size="small" onClick={() => setDialog('edit')}>
                {t('do.edit')}
              </Button>
              <Button size="small" onClick={() => setDialog('delete')}>
                {t('do.delete')}
              </Button>
            </>
          )
        }
      >
        {about && <p className="dim" style={{ padding: '0 14px 8px' }}>{about}</p>}
        <Loaded query={members} what="groups.members" lines={3} small>
          {(rows) =>
            rows.length === 0 ? (
              <Empty small title={t('groups.noMembers')} />
            ) : (
              <DataTable
                label={t('groups.members')}
                rows={rows}
                rowKey={(u) => u.id}
                onRow={(u) => navigate(`/admin/users/${encodeURIComponent(u.id)}`)}
                columns={[
                  { key: 'who', title: t('groups.members'), render: (u) => <Person user={u} /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (u) =>
                      may && (
                        <Button size="small" onClick={() => void remove(u)} aria-label={t('do.remove', { x: u.username })}>
                          ✕
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Panel>
      {can('list-grants') && (
        <Panel
          title={t('grants.what')}
          flush
          end={
            can('create-grant') && (
              <Button size="small" onClick={() => setDialog('grant')}>
                {t('grants.new')}
              </Button>
            )
          }
        >
          <Loaded query={grants} what="grants.what" lines={2} small>
            {(rows) =>
              rows.length === 0 ? (
                <Empty small title={t('grants.empty')} />
              ) : (
                <div style={{ overflowX: 'auto' }}>
                  <GrantTable grants={rows} who={false} />
                </div>
              )
            }
          </Loaded>
        </Panel>
      )}
      {dialog === 'edit' && <GroupDialog group={group} close={() => setDialog(null)} />}
      {dialog === 'grant' && <GrantDialog group={group.id} close={() => setDialog(null)} />}
      {dialog === 'member' && (
        <FormDialog<{ user: string }>
          title={t('groups.addMember')}
          ok={t('groups.addMember')}
          close={() => setDialog(null)}
          submit={async (v) => {
            await put(`${path}/members/${encodeURIComponent(v.user)}`, {});
            tell({ said: t('do.saved'), renew: RENEW });
          }}
        >
          <Form.Item name="user" label={t('users.one')} rules={[{ required: true, message: t('word.required', { x: t('users.one') }) }]}>
            <UserPicker />
          </Form.Item>
        </FormDialog>
      )}
      {dialog === 'delete' && (
        <Ask
          title={`${t('do.delete')} ${name}`}
          why={t('groups.deleteWhy')}
          ok={t('do.delete')}
          close={() => setDialog(null)}
          submit={async () => {
            await del(path);
            gone();
            tell({ said: t('groups.deleted', { x: name }), renew: RENEW });
          }}
        />
      )}
    </div>
  );
}

interface Values {
  kind: GroupKind;
  zh: string;
  en?: string;
  unit?: string;
  description?: string;
}

function GroupDialog({ group, close, done }: { group?: Group; close: () => void; done?: (id: string) => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const about = typeof group?.description === 'string' ? group.description : tx(group?.description);
  return (
    <FormDialog<Values>
      title={group ? t('do.edit') : t('groups.new')}
      ok={group ? t('do.save') : t('groups.new')}
      initial={group ? { kind: group.kind, zh: group.name.zh, en: group.name.en, unit: group.unit, description: about } : { kind: 'post' }}
      close={close}
      submit={async (v) => {
        const body = { name: { zh: v.zh, en: v.en ?? '' }, unit: v.unit ?? '', description: v.description ?? '' };
        const saved = group ? await patch<Group>(`/groups/${encodeURIComponent(group.id)}`, body) : await post<Group>('/groups', { kind: v.kind, ...body });
        tell({ said: t(group ? 'groups.saved' : 'groups.created', { x: v.zh }), renew: RENEW });
        done?.(saved.id);
      }}
    >
      {!group && (
        <Form.Item name="kind" label={t('groups.kind')}>
          <Radio.Group options={KINDS.map((k) => ({ value: k, label: t(`groupkind.${k}`) }))} />
        </Form.Item>
      )}
      <div className="two">
        <Form.Item name="zh" label={t('groups.nameZh')} rules={[{ required: true, message: t('word.required', { x: t('col.name') }) }]}>
          <Input autoComplete="off" autoFocus />
        </Form.Item>
        <Form.Item name="en" label={t('groups.nameEn')}>
          <Input autoComplete="off" />
        </Form.Item>
      </div>
      <Form.Item name="unit" label={t('users.unit')}>
        <UnitPicker />
      </Form.Item>
      <Form.Item name="description" label={t('groups.description')}>
        <Input.TextArea rows={2} className="grows" />
      </Form.Item>
    </FormDialog>
  );
}
