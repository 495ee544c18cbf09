import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, InputNumber, Radio, Select } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import { TASK_STATES, type FleetDeployment, type FleetHost, type FleetProfile, type MadeToken, type FleetTask, type FleetTemplate, type TemplateParam } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { CodeBox } from '../codebox';
import { Ask, FormDialog } from '../dialog';
import { TenantName } from '../names';
import { WordsInput } from '../pickers';
import { SearchBox } from '../search';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { InstallLine } from './line';
import { FleetGroupPicker, HostLink, SelectorText, TenantPicker, useGroups } from './marks';
import { SignIn, hostsOf, signInOf, type Credentials } from './signin';

export const useTemplates = () => useQuery({ queryKey: ['fleet-templates'], queryFn: ({ signal }) => get<Page<FleetTemplate>>('/fleet/templates', {}, signal), staleTime: Infinity });
const taskPath = (id: string) => `/fleet/tasks/${encodeURIComponent(id)}`;
const renew = ['fleet-tasks', 'fleet-hosts', 'fleet-host', 'fleet-groups'];

/** The field of a parameter, under params and its name. */
export function ParamField({ param: p, kept, name = p.name }: { param: TemplateParam; kept: boolean; name?: string }) {
  const { t, tx } = useSettings();
  const needed = p.required && !kept;
  return (
    <Form.Item name={['params', name]} label={tx(p.label)} extra={tx(p.help) || undefined} rules={needed ? [{ required: true, message: t('fleet.need') }] : []}>
      {p.secret ? (
        <Input.Password autoComplete="new-password" placeholder={kept ? t('fleet.task.secretKept') : undefined} />
      ) : p.type === 'list' ? (
        <Input.TextArea rows={3} className="mono" />
      ) : p.type === 'choice' || p.type === 'bool' ? (
        <Select options={(p.type === 'bool' ? ['true', 'false'] : list(p.choices)).map((v) => ({ value: v, label: v }))} />
      ) : (
        <Input />
      )}
    </Form.Item>
  );
}

interface Draft extends Credentials {
  tenant: string;
  name: string;
  params?: Record<string, string>;
  where: 'labels' | 'hosts' | 'all' | 'group' | 'ssh' | 'line';
  addresses?: string;
  uses?: number;
  labels?: string[];
  hosts?: string[];
  group?: string;
  weight?: number;
}

/** Applies a template, or changes a task that came of it. */
export function TaskDialog({ template, task, close }: { template: FleetTemplate; task?: FleetTask; close: (made: boolean | string) => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const can = useCan();
  const hosts = useQuery({ queryKey: ['fleet-hosts', 'pick'], queryFn: ({ signal }) => get<Page<FleetHost>>('/fleet/hosts', { limit: 1000 }, signal) });
  const [preview, setPreview] = useState('');
  const [made, setMade] = useState<MadeToken | null>(null);
  const where: Draft['where'] = !task ? 'labels' : task.group ? 'group' : task.selector.everybody ? 'all' : list(task.hosts).length ? 'hosts' : 'labels';
  const params = (v?: Record<string, string>) => Object.fromEntries(Object.entries(v ?? {}).filter(([, x]) => x !== undefined && x !== ''));
  if (made) return <InstallLine made={made} close={() => close(true)} />;
  return (
    <FormDialog<Draft>
      width={640}
      title={task ? t('fleet.task.edit', { x: task.name }) : t('fleet.template.applyOf', { x: tx(template.title) })}
      ok={t('do.save')}
      initial={{
        tenant: task?.tenant,
        name: task?.name ?? tx(template.title),
        params: { ...Object.fromEntries(list(template.params).map((p) => [p.name, p.secret ? '' : p.default])), ...task?.params },
        where,
        labels: list(task?.selector.labels),
        hosts: list(task?.hosts),
        group: task?.group,
        weight: task?.weight ?? 1,
        by: 'key',
        user: 'root',
        uses: 1,
      }}
      submit={async (v) => {
        const body = {
          tenant: v.tenant,
          name: v.name,
          template: template.name,
          params: params(v.params),
          hosts: v.where === 'hosts' ? (v.hosts ?? []) : [],
          selector: v.where === 'all' ? { everybody: true } : v.where === 'labels' ? { labels: v.labels ?? [] } : {},
          group: v.where === 'group' ? v.group : '',
          weight: v.weight ?? 1,
          enabled: task?.enabled ?? true,
        };
        if (v.where === 'ssh' || v.where === 'line') {
          const made = await post<{ deployment?: FleetDeployment; token?: MadeToken }>('/fleet/templates/install', {
            task: body,
            ...(v.where === 'ssh' ? { deployment: { tenant: v.tenant, kind: 'install', hosts: hostsOf(v.addresses ?? ''), ...signInOf(v) } } : { token: { tenant: v.tenant, uses: v.uses ?? 1 } }),
          });
          tell({ said: t('fleet.task.saved'), renew: [...renew, 'fleet-deployments', 'fleet-tokens'] });
          if (made.token) setMade(made.token);
          else close(made.deployment?.id ?? true);
          return;
        }
        await (task ? put(taskPath(task.id), { ...body, revision: task.revision }) : post('/fleet/tasks', body));
        tell({ said: t('fleet.task.saved'), renew });
        close(true);
      }}
      close={() => undefined}
      cancel={() => close(false)}
    >
      {(form) => (
        <>
          {tx(template.needs) && (
            <div className="notice">
              {t('fleet.template.needs')}: <code>{tx(template.needs)}</code>
            </div>
          )}
          <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ required: true, message: t('fleet.needTenant') }]}>
            <TenantPicker disabled={Boolean(task)} />
          </Form.Item>
          <Form.Item name="name" label={t('fleet.name')} rules={[{ required: true, message: t('fleet.needName') }]}>
            <Input maxLength={64} />
          </Form.Item>
          {list(template.params).map((p) => (
            <ParamField key={p.name} param={p} kept={list(task?.secrets).includes(p.name)} />
          ))}
          <Form.Item name="where" label={t('fleet.task.where')}>
            <Radio.Group options={[...(['labels', 'hosts', 'all'] as const), ...(template.remote ? (['group'] as const) : []), ...(task || !can('install-fleet-template') ? [] : (['ssh', 'line'] as const))].map((v) => ({ value: v, label: t(`fleet.task.where.${v}`) }))} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() => {
              const tenant = form.getFieldValue('tenant') as string | undefined;
              switch (form.getFieldValue('where') as Draft['where']) {
                case 'labels':
                  return (
                    <Form.Item name="labels" label={t('fleet.labels')} extra={t('fleet.labelsHelp')} rules={[{ required: true, message: t('fleet.need') }]}>
                      <WordsInput />
                    </Form.Item>
                  );
                case 'hosts':
                  return (
                    <Form.Item name="hosts" label={t('fleet.hosts')} rules={[{ required: true, message: t('fleet.need') }]}>
                      <Select mode="multiple" optionFilterProp="label" loading={hosts.isPending} options={list(hosts.data?.items).filter((h) => !tenant || h.tenant === tenant).map((h) => ({ value: h.id, label: `${h.name} ${list(h.addresses)[0] ?? ''}` }))} />
                    </Form.Item>
                  );
                case 'group':
                  return (
                    <div className="row" style={{ gap: 16 }}>
                      <Form.Item name="group" label={t('fleet.group')} rules={[{ required: true, message: t('fleet.need') }]} style={{ minWidth: 260 }}>
                        <FleetGroupPicker tenant={tenant} />
                      </Form.Item>
                      <Form.Item name="weight" label={t('fleet.grp.load')}>
                        <InputNumber min={1} max={100} />
                      </Form.Item>
                    </div>
                  );
                case 'ssh':
                  return (
                    <>
                      <p className="dim">{t('fleet.task.sshWhy')}</p>
                      <Form.Item name="addresses" label={t('fleet.dep.hosts')} extra={t('fleet.dep.hostsHelp')} rules={[{ required: true, message: t('fleet.need') }]}>
                        <Input.TextArea rows={4} className="mono" spellCheck={false} placeholder={'10.1.2.3\napp1.example.gov.cn:2222'} />
                      </Form.Item>
                      <SignIn form={form} />
                      <p className="dim">{t('fleet.dep.secrets')}</p>
                    </>
                  );
                case 'line':
                  return (
                    <>
                      <p className="dim">{t('fleet.task.lineWhy')}</p>
                      <Form.Item name="uses" label={t('fleet.uses')}>
                        <InputNumber min={1} max={1000} />
                      </Form.Item>
                    </>
                  );
                default:
                  return null;
              }
            }}
          </Form.Item>
          <Button onClick={() => void post<{ document: string }>(`/fleet/templates/${template.name}/preview`, { params: params(form.getFieldValue('params') as Record<string, string>) }).then((x) => setPreview(x.document), (e: Error) => setPreview(e.message))}>{t('fleet.template.preview')}</Button>
          {preview && <CodeBox into={t('fleet.task.document')} text={preview} />}
        </>
      )}
    </FormDialog>
  );
}

const DOTS = { running: 'ok', failing: 'bad', waiting: 'warn', off: 'idle' } as const;

export function Tasks() {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const templates = useTemplates().data;
  const groups = useGroups().data;
  const profiles = useQuery({ queryKey: ['fleet-profiles'], queryFn: ({ signal }) => get<Page<FleetProfile>>('/fleet/profiles', { limit: 1000 }, signal) }).data;
  const [editing, setEditing] = useState<FleetTask | null>(null);
  const [removing, setRemoving] = useState<FleetTask | null>(null);
  const q = url.get('q');
  const state = TASK_STATES.find((s) => s === url.get('state'));
  const query = useQuery({ queryKey: ['fleet-tasks', q, state], queryFn: ({ signal }) => get<Page<FleetTask>>('/fleet/tasks', { q, state, limit: 1000 }, signal), placeholderData: keepPreviousData, refetchInterval: 3_000 });
  const rows = list(query.data?.items);
  const makes = can('create-fleet-task');
  const toggle = (x: FleetTask) => void act(() => post(`${taskPath(x.id)}/${x.enabled ? 'stop' : 'start'}`), { said: t(x.enabled ? 'fleet.task.stopped' : 'fleet.task.started', { x: x.name }), renew });
  const template = list(templates?.items).find((x) => x.name === editing?.template);
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('fleet.task.find')} />
        {TASK_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`fleet.task.state.${s}`)}
          </button>
        ))}
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.tasks" lines={6}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.task.empty')} why={t('fleet.task.emptyWhy')}>
                <Button onClick={() => setUrl({ tab: 'templates', q: undefined, state: undefined })}>{t('fleet.templates')}</Button>
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.tasks')}
                rows={rows}
                rowKey={(x) => x.id}
                columns={[
                  {
                    key: 'name',
                    title: t('fleet.name'),
                    render: (x) => (
                      <>
                        <b style={{ fontWeight: 550 }}>{x.name}</b>
                        <div className="faint">{x.template}</div>
                        {x.deployment && x.installing && (
                          <button className="plain link" onClick={() => setUrl({ tab: 'deployments', deployment: x.deployment, q: undefined, state: undefined })}>
                            {t('fleet.task.installing', { n: x.installing.done ?? 0, of: Object.values(x.installing).reduce((a, b) => a + b, 0) })}
                          </button>
                        )}
                      </>
                    ),
                  },
                  {
                    key: 'state',
                    title: t('col.status'),
                    render: (x) => (
                      <div style={{ maxWidth: 380 }}>
                        <span className="status">
                          <i className={`dot ${DOTS[x.state]}`} />
                          {t(`fleet.task.state.${x.state}`)}
                        </span>
                        {x.fault && (
                          <div className="faint ellipsis" title={x.fault}>
                            {x.fault}
                          </div>
                        )}
                      </div>
                    ),
                  },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => <TenantName slug={x.tenant} /> },
                  { key: 'where', title: t('fleet.task.where'), render: (x) => (x.profile ? `${t('fleet.prof.one')} ${list(profiles?.items).find((p) => p.id === x.profile)?.name ?? ''}` : x.group ? (list(groups?.items).find((g) => g.id === x.group)?.name ?? x.group) : list(x.hosts).length ? t('fleet.task.where.hosts') : <SelectorText of={x.selector} />) },
                  { key: 'on', title: t('fleet.task.on'), num: true, render: (x) => (x.group ? x.holder ? <HostLink id={x.holder} name={x.holder_name ?? ''} /> : '–' : t('fleet.task.onOf', { n: x.running, of: x.on })) },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (x) =>
                      makes && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" aria-label={`${t(x.enabled ? 'fleet.task.stop' : 'fleet.task.start')} ${x.name}`} onClick={() => toggle(x)}>
                            {t(x.enabled ? 'fleet.task.stop' : 'fleet.task.start')}
                          </Button>
                          <Dropdown
                            trigger={['click']}
                            menu={{
                              items: [
                                x.profile ? { key: 'edit', label: t('fleet.task.ofProfile'), onClick: () => setUrl({ tab: 'profiles', q: undefined, state: undefined }) } : { key: 'edit', label: t('do.edit'), onClick: () => setEditing(x) },
                                { key: 'log', label: t('fleet.log'), onClick: () => setUrl({ tab: 'log', object: `task:${x.id}` }) },
                                { type: 'divider' },
                                { key: 'delete', label: t('do.delete'), onClick: () => setRemoving(x) },
                              ],
                            }}
                          >
                            <Button size="small" type="text" aria-label={t('do.actions', { x: x.name })}>
                              ⋯
                            </Button>
                          </Dropdown>
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {editing && template && <TaskDialog template={template} task={editing} close={() => setEditing(null)} />}
      {removing && (
        <Ask
          title={t('fleet.task.delete', { x: removing.name })}
          why={t('fleet.task.deleteWhy')}
          ok={t('do.delete')}
          close={() => setRemoving(null)}
          submit={() => act(() => del(taskPath(removing.id)), { said: t('fleet.task.deleted', { x: removing.name }), renew })}
        />
      )}
    </>
  );
}

/** The library: what can be collected, searched by name, applied as a task. */
export function Templates() {
  const { t, tx } = useSettings();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const query = useTemplates();
  const tasks = useQuery({ queryKey: ['fleet-tasks', null, undefined], queryFn: ({ signal }) => get<Page<FleetTask>>('/fleet/tasks', { limit: 1000 }, signal) }).data;
  const q = (url.get('q') ?? '').toLowerCase();
  const rows = list(query.data?.items).filter((x) => !q || `${x.name} ${x.title.zh} ${x.title.en} ${x.description.zh} ${x.description.en} ${list(x.plugins).join(' ')}`.toLowerCase().includes(q));
  const categories = [...new Set(rows.map((x) => x.category))];
  const applying = list(query.data?.items).find((x) => x.name === url.get('apply'));
  const count = (x: FleetTemplate) => list(tasks?.items).filter((y) => y.template === x.name).length;
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('fleet.template.find')} />
      </div>
      <Loaded query={query} what="fleet.templates" lines={6}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t('fleet.template.none')} />
          ) : (
            <>
              {categories.map((c) => (
                <section key={c} className="panel" style={{ marginBottom: 12 }}>
                  <header>
                    <h2>{t(`fleet.category.${c as 'host'}`)}</h2>
                  </header>
                  <DataTable
                    label={t(`fleet.category.${c as 'host'}`)}
                    rows={rows.filter((x) => x.category === c)}
                    rowKey={(x) => x.name}
                    columns={[
                      {
                        key: 'name',
                        title: t('fleet.name'),
                        width: 220,
                        render: (x) => <b style={{ fontWeight: 550 }}>{tx(x.title)}</b>,
                      },
                      { key: 'what', title: t('fleet.log.detail'), render: (x) => <>{tx(x.description)}{x.remote && <span className="faint"> · {t('fleet.template.remote')}</span>}</> },
                      { key: 'plugins', title: t('fleet.template.plugins'), width: 200, render: (x) => <span className="faint mono">{list(x.plugins).join(', ') || '–'}</span> },
                      { key: 'applied', title: t('fleet.tasks'), num: true, width: 100, render: (x) => (count(x) ? t('fleet.template.applied', { n: count(x) }) : <span className="faint">–</span>) },
                      {
                        key: 'do',
                        title: '',
                        num: true,
                        width: 90,
                        render: (x) =>
                          can('create-fleet-task') && (
                            <Button size="small" aria-label={t('fleet.template.applyOf', { x: tx(x.title) })} onClick={() => setUrl({ apply: x.name })}>
                              {t('fleet.template.apply')}
                            </Button>
                          ),
                      },
                    ]}
                  />
                </section>
              ))}
            </>
          )
        }
      </Loaded>
      {applying && <TaskDialog key={applying.name} template={applying} close={(made) => setUrl(typeof made === 'string' ? { apply: undefined, tab: 'deployments', deployment: made, q: undefined } : made ? { apply: undefined, tab: 'tasks', q: undefined } : { apply: undefined })} />}
    </>
  );
}
