import { useQuery } from '@tanstack/react-query';
import { Checkbox, Form, Input, InputNumber, Select } from 'antd';
import { get, post, put } from '../../api/client';
import { TASK_KINDS, type Scanner, type ScanTask, type ScanTaskDraft } from '../../api/scans';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../dialog';
import { TenantPicker } from '../fleet/marks';
import { Skeleton } from '../states';

interface Values {
  tenant: string;
  name: string;
  kind: ScanTaskDraft['kind'];
  zone?: string;
  targets?: string;
  query?: string;
  tcp?: string;
  udp?: string;
  checks?: string;
  unsafe?: boolean;
  packets?: number;
  from?: string;
  to?: string;
  hours?: number;
  cron?: string;
  calendar?: string;
  unknown?: string;
  scanner?: string;
  disabled?: boolean;
  ckind?: string;
  user?: string;
  secret?: string;
}

const words = (x?: string): string[] => (x ?? '').split(/[\s,;，；]+/).filter(Boolean);

/** Makes a task, or changes the one of an id. What the form does not show of it stays. */
export function TaskForm({ id, close }: { id: string; close: () => void }) {
  const task = useQuery({ queryKey: ['scans', 'task', id], enabled: id !== '', queryFn: ({ signal }) => get<ScanTask>(`/scan-tasks/${encodeURIComponent(id)}`, {}, signal), staleTime: Infinity });
  if (id !== '' && !task.data) return <Skeleton lines={4} />;
  return <TaskDialog task={task.data} close={close} />;
}

function TaskDialog({ task, close }: { task?: ScanTask; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const scanners = useQuery({ queryKey: ['scans', 'scanners'], queryFn: ({ signal }) => get<Page<Scanner>>('/scanners', { limit: 1000 }, signal) });
  const login = list(task?.credentials)[0];
  const window = list(task?.windows)[0];
  const submit = async (v: Values) => {
    // A login that the form does not show stays as it is.
    const others = list(task?.credentials).slice(1).map(({ held: _, ...c }) => c);
    const shown = v.user || v.secret || login ? [{ ...(login ? { name: login.name, host: login.host, port: login.port } : { name: v.user || v.ckind || 'login' }), kind: v.ckind ?? 'ssh', user: v.user ?? '', ...(v.secret ? { secret: v.secret } : {}) }] : [];
    const draft: ScanTaskDraft = {
      tenant: v.tenant,
      name: v.name,
      kind: v.kind,
      zone: v.zone ?? '',
      targets: words(v.targets),
      query: v.query ?? '',
      tcp: words(v.tcp),
      udp: words(v.udp),
      probes: list(task?.probes),
      checks: words(v.checks),
      unsafe: v.unsafe ?? false,
      rate: { ...task?.rate, packets: v.packets ?? 0 },
      windows: v.from && v.to ? [{ zone: window?.zone ?? 'Asia/Shanghai', days: window?.days ?? [], from: v.from, to: v.to }, ...list(task?.windows).slice(1)] : [],
      hours: v.hours ?? 0,
      attempts: task?.attempts ?? 0,
      credentials: [...shown, ...others],
      scanner: v.scanner ?? '',
      label: task?.label ?? '',
      cron: v.cron ?? '',
      time_zone: task?.time_zone ?? '',
      calendar: (v.calendar ?? 'every') as ScanTaskDraft['calendar'],
      unknown: v.unknown ?? 'inbox',
      disabled: v.disabled ?? false,
    };
    if (task) await put(`/scan-tasks/${encodeURIComponent(task.id)}`, draft);
    else await post('/scan-tasks', draft);
    tell({ said: t('scan.saved'), renew: ['scans'] });
  };
  return (
    <FormDialog<Values>
      title={t(task ? 'scan.edit' : 'scan.new')}
      ok={t('do.save')}
      width={680}
      initial={{
        kind: 'discover',
        calendar: 'every',
        unknown: 'inbox',
        ckind: 'ssh',
        ...(task && {
          tenant: task.tenant,
          name: task.name,
          kind: task.kind,
          zone: task.zone,
          targets: list(task.targets).join('\n'),
          query: task.query,
          tcp: list(task.tcp).join(','),
          udp: list(task.udp).join(','),
          checks: list(task.checks).join(' '),
          unsafe: task.unsafe,
          packets: task.rate?.packets || undefined,
          from: window?.from,
          to: window?.to,
          hours: task.hours || undefined,
          cron: task.cron,
          calendar: task.calendar || 'every',
          unknown: task.unknown || 'inbox',
          scanner: task.scanner || undefined,
          disabled: task.disabled,
          ckind: login?.kind ?? 'ssh',
          user: login?.user,
        }),
      }}
      submit={submit}
      close={close}
    >
      {(form) => (
        <>
          <div className="row" style={{ gap: 16 }}>
            <Form.Item name="name" label={t('scan.name')} rules={[{ required: true, message: t('scan.needName') }]} style={{ flex: 2 }}>
              <Input maxLength={200} autoFocus />
            </Form.Item>
            <Form.Item name="kind" label={t('scan.kind')} style={{ flex: 1 }}>
              <Select options={TASK_KINDS.map((k) => ({ value: k, label: t(`scan.kind.${k}`) }))} />
            </Form.Item>
          </div>
          <div className="row" style={{ gap: 16 }}>
            <Form.Item name="tenant" label={t('scan.tenant')} rules={[{ required: true, message: t('scan.needTenant') }]} style={{ flex: 1 }}>
              <TenantPicker disabled={task !== undefined} />
            </Form.Item>
            <Form.Item name="zone" label={t('scan.zone')} style={{ flex: 1 }}>
              <Input placeholder="default" maxLength={200} />
            </Form.Item>
            <Form.Item noStyle shouldUpdate>
              {() => (
                <Form.Item name="scanner" label={t('scan.scanner')} style={{ flex: 1 }}>
                  <Select allowClear placeholder={t('scan.anyScanner')} options={list(scanners.data?.items).filter((s) => s.tenant === form.getFieldValue('tenant')).map((s) => ({ value: s.id, label: s.name }))} />
                </Form.Item>
              )}
            </Form.Item>
          </div>
          <Form.Item name="targets" label={t('scan.targets')} extra={t('scan.targetsHelp')}>
            <Input.TextArea rows={3} className="mono" />
          </Form.Item>
          <Form.Item name="query" label={t('scan.query')} extra={t('scan.queryHelp')}>
            <Input className="mono" maxLength={4000} />
          </Form.Item>
          <div className="row" style={{ gap: 16 }}>
            <Form.Item name="tcp" label={t('scan.tcp')} extra={t('scan.portsHelp')} style={{ flex: 1 }}>
              <Input className="mono" />
            </Form.Item>
            <Form.Item name="udp" label={t('scan.udp')} style={{ flex: 1 }}>
              <Input className="mono" />
            </Form.Item>
            <Form.Item name="packets" label={t('scan.packets')}>
              <InputNumber min={1} max={20000} placeholder="200" />
            </Form.Item>
          </div>
          <Form.Item noStyle shouldUpdate={(a: Values, b: Values) => a.kind !== b.kind}>
            {() =>
              form.getFieldValue('kind') === 'discover' ? null : (
                <>
                  <Form.Item name="checks" label={t('scan.checkIds')} extra={t('scan.checksHelp')}>
                    <Input className="mono" />
                  </Form.Item>
                  <div className="row" style={{ gap: 16 }}>
                    <Form.Item name="ckind" label={t('scan.credential')} style={{ flex: 1 }}>
                      <Select options={['ssh', 'snmp', 'mysql', 'postgres', 'redis'].map((k) => ({ value: k, label: k }))} />
                    </Form.Item>
                    <Form.Item name="user" label={t('scan.user')} style={{ flex: 1 }}>
                      <Input autoComplete="off" maxLength={200} />
                    </Form.Item>
                    <Form.Item name="secret" label={t('scan.secret')} extra={t('scan.credentialHelp')} style={{ flex: 2 }}>
                      <Input.Password autoComplete="new-password" maxLength={4096} placeholder={login?.held ? t('scan.secretHeld') : undefined} />
                    </Form.Item>
                  </div>
                  <Form.Item name="unsafe" valuePropName="checked">
                    <Checkbox>{t('scan.unsafe')}</Checkbox>
                  </Form.Item>
                </>
              )
            }
          </Form.Item>
          <div className="row" style={{ gap: 16 }}>
            <Form.Item name="cron" label={t('scan.cron')} extra={t('scan.cronHelp')} style={{ flex: 2 }}>
              <Input className="mono" maxLength={100} />
            </Form.Item>
            <Form.Item name="calendar" label={t('scan.calendar')} style={{ flex: 1 }}>
              <Select options={(['every', 'workdays', 'restdays'] as const).map((k) => ({ value: k, label: t(`scan.calendar.${k}`) }))} />
            </Form.Item>
            <Form.Item name="disabled" label=" " valuePropName="checked">
              <Checkbox>{t('scan.disabled')}</Checkbox>
            </Form.Item>
          </div>
          <div className="row" style={{ gap: 16 }}>
            <Form.Item name="from" label={`${t('scan.window')} · ${t('scan.from')}`}>
              <Input placeholder="22:00" style={{ width: 110 }} />
            </Form.Item>
            <Form.Item name="to" label={t('scan.to')}>
              <Input placeholder="06:00" style={{ width: 90 }} />
            </Form.Item>
            <Form.Item name="hours" label={t('scan.hoursMax')}>
              <InputNumber min={1} max={720} />
            </Form.Item>
            <Form.Item name="unknown" label={t('scan.unknown')} style={{ flex: 1 }}>
              <Select options={(['inbox', 'create', 'none'] as const).map((k) => ({ value: k, label: t(`scan.unknown.${k}`) }))} />
            </Form.Item>
          </div>
        </>
      )}
    </FormDialog>
  );
}
