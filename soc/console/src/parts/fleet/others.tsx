import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Form, Input } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post, put } from '../../api/client';
import type { FleetGroup, FleetJob, FleetJobDetail, FleetOperation, FleetToken } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { Ask, FormDialog } from '../dialog';
import { TenantName, useActorName } from '../names';
import { Panel } from '../page';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { HostLink, Labels, TenantPicker, useGroups } from './marks';

const groupPath = (id: string) => `/fleet/groups/${encodeURIComponent(id)}`;

function GroupDialog({ of, close }: { of?: FleetGroup; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  return (
    <FormDialog<{ tenant: string; name: string; note?: string }>
      title={of ? t('fleet.grp.edit', { x: of.name }) : t('fleet.grp.new')}
      ok={t('do.save')}
      initial={of}
      submit={(v) => {
        const body = { tenant: v.tenant, name: v.name, note: v.note };
        return (of ? put(groupPath(of.id), body) : post('/fleet/groups', body)).then(() => tell({ said: t('fleet.grp.saved'), renew: ['fleet-groups'] }));
      }}
      close={close}
    >
      <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ required: true, message: t('fleet.needTenant') }]}>
        <TenantPicker disabled={Boolean(of)} />
      </Form.Item>
      <Form.Item name="name" label={t('fleet.name')} rules={[{ required: true, message: t('fleet.needName') }]}>
        <Input maxLength={64} />
      </Form.Item>
      <Form.Item name="note" label={t('fleet.note')}>
        <Input maxLength={2000} />
      </Form.Item>
    </FormDialog>
  );
}

/** Groups: who is in them, and who runs how much. */
export function Groups() {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const query = useGroups();
  const rows = list(query.data?.items);
  const [editing, setEditing] = useState<FleetGroup | true | null>(null);
  const [removing, setRemoving] = useState<FleetGroup | null>(null);
  const makes = can('create-fleet-group');
  return (
    <>
      {makes && (
        <div className="filters">
          <Button onClick={() => setEditing(true)}>{t('fleet.grp.new')}</Button>
        </div>
      )}
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.groups" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.grp.empty')} why={t('fleet.grp.emptyWhy')}>
                {makes && <Button onClick={() => setEditing(true)}>{t('fleet.grp.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.groups')}
                rows={rows}
                rowKey={(x) => x.id}
                columns={[
                  {
                    key: 'name',
                    title: t('fleet.name'),
                    render: (x) => (
                      <>
                        <b style={{ fontWeight: 550 }}>{x.name}</b>
                        {x.note && <div className="faint">{x.note}</div>}
                      </>
                    ),
                  },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => <TenantName slug={x.tenant} /> },
                  {
                    key: 'members',
                    title: t('fleet.grp.members'),
                    render: (x) =>
                      list(x.members).length === 0 ? (
                        <span className="faint">–</span>
                      ) : (
                        <span className="row wrap" style={{ gap: 8 }}>
                          {list(x.members).slice(0, 12).map((m) => (
                            <span key={m.id} className={m.state === 'online' ? '' : 'faint'}>
                              <HostLink id={m.id} name={m.name} /> ({t('fleet.grp.load')} {m.load})
                            </span>
                          ))}
                          {list(x.members).length > 12 && <span className="faint">+{list(x.members).length - 12}</span>}
                        </span>
                      ),
                  },
                  {
                    key: 'tasks',
                    title: t('fleet.grp.tasks'),
                    num: true,
                    render: (x) => (
                      <>
                        {x.tasks}
                        {x.idle > 0 && <div style={{ color: 'var(--high)' }}>{t('fleet.grp.idle', { n: x.idle })}</div>}
                      </>
                    ),
                  },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (x) =>
                      makes && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" aria-label={t('fleet.grp.edit', { x: x.name })} onClick={() => setEditing(x)}>
                            {t('do.edit')}
                          </Button>
                          <Button size="small" danger aria-label={t('fleet.grp.delete', { x: x.name })} onClick={() => setRemoving(x)}>
                            {t('do.delete')}
                          </Button>
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {editing && <GroupDialog of={editing === true ? undefined : editing} close={() => setEditing(null)} />}
      {removing && (
        <Ask title={t('fleet.grp.delete', { x: removing.name })} why={t('fleet.grp.deleteWhy')} ok={t('do.delete')} close={() => setRemoving(null)} submit={() => act(() => del(groupPath(removing.id)), { said: t('fleet.grp.deleted', { x: removing.name }), renew: ['fleet-groups'] })} />
      )}
    </>
  );
}

const JOBS = ['failed', 'expired', 'waiting', 'sent', 'done'] as const;

function JobResults({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['fleet-jobs', id], queryFn: ({ signal }) => get<FleetJobDetail>(`/fleet/jobs/${encodeURIComponent(id)}`, {}, signal), refetchInterval: 2_000 });
  return (
    <Panel
      title={t('fleet.job.results')}
      end={
        <Button size="small" type="text" onClick={close}>
          {t('do.close')}
        </Button>
      }
    >
      <Loaded query={query} what="fleet.job.results" lines={4}>
        {(x) => (
          <DataTable
            label={t('fleet.job.results')}
            rows={list(x.results)}
            rowKey={(r) => r.agent}
            columns={[
              { key: 'host', title: t('fleet.host'), render: (r) => <HostLink id={r.agent} name={r.host} /> },
              { key: 'state', title: t('col.status'), render: (r) => <span style={r.state === 'failed' || r.state === 'expired' ? { color: 'var(--high)' } : undefined}>{t(`fleet.job.state.${r.state as 'done'}`)}</span> },
              { key: 'text', title: t('fleet.log.detail'), render: (r) => r.text || <span className="faint">–</span> },
              { key: 'at', title: t('col.time'), num: true, render: (r) => (r.at ? <When time={r.at} age /> : '–') },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}

export function Jobs() {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const query = useQuery({ queryKey: ['fleet-jobs'], queryFn: ({ signal }) => get<Page<FleetJob>>('/fleet/jobs', { limit: 200 }, signal), refetchInterval: 2_000 });
  const rows = list(query.data?.items);
  const open = url.get('job') ?? '';
  return (
    <>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.jobs" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.job.empty')} why={t('fleet.job.emptyWhy')} />
            ) : (
              <DataTable
                label={t('fleet.jobs')}
                rows={rows}
                rowKey={(x) => x.id}
                marked={open}
                onRow={(x) => setUrl({ job: x.id === open ? undefined : x.id })}
                columns={[
                  {
                    key: 'kind',
                    title: t('fleet.job.kind'),
                    render: (x) => (
                      <button className="plain link" onClick={() => setUrl({ job: x.id })}>
                        {t(`fleet.do.${x.kind}`)} {x.plugin} {x.input || x.version}
                      </button>
                    ),
                  },
                  { key: 'hosts', title: t('fleet.hosts'), num: true, render: (x) => x.hosts },
                  {
                    key: 'states',
                    title: t('fleet.job.results'),
                    render: (x) =>
                      JOBS.filter((s) => x.states[s])
                        .map((s) => `${t(`fleet.job.state.${s}`)} ${x.states[s]}`)
                        .join(' · '),
                  },
                  {
                    key: 'report',
                    title: t('fleet.test.report'),
                    render: (x) => (x.report ? <Link to={`/agents?tab=packages&report=${x.report}`}>{t('fleet.test.open')}</Link> : <span className="faint">–</span>),
                  },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => <TenantName slug={x.tenant} /> },
                  { key: 'by', title: t('fleet.log.who'), render: (x) => x.by },
                  { key: 'at', title: t('col.time'), num: true, render: (x) => <When time={x.at} age /> },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {open && <JobResults key={open} id={open} close={() => setUrl({ job: undefined })} />}
    </>
  );
}

export function Tokens() {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const query = useQuery({ queryKey: ['fleet-tokens'], queryFn: ({ signal }) => get<Page<FleetToken>>('/fleet/tokens', { limit: 1000 }, signal), refetchInterval: 5_000 });
  const rows = list(query.data?.items);
  return (
    <>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.tokens" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.token.empty')} why={t('fleet.token.emptyWhy')} />
            ) : (
              <DataTable
                label={t('fleet.tokens')}
                rows={rows}
                rowKey={(x) => x.id}
                columns={[
                  { key: 'note', title: t('fleet.note'), render: (x) => x.note || <code>{x.id.slice(-8)}</code> },
                  { key: 'state', title: t('col.status'), render: (x) => t(`fleet.token.state.${x.state}`) },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => <TenantName slug={x.tenant} /> },
                  { key: 'labels', title: t('fleet.labels'), render: (x) => <Labels of={list(x.labels)} /> },
                  { key: 'uses', title: t('fleet.uses'), num: true, render: (x) => `${x.used} / ${x.uses}` },
                  { key: 'expires', title: t('fleet.expires'), num: true, render: (x) => <When time={x.expires} /> },
                  { key: 'by', title: t('fleet.log.who'), render: (x) => x.created_by },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (x) =>
                      can('withdraw-fleet-token') && (
                        <Button size="small" aria-label={`${t(x.state === 'valid' ? 'fleet.token.withdraw' : 'fleet.token.forget')} ${x.note || x.id}`} onClick={() => void act(() => post(`/fleet/tokens/${x.id}/withdraw`), { said: t('fleet.token.gone'), renew: ['fleet-tokens'] })}>
                          {t(x.state === 'valid' ? 'fleet.token.withdraw' : 'fleet.token.forget')}
                        </Button>
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

/** What was done to hosts, tasks and configurations, by whom, and what came of it. */
export function OperationLog({ host, object }: { host?: string; object?: string }) {
  const { t } = useSettings();
  const actor = useActorName();
  const [before, setBefore] = useState<string[]>([]);
  const last = before.at(-1);
  const query = useQuery({ queryKey: ['fleet-operations', host, object, last], queryFn: ({ signal }) => get<Page<FleetOperation>>('/fleet/operations', { host, object, before: last, limit: 100 }, signal), placeholderData: keepPreviousData, refetchInterval: last ? false : 3_000 });
  const rows = list(query.data?.items);
  return (
    <div className="panel" style={{ overflowX: 'auto' }}>
      <Loaded query={query} what="fleet.log" lines={6}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t('fleet.log.empty')} />
          ) : (
            <DataTable
              label={t('fleet.log')}
              rows={rows}
              rowKey={(x) => x.id}
              columns={[
                { key: 'time', title: t('col.time'), render: (x) => <When time={x.time} /> },
                {
                  key: 'what',
                  title: t('fleet.log.what'),
                  render: (x) => (
                    <span className="status">
                      <i className={`dot ${x.ok ? 'ok' : 'bad'}`} />
                      <code>{x.kind}</code>
                    </span>
                  ),
                },
                ...(host ? [] : [{ key: 'host', title: t('fleet.host'), render: (x: FleetOperation) => (x.agent ? <HostLink id={x.agent} name={x.host ?? ''} /> : <span className="faint">–</span>) }]),
                { key: 'detail', title: t('fleet.log.detail'), render: (x) => x.text || <span className="faint">–</span> },
                { key: 'who', title: t('fleet.log.who'), render: (x) => actor(x.actor) },
              ]}
            />
          )
        }
      </Loaded>
      <div className="row" style={{ padding: 8, justifyContent: 'center' }}>
        {before.length > 0 && <Button onClick={() => setBefore(before.slice(0, -1))}>{t('do.previous')}</Button>}
        {query.data?.next && <Button onClick={() => setBefore([...before, query.data?.next ?? ''])}>{t('do.next')}</Button>}
      </div>
    </div>
  );
}
