import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Radio, Select, Switch } from 'antd';
import { useState } from 'react';
import { get, post } from '../../api/client';
import { DEPLOY_STATES, type FleetDeployment, type FleetDeploymentDetail, type FleetDeploymentHost, type FleetHostKey, type FleetPackage } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute } from '../../logic/format';
import { Ask, FormDialog } from '../dialog';
import { TenantName } from '../names';
import { Panel } from '../page';
import { WordsInput } from '../pickers';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { JoiningFields } from './profiles';
import { SignIn, hostsOf, signInOf, type Credentials } from './signin';
import { ConfigurationPicker, FleetGroupPicker, HostLink, TenantPicker } from './marks';

const path = (id: string) => `/fleet/deployments/${encodeURIComponent(id)}`;
const renew = ['fleet-deployments', 'fleet-deployment', 'fleet-hosts', 'fleet-host-keys'];
const DOTS: Record<FleetDeploymentHost['state'], string> = { 'key-unknown': 'warn', failed: 'bad', running: 'warn', waiting: 'idle', cancelled: 'idle', done: 'ok' };

interface Draft extends Credentials {
  tenant: string;
  kind: 'install' | 'upgrade' | 'remove';
  hosts: string;
  version?: string;
  labels?: string[];
  group?: string;
  configuration?: string;
  profile?: string;
  plugins?: string[];
  tasks?: string[];
  purge?: boolean;
}

/** Asks for credentials to try again the hosts of a deployment that failed. */
function RetryDialog({ of, close }: { of: FleetDeployment; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const [, setUrl] = useUrl();
  const cancelled = of.states.cancelled ?? 0;
  return (
    <FormDialog<Credentials & { cancelled?: boolean }>
      width={640}
      title={of.states.failed ? t('fleet.dep.retryTitle', { n: of.states.failed }) : t('fleet.dep.retryStopped', { n: cancelled })}
      ok={t('fleet.dep.retry')}
      initial={{ by: 'key', user: of.user, cancelled: !of.states.failed }}
      submit={async (v) => {
        const made = await post<FleetDeployment>(`${path(of.id)}/retry`, { ...signInOf(v), cancelled: v.cancelled || undefined });
        tell({ said: t('fleet.dep.begun'), renew });
        setUrl({ deployment: made.id });
      }}
      close={() => undefined}
      cancel={close}
    >
      {(form) => (
        <>
          <SignIn form={form} />
          {cancelled > 0 && (
            <Form.Item name="cancelled" label={t('fleet.dep.retryCancelled', { n: cancelled })} valuePropName="checked">
              <Switch />
            </Form.Item>
          )}
          <p className="dim">{t('fleet.dep.secrets')}</p>
        </>
      )}
    </FormDialog>
  );
}

/** Asks for what a deployment over SSH needs. */
export function DeployDialog({ kind, hosts, close }: { kind?: Draft['kind']; hosts?: readonly string[]; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const [, setUrl] = useUrl();
  const packages = useQuery({ queryKey: ['fleet-packages'], queryFn: ({ signal }) => get<Page<FleetPackage>>('/fleet/packages', { limit: 1000 }, signal) });
  const versions = [...new Set(list(packages.data?.items).filter((p) => p.os === 'linux').map((p) => p.version))];
  return (
    <FormDialog<Draft>
      width={640}
      title={t('fleet.dep.new')}
      ok={t('fleet.dep.begin')}
      initial={{ kind: kind ?? 'install', by: 'key', user: 'root', hosts: (hosts ?? []).join('\n') }}
      submit={async (v) => {
        const made = await post<FleetDeployment>('/fleet/deployments', {
          tenant: v.tenant,
          kind: v.kind,
          hosts: hostsOf(v.hosts),
          ...signInOf(v),
          version: v.version || undefined,
          labels: v.labels,
          group: v.group || undefined,
          configuration: v.configuration || undefined,
          profile: v.profile || undefined,
          plugins: v.plugins,
          tasks: v.tasks,
          purge: v.purge,
        });
        tell({ said: t('fleet.dep.begun'), renew });
        setUrl({ tab: 'deployments', deployment: made.id, deploy: undefined });
      }}
      close={() => undefined}
      cancel={close}
    >
      {(form) => (
        <>
          <Form.Item name="kind" label={t('fleet.dep.kind')}>
            <Radio.Group options={(['install', 'upgrade', 'remove'] as const).map((k) => ({ value: k, label: t(`fleet.dep.kind.${k}`) }))} />
          </Form.Item>
          <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ required: true, message: t('fleet.needTenant') }]}>
            <TenantPicker />
          </Form.Item>
          <Form.Item name="hosts" label={t('fleet.dep.hosts')} extra={t('fleet.dep.hostsHelp')} rules={[{ required: true, message: t('fleet.need') }]}>
            <Input.TextArea rows={4} className="mono" spellCheck={false} placeholder={'10.1.2.3\napp1.example.gov.cn:2222'} />
          </Form.Item>
          <SignIn form={form} />
          <Form.Item noStyle shouldUpdate>
            {() => (
              <>
                {form.getFieldValue('kind') !== 'remove' && (
                  <Form.Item name="version" label={t('fleet.version')} extra={packages.data && versions.length === 0 ? t('fleet.dep.noPackage') : undefined}>
                    <Select allowClear loading={packages.isPending} placeholder={t('fleet.dep.newest')} options={versions.map((v) => ({ value: v, label: v }))} notFoundContent={t('fleet.pkg.empty')} />
                  </Form.Item>
                )}
                {form.getFieldValue('kind') === 'install' && (
                  <>
                    <JoiningFields tenant={form.getFieldValue('tenant') as string} />
                    <Form.Item name="labels" label={t('fleet.labels')} extra={t('fleet.labelsHelp')}>
                      <WordsInput />
                    </Form.Item>
                    <Form.Item name="group" label={t('fleet.group')}>
                      <FleetGroupPicker tenant={form.getFieldValue('tenant') as string} />
                    </Form.Item>
                    <Form.Item name="configuration" label={t('fleet.configuration')}>
                      <ConfigurationPicker tenant={form.getFieldValue('tenant') as string} />
                    </Form.Item>
                  </>
                )}
                {form.getFieldValue('kind') === 'remove' && (
                  <Form.Item name="purge" label={t('fleet.dep.purge')} valuePropName="checked" extra={t('fleet.dep.purgeHelp')}>
                    <Switch />
                  </Form.Item>
                )}
              </>
            )}
          </Form.Item>
          <p className="dim">{t('fleet.dep.secrets')}</p>
        </>
      )}
    </FormDialog>
  );
}

function Counts({ of }: { of: FleetDeployment }) {
  const { t } = useSettings();
  return (
    <>
      {DEPLOY_STATES.filter((s) => of.states[s])
        .map((s) => `${t(`fleet.dep.state.${s}`)} ${of.states[s]}`)
        .join(' · ')}
    </>
  );
}

function HostLog({ id, address, close }: { id: string; address: string; close: () => void }) {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['fleet-deployment', id, address], queryFn: ({ signal }) => get<FleetDeploymentHost>(`${path(id)}/log`, { address }, signal), refetchInterval: 2_000 });
  return (
    <Panel
      title={t('fleet.dep.log', { x: address })}
      end={
        <Button size="small" type="text" onClick={close}>
          {t('do.close')}
        </Button>
      }
    >
      <Loaded query={query} what="fleet.dep.log" lines={3}>
        {(x) => (
          <pre tabIndex={0} style={{ whiteSpace: 'pre-wrap', margin: 0 }}>
            {list(x.log)
              .map((l) => `${absolute(l.at)}  ${l.text}`)
              .join('\n') || '–'}
          </pre>
        )}
      </Loaded>
    </Panel>
  );
}

function Detail({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [log, setLog] = useState('');
  const [asking, setAsking] = useState<FleetDeploymentHost[] | 'cancel' | 'retry' | null>(null);
  const query = useQuery({ queryKey: ['fleet-deployment', id], queryFn: ({ signal }) => get<FleetDeploymentDetail>(path(id), {}, signal), refetchInterval: 1_500 });
  const unknown = list(query.data?.targets).filter((h) => h.state === 'key-unknown');
  return (
    <>
      <Panel
        flush
        title={
          query.data ? (
            <>
              {t(`fleet.dep.kind.${query.data.kind}`)} <span className="faint"><Counts of={query.data} /></span>
            </>
          ) : (
            t('fleet.deployments')
          )
        }
        end={
          <span className="row">
            {unknown.length > 1 && can('trust-fleet-host-keys') && <Button size="small" onClick={() => setAsking(unknown)}>{t('fleet.dep.trustAll', { n: unknown.length })}</Button>}
            {query.data && can('retry-fleet-deployment') && (query.data.states.failed ? true : query.data.ended_at && query.data.states.cancelled) && (
              <Button size="small" onClick={() => (query.data.ended_at ? setAsking('retry') : void act(() => post(`${path(id)}/retry`, {}), { said: t('fleet.dep.begun'), renew }))}>
                {t('fleet.dep.retry')}
              </Button>
            )}
            {query.data && !query.data.ended_at && can('cancel-fleet-deployment') && (
              <Button size="small" danger onClick={() => setAsking('cancel')}>
                {t('fleet.dep.cancel')}
              </Button>
            )}
            <Button size="small" type="text" onClick={close}>
              {t('do.close')}
            </Button>
          </span>
        }
      >
        <Loaded query={query} what="fleet.deployments" lines={4}>
          {(x) => (
            <DataTable
              label={t('fleet.job.results')}
              rows={list(x.targets)}
              rowKey={(h) => h.address}
              marked={log}
              columns={[
                { key: 'address', title: t('fleet.host'), render: (h) => <span className="mono">{h.address}</span> },
                {
                  key: 'state',
                  title: t('col.status'),
                  render: (h) => (
                    <span className="status">
                      <i className={`dot ${DOTS[h.state]}`} />
                      {t(`fleet.dep.state.${h.state}`)}
                      {h.state === 'running' && h.step ? ` · ${t(`fleet.dep.step.${h.step}`)}` : ''}
                    </span>
                  ),
                },
                {
                  key: 'text',
                  title: t('fleet.log.detail'),
                  render: (h) =>
                    h.key ? (
                      <>
                        {h.key.type} <code>{h.key.fingerprint}</code>
                      </>
                    ) : h.state === 'done' && h.agent && x.kind !== 'remove' ? (
                      <HostLink id={h.agent} name={h.agent} />
                    ) : (
                      h.text || <span className="faint">–</span>
                    ),
                },
                { key: 'at', title: t('col.time'), num: true, render: (h) => (h.at ? <When time={h.at} age /> : '–') },
                {
                  key: 'do',
                  title: '',
                  num: true,
                  render: (h) => (
                    <span className="row" style={{ justifyContent: 'flex-end' }}>
                      {h.state === 'key-unknown' && can('trust-fleet-host-keys') && (
                        <Button size="small" type="primary" aria-label={t('fleet.dep.trustOf', { x: h.address })} onClick={() => setAsking([h])}>
                          {t('fleet.dep.trust')}
                        </Button>
                      )}
                      <Button size="small" aria-label={t('fleet.dep.log', { x: h.address })} onClick={() => setLog(h.address)}>
                        {t('fleet.dep.logShort')}
                      </Button>
                    </span>
                  ),
                },
              ]}
            />
          )}
        </Loaded>
      </Panel>
      {log && <HostLog id={id} address={log} close={() => setLog('')} />}
      {asking === 'retry' && query.data && <RetryDialog of={query.data} close={() => setAsking(null)} />}
      {asking === 'cancel' && <Ask title={t('fleet.dep.cancel')} why={t('fleet.dep.cancelWhy')} ok={t('fleet.dep.cancel')} close={() => setAsking(null)} submit={() => act(() => post(`${path(id)}/cancel`, {}), { said: t('fleet.dep.cancelled'), renew })} />}
      {Array.isArray(asking) && (
        <Ask
          danger={false}
          title={t('fleet.dep.trustTitle', { n: asking.length })}
          why={
            <>
              <p>{t('fleet.dep.trustWhy')}</p>
              {asking.slice(0, 20).map((h) => (
                <div key={h.address} className="mono">
                  {h.address} {h.key?.type}
                  <br />
                  {h.key?.fingerprint}
                </div>
              ))}
              {asking.length > 20 && <div className="faint">+{asking.length - 20}</div>}
            </>
          }
          ok={t('fleet.dep.trust')}
          close={() => setAsking(null)}
          submit={() => act(() => post(`${path(id)}/trust`, { keys: asking.map((h) => ({ address: h.address, fingerprint: h.key?.fingerprint ?? '' })) }), { said: t('fleet.dep.trusted'), renew })}
        />
      )}
    </>
  );
}

function HostKeys() {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [forgetting, setForgetting] = useState<FleetHostKey | null>(null);
  const query = useQuery({ queryKey: ['fleet-host-keys'], queryFn: ({ signal }) => get<Page<FleetHostKey>>('/fleet/host-keys', { limit: 1000 }, signal), refetchInterval: 10_000 });
  const rows = list(query.data?.items);
  if (rows.length === 0) return null;
  return (
    <Panel title={t('fleet.dep.keys')} flush>
      <DataTable
        label={t('fleet.dep.keys')}
        rows={rows}
        rowKey={(k) => k.id}
        columns={[
          { key: 'address', title: t('fleet.host'), render: (k) => <span className="mono">{k.address}</span> },
          { key: 'tenant', title: t('fleet.tenant'), render: (k) => <TenantName slug={k.tenant} /> },
          { key: 'key', title: t('fleet.dep.fingerprint'), render: (k) => <>{k.type} <code>{k.fingerprint}</code></> },
          { key: 'by', title: t('fleet.dep.trustedBy'), render: (k) => k.by },
          { key: 'at', title: t('col.time'), num: true, render: (k) => <When time={k.at} age /> },
          {
            key: 'do',
            title: '',
            num: true,
            render: (k) =>
              can('forget-fleet-host-key') && (
                <Button size="small" danger aria-label={t('fleet.dep.forgetOf', { x: k.address })} onClick={() => setForgetting(k)}>
                  {t('fleet.dep.forget')}
                </Button>
              ),
          },
        ]}
      />
      {forgetting && (
        <Ask title={t('fleet.dep.forgetOf', { x: forgetting.address })} why={t('fleet.dep.forgetWhy')} ok={t('fleet.dep.forget')} close={() => setForgetting(null)} submit={() => act(() => post('/fleet/host-keys/forget', { tenant: forgetting.tenant, address: forgetting.address }), { said: t('fleet.dep.forgotten'), renew })} />
      )}
    </Panel>
  );
}

/** Installations, upgrades and removals over SSH, with how far each host is. */
export function Deployments() {
  const { t } = useSettings();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const query = useQuery({ queryKey: ['fleet-deployments'], queryFn: ({ signal }) => get<Page<FleetDeployment>>('/fleet/deployments', { limit: 200 }, signal), refetchInterval: 3_000 });
  const rows = list(query.data?.items);
  const open = url.get('deployment') ?? '';
  const makes = can('create-fleet-deployment');
  const begin = makes && (
    <Button type={rows.length === 0 ? 'primary' : 'default'} onClick={() => setUrl({ deploy: '1' })}>
      {t('fleet.dep.new')}
    </Button>
  );
  return (
    <>
      {rows.length > 0 && begin && <div className="filters">{begin}</div>}
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.deployments" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.dep.empty')} why={t('fleet.dep.emptyWhy')}>
                {begin}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.deployments')}
                rows={rows}
                rowKey={(x) => x.id}
                marked={open}
                onRow={(x) => setUrl({ deployment: x.id === open ? undefined : x.id })}
                columns={[
                  {
                    key: 'kind',
                    title: t('fleet.job.kind'),
                    render: (x) => (
                      <button className="plain link" onClick={() => setUrl({ deployment: x.id })}>
                        {t(`fleet.dep.kind.${x.kind}`)} {x.version}
                      </button>
                    ),
                  },
                  { key: 'hosts', title: t('fleet.hosts'), num: true, render: (x) => x.hosts },
                  { key: 'states', title: t('fleet.job.results'), render: (x) => <Counts of={x} /> },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => <TenantName slug={x.tenant} /> },
                  { key: 'user', title: t('fleet.dep.user'), render: (x) => x.user },
                  { key: 'by', title: t('fleet.log.who'), render: (x) => x.by },
                  { key: 'at', title: t('col.time'), num: true, render: (x) => <When time={x.at} age /> },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      <div style={{ display: 'grid', gap: 12, marginTop: 12 }}>
        {open && <Detail key={open} id={open} close={() => setUrl({ deployment: undefined })} />}
        <HostKeys />
      </div>
    </>
  );
}
