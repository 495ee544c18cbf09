import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { del, get, post, upload } from '../../api/client';
import type { FleetHost, FleetJob, FleetPlugin, FleetPluginDetail, FleetPluginHost, FleetPluginPackage } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { bytes, number } from '../../logic/format';
import { Ask, FormDialog, Refused } from '../dialog';
import { Drop } from '../drop';
import { Panel } from '../page';
import { SearchBox } from '../search';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { HostLink } from './marks';

const path = (name: string) => `/fleet/plugins/${encodeURIComponent(name)}`;
const renew = ['fleet-plugins', 'fleet-plugin', 'fleet-hosts', 'fleet-host', 'fleet-jobs', 'fleet-operations'];
const DOTS: Record<FleetPluginHost['state'], string> = { running: 'ok', failing: 'bad', held: 'warn', stopped: 'idle', waiting: 'idle', removing: 'warn' };

type Kind = 'plugin-install' | 'plugin-start' | 'plugin-stop' | 'plugin-remove';

export const usePlugins = () => useQuery({ queryKey: ['fleet-plugins'], queryFn: ({ signal }) => get<Page<FleetPlugin>>('/fleet/plugins', { limit: 1000 }, signal), refetchInterval: 5_000 });

/** Takes packages in, several at once; each tells what came of it. */
function UploadDialog({ close }: { close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const [note, setNote] = useState('');
  const [done, setDone] = useState<{ file: string; made?: FleetPluginPackage; error?: unknown }[]>([]);
  const [busy, setBusy] = useState(false);
  const take = async (files: File[]) => {
    setBusy(true);
    for (const f of files) {
      try {
        const made = await upload<FleetPluginPackage>('/fleet/plugins', { note: note || undefined }, f, 'application/octet-stream');
        setDone((d) => [...d, { file: f.name, made }]);
        tell({ said: t('fleet.plug.uploaded', { x: `${made.name} ${made.version}` }), renew });
      } catch (error) {
        setDone((d) => [...d, { file: f.name, error }]);
      }
    }
    setBusy(false);
  };
  return (
    <Modal open title={t('fleet.plug.upload')} okText={t('do.close')} cancelButtonProps={{ style: { display: 'none' } }} onOk={close} onCancel={close} confirmLoading={busy} maskClosable={false}>
      <p className="dim">{t('fleet.plug.uploadWhy')}</p>
      <Form layout="vertical">
        <Form.Item label={t('fleet.note')} htmlFor="plugin-note">
          <Input id="plugin-note" maxLength={2000} value={note} onChange={(e) => setNote(e.target.value)} />
        </Form.Item>
      </Form>
      <Drop multiple busy={busy} accept=".gz,.tgz,application/gzip" label={t('fleet.plug.file')} take={(files) => void take(files)}>
        {t('fleet.plug.drop')}
      </Drop>
      <div style={{ marginTop: 12 }} role="status">
        {done.map((d, i) =>
          d.made ? (
            <div key={i} className="notice good">
              {d.file}: {d.made.name} {d.made.version} · {d.made.files} {t('fleet.plug.files')} · <code title={d.made.sha256}>{d.made.sha256.slice(0, 16)}…</code>
            </div>
          ) : (
            <div key={i}>
              <b>{d.file}</b>
              <Refused error={d.error} />
            </div>
          ),
        )}
      </div>
    </Modal>
  );
}

/** Orders something of a plug-in on hosts. Which plug-in, which version and which hosts are asked for where they are not given. */
export function PluginOrder({ kind, plugin, hosts, close }: { kind: Kind; plugin?: string; hosts?: readonly string[]; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const [, setUrl] = useUrl();
  const plugins = usePlugins();
  const all = useQuery({ enabled: !hosts, queryKey: ['fleet-hosts', 'all'], queryFn: ({ signal }) => get<Page<FleetHost>>('/fleet/hosts', { limit: 1000 }, signal) });
  const uploaded = list(plugins.data?.items).filter((p) => p.kind === 'uploaded');
  const open = list(all.data?.items).filter((h) => h.state !== 'revoked');
  return (
    <FormDialog<{ plugin: string; version?: string; hosts: string[] }>
      title={t(`fleet.do.${kind}`)}
      ok={t(`fleet.do.${kind}`)}
      initial={{ plugin, hosts: [...(hosts ?? [])] }}
      submit={async (v) => {
        const jobs = await post<Page<FleetJob>>('/fleet/jobs', { kind, plugin: plugin ?? v.plugin, version: v.version || undefined, hosts: hosts ?? v.hosts });
        tell({ said: t('fleet.ordered'), renew });
        setUrl({ tab: 'jobs', job: list(jobs.items)[0]?.id, plugin: undefined });
      }}
      close={() => undefined}
      cancel={close}
    >
      {(form) => (
        <>
          <p className="dim">{t(kind === 'plugin-remove' ? 'fleet.plug.removeWhy' : 'fleet.orderWhy')}</p>
          {!plugin && (
            <Form.Item name="plugin" label={t('fleet.plug.one')} rules={[{ required: true, message: t('fleet.need') }]}>
              <Select loading={plugins.isPending} options={uploaded.map((p) => ({ value: p.name, label: p.title ? `${p.name} · ${p.title}` : p.name }))} notFoundContent={t('fleet.plug.empty')} />
            </Form.Item>
          )}
          {kind === 'plugin-install' && (
            <Form.Item noStyle shouldUpdate>
              {() => (
                <Form.Item name="version" label={t('fleet.version')}>
                  <Select allowClear placeholder={t('fleet.plug.newest')} options={list(uploaded.find((p) => p.name === (plugin ?? (form.getFieldValue('plugin') as string)))?.versions).map((v) => ({ value: v, label: v }))} />
                </Form.Item>
              )}
            </Form.Item>
          )}
          {hosts ? (
            <p>{t('fleet.plug.on', { n: hosts.length })}</p>
          ) : (
            <>
              <Form.Item name="hosts" label={t('fleet.hosts')} rules={[{ required: true, message: t('fleet.need') }]}>
                <Select
                  mode="multiple"
                  maxTagCount={8}
                  loading={all.isPending}
                  optionFilterProp="search"
                  options={open.map((h) => ({ value: h.id, label: h.name, search: `${h.name} ${list(h.addresses).join(' ')} ${list(h.labels).join(' ')}` }))}
                  placeholder={t('fleet.find')}
                />
              </Form.Item>
              <Button size="small" style={{ marginBottom: 12 }} disabled={open.length === 0} onClick={() => form.setFieldsValue({ hosts: open.map((h) => h.id) })}>
                {t('fleet.plug.all', { n: open.length })}
              </Button>
            </>
          )}
        </>
      )}
    </FormDialog>
  );
}

/** One uploaded plug-in: its packages, and how it fares on each host. */
function Detail({ name, close }: { name: string; close: () => void }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set());
  const [doing, setDoing] = useState<Kind | null>(null);
  const [removing, setRemoving] = useState<FleetPluginPackage | null>(null);
  const query = useQuery({ queryKey: ['fleet-plugin', name], queryFn: ({ signal }) => get<FleetPluginDetail>(path(name), {}, signal), refetchInterval: 3_000 });
  const orders = can('create-fleet-job');
  const first = list(query.data?.packages)[0];
  return (
    <>
      <Panel
        flush
        title={`${name}${first?.manifest.title ? ` · ${first.manifest.title}` : ''}`}
        end={
          <span className="row">
            {orders && (
              <Button size="small" type="primary" onClick={() => setDoing('plugin-install')}>
                {t('fleet.do.plugin-install')}
              </Button>
            )}
            <Button size="small" type="text" onClick={close}>
              {t('do.close')}
            </Button>
          </span>
        }
      >
        <Loaded query={query} what="fleet.plug.one" lines={4}>
          {(x) => (
            <>
              {first?.manifest.description && <p className="dim" style={{ padding: '0 12px' }}>{first.manifest.description}</p>}
              <DataTable
                label={t('fleet.plug.packages')}
                rows={list(x.packages)}
                rowKey={(p) => p.version}
                columns={[
                  { key: 'version', title: t('fleet.version'), render: (p) => <b style={{ fontWeight: 550 }}>{p.version}</b> },
                  { key: 'run', title: t('fleet.plug.run'), render: (p) => `${t(`fleet.plug.run.${p.manifest.run}`)} · ${t(`fleet.plug.format.${p.manifest.format}`)}` },
                  { key: 'platforms', title: t('fleet.pkg.platform'), render: (p) => Object.keys(p.manifest.programs).sort().join(', ') },
                  { key: 'options', title: t('fleet.plug.options'), render: (p) => list(p.manifest.options).map((o) => `${o.name}${o.required ? '*' : ''}${o.default ? `=${o.default}` : ''}`).join(', ') || <span className="faint">–</span> },
                  { key: 'limits', title: t('fleet.plug.limits'), render: (p) => `${p.manifest.limits.cpu_percent} % · ${p.manifest.limits.memory_mb} MB` },
                  { key: 'sha', title: 'SHA-256', render: (p) => <code title={p.sha256}>{p.sha256.slice(0, 12)}…</code> },
                  { key: 'by', title: t('fleet.log.who'), render: (p) => p.by },
                  { key: 'at', title: t('col.time'), num: true, render: (p) => <When time={p.at} age /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (p) =>
                      can('delete-fleet-plugin') && (
                        <Button size="small" aria-label={t('fleet.plug.delete', { x: `${p.name} ${p.version}` })} onClick={() => setRemoving(p)}>
                          {t('do.delete')}
                        </Button>
                      ),
                  },
                ]}
              />
            </>
          )}
        </Loaded>
      </Panel>
      <Panel
        flush
        title={t('fleet.plug.hosts')}
        end={
          orders &&
          marked.size > 0 && (
            <span className="row">
              {t('do.selected', { n: marked.size })}
              {(['plugin-install', 'plugin-start', 'plugin-stop', 'plugin-remove'] as const).map((k) => (
                <Button key={k} size="small" onClick={() => setDoing(k)}>
                  {t(k === 'plugin-install' ? 'fleet.plug.upgrade' : `fleet.do.${k}`)}
                </Button>
              ))}
            </span>
          )
        }
      >
        <Loaded query={query} what="fleet.plug.hosts" lines={3}>
          {(x) =>
            list(x.hosts).length === 0 ? (
              <Empty small title={t('fleet.plug.nowhere')} why={t('fleet.plug.nowhereWhy')} />
            ) : (
              <DataTable
                label={t('fleet.plug.hosts')}
                rows={list(x.hosts)}
                rowKey={(h) => h.host}
                choice={orders ? { ids: marked, set: setMarked, name: (h) => h.name } : undefined}
                columns={[
                  { key: 'host', title: t('fleet.host'), render: (h) => <HostLink id={h.host} name={h.name} /> },
                  {
                    key: 'state',
                    title: t('col.status'),
                    render: (h) => (
                      <span className="status">
                        <i className={`dot ${h.online ? DOTS[h.state] : 'idle'}`} />
                        {t(`fleet.plug.state.${h.state}`)}
                        {!h.online && <span className="faint"> · {t('fleet.state.offline')}</span>}
                      </span>
                    ),
                  },
                  { key: 'version', title: t('fleet.version'), render: (h) => h.version },
                  { key: 'rate', title: t('fleet.in.rate'), num: true, render: (h) => number(h.rate, locale) },
                  { key: 'samples', title: t('fleet.plug.samples'), num: true, render: (h) => number(h.process?.samples, locale) },
                  { key: 'restarts', title: t('fleet.plug.restarts'), num: true, render: (h) => number(h.process?.restarts, locale) },
                  { key: 'errors', title: t('fleet.plug.errors'), num: true, render: (h) => number(h.process?.errors, locale) },
                  { key: 'cpu', title: 'CPU', num: true, render: (h) => (h.process ? `${h.process.cpu_percent.toFixed(1)} %` : '–') },
                  { key: 'memory', title: t('fleet.inv.memory'), num: true, render: (h) => (h.process ? bytes(h.process.memory_bytes, locale) : '–') },
                  { key: 'error', title: t('fleet.plug.error'), render: (h) => h.error || <span className="faint">–</span> },
                ]}
              />
            )
          }
        </Loaded>
      </Panel>
      {doing && <PluginOrder kind={doing} plugin={name} hosts={marked.size > 0 ? [...marked] : undefined} close={() => setDoing(null)} />}
      {removing && (
        <Ask
          title={t('fleet.plug.delete', { x: `${removing.name} ${removing.version}` })}
          why={t('fleet.plug.deleteWhy')}
          ok={t('do.delete')}
          close={() => setRemoving(null)}
          submit={async () => {
            await act(() => del(`${path(removing.name)}/${encodeURIComponent(removing.version)}`), { said: t('fleet.pkg.deleted'), renew });
            if (list(query.data?.packages).length <= 1) close();
          }}
        />
      )}
    </>
  );
}

/** Plug-ins of the agent: those of somebody's own, and the preset ones. */
export function Plugins() {
  const { t, locale } = useSettings();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const [adding, setAdding] = useState(false);
  const query = usePlugins();
  const open = url.get('plugin') ?? '';
  const kind = url.get('kind') ?? '';
  const q = (url.get('q') ?? '').toLowerCase();
  const rows = list(query.data?.items).filter((x) => (!kind || x.kind === kind) && (!q || `${x.name} ${x.title ?? ''}`.toLowerCase().includes(q)));
  const makes = can('add-fleet-plugin');
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('fleet.plug.find')} />
        {(['uploaded', 'preset'] as const).map((k) => (
          <button key={k} className="plain toggle" aria-pressed={kind === k} onClick={() => setUrl({ kind: kind === k ? undefined : k })}>
            {t(`fleet.plug.kind.${k}`)}
          </button>
        ))}
        {makes && <Button onClick={() => setAdding(true)}>{t('fleet.plug.upload')}</Button>}
      </div>
      <Stale query={query} />
      {open && <Detail key={open} name={open} close={() => setUrl({ plugin: undefined })} />}
      <div className="panel" style={{ overflowX: 'auto', marginTop: open ? 12 : undefined }}>
        <Loaded query={query} what="fleet.plugins" lines={6}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.plug.empty')} why={t('fleet.plug.emptyWhy')}>
                {makes && <Button onClick={() => setAdding(true)}>{t('fleet.plug.upload')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.plugins')}
                rows={rows}
                rowKey={(x) => `${x.kind} ${x.name}`}
                marked={open ? `uploaded ${open}` : undefined}
                onRow={(x) => x.kind === 'uploaded' && setUrl({ plugin: x.name === open ? undefined : x.name })}
                columns={[
                  {
                    key: 'name',
                    title: t('fleet.plug.one'),
                    render: (x) =>
                      x.kind === 'uploaded' ? (
                        <>
                          <button className="plain link" onClick={() => setUrl({ plugin: x.name })}>
                            {x.name}
                          </button>
                          {x.title && <div className="faint">{x.title}</div>}
                        </>
                      ) : (
                        x.name
                      ),
                  },
                  { key: 'kind', title: t('fleet.plug.kind'), render: (x) => t(`fleet.plug.kind.${x.kind}`) },
                  { key: 'versions', title: t('fleet.version'), render: (x) => list(x.versions).join(', ') || <span className="faint">–</span> },
                  { key: 'hosts', title: t('fleet.hosts'), num: true, render: (x) => number(x.hosts, locale) },
                  { key: 'running', title: t('fleet.plug.state.running'), num: true, render: (x) => number(x.running, locale) },
                  { key: 'failing', title: t('fleet.plug.state.failing'), num: true, render: (x) => (x.failing > 0 ? <span style={{ color: 'var(--high)' }}>{number(x.failing, locale)}</span> : 0) },
                  { key: 'stopped', title: t('fleet.plug.state.stopped'), num: true, render: (x) => number(x.stopped, locale) },
                  { key: 'samples', title: t('fleet.in.rate'), num: true, render: (x) => number(x.samples_minute, locale) },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {adding && <UploadDialog close={() => setAdding(false)} />}
    </>
  );
}
