import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, InputNumber, Radio, Select, Switch } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import type { FleetThreshold } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Ask, FormDialog } from '../dialog';
import { TenantName } from '../names';
import { WordsInput } from '../pickers';
import { SeverityMark } from '../severity';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { HostLink, SelectorText, TenantPicker, useGroups } from './marks';

const path = (id: string) => `/fleet/thresholds/${encodeURIComponent(id)}`;
const renew = ['fleet-thresholds'];

/** What rules may be on, with the units of it. */
const FIGURES = {
  host: { cpu: '%', memory: '%', disk: '%', network: 'KB/s' },
  agent: { cpu: '%', memory: 'MB', disk: 'MB', network: 'KB/s', delay: 's' },
  task: { cpu: '%', memory: 'MB', network: 'KB/s', time: '%', rate: '/min' },
} as const;
const SUBJECTS = ['host', 'agent', 'task'] as const;
const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'] as const;

interface Draft {
  tenant: string;
  name: string;
  of: FleetThreshold['of'];
  resource: FleetThreshold['resource'];
  above: number;
  minutes: number;
  severity: FleetThreshold['severity'];
  everybody: boolean;
  labels?: string[];
  groups?: string[];
  enabled: boolean;
}

function bodyOf(v: Draft, revision?: number) {
  const { everybody, labels, groups, ...rest } = v;
  return { ...rest, revision, selector: everybody ? { everybody: true } : { labels: labels ?? [], groups: groups ?? [] } };
}

const draftOf = (x: FleetThreshold): Draft => ({
  tenant: x.tenant,
  name: x.name,
  of: x.of,
  resource: x.resource,
  above: x.above,
  minutes: x.minutes,
  severity: x.severity,
  everybody: x.selector.everybody ?? false,
  labels: list(x.selector.labels),
  groups: list(x.selector.groups),
  enabled: x.enabled,
});

function KeepDialog({ of, close }: { of?: FleetThreshold; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const groups = useGroups().data;
  return (
    <FormDialog<Draft>
      title={of ? t('fleet.thr.edit', { x: of.name }) : t('fleet.thr.new')}
      ok={t('do.save')}
      initial={of ? draftOf(of) : { of: 'host', resource: 'cpu', above: 90, minutes: 5, severity: 'medium', everybody: true, enabled: true }}
      submit={(v) => (of ? put(path(of.id), bodyOf(v, of.revision)) : post('/fleet/thresholds', bodyOf(v))).then(() => tell({ said: t('fleet.thr.saved'), renew }))}
      close={close}
    >
      {(form) => (
        <>
          <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ required: true, message: t('fleet.needTenant') }]}>
            <TenantPicker disabled={Boolean(of)} />
          </Form.Item>
          <Form.Item name="name" label={t('fleet.name')} rules={[{ required: true, message: t('fleet.needName') }]}>
            <Input maxLength={64} />
          </Form.Item>
          <Form.Item name="of" label={t('fleet.thr.of')}>
            <Radio.Group options={SUBJECTS.map((k) => ({ value: k, label: t(`fleet.thr.of.${k}`) }))} onChange={() => form.setFieldValue('resource', 'cpu')} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() => {
              const of = (form.getFieldValue('of') ?? 'host') as FleetThreshold['of'];
              const units = FIGURES[of] as Partial<Record<FleetThreshold['resource'], string>>;
              return (
                <>
                  <Form.Item name="resource" label={t('fleet.thr.resource')}>
                    <Select options={(Object.keys(units) as FleetThreshold['resource'][]).map((k) => ({ value: k, label: t(`fleet.thr.${of}.${k}` as 'fleet.thr.host.cpu') }))} />
                  </Form.Item>
                  <div className="row" style={{ gap: 16 }}>
                    <Form.Item name="above" label={`${t('fleet.thr.above')}（${units[form.getFieldValue('resource') as FleetThreshold['resource']] ?? ''}）`} rules={[{ required: true, message: t('fleet.need') }]}>
                      <InputNumber min={0} max={1e9} />
                    </Form.Item>
                    <Form.Item name="minutes" label={t('fleet.thr.minutes')} rules={[{ required: true, message: t('fleet.need') }]}>
                      <InputNumber min={1} max={1440} precision={0} />
                    </Form.Item>
                  </div>
                </>
              );
            }}
          </Form.Item>
          <Form.Item name="severity" label={t('col.severity')}>
            <Select options={LEVELS.map((k) => ({ value: k, label: t(`sev.${k}`) }))} />
          </Form.Item>
          <Form.Item name="everybody" label={t('fleet.cfg.for')}>
            <Radio.Group
              options={[
                { value: true, label: t('fleet.cfg.everybody') },
                { value: false, label: t('fleet.task.where.labels') },
              ]}
            />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() =>
              form.getFieldValue('everybody') === false && (
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
          <Form.Item name="enabled" label={t('fleet.thr.enabled')} valuePropName="checked">
            <Switch />
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

/** Rules on what hosts, agents and tasks take, and who is beyond them. */
export function Thresholds() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [editing, setEditing] = useState<FleetThreshold | true | null>(null);
  const [removing, setRemoving] = useState<FleetThreshold | null>(null);
  const query = useQuery({ queryKey: ['fleet-thresholds'], queryFn: ({ signal }) => get<Page<FleetThreshold>>('/fleet/thresholds', { limit: 500 }, signal), refetchInterval: 5_000 });
  const rows = list(query.data?.items);
  const makes = can('create-fleet-threshold');
  const add = makes && <Button onClick={() => setEditing(true)}>{t('fleet.thr.new')}</Button>;
  return (
    <>
      {rows.length > 0 && add && <div className="filters">{add}</div>}
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.thresholds" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.thr.empty')} why={t('fleet.thr.emptyWhy')}>
                {add}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.thresholds')}
                rows={rows}
                rowKey={(x) => x.id}
                columns={[
                  {
                    key: 'name',
                    title: t('fleet.name'),
                    render: (x) => (
                      <>
                        <b style={{ fontWeight: 550 }}>{x.name}</b>
                        {!x.enabled && <span className="faint"> · {t('fleet.thr.off')}</span>}
                      </>
                    ),
                  },
                  { key: 'severity', title: t('col.severity'), render: (x) => <SeverityMark level={x.severity} /> },
                  { key: 'when', title: t('fleet.thr.when'), render: (x) => t('fleet.thr.whenOf', { x: t(`fleet.thr.of.${x.of}`), y: t(`fleet.thr.${x.of}.${x.resource}` as 'fleet.thr.host.cpu'), n: number(x.above, locale), u: x.unit, m: x.minutes }) },
                  { key: 'for', title: t('fleet.cfg.for'), render: (x) => <SelectorText of={x.selector} /> },
                  { key: 'tenant', title: t('fleet.tenant'), render: (x) => <TenantName slug={x.tenant} /> },
                  {
                    key: 'beyond',
                    title: t('fleet.thr.beyond'),
                    render: (x) =>
                      list(x.beyond).length === 0 ? (
                        <span className="faint">–</span>
                      ) : (
                        <>
                          {list(x.beyond).slice(0, 5).map((b) => (
                            <div key={b.agent + (b.task ?? '')}>
                              <HostLink id={b.agent} name={b.host} /> {b.task} <b>{number(Math.round(b.value * 10) / 10, locale)} {x.unit}</b>
                            </div>
                          ))}
                          {list(x.beyond).length > 5 && <span className="faint">+{list(x.beyond).length - 5}</span>}
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
                          <Button size="small" aria-label={t('fleet.thr.edit', { x: x.name })} onClick={() => setEditing(x)}>
                            {t('do.edit')}
                          </Button>
                          <Button size="small" danger aria-label={t('fleet.thr.delete', { x: x.name })} onClick={() => setRemoving(x)}>
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
      {editing && <KeepDialog of={editing === true ? undefined : editing} close={() => setEditing(null)} />}
      {removing && <Ask title={t('fleet.thr.delete', { x: removing.name })} why={t('fleet.thr.deleteWhy')} ok={t('do.delete')} close={() => setRemoving(null)} submit={() => act(() => del(path(removing.id)), { said: t('fleet.thr.deleted'), renew })} />}
    </>
  );
}
