import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, InputNumber, Radio, Select } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import type { FleetConfiguration, FleetVersion } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute } from '../../logic/format';
import { Ask, FormDialog } from '../dialog';
import { TextDiff } from '../linediff';
import { TenantName } from '../names';
import { Panel } from '../page';
import { WordsInput } from '../pickers';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { SelectorText, TenantPicker, useConfigurations, useGroups } from './marks';

const path = (id: string) => `/fleet/configurations/${encodeURIComponent(id)}`;
const renew = ['fleet-configurations', 'fleet-configuration', 'fleet-hosts', 'fleet-host'];
type Detail = FleetConfiguration & { versions: FleetVersion[] | null };
const DOTS = { rolling: 'warn', paused: 'warn', done: 'ok', rolled_back: 'bad' } as const;

const START = `# YAML: inputs, files, journal, integrity, inventory, limits
inputs:
  - {plugin: cpu, interval: 15s}
  - {plugin: mem, interval: 15s}
`;

interface Draft {
  tenant: string;
  name: string;
  note?: string;
  priority: number;
  everybody: boolean;
  labels?: string[];
  groups?: string[];
}

function KeepDialog({ of, close }: { of?: FleetConfiguration; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const groups = useGroups().data;
  const [, setUrl] = useUrl();
  return (
    <FormDialog<Draft>
      title={of ? t('fleet.cfg.edit') : t('fleet.cfg.new')}
      ok={t('do.save')}
      initial={{ tenant: of?.tenant, name: of?.name, note: of?.note, priority: of?.priority ?? 0, everybody: of?.selector.everybody ?? false, labels: list(of?.selector.labels), groups: list(of?.selector.groups) }}
      submit={async (v) => {
        const body = { tenant: v.tenant, name: v.name, note: v.note, priority: v.priority, selector: v.everybody ? { everybody: true } : { labels: v.labels ?? [], groups: v.groups ?? [] } };
        const made = await (of ? put<FleetConfiguration>(path(of.id), { ...body, revision: of.revision }) : post<FleetConfiguration>('/fleet/configurations', body));
        tell({ said: t('fleet.cfg.saved'), renew });
        if (!of) setUrl({ configuration: made.id });
      }}
      close={close}
    >
      {(form) => (
        <>
          <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ validator: (_, v) => (v === undefined ? Promise.reject(new Error(t('fleet.needTenant'))) : Promise.resolve()) }]}>
            <TenantPicker all disabled={Boolean(of)} />
          </Form.Item>
          <Form.Item name="name" label={t('fleet.name')} rules={[{ required: true, message: t('fleet.needName') }]}>
            <Input maxLength={64} />
          </Form.Item>
          <Form.Item name="everybody" label={t('fleet.cfg.for')}>
            <Radio.Group
              options={[
                { value: false, label: t('fleet.task.where.labels') },
                { value: true, label: t('fleet.cfg.everybody') },
              ]}
            />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() =>
              !form.getFieldValue('everybody') && (
                <>
                  <Form.Item name="labels" label={t('fleet.labels')} extra={t('fleet.labelsHelp')}>
                    <WordsInput />
                  </Form.Item>
                  <Form.Item name="groups" label={t('fleet.groups')}>
                    <Select mode="multiple" options={list(groups?.items).map((g) => ({ value: g.id, label: g.name }))} />
                  </Form.Item>
                </>
              )
            }
          </Form.Item>
          <Form.Item name="priority" label={t('fleet.cfg.priority')}>
            <InputNumber min={0} max={1000} />
          </Form.Item>
          <Form.Item name="note" label={t('fleet.note')}>
            <Input maxLength={2000} />
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

function PublishDialog({ of, close }: { of: Detail; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const now = list(of.versions).find((v) => v.number === of.rollout.version)?.document ?? '';
  return (
    <FormDialog<{ document: string; comment?: string; at_once: boolean; soak: number }>
      width={820}
      title={t('fleet.cfg.publishOf', { x: of.name })}
      ok={t('fleet.cfg.publish')}
      initial={{ document: now || START, at_once: false, soak: 60 }}
      submit={(v) => post(`${path(of.id)}/publish`, { document: v.document, comment: v.comment, at_once: v.at_once, soak_seconds: v.soak, revision: of.revision }).then(() => tell({ said: t('fleet.cfg.published'), renew }))}
      close={close}
    >
      {(form) => (
        <>
          <Form.Item name="document" label={t('fleet.cfg.document')} rules={[{ required: true, message: t('fleet.need') }]}>
            <Input.TextArea rows={16} className="mono" spellCheck={false} />
          </Form.Item>
          <Form.Item name="comment" label={t('fleet.cfg.comment')}>
            <Input maxLength={500} />
          </Form.Item>
          <Form.Item name="at_once" label={t('fleet.cfg.how')}>
            <Radio.Group
              options={[
                { value: false, label: t('fleet.cfg.staged') },
                { value: true, label: t('fleet.cfg.atOnce') },
              ]}
            />
          </Form.Item>
          <Form.Item name="soak" label={t('fleet.cfg.soak')}>
            <InputNumber min={0} max={86400} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() => {
              const text = (form.getFieldValue('document') as string) ?? '';
              return now && text !== now ? (
                <>
                  <h3>{t('fleet.cfg.diff')}</h3>
                  <TextDiff before={now} after={text} />
                </>
              ) : null;
            }}
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

function RolloutMark({ of }: { of: FleetConfiguration }) {
  const { t } = useSettings();
  const r = of.rollout;
  if (!r.version) return <span className="faint">{t('fleet.cfg.none')}</span>;
  return (
    <div style={{ maxWidth: 420 }}>
      <span className="status">
        <i className={`dot ${DOTS[r.state]}`} />
        {t(`fleet.cfg.state.${r.state}`)} · {t('fleet.config.version', { n: r.version })}
        {r.state === 'rolling' && <span className="faint"> {r.percent}%</span>}
      </span>
      <div className="faint">
        {t('fleet.cfg.progress', { n: of.progress.applied, of: r.state === 'done' ? of.progress.agents : of.progress.given || of.progress.agents })}
        {of.progress.refused > 0 && <span style={{ color: 'var(--high)' }}> · {t('fleet.cfg.refused', { n: of.progress.refused })}</span>}
      </div>
      {r.reason && (
        <div style={{ color: 'var(--high)' }} className="ellipsis" title={r.reason}>
          {r.host}: {r.reason}
        </div>
      )}
    </div>
  );
}

function ConfigurationDetail({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [publishing, setPublishing] = useState(false);
  const [editing, setEditing] = useState(false);
  const [removing, setRemoving] = useState(false);
  const [shown, setShown] = useState<number | null>(null);
  const query = useQuery({ queryKey: ['fleet-configuration', id], queryFn: ({ signal }) => get<Detail>(path(id), {}, signal), refetchInterval: 2_000 });
  return (
    <Loaded query={query} what="fleet.configuration" lines={6}>
      {(x) => {
        const versions = list(x.versions);
        const current = versions.find((v) => v.number === x.rollout.version)?.document ?? '';
        const one = versions.find((v) => v.number === shown);
        const steer = (word: 'pause' | 'resume' | 'complete' | 'roll-back') => (
          <Button key={word} size="small" danger={word === 'roll-back'} onClick={() => void act(() => post(`${path(id)}/${word}`), { said: t('fleet.cfg.steered'), renew })}>
            {t(`fleet.cfg.${word}`)}
          </Button>
        );
        const under = x.rollout.state === 'rolling' || x.rollout.state === 'paused';
        return (
          <Panel
            title={x.name}
            end={
              <span className="row">
                {can('publish-fleet-configuration') && (
                  <>
                    <Button type="primary" size="small" onClick={() => setPublishing(true)}>
                      {t('fleet.cfg.publish')}
                    </Button>
                    <Button size="small" onClick={() => setEditing(true)}>
                      {t('fleet.cfg.edit')}
                    </Button>
                    <Button size="small" danger onClick={() => setRemoving(true)}>
                      {t('do.delete')}
                    </Button>
                  </>
                )}
                <Button size="small" type="text" onClick={close}>
                  {t('do.close')}
                </Button>
              </span>
            }
          >
            <RolloutMark of={x} />
            {can('publish-fleet-configuration') && x.rollout.version > 0 && (
              <div className="row" style={{ margin: '8px 0' }}>
                {x.rollout.state === 'rolling' && steer('pause')}
                {x.rollout.state === 'paused' && steer('resume')}
                {under && steer('complete')}
                {x.rollout.previous && x.rollout.state !== 'rolled_back' ? steer('roll-back') : null}
              </div>
            )}
            <h3>{t('fleet.cfg.versions')}</h3>
            {versions.length === 0 ? (
              <Empty small title={t('fleet.cfg.none')}>
                {can('publish-fleet-configuration') && <Button onClick={() => setPublishing(true)}>{t('fleet.cfg.publish')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.cfg.versions')}
                rows={versions}
                rowKey={(v) => String(v.number)}
                marked={shown === null ? undefined : String(shown)}
                onRow={(v) => setShown(shown === v.number ? null : v.number)}
                columns={[
                  {
                    key: 'n',
                    title: t('fleet.version'),
                    render: (v) => (
                      <button className="plain link" onClick={() => setShown(shown === v.number ? null : v.number)}>
                        {t('fleet.config.version', { n: v.number })}
                      </button>
                    ),
                  },
                  { key: 'comment', title: t('fleet.cfg.comment'), render: (v) => v.comment || <span className="faint">–</span> },
                  { key: 'by', title: t('fleet.log.who'), render: (v) => <span className="faint">{t('fleet.cfg.by', { x: v.by, y: absolute(v.at) })}</span> },
                ]}
              />
            )}
            {one && (
              <>
                {one.number !== x.rollout.version && (
                  <div className="row" style={{ margin: '8px 0' }}>
                    <h3 style={{ margin: 0 }}>{t('fleet.cfg.diff')}</h3>
                    {can('publish-fleet-configuration') && (
                      <Button size="small" onClick={() => void act(() => post(`${path(id)}/publish`, { version: one.number, revision: x.revision }), { said: t('fleet.cfg.published'), renew })}>
                        {t('fleet.cfg.again')}
                      </Button>
                    )}
                  </div>
                )}
                {one.number === x.rollout.version || !current ? (
                  <pre className="mono" tabIndex={0}>
                    {one.document}
                  </pre>
                ) : (
                  <TextDiff before={current} after={one.document} />
                )}
              </>
            )}
            {publishing && <PublishDialog of={x} close={() => setPublishing(false)} />}
            {editing && <KeepDialog of={x} close={() => setEditing(false)} />}
            {removing && (
              <Ask
                title={t('fleet.cfg.delete', { x: x.name })}
                why={t('fleet.cfg.deleteWhy')}
                ok={t('do.delete')}
                name={x.name}
                close={() => setRemoving(false)}
                submit={() =>
                  act(() => del(path(id)), { said: t('fleet.cfg.deleted', { x: x.name }), renew: ['fleet-configurations', 'fleet-hosts'] }).then((ok) => {
                    if (ok) close();
                  })
                }
              />
            )}
          </Panel>
        );
      }}
    </Loaded>
  );
}

/** Configurations with their roll-outs; one open beside the list. */
export function Configurations() {
  const { t } = useSettings();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const query = useConfigurations();
  const rows = list(query.data?.items);
  const open = url.get('configuration') ?? '';
  const makes = can('create-fleet-configuration');
  return (
    <>
      {makes && (
        <div className="filters">
          <Button onClick={() => setUrl({ make: '1' })}>{t('fleet.cfg.new')}</Button>
        </div>
      )}
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.configurations" lines={5}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.cfg.empty')} why={t('fleet.cfg.emptyWhy')}>
                {makes && <Button onClick={() => setUrl({ make: '1' })}>{t('fleet.cfg.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.configurations')}
                rows={rows}
                rowKey={(x) => x.id}
                marked={open}
                onRow={(x) => setUrl({ configuration: x.id === open ? undefined : x.id })}
                columns={[
                  {
                    key: 'name',
                    title: t('fleet.name'),
                    render: (x) => (
                      <button className="plain link" onClick={() => setUrl({ configuration: x.id })}>
                        <b style={{ fontWeight: 550 }}>{x.name}</b>
                      </button>
                    ),
                  },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => (x.tenant ? <TenantName slug={x.tenant} /> : t('fleet.tenantAll')) },
                  { key: 'for', title: t('fleet.cfg.for'), render: (x) => <SelectorText of={x.selector} /> },
                  { key: 'priority', title: t('fleet.cfg.priority'), num: true, render: (x) => x.priority },
                  { key: 'rollout', title: t('fleet.cfg.rollout'), render: (x) => <RolloutMark of={x} /> },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {open && <ConfigurationDetail key={open} id={open} close={() => setUrl({ configuration: undefined })} />}
      {url.get('make') === '1' && <KeepDialog close={() => setUrl({ make: undefined })} />}
    </>
  );
}
