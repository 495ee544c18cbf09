import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Dropdown, Form, Input, Select, TreeSelect } from 'antd';
import { Suspense, lazy, useEffect, useMemo, useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post, put, request } from '../../api/client';
import { useCan } from '../../api/queries';
import { useLogGroups, type GroupTrend, type LogGroup } from '../../api/search';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { download } from '../../logic/export';
import { forest, withBelow, type Branch } from '../../logic/tree';
import { goDuration, parseRange, rangeParams } from '../../logic/urlstate';
import { Ask, FormDialog, Refused } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { RolesPicker, TenantsPicker, WordsInput } from '../../parts/pickers';
import { RangePicker } from '../../parts/range';
import { ImportDialog } from '../../parts/search/importing';
import { Empty, Loaded, Skeleton, Stale } from '../../parts/states';
import { useUnits } from '../../api/directory';

const Lines = lazy(() => import('../../parts/charts').then((m) => ({ default: m.Lines })));
const RENEW = ['log-groups', 'group-trend'];
const order = (a: LogGroup, b: LogGroup) => a.position - b.position || a.name.localeCompare(b.name);
const pathOf = (g: Pick<LogGroup, 'id'>) => `/log-groups/${encodeURIComponent(g.id)}`;

/** The directory of log groups: conditions that part the logs, and who may use which. */
export default function Groups() {
  const { t } = useSettings();
  const can = useCan();
  const { act, tell } = useAct();
  const [url, setUrl] = useUrl();
  const query = useLogGroups();
  const groups = useMemo(() => list(query.data), [query.data]);
  const chosen = groups.find((g) => g.id === url.get('group'));
  const [dialog, setDialog] = useState<'directory' | 'group' | 'import' | null>(null);
  const write = can('configure');
  const parent = chosen ? (chosen.kind === 'directory' ? chosen.id : chosen.parent) : '';
  const exportAll = () =>
    void act(async () => {
      const res = await request('GET', '/log-groups/export', { query: { format: 'yaml' }, accept: '*/*' });
      download('log-groups.yaml', 'application/yaml', await res.blob());
    });
  return (
    <div className="page">
      <Head title={t('page.groups.logs')} sub={query.data ? t('loggroups.count', { n: groups.filter((g) => g.kind === 'group').length }) : ''}>
        {groups.length > 0 && <Button onClick={exportAll}>{t('do.export')}</Button>}
        {write && <Button onClick={() => setDialog('import')}>{t('do.import')}</Button>}
        {write && <Button onClick={() => setDialog('directory')}>{t('loggroups.newDirectory')}</Button>}
        {write && (
          <Button type="primary" onClick={() => setDialog('group')}>
            {t('loggroups.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.groups.logs" lines={8}>
        {() =>
          groups.length === 0 ? (
            <Panel>
              <Empty title={t('loggroups.none')} why={t('loggroups.noneWhy')}>
                {write && (
                  <Button type="primary" onClick={() => setDialog('group')}>
                    {t('loggroups.new')}
                  </Button>
                )}
              </Empty>
            </Panel>
          ) : (
            <div className="withside wide">
              <aside className="panel side" aria-label={t('page.groups.logs')}>
                <Tree branches={forest(groups, order)} value={chosen?.id ?? ''} pick={(id) => setUrl({ group: id })} />
              </aside>
              <div className="stack">
                <Trend groups={groups} chosen={chosen} />
                {chosen && <Detail key={`${chosen.id} ${chosen.revision}`} group={chosen} groups={groups} write={write} gone={() => setUrl({ group: undefined })} />}
              </div>
            </div>
          )
        }
      </Loaded>
      {(dialog === 'group' || dialog === 'directory') && (
        <FormDialog<Pick<LogGroup, 'name' | 'filter'>>
          title={t(dialog === 'group' ? 'loggroups.new' : 'loggroups.newDirectory')}
          ok={t('do.create')}
          close={() => setDialog(null)}
          submit={async (v) => {
            const g = await post<LogGroup>('/log-groups', { parent, kind: dialog, name: v.name.trim(), description: '', filter: v.filter ?? '', tenants: [], span: '' });
            tell({ said: t('loggroups.made', { x: g.name }), renew: RENEW });
            setUrl({ group: g.id });
          }}
        >
          <Form.Item name="name" label={t('col.name')} rules={[{ required: true, whitespace: true, message: t('save.needName') }]}>
            <Input autoFocus maxLength={128} autoComplete="off" />
          </Form.Item>
          {dialog === 'group' && (
            <Form.Item name="filter" label={t('loggroups.filter')} extra={t('loggroups.filterWhy')}>
              <Input.TextArea className="mono grows" rows={2} spellCheck={false} />
            </Form.Item>
          )}
        </FormDialog>
      )}
      {dialog === 'import' && <ImportDialog title={t('loggroups.import')} path="/log-groups/import" renew={RENEW} close={() => setDialog(null)} />}
    </div>
  );
}

function Tree({ branches, value, pick, depth = 0 }: { branches: Branch<LogGroup>[]; value: string; pick: (id: string) => void; depth?: number }) {
  const { t } = useSettings();
  return (
    <ul role={depth === 0 ? 'tree' : 'group'} className={depth === 0 ? 'tree' : ''} aria-label={depth === 0 ? t('page.groups.logs') : undefined}>
      {branches.map(({ item: g, below }) => (
        <li key={g.id} role="treeitem" aria-selected={g.id === value} aria-expanded={below.length > 0 ? true : undefined}>
          <div className={`node${g.id === value ? ' on' : ''}`} style={{ paddingLeft: 8 + depth * 14 }}>
            <button className="plain name ellipsis" title={g.description} onClick={() => pick(g.id)}>
              {g.kind === 'directory' ? '▸ ' : ''}
              {g.name}
              {g.confines && <span className="faint"> · {t('loggroups.confines')}</span>}
            </button>
          </div>
          {below.length > 0 && <Tree branches={below} value={value} pick={pick} depth={depth + 1} />}
        </li>
      ))}
    </ul>
  );
}

/** How much each group holds over time: the chosen one, or those of the chosen directory. */
function Trend({ groups, chosen }: { groups: readonly LogGroup[]; chosen?: LogGroup }) {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const range = parseRange(url, '24h');
  const within = chosen ? withBelow(groups, chosen.id) : null;
  const ids = groups.filter((g) => g.kind === 'group' && g.usable && (!within || within.has(g.id))).slice(0, 50).map((g) => g.id);
  const span = 'since' in range ? { since: goDuration(range.since) } : range;
  const query = useQuery({
    queryKey: ['group-trend', ids, span],
    enabled: ids.length > 0,
    queryFn: ({ signal }) => {
      const q = new URLSearchParams({ ...span, buckets: '48' } as Record<string, string>);
      for (const id of ids) q.append('id', id);
      return get<GroupTrend>(`/log-groups/trend?${q}`, undefined, signal);
    },
  });
  if (ids.length === 0) return null;
  return (
    <Panel title={t('loggroups.trend')} end={<RangePicker value={range} choices={['1h', '4h', '24h', '7d']} onChange={(r) => setUrl(rangeParams(r, '24h'))} />}>
      <Loaded query={query} what="loggroups.trend" lines={4} small>
        {(d) => {
          const start = Date.parse(d.start);
          const all = [...list(d.groups)].sort((a, b) => b.total - a.total).slice(0, 8);
          const n = Math.max(0, ...all.map((g) => g.buckets.length));
          const data = { times: Array.from({ length: n }, (_, i) => start + i * d.step_ms), lines: all.map((g) => ({ name: g.name, values: g.buckets })) };
          return (
            <Suspense fallback={<Skeleton lines={4} />}>
              <Lines data={data} label={t('loggroups.trend')} height={200} />
            </Suspense>
          );
        }}
      </Loaded>
    </Panel>
  );
}

type Facts = Pick<LogGroup, 'name' | 'description' | 'filter' | 'span'> & { tenants?: string[]; parent?: string };

function Detail({ group: g, groups, write, gone }: { group: LogGroup; groups: readonly LogGroup[]; write: boolean; gone: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const { act, tell } = useAct();
  const [form] = Form.useForm<Facts>();
  const [error, setError] = useState<unknown>(null);
  const [removing, setRemoving] = useState(false);
  const [access, setAccess] = useState(false);
  useEffect(() => form.resetFields(), [g.revision, form]);
  const below = withBelow(groups, g.id);
  const save = async (v: Facts) => {
    setError(null);
    try {
      if ((v.parent ?? '') !== g.parent) await post(`${pathOf(g)}/move`, { parent: v.parent ?? '', position: 0 });
      const now = (v.parent ?? '') !== g.parent ? await get<LogGroup>(pathOf(g)) : g;
      await put(pathOf(g), { ...now, ...v, parent: v.parent ?? '', tenants: v.tenants ?? [], filter: v.filter ?? '', span: v.span ?? '', revision: now.revision });
      tell({ said: t('loggroups.saved', { x: v.name }), renew: RENEW });
    } catch (e) {
      setError(e);
    }
  };
  const named = g.access ? list(g.access.roles).length + list(g.access.units).length + list(g.access.users).length : 0;
  return (
    <Panel
      title={g.name}
      end={
        <>
          {g.kind === 'group' && g.usable && <Link to={`/search?${new URLSearchParams({ group: g.id })}`}>{t('loggroups.search')}</Link>}
          {(write || can('security')) && (
            <Dropdown
              trigger={['click']}
              menu={{
                items: [
                  { key: 'access', label: t('loggroups.access'), disabled: !can('security') || g.kind !== 'group', onClick: () => setAccess(true) },
                  { key: 'delete', label: t('do.delete'), disabled: !write, onClick: () => setRemoving(true) },
                ],
              }}
            >
              <Button size="small" type="text" aria-label={t('do.actions', { x: g.name })}>
                ⋯
              </Button>
            </Dropdown>
          )}
        </>
      }
    >
      <Refused error={error} />
      {g.kind === 'group' && (
        <p className="dim" style={{ marginBottom: 10 }}>
          {named === 0 ? t('loggroups.forAll') : t('loggroups.forSome', { n: named })} {g.confines && t('loggroups.confinesWhy')} {g.searches > 0 && t('loggroups.searches', { n: g.searches })}
        </p>
      )}
      <Form<Facts> form={form} layout="vertical" disabled={!write} requiredMark={false} initialValues={{ ...g, parent: g.parent || undefined, tenants: list(g.tenants) }} onFinish={(v) => void save(v)}>
        <div className="two">
          <Form.Item name="name" label={t('col.name')} rules={[{ required: true, whitespace: true, message: t('save.needName') }]}>
            <Input maxLength={128} />
          </Form.Item>
          <Form.Item name="parent" label={t('loggroups.parent')}>
            <TreeSelect allowClear treeDataSimpleMode placeholder={t('loggroups.top')} treeDefaultExpandAll treeData={groups.filter((x) => x.kind === 'directory' && !below.has(x.id)).map((x) => ({ id: x.id, pId: x.parent, value: x.id, title: x.name }))} />
          </Form.Item>
        </div>
        <Form.Item name="description" label={t('save.description')}>
          <Input maxLength={512} />
        </Form.Item>
        {g.kind === 'group' && (
          <>
            <Form.Item name="filter" label={t('loggroups.filter')} extra={t('loggroups.filterWhy')}>
              <Input.TextArea className="mono grows" rows={2} spellCheck={false} />
            </Form.Item>
            <div className="two">
              <Form.Item name="tenants" label={t('col.tenant')}>
                <TenantsPicker />
              </Form.Item>
              <Form.Item name="span" label={t('loggroups.span')} extra={t('loggroups.spanWhy')} rules={[{ pattern: /^\d+[mhdw]$/, message: t('loggroups.spanRule') }]}>
                <Input placeholder="30d" />
              </Form.Item>
            </div>
          </>
        )}
        {write && (
          <Button type="primary" htmlType="submit">
            {t('do.save')}
          </Button>
        )}
      </Form>
      {removing && (
        <Ask
          title={t('loggroups.delete', { x: g.name })}
          why={t('loggroups.deleteWhy')}
          ok={t('do.delete')}
          name={g.name}
          close={() => setRemoving(false)}
          submit={async () => {
            await del(pathOf(g));
            await act(async () => undefined, { said: t('loggroups.deleted', { x: g.name }), renew: RENEW });
            gone();
          }}
        />
      )}
      {access && <Access group={g} close={() => setAccess(false)} />}
    </Panel>
  );
}

interface AccessValues {
  roles?: string[];
  units?: string[];
  users?: string[];
  confines?: boolean;
}

function Access({ group: g, close }: { group: LogGroup; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const units = list(useUnits().data);
  return (
    <FormDialog<AccessValues>
      title={t('loggroups.accessOf', { x: g.name })}
      ok={t('do.save')}
      close={close}
      initial={{ roles: list(g.access?.roles), units: list(g.access?.units), users: list(g.access?.users), confines: g.confines }}
      submit={async (v) => {
        await put(`${pathOf(g)}/access`, { roles: v.roles ?? [], units: v.units ?? [], users: v.users ?? [], confines: v.confines ?? false, revision: g.revision });
        tell({ said: t('loggroups.saved', { x: g.name }), renew: RENEW });
      }}
    >
      <p className="hint">{t('loggroups.accessWhy')}</p>
      <Form.Item name="roles" label={t('page.roles')}>
        <RolesPicker />
      </Form.Item>
      <Form.Item name="units" label={t('page.units')}>
        <Select mode="multiple" optionFilterProp="label" options={units.map((u) => ({ value: u.id, label: tx(u.name) || u.id }))} />
      </Form.Item>
      <Form.Item name="users" label={t('page.users')}>
        <WordsInput placeholder={t('users.username')} />
      </Form.Item>
      <Form.Item name="confines" valuePropName="checked" extra={t('loggroups.confinesWhy')}>
        <Checkbox>{t('loggroups.confines')}</Checkbox>
      </Form.Item>
    </FormDialog>
  );
}
