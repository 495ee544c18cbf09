import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, Select } from 'antd';
import { useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { get, post } from '../../api/client';
import { HOST_STATES, JOB_KINDS, hostPath, type FleetHost, type FleetPackage, type FleetStatistics } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Ask, FormDialog } from '../dialog';
import { TenantName } from '../names';
import { WordsInput } from '../pickers';
import { SearchBox } from '../search';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { AddHosts } from './add';
import { PluginOrder } from './plugins';
import { useProfiles } from './profiles';
import { ConfigMark, FleetGroupPicker, HostLink, HostMark, Labels, useGroups } from './marks';

const renew = ['fleet-hosts', 'fleet-statistics', 'fleet-jobs', 'fleet-host', 'fleet-groups'];
export type JobKind = (typeof JOB_KINDS)[number];

/** Counts of hosts; each is a filter. */
function Statistics() {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const st = useQuery({ queryKey: ['fleet-statistics'], queryFn: ({ signal }) => get<FleetStatistics>('/fleet/statistics', {}, signal), refetchInterval: 5_000 }).data;
  if (!st || st.hosts === 0) return null;
  const top = (m: Record<string, number>) =>
    Object.entries(m)
      .sort((a, b) => b[1] - a[1])
      .slice(0, 4);
  return (
    <div className="filters" role="group" aria-label={t('fleet.hosts')}>
      <span>
        {t('fleet.stat.hosts')} <b>{number(st.hosts, locale)}</b> · {t('fleet.stat.agents')} <b>{number(st.agents, locale)}</b>
      </span>
      <span className="sep" aria-hidden="true" />
      {HOST_STATES.filter((s) => st.states[s]).map((s) => (
        <button key={s} className="plain toggle" aria-pressed={url.get('state') === s} onClick={() => setUrl({ state: url.get('state') === s ? undefined : s, cursor: undefined })}>
          {t(`fleet.state.${s}`)} {number(st.states[s], locale)}
        </button>
      ))}
      <span className="sep" aria-hidden="true" />
      <span className="faint">
        {top(st.kinds)
          .map(([k, n]) => `${t(`fleet.kind.${k as 'virtual'}`)} ${number(n, locale)}`)
          .join(' · ')}
      </span>
      <span className="sep" aria-hidden="true" />
      {top(st.versions).map(([v, n]) => (
        <button key={v} className="plain toggle" aria-pressed={url.get('version') === v} onClick={() => setUrl({ version: url.get('version') === v ? undefined : v, cursor: undefined })}>
          {v} {number(n, locale)}
        </button>
      ))}
      {st.refused + st.failing_inputs > 0 && (
        <span style={{ color: 'var(--medium)' }}>
          {t('fleet.stat.refused')} {number(st.refused, locale)} · {t('fleet.stat.failing')} {number(st.failing_inputs, locale)}
        </span>
      )}
    </div>
  );
}

/** Orders something of hosts; what it needs is asked for. */
export function OrderDialog({ kind, hosts, input, close }: { kind: JobKind; hosts: readonly string[]; input?: string; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const packages = useQuery({ enabled: kind === 'upgrade', queryKey: ['fleet-packages'], queryFn: ({ signal }) => get<Page<FleetPackage>>('/fleet/packages', { limit: 1000 }, signal) });
  const versions = [...new Set(list(packages.data?.items).map((p) => p.version))];
  return (
    <FormDialog<{ input?: string; version?: string }>
      title={t('fleet.orderTitle', { x: t(`fleet.do.${kind}`), n: hosts.length })}
      ok={t(`fleet.do.${kind}`)}
      initial={{ input }}
      submit={(v) => post('/fleet/jobs', { kind, hosts, ...v }).then(() => tell({ said: t('fleet.ordered'), renew }))}
      close={close}
    >
      <p className="dim">{t(kind === 'uninstall' ? 'fleet.uninstallWhy' : 'fleet.orderWhy')}</p>
      {(kind === 'start' || kind === 'stop') && (
        <Form.Item name="input" label={t('fleet.input')} rules={[{ required: true, message: t('fleet.need') }]}>
          <Input maxLength={64} />
        </Form.Item>
      )}
      {kind === 'upgrade' && (
        <Form.Item name="version" label={t('fleet.version')} rules={[{ required: true, message: t('fleet.pickVersion') }]}>
          <Select loading={packages.isPending} options={versions.map((v) => ({ value: v, label: v }))} notFoundContent={t('fleet.pkg.empty')} />
        </Form.Item>
      )}
    </FormDialog>
  );
}

function ChangeDialog({ hosts, close }: { hosts: readonly string[]; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  return (
    <FormDialog<{ add?: string[]; remove?: string[]; group?: string }>
      title={t('fleet.orderTitle', { x: t('fleet.do.label'), n: hosts.length })}
      ok={t('do.save')}
      initial={{ group: '*' }}
      submit={(v) =>
        post('/fleet/hosts/change', { hosts, change: { add_labels: v.add ?? [], remove_labels: v.remove ?? [], ...(v.group === '*' ? {} : { group: v.group === '-' ? '' : v.group }) } }).then(() =>
          tell({ said: t('fleet.changed', { n: hosts.length }), renew }),
        )
      }
      close={close}
    >
      <Form.Item name="add" label={t('fleet.addLabels')} extra={t('fleet.labelsHelp')}>
        <WordsInput />
      </Form.Item>
      <Form.Item name="remove" label={t('fleet.removeLabels')}>
        <WordsInput />
      </Form.Item>
      <Form.Item name="group" label={t('fleet.group')}>
        <FleetGroupPicker
          extra={[
            { value: '*', label: t('fleet.groupKeep') },
            { value: '-', label: t('fleet.groupNone') },
          ]}
        />
      </Form.Item>
    </FormDialog>
  );
}

/** What can be done with hosts that are marked, and the dialogs of it. */
export function HostActions({ hosts, name, done }: { hosts: readonly string[]; name?: string; done?: (gone: boolean) => void }) {
  const { t } = useSettings();
  const { act } = useAct();
  const [doing, setDoing] = useState<JobKind | 'label' | 'revoke' | 'delete' | null>(null);
  const close = () => setDoing(null);
  return (
    <>
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            ...(['restart', 'reload', 'upgrade', 'inventory', 'start', 'stop'] as const).map((k) => ({ key: k, label: t(`fleet.do.${k}`), onClick: () => setDoing(k) })),
            ...(['plugin-install', 'plugin-start', 'plugin-stop', 'plugin-remove'] as const).map((k) => ({ key: k, label: t(`fleet.do.${k}`), onClick: () => setDoing(k) })),
            { key: 'label', label: t('fleet.do.label'), onClick: () => setDoing('label') },
            { type: 'divider' as const },
            ...(['uninstall', 'revoke', 'delete'] as const).map((k) => ({ key: k, label: t(`fleet.do.${k}`), danger: true, onClick: () => setDoing(k) })),
          ],
        }}
      >
        <Button aria-label={name ? `${t('search.menu')} ${name}` : undefined}>{t('search.menu')} ▾</Button>
      </Dropdown>
      {doing === 'label' && <ChangeDialog hosts={hosts} close={close} />}
      {(doing === 'revoke' || doing === 'delete') && (
        <Ask
          title={t(doing === 'revoke' ? 'fleet.revokeTitle' : 'fleet.deleteTitle', { n: hosts.length })}
          why={t(doing === 'revoke' ? 'fleet.revokeWhy' : 'fleet.deleteWhy')}
          ok={t(`fleet.do.${doing}`)}
          name={name}
          close={close}
          submit={async () => {
            await act(() => post(`/fleet/hosts/${doing}`, { hosts }), { said: t(doing === 'revoke' ? 'fleet.revoked' : 'fleet.deleted', { n: hosts.length }), renew });
            done?.(doing === 'delete');
          }}
        />
      )}
      {doing === 'plugin-install' || doing === 'plugin-start' || doing === 'plugin-stop' || doing === 'plugin-remove' ? (
        <PluginOrder kind={doing} hosts={hosts} close={close} />
      ) : (
        doing && doing !== 'label' && doing !== 'revoke' && doing !== 'delete' && <OrderDialog kind={doing} hosts={hosts} close={close} />
      )}
    </>
  );
}

const PAGE = 100;

/** The list of hosts: statistics, search, and what is done to many at once. */
export function Hosts() {
  const { t, locale } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set());
  const groups = useGroups().data;
  const profiles = useProfiles().data;
  const asked = { q: url.get('q'), exact: url.get('exact') === '1' || undefined, state: url.get('state'), version: url.get('version'), label: url.get('label'), group: url.get('group'), sort: url.get('sort'), cursor: url.get('cursor') };
  const query = useQuery({ queryKey: ['fleet-hosts', asked], queryFn: ({ signal }) => get<Page<FleetHost>>('/fleet/hosts', { ...asked, limit: PAGE }, signal), placeholderData: keepPreviousData, refetchInterval: 3_000 });
  const rows = list(query.data?.items);
  const makes = can('create-fleet-token');
  const narrowed = Boolean(asked.q || asked.state || asked.version || asked.label || asked.group);
  useKeys({ ...(makes ? { n: () => setUrl({ new: '1' }) } : {}), Escape: () => setMarked(new Set()) });
  return (
    <>
      <Statistics />
      <div className="filters" role="search">
        <SearchBox hint={t('fleet.find')} />
        <button className="plain toggle" aria-pressed={asked.exact === true} onClick={() => setUrl({ exact: asked.exact ? undefined : '1' })}>
          {t('fleet.exact')}
        </button>
        {marked.size > 0 && can('create-fleet-job') && (
          <>
            <span className="sep" aria-hidden="true" />
            {t('do.selected', { n: marked.size })}
            <HostActions hosts={[...marked]} done={() => setMarked(new Set())} />
            <Button type="text" onClick={() => setMarked(new Set())}>
              {t('do.unselect')}
            </Button>
          </>
        )}
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.hosts" lines={8}>
          {() =>
            rows.length === 0 ? (
              narrowed ? (
                <Empty title={t('fleet.none')}>
                  <Button onClick={() => setUrl({ q: undefined, state: undefined, version: undefined, label: undefined, group: undefined })}>{t('do.clear')}</Button>
                </Empty>
              ) : (
                <Empty title={t('fleet.empty')} why={t('fleet.emptyWhy')}>
                  {makes && <Button onClick={() => setUrl({ new: '1' })}>{t('fleet.add')}</Button>}
                </Empty>
              )
            ) : (
              <DataTable
                label={t('fleet.hosts')}
                rows={rows}
                rowKey={(x) => x.id}
                onRow={(x) => void navigate(hostPath(x.id))}
                choice={{ ids: marked, set: setMarked, name: (x) => x.name }}
                sort={asked.sort ?? ''}
                onSort={(sort) => setUrl({ sort: sort || undefined })}
                columns={[
                  {
                    key: 'name',
                    title: t('fleet.host'),
                    sort: 'name',
                    render: (x) => (
                      <>
                        <b style={{ fontWeight: 550 }}>
                          <HostLink id={x.id} name={x.name} />
                        </b>
                        <div className="faint mono ellipsis" style={{ maxWidth: 260 }}>
                          {list(x.addresses).join(', ')}
                        </div>
                      </>
                    ),
                  },
                  { key: 'state', title: t('col.status'), sort: 'state', render: (x) => <HostMark host={x} /> },
                  {
                    key: 'os',
                    title: t('fleet.col.os'),
                    render: (x) => (
                      <>
                        {x.platform || x.os} {x.release} <span className="faint">{x.arch}</span>
                      </>
                    ),
                  },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => <TenantName slug={x.tenant} /> },
                  { key: 'labels', title: t('fleet.col.labels'), render: (x) => <Labels of={list(x.labels)} /> },
                  { key: 'group', title: t('fleet.col.group'), render: (x) => list(groups?.items).find((g) => g.id === x.group)?.name ?? <span className="faint">–</span> },
                  { key: 'config', title: t('fleet.col.config'), render: (x) => <ConfigMark of={x.configuration} /> },
                  {
                    key: 'agent',
                    title: t('fleet.col.agent'),
                    sort: 'version',
                    render: (x) => (
                      <>
                        {x.version || '–'}
                        {x.lost > 0 && <div style={{ color: 'var(--medium)' }}>{t('fleet.lost', { n: number(x.lost, locale) })}</div>}
                      </>
                    ),
                  },
                  { key: 'seen', title: t('fleet.col.seen'), num: true, sort: 'seen', most: true, render: (x) => (x.seen_at ? <When time={x.seen_at} age /> : <span className="faint">–</span>) },
                ]}
              />
            )
          }
        </Loaded>
        {query.data?.next && (
          <div style={{ padding: 8, textAlign: 'center' }}>
            <Button onClick={() => setUrl({ cursor: query.data.next })}>{t('do.next')}</Button>
          </div>
        )}
        {asked.cursor && (
          <div style={{ padding: 8, textAlign: 'center' }}>
            <Button onClick={() => setUrl({ cursor: undefined })}>{t('do.previous')}</Button>
          </div>
        )}
      </div>
      {url.get('new') === '1' && (!url.get('profile') || profiles) && <AddHosts profile={url.get('profile') ?? undefined} tenant={list(profiles?.items).find((p) => p.id === url.get('profile'))?.tenant} close={() => setUrl({ new: undefined, profile: undefined })} />}
    </>
  );
}
