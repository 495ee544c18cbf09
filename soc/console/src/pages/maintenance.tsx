import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Segmented, Select } from 'antd';
import { useState } from 'react';
import { del, get, put, serverNow } from '../api/client';
import { WEEKDAYS, type MaintenanceWindow, type Weekday } from '../api/policies';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useSettings } from '../app/settings';
import { localInput, localTime } from '../logic/access';
import { joined } from '../logic/format';
import { zoneName } from '../logic/zone';
import { ItemName } from '../parts/cmdb/value';
import { FormDialog } from '../parts/dialog';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { TenantsPicker, WordsInput } from '../parts/pickers';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When, WhenFull } from '../parts/time';

const RENEW = ['maintenance-windows'];
const pathOf = (w: { id: string }) => `/maintenance-windows/${encodeURIComponent(w.id)}`;

/** A window as the API takes it: without what it only tells. */
function bodyOf({ active: _a, until: _u, ...w }: MaintenanceWindow): MaintenanceWindow {
  return w;
}

/** Times in which alerts about some assets are expected: they are kept and marked, and nobody is told. */
export default function Maintenance() {
  const { t, locale } = useSettings();
  const can = useCan();
  const write = can('respond');
  const { act } = useAct();
  const tenantName = useTenantName();
  const [editing, setEditing] = useState<Partial<MaintenanceWindow> | null>(null);
  const query = useQuery({ queryKey: RENEW, queryFn: ({ signal }) => get<Page<MaintenanceWindow>>('/maintenance-windows', {}, signal), refetchInterval: 5_000 });
  const rows = list(query.data?.items);
  const save = (w: MaintenanceWindow) => put(pathOf(w), bodyOf(w));
  const remove = (w: MaintenanceWindow) =>
    void act(() => del(pathOf(w)), { said: t('maintenance.removed'), renew: RENEW, undo: () => void act(() => save(w), { said: t('maintenance.saved'), renew: RENEW }) });
  const when = (w: MaintenanceWindow) =>
    w.weekly ? (
      <>
        {joined(
          list(w.weekly.days).map((d) => t(`maintenance.day.${d}`)),
          locale,
        )}{' '}
        <span className="mono">
          {w.weekly.from}–{w.weekly.to}
        </span>{' '}
        <span className="dim">{w.weekly.zone}</span>
      </>
    ) : (
      <>
        <WhenFull time={w.start} /> – <WhenFull time={w.end} />
      </>
    );
  return (
    <div className="page">
      <Head title={t('page.maintenance')} sub={t('maintenance.lead')}>
        {write && (
          <Button type="primary" onClick={() => setEditing({})}>
            {t('maintenance.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="maintenance.what" lines={5}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('maintenance.empty')} why={t('maintenance.emptyWhy')}>
                {write && <Button onClick={() => setEditing({})}>{t('maintenance.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.maintenance')}
                rows={rows}
                rowKey={(w) => w.id}
                columns={[
                  { key: 'state', title: t('maintenance.state'), render: (w) => <State window={w} /> },
                  {
                    key: 'name',
                    title: t('maintenance.name'),
                    render: (w) => (
                      <>
                        <b>{w.name}</b>
                        {w.reason && <div className="dim">{w.reason}</div>}
                      </>
                    ),
                  },
                  { key: 'when', title: t('maintenance.when'), render: when },
                  {
                    key: 'scope',
                    title: t('maintenance.scope'),
                    render: (w) => (
                      <span className="tags">
                        {list(w.tenants).map((x) => (
                          <span key={`t${x}`} className="tag">
                            {tenantName(x)}
                          </span>
                        ))}
                        {[...list(w.systems), ...list(w.items)].map((x) => (
                          <span key={x} className="tag">
                            <ItemName id={x} />
                          </span>
                        ))}
                      </span>
                    ),
                  },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (w) =>
                      write && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" onClick={() => void act(() => save({ ...w, off: !w.off }), { said: t('maintenance.saved'), renew: RENEW })}>
                            {t(w.off ? 'maintenance.enable' : 'maintenance.disable')}
                          </Button>
                          <Button size="small" onClick={() => setEditing(w)}>
                            {t('do.edit')}
                          </Button>
                          <Button size="small" onClick={() => remove(w)}>
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
      {editing && <WindowForm window={editing} save={save} close={() => setEditing(null)} />}
    </div>
  );
}

function State({ window: w }: { window: MaintenanceWindow }) {
  const { t } = useSettings();
  if (w.off) return <span className="tag">{t('maintenance.off')}</span>;
  if (w.active)
    return (
      <span className="tag strong">
        {t('maintenance.active')} {w.until && <When time={w.until} />}
      </span>
    );
  return <span className="dim">{t(w.end && Date.parse(w.end) <= serverNow() ? 'maintenance.over' : 'maintenance.idle')}</span>;
}

interface Values {
  id: string;
  name: string;
  reason?: string;
  kind: 'once' | 'weekly';
  start?: string;
  end?: string;
  days?: Weekday[];
  from?: string;
  to?: string;
  zone?: string;
  items?: string[];
  systems?: string[];
  tenants?: string[];
}

/** Makes a window, or changes the one that has an id. */
function WindowForm({ window: w, save, close }: { window: Partial<MaintenanceWindow>; save: (w: MaintenanceWindow) => Promise<unknown>; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const here = zoneName();
  const hours = (n: number) => localInput(new Date(serverNow() + n * 3_600_000).toISOString());
  const initial: Values = {
    id: w.id ?? `window-${Math.floor(serverNow() / 1000).toString(36)}`,
    name: w.name ?? '',
    reason: w.reason,
    kind: w.weekly ? 'weekly' : 'once',
    start: w.start ? localInput(w.start) : w.weekly ? '' : hours(0),
    end: w.end ? localInput(w.end) : w.weekly ? '' : hours(2),
    days: w.weekly?.days ?? ['saturday'],
    from: w.weekly?.from ?? '22:00',
    to: w.weekly?.to ?? '02:00',
    zone: w.weekly?.zone ?? here,
    items: list(w.items),
    systems: list(w.systems),
    tenants: list(w.tenants),
  };
  return (
    <FormDialog<Values>
      title={t(w.id ? 'maintenance.edit' : 'maintenance.new')}
      ok={t('do.save')}
      width={640}
      initial={initial}
      close={close}
      submit={async (v) => {
        const span = { ...(v.start ? { start: localTime(v.start) as string } : {}), ...(v.end ? { end: localTime(v.end) as string } : {}) };
        await save({
          id: v.id,
          name: v.name.trim(),
          ...(v.reason?.trim() ? { reason: v.reason.trim() } : {}),
          ...span,
          ...(v.kind === 'weekly' ? { weekly: { days: v.days ?? [], from: v.from ?? '', to: v.to ?? '', zone: (v.zone ?? '').trim() } } : {}),
          items: v.items ?? [],
          systems: v.systems ?? [],
          tenants: v.tenants ?? [],
          ...(w.off ? { off: true } : {}),
        });
        tell({ said: t('maintenance.saved'), renew: RENEW });
      }}
    >
      {(form) => (
        <>
          <Form.Item name="name" label={t('maintenance.name')} rules={[{ required: true, whitespace: true, message: t('maintenance.name') }]}>
            <Input maxLength={60} autoFocus />
          </Form.Item>
          <Form.Item name="id" label={t('maintenance.id')} extra={t('maintenance.idWhy')} hidden={!!w.id} rules={[{ required: true, pattern: /^[a-z0-9-]{1,64}$/, message: t('maintenance.idWhy') }]}>
            <Input />
          </Form.Item>
          <Form.Item name="reason" label={t('maintenance.reason')}>
            <Input maxLength={300} />
          </Form.Item>
          <Form.Item name="kind" label={t('maintenance.when')}>
            <Segmented
              // A weekly window has no bounds unless somebody gives it some.
              onChange={(kind) => form.setFieldsValue(kind === 'weekly' ? { start: '', end: '' } : { start: hours(0), end: hours(2) })}
              options={[
                { value: 'once', label: t('maintenance.once') },
                { value: 'weekly', label: t('maintenance.weekly') },
              ]}
            />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a: Values, b: Values) => a.kind !== b.kind}>
            {({ getFieldValue }) =>
              getFieldValue('kind') === 'weekly' && (
                <>
                  <Form.Item name="days" label={t('maintenance.days')} rules={[{ required: true, message: t('maintenance.days') }]}>
                    <Select mode="multiple" options={WEEKDAYS.map((d) => ({ value: d, label: t(`maintenance.day.${d}`) }))} />
                  </Form.Item>
                  <div className="two">
                    <Form.Item name="from" label={t('maintenance.from')} rules={[{ required: true, pattern: /^([01]\d|2[0-3]):[0-5]\d$/, message: 'HH:MM' }]}>
                      <Input placeholder="22:00" />
                    </Form.Item>
                    <Form.Item name="to" label={t('maintenance.to')} rules={[{ required: true, pattern: /^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, message: 'HH:MM' }]}>
                      <Input placeholder="02:00" />
                    </Form.Item>
                  </div>
                  <Form.Item name="zone" label={t('maintenance.zone')} rules={[{ required: true, whitespace: true, message: t('maintenance.zone') }]}>
                    <Input placeholder="Asia/Shanghai" />
                  </Form.Item>
                </>
              )
            }
          </Form.Item>
          <div className="two">
            <Form.Item name="start" label={t('maintenance.start')}>
              <input type="datetime-local" className="when" />
            </Form.Item>
            <Form.Item name="end" label={t('maintenance.end')}>
              <input type="datetime-local" className="when" />
            </Form.Item>
          </div>
          <Form.Item name="items" label={t('maintenance.items')}>
            <WordsInput placeholder={t('maintenance.scopeHint')} />
          </Form.Item>
          <Form.Item name="systems" label={t('maintenance.systems')}>
            <WordsInput placeholder={t('maintenance.scopeHint')} />
          </Form.Item>
          <Form.Item
            name="tenants"
            label={t('maintenance.tenants')}
            dependencies={['items', 'systems']}
            rules={[
              ({ getFieldValue }) => ({
                validator: (_, tenants: string[] | undefined) =>
                  list(tenants).length + list(getFieldValue('items') as string[]).length + list(getFieldValue('systems') as string[]).length > 0
                    ? Promise.resolve()
                    : Promise.reject(new Error(t('maintenance.scopeNone'))),
              }),
            ]}
          >
            <TenantsPicker />
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}
