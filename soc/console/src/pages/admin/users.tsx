import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Dropdown, Select } from 'antd';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import type { Account, BatchAnswer, ImportAnswer } from '../../api/access';
import { get, post, request } from '../../api/client';
import { useRoleName, useRoles, useUnitName, useUnits } from '../../api/directory';
import { useCan, useMe } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { download } from '../../logic/export';
import { CSVImport } from '../../parts/csvimport';
import { Ask, FormDialog } from '../../parts/dialog';
import { UserCreate } from '../../parts/usercreate';
import { Head, Panel } from '../../parts/page';
import { Person, UserStateMark } from '../../parts/person';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { UnitPicker, UnitTree } from '../../parts/unittree';
import { Passwords } from '../../parts/passwords';
import { Form } from 'antd';

type Batch = 'enable' | 'disable' | 'delete' | 'set_unit';
const PAGE = 100;

export default function Users() {
  const { t, tx, locale } = useSettings();
  const [params, setUrl] = useUrl();
  const navigate = useNavigate();
  const client = useQueryClient();
  const can = useCan();
  const me = useMe().data;
  const { failed } = useFeedback();
  const { busy, act, tell } = useAct();
  const units = useUnits();
  const roles = useRoles(can('list-roles'));
  const unitName = useUnitName();
  const roleName = useRoleName();
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [dialog, setDialog] = useState<'new' | 'import' | Batch | null>(null);
  const [passwords, setPasswords] = useState<ImportAnswer['passwords']>(null);

  const unit = params.get('unit') ?? '';
  // A unit without a region has its parent's, so that the ones given name all there are.
  const regions = [...new Set(list(units.data).flatMap((u) => (u.region ? [u.region] : [])))].sort((a, b) => a.localeCompare(b, locale));
  const alone = params.get('below') === '0';
  const filter = {
    q: params.get('q') ?? undefined,
    [alone ? 'unit' : 'under']: unit || undefined,
    region: params.get('region') ?? undefined,
    role: params.get('role') ?? undefined,
    tag: params.get('tag') ?? undefined,
    group: params.get('group') ?? undefined,
    disabled: params.get('disabled') === '1' ? true : undefined,
    locked: params.get('locked') === '1' ? true : undefined,
  };
  const query = useInfiniteQuery({
    queryKey: ['users', 'list', filter],
    queryFn: ({ signal, pageParam }) => get<Page<Account>>('/users', { ...filter, limit: PAGE, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (p) => p.next || undefined,
  });
  const everyone = useQuery({ queryKey: ['users', 'total'], queryFn: ({ signal }) => get<Page<Account>>('/users', { limit: 1 }, signal), staleTime: 30_000 });
  const rows = (query.data?.pages ?? []).flatMap((p) => list(p.items));
  const total = query.data?.pages[0]?.total ?? rows.length;
  const renew = ['users', 'units', 'groups'] as const;

  const batch = async (action: Batch, extra: object = {}) => {
    const ids = [...chosen];
    const answer = await post<BatchAnswer>('/users/batch', { ids, action, ...extra });
    const refused = list(answer.failed);
    if (refused.length > 0) failed(new Error(t('users.batchRefused', { n: refused.length, x: refused[0]?.detail ?? '' })));
    setChosen(new Set(refused.map((r) => r.id)));
    return list(answer.done).length;
  };
  const simple = (action: 'enable' | 'disable') => {
    const ids = [...chosen];
    const back = () => void act(() => post('/users/batch', { ids, action: action === 'enable' ? 'disable' : 'enable' }), { renew });
    void act(() => batch(action), { said: t('users.batchDone', { n: ids.length }), undo: back, renew });
  };
  const toggle = (key: 'disabled' | 'locked') => setUrl({ [key]: params.get(key) === '1' ? undefined : '1' });
  const exportAll = () =>
    act(async () => {
      const res = await request('GET', '/users/export');
      download('users.csv', 'text/csv;charset=utf-8', await res.blob());
    });
  const pick = (id: string) => setUrl({ unit: id || undefined });

  return (
    <div className="page">
      <Head title={t('page.users')} sub={query.data ? t('word.count', { n: total }) : undefined}>
        {can('import-users') && <Button onClick={() => setDialog('import')}>{t('do.import')}</Button>}
        {can('export-users') && <Button onClick={() => void exportAll()}>{t('do.export')}</Button>}
        {can('create-user') && (
          <Button type="primary" onClick={() => setDialog('new')}>
            {t('users.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <div className={list(units.data).length > 0 ? 'withside' : ''}>
        {list(units.data).length > 0 && (
          <aside className="panel side" aria-label={t('page.units')}>
            <ul className="tree" style={{ paddingBottom: 0 }}>
              <li>
                <div className={`node${unit ? '' : ' on'}`} style={{ paddingLeft: 20 }}>
                  <button className="plain name" onClick={() => pick('')}>
                    {t('users.allUnits')}
                  </button>
                  {everyone.data?.total !== undefined && <span className="n">{everyone.data.total.toLocaleString(locale)}</span>}
                </div>
              </li>
            </ul>
            <UnitTree units={list(units.data)} value={unit} onPick={pick} />
          </aside>
        )}
        <div>
          <div className="filters">
            <SearchBox hint={t('users.search')} width={300} />
            {can('list-roles') && <Select
              aria-label={t('users.filter.role')}
              allowClear
              showSearch
              optionFilterProp="label"
              placeholder={t('users.filter.role')}
              value={params.get('role') ?? undefined}
              onChange={(v?: string) => setUrl({ role: v })}
              options={(roles.data ?? []).map((r) => ({ value: r.id, label: tx(r.name) || r.id }))}
              style={{ width: 150 }}
            />}
            {(regions.length > 0 || params.get('region')) && (
              <Select
                aria-label={t('users.filter.region')}
                allowClear
                showSearch
                placeholder={t('users.filter.region')}
                value={params.get('region') ?? undefined}
                onChange={(v?: string) => setUrl({ region: v })}
                options={regions.map((r) => ({ value: r, label: r }))}
                style={{ width: 130 }}
              />
            )}
            <button className="plain toggle" aria-pressed={params.get('disabled') === '1'} onClick={() => toggle('disabled')}>
              {t('users.filter.disabled')}
            </button>
            <button className="plain toggle" aria-pressed={params.get('locked') === '1'} onClick={() => toggle('locked')}>
              {t('users.filter.locked')}
            </button>
            {unit && (
              <button className="plain toggle" aria-pressed={!alone} onClick={() => setUrl({ below: alone ? undefined : '0' })}>
                {t('users.withBelow')}
              </button>
            )}
          </div>
          <Panel flush>
            <Loaded query={query} what="users.what" lines={8}>
              {() =>
                rows.length === 0 ? (
                  <Empty title={t('users.empty')} why={t('users.emptyWhy')}>
                    {can('create-user') && <Button onClick={() => setDialog('new')}>{unit ? t('users.newIn', { x: unitName(unit) }) : t('users.new')}</Button>}
                  </Empty>
                ) : (
                  <>
                    <div style={{ overflowX: 'auto' }}>
                      <DataTable
                        label={t('page.users')}
                        rows={rows}
                        rowKey={(u) => u.id}
                        onRow={(u) => navigate(`/admin/users/${encodeURIComponent(u.id)}`)}
                        choice={can('batch-users') ? { ids: chosen, set: setChosen, name: (u) => u.username } : undefined}
                        columns={[
                          {
                            key: 'who',
                            title: t('users.one'),
                            render: (u) => (
                              <Link to={`/admin/users/${encodeURIComponent(u.id)}`} style={{ color: 'inherit' }}>
                                <Person user={u} />
                              </Link>
                            ),
                          },
                          { key: 'unit', title: t('users.unit'), render: (u) => (u.unit ? unitName(u.unit) : <span className="faint">–</span>) },
                          {
                            key: 'roles',
                            title: t('users.roles'),
                            render: (u) => (
                              <span className="tags">
                                {list(u.roles).map((r) => (
                                  <span className="tag" key={r}>
                                    {roleName(r)}
                                  </span>
                                ))}
                              </span>
                            ),
                          },
                          { key: 'state', title: t('col.status'), render: (u) => <UserStateMark user={u} /> },
                          { key: 'last', title: t('users.last'), num: true, render: (u) => (u.last_login_at ? <When time={u.last_login_at} age /> : <span className="faint">{t('word.never')}</span>) },
                        ]}
                      />
                    </div>
                    {query.hasNextPage && (
                      <div style={{ padding: 12, textAlign: 'center' }}>
                        <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                          {t('do.more')}
                        </Button>
                      </div>
                    )}
                    {chosen.size > 0 && (
                      <div className="bar" role="toolbar" aria-label={t('do.selected', { n: chosen.size })}>
                        <b>{t('do.selected', { n: chosen.size })}</b>
                        <Button size="small" disabled={busy} onClick={() => simple('enable')}>
                          {t('users.batch.enable', { n: chosen.size })}
                        </Button>
                        <Button size="small" disabled={busy || (!!me && chosen.size === 1 && chosen.has(me.id))} onClick={() => simple('disable')}>
                          {t('users.batch.disable', { n: chosen.size })}
                        </Button>
                        {list(units.data).length > 0 && (
                          <Button size="small" disabled={busy} onClick={() => setDialog('set_unit')}>
                            {t('users.batch.set_unit', { n: chosen.size })}
                          </Button>
                        )}
                        <Dropdown trigger={['click']} menu={{ items: [{ key: 'delete', danger: true, label: t('users.batch.delete', { n: chosen.size }), onClick: () => setDialog('delete') }] }}>
                          <Button size="small" aria-label={t('user.more')}>
                            …
                          </Button>
                        </Dropdown>
                        <Button size="small" type="text" style={{ marginLeft: 'auto' }} onClick={() => setChosen(new Set())}>
                          {t('do.unselect')}
                        </Button>
                      </div>
                    )}
                  </>
                )
              }
            </Loaded>
          </Panel>
        </div>
      </div>
      {dialog === 'new' && <UserCreate unit={unit} close={() => setDialog(null)} />}
      {dialog === 'import' && (
        <CSVImport
          title={t('users.importTitle')}
          why={t('users.importWhy')}
          path="/users/import"
          columns={['username', 'display_name', 'email', 'phone', 'unit_code', 'roles', 'tags', 'locale', 'password']}
          example={['wang.wei', '王伟', 'wang.wei@example.gov.cn', '', '', 'analyst', '', 'zh-CN', '']}
          close={() => setDialog(null)}
          imported={(a) => {
            tell({ said: t('import.done', { c: a.created, u: a.updated }), renew });
            if (list(a.passwords).length > 0) setPasswords(a.passwords);
          }}
        />
      )}
      {dialog === 'set_unit' && (
        <FormDialog<{ unit?: string }>
          title={t('users.batch.set_unit', { n: chosen.size })}
          ok={t('do.move')}
          close={() => setDialog(null)}
          submit={async (v) => {
            await batch('set_unit', { unit: v.unit ?? '' });
            for (const k of renew) void client.invalidateQueries({ queryKey: [k] });
          }}
        >
          <Form.Item name="unit" label={t('users.unit')} rules={[{ required: true, message: t('units.pick') }]}>
            <UnitPicker />
          </Form.Item>
        </FormDialog>
      )}
      {dialog === 'delete' && (
        <Ask
          title={t('users.batch.delete', { n: chosen.size })}
          why={t('users.deleteWhy')}
          ok={t('users.batch.delete', { n: chosen.size })}
          close={() => setDialog(null)}
          submit={async () => {
            await batch('delete');
            for (const k of renew) void client.invalidateQueries({ queryKey: [k] });
          }}
        />
      )}
      {list(passwords).length > 0 && <Passwords rows={list(passwords)} close={() => setPasswords(null)} />}
    </div>
  );
}
