import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import type { FleetPackage, FleetProfile, FleetTask, FleetTemplate } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { CodeBox } from '../codebox';
import { Ask, FormDialog } from '../dialog';
import { TenantName } from '../names';
import { WordsInput } from '../pickers';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { ConfigurationPicker, FleetGroupPicker, Labels, TenantPicker, useConfigurations, useGroups } from './marks';
import { usePlugins } from './plugins';
import { ParamField, useTemplates } from './tasks';

const path = (id: string) => `/fleet/profiles/${encodeURIComponent(id)}`;
const renew = ['fleet-profiles', 'fleet-tasks', 'fleet-hosts', 'fleet-host', 'fleet-operations'];

export const useProfiles = () => useQuery({ queryKey: ['fleet-profiles'], queryFn: ({ signal }) => get<Page<FleetProfile>>('/fleet/profiles', { limit: 1000 }, signal), refetchInterval: 5_000 });

/** Uploaded plug-ins, the newest version of each or a chosen one. */
function PluginsPicker({ value, onChange, id }: { value?: string[]; onChange?: (v: string[]) => void; id?: string }) {
  const { t } = useSettings();
  const plugins = usePlugins();
  const options = list(plugins.data?.items)
    .filter((p) => p.kind === 'uploaded')
    .flatMap((p) => [{ value: p.name, label: `${p.name} · ${t('fleet.plug.newest')}` }, ...list(p.versions).map((v) => ({ value: `${p.name}@${v}`, label: `${p.name} ${v}` }))]);
  return <Select id={id} mode="multiple" value={value ?? []} onChange={onChange} loading={plugins.isPending} options={options} notFoundContent={t('fleet.plug.empty')} style={{ width: '100%' }} />;
}

/** What a host gets when it is added, beside labels, group and configuration: the same in both ways of adding. */
export function JoiningFields({ tenant }: { tenant?: string }) {
  const { t } = useSettings();
  const profiles = useProfiles();
  const tasks = useQuery({ queryKey: ['fleet-tasks', null, undefined], queryFn: ({ signal }) => get<Page<FleetTask>>('/fleet/tasks', { limit: 1000 }, signal) });
  return (
    <>
      <Form.Item name="profile" label={t('fleet.prof.one')} extra={t('fleet.prof.pickHelp')}>
        <Select allowClear loading={profiles.isPending} options={list(profiles.data?.items).filter((p) => !tenant || p.tenant === tenant).map((p) => ({ value: p.id, label: p.name }))} notFoundContent={t('fleet.prof.empty')} />
      </Form.Item>
      <Form.Item name="plugins" label={t('fleet.prof.plugins')}>
        <PluginsPicker />
      </Form.Item>
      <Form.Item name="tasks" label={t('fleet.prof.tasks')}>
        <Select mode="multiple" optionFilterProp="label" loading={tasks.isPending} options={list(tasks.data?.items).filter((x) => !x.group && !x.profile && (!tenant || x.tenant === tenant)).map((x) => ({ value: x.id, label: x.name }))} notFoundContent={t('fleet.task.empty')} />
      </Form.Item>
    </>
  );
}

interface Draft {
  tenant: string;
  name: string;
  note?: string;
  labels?: string[];
  group?: string;
  configuration?: string;
  plugins?: string[];
  version?: string;
  templates?: string[];
  params?: Record<string, string>;
}

function KeepDialog({ of, close }: { of?: FleetProfile; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const templates = useTemplates();
  const packages = useQuery({ queryKey: ['fleet-packages'], queryFn: ({ signal }) => get<Page<FleetPackage>>('/fleet/packages', { limit: 1000 }, signal) });
  const all = list(templates.data?.items);
  const kept = (name: string) => list(of?.templates).find((x) => x.template === name);
  // Parameters of all templates stand in one form: each under the template's name.
  const key = (template: string, param: string) => `${template}/${param}`;
  const initial = (x: FleetTemplate) => Object.fromEntries(list(x.params).map((p) => [key(x.name, p.name), p.secret ? '' : (kept(x.name)?.params?.[p.name] ?? p.default)]));
  if (!templates.data) return null;
  return (
    <FormDialog<Draft>
      width={640}
      title={of ? t('fleet.prof.edit', { x: of.name }) : t('fleet.prof.new')}
      ok={t('do.save')}
      initial={{ ...of, labels: list(of?.labels), plugins: list(of?.plugins), templates: list(of?.templates).map((x) => x.template), params: Object.assign({}, ...all.map(initial)) as Record<string, string> }}
      submit={(v) => {
        const body = {
          tenant: v.tenant,
          name: v.name,
          note: v.note || undefined,
          labels: v.labels ?? [],
          group: v.group || undefined,
          configuration: v.configuration || undefined,
          plugins: v.plugins ?? [],
          version: v.version || undefined,
          templates: (v.templates ?? []).map((name) => ({
            template: name,
            params: Object.fromEntries(
              list(all.find((x) => x.name === name)?.params)
                .map((p) => [p.name, v.params?.[key(name, p.name)] ?? ''] as const)
                .filter(([, x]) => x !== ''),
            ),
          })),
        };
        return (of ? put(path(of.id), { ...body, revision: of.revision }) : post('/fleet/profiles', body)).then(() => tell({ said: t('fleet.prof.saved'), renew }));
      }}
      close={close}
    >
      {(form) => (
        <>
          <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ required: true, message: t('fleet.needTenant') }]}>
            <TenantPicker disabled={Boolean(of)} />
          </Form.Item>
          <Form.Item name="name" label={t('fleet.name')} rules={[{ required: true, message: t('fleet.needName') }]}>
            <Input maxLength={48} />
          </Form.Item>
          <Form.Item name="labels" label={t('fleet.labels')} extra={t('fleet.labelsHelp')}>
            <WordsInput />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() => (
              <>
                <Form.Item name="group" label={t('fleet.group')}>
                  <FleetGroupPicker tenant={form.getFieldValue('tenant') as string} />
                </Form.Item>
                <Form.Item name="configuration" label={t('fleet.configuration')}>
                  <ConfigurationPicker tenant={form.getFieldValue('tenant') as string} />
                </Form.Item>
              </>
            )}
          </Form.Item>
          <Form.Item name="plugins" label={t('fleet.prof.plugins')}>
            <PluginsPicker />
          </Form.Item>
          <Form.Item name="version" label={t('fleet.prof.version')}>
            <Select allowClear placeholder={t('fleet.dep.newest')} options={[...new Set(list(packages.data?.items).map((p) => p.version))].map((v) => ({ value: v, label: v }))} notFoundContent={t('fleet.pkg.empty')} />
          </Form.Item>
          <Form.Item name="templates" label={t('fleet.prof.templates')} extra={t('fleet.prof.templatesHelp')}>
            <Select mode="multiple" optionFilterProp="label" options={all.map((x) => ({ value: x.name, label: tx(x.title) }))} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() =>
              all
                .filter((x) => ((form.getFieldValue('templates') as string[] | undefined) ?? []).includes(x.name) && list(x.params).length > 0)
                .map((x) => (
                  <fieldset key={x.name} style={{ border: '1px solid var(--line)', borderRadius: 6, padding: '4px 12px', marginBottom: 12 }}>
                    <legend className="dim">{tx(x.title)}</legend>
                    {list(x.params).map((p) => (
                      <ParamField key={p.name} param={p} name={key(x.name, p.name)} kept={list(kept(x.name)?.secrets).includes(p.name)} />
                    ))}
                  </fieldset>
                ))
            }
          </Form.Item>
          <Form.Item name="note" label={t('fleet.note')}>
            <Input maxLength={2000} />
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

/** Profiles: what hosts are that are added by them. */
export function Profiles() {
  const { t, tx } = useSettings();
  const can = useCan();
  const { act, tell } = useAct();
  const [, setUrl] = useUrl();
  const query = useProfiles();
  const groups = useGroups().data;
  const configurations = useConfigurations().data;
  const templates = useTemplates().data;
  const rows = list(query.data?.items);
  const [editing, setEditing] = useState<FleetProfile | true | null>(null);
  const [removing, setRemoving] = useState<FleetProfile | null>(null);
  const [importing, setImporting] = useState(false);
  const [shown, setShown] = useState<{ name: string; text: string } | null>(null);
  const makes = can('create-fleet-profile');
  return (
    <>
      {makes && (
        <div className="filters">
          <Button onClick={() => setEditing(true)}>{t('fleet.prof.new')}</Button>
          <Button onClick={() => setImporting(true)}>{t('fleet.prof.import')}</Button>
        </div>
      )}
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.profiles" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.prof.empty')} why={t('fleet.prof.emptyWhy')}>
                {makes && <Button onClick={() => setEditing(true)}>{t('fleet.prof.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.profiles')}
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
                  { key: 'labels', title: t('fleet.labels'), render: (x) => <Labels of={list(x.labels)} /> },
                  { key: 'group', title: t('fleet.col.group'), render: (x) => list(groups?.items).find((g) => g.id === x.group)?.name ?? <span className="faint">–</span> },
                  { key: 'config', title: t('fleet.col.config'), render: (x) => list(configurations?.items).find((c) => c.id === x.configuration)?.name ?? <span className="faint">{t('fleet.configurationAuto')}</span> },
                  { key: 'plugins', title: t('fleet.prof.plugins'), render: (x) => list(x.plugins).join(', ') || <span className="faint">–</span> },
                  {
                    key: 'templates',
                    title: t('fleet.templates'),
                    render: (x) =>
                      list(x.templates)
                        .map((y) => tx(list(templates?.items).find((z) => z.name === y.template)?.title ?? { zh: y.template, en: y.template }))
                        .join(', ') || <span className="faint">–</span>,
                  },
                  { key: 'version', title: t('fleet.col.agent'), render: (x) => x.version || <span className="faint">{t('fleet.dep.newest')}</span> },
                  { key: 'hosts', title: t('fleet.hosts'), num: true, render: (x) => x.hosts },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (x) =>
                      makes && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" type="primary" aria-label={t('fleet.prof.useOf', { x: x.name })} onClick={() => setUrl({ tab: undefined, new: '1', profile: x.id })}>
                            {t('fleet.prof.use')}
                          </Button>
                          <Dropdown
                            trigger={['click']}
                            menu={{
                              items: [
                                { key: 'edit', label: t('do.edit'), onClick: () => setEditing(x) },
                                { key: 'yaml', label: t('fleet.prof.export', { x: 'YAML' }), onClick: () => void act(() => get<{ document: string }>(`${path(x.id)}/export`).then((d) => setShown({ name: x.name, text: d.document }))) },
                                { key: 'log', label: t('fleet.log'), onClick: () => setUrl({ tab: 'log', object: `profile:${x.id}` }) },
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
      {editing && <KeepDialog of={editing === true ? undefined : editing} close={() => setEditing(null)} />}
      {removing && <Ask title={t('fleet.prof.delete', { x: removing.name })} why={t('fleet.prof.deleteWhy')} ok={t('do.delete')} close={() => setRemoving(null)} submit={() => act(() => del(path(removing.id)), { said: t('fleet.prof.deleted', { x: removing.name }), renew })} />}
      {shown && (
        <Modal open width={640} title={shown.name} okText={t('do.close')} cancelButtonProps={{ style: { display: 'none' } }} onOk={() => setShown(null)} onCancel={() => setShown(null)}>
          <CodeBox into="YAML" text={shown.text} />
        </Modal>
      )}
      {importing && (
        <FormDialog<{ tenant: string; document: string }>
          width={640}
          title={t('fleet.prof.import')}
          ok={t('do.import')}
          submit={(v) => post('/fleet/profiles/import', v).then(() => tell({ said: t('fleet.prof.saved'), renew }))}
          close={() => setImporting(false)}
        >
          <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ required: true, message: t('fleet.needTenant') }]}>
            <TenantPicker />
          </Form.Item>
          <Form.Item name="document" label="YAML" rules={[{ required: true, message: t('fleet.need') }]} extra={t('fleet.prof.importHelp')}>
            <Input.TextArea rows={12} className="mono" spellCheck={false} placeholder={'name: web\nlabels: [role=web]\ntemplates:\n  - {template: nginx}\n'} />
          </Form.Item>
        </FormDialog>
      )}
    </>
  );
}
