import { useQuery } from '@tanstack/react-query';
import { Form, Input, InputNumber, Radio, Select, Switch } from 'antd';
import { get, post, put } from '../../api/client';
import { EXPORT_FORMATS, type Monitor, type SavedSearch } from '../../api/search';
import { SEVERITIES, list, type List, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute, joined } from '../../logic/format';
import { SCHEDULES, scheduleId } from '../../logic/schedule';
import { FormDialog } from '../dialog';
import { WordsInput } from '../pickers';
import { GroupPicker } from './groups';

const OPS = ['>', '>=', '<', '<=', '=', '!='] as const;
const WINDOW = /^(\d+(s|m|h|d))+$/;

type Values = Omit<Monitor, 'id' | 'mine' | 'editable' | 'revision' | 'state' | 'health' | 'last_run' | 'next_at' | 'owner'>;

const USUAL: Values = {
  name: '',
  query: '',
  schedule: '*/5 * * * *',
  time_zone: 'Asia/Shanghai',
  window: '5m',
  delay: '30s',
  condition: { kind: 'rows', op: '>', value: 0, field: '' },
  action: { kind: 'alert', severity: 'medium', title: { zh: '', en: '' }, format: 'csv', fields: [], receiver: '' },
  enabled: true,
};

/** Makes or changes a log monitoring rule: what to search for, when, what counts, and what then happens. */
export function MonitorForm({ monitor, from, close }: { monitor?: Monitor; from?: { query?: string; search?: string; group?: string; tenant?: string }; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const saved = useQuery({ queryKey: ['saved', '', false, undefined], queryFn: async ({ signal }) => list((await get<Page<SavedSearch>>('/saved-searches', { limit: 500 }, signal)).items) });
  const initial: Partial<Values> = monitor ?? { ...USUAL, query: from?.query ?? '', search_id: from?.search || undefined, group: from?.group, tenant: from?.tenant };
  return (
    <FormDialog<Values>
      title={t(monitor ? 'monitor.edit' : 'monitor.new')}
      ok={t(monitor ? 'do.save' : 'monitor.create')}
      initial={initial}
      width={640}
      close={close}
      submit={async (v) => {
        // What a rule says and no more: the server refuses what it does not know.
        const { name, description = '', schedule, time_zone, window, delay = '', condition, action, enabled } = { ...USUAL, ...initial, ...v };
        const body = {
          ...{ name, description, schedule, time_zone, window, delay, condition, action, enabled },
          ...{ query: v.search_id ? '' : v.query, search_id: v.search_id ?? '', tags: v.tags ?? [], group: v.group ?? '', tenant: v.tenant ?? '' },
        };
        if (monitor) await put(`/search-monitors/${encodeURIComponent(monitor.id)}`, { ...body, revision: monitor.revision });
        else await post('/search-monitors', body);
        tell({ said: t('monitor.saved', { x: v.name }), renew: ['monitors'] });
      }}
    >
      {(form) => (
        <>
          <Form.Item name="name" label={t('col.name')} rules={[{ required: true, whitespace: true, message: t('save.needName') }]}>
            <Input autoFocus autoComplete="off" maxLength={128} />
          </Form.Item>
          <div className="two">
            <Form.Item name="search_id" label={t('monitor.search')}>
              <Select allowClear showSearch optionFilterProp="label" placeholder={t('monitor.ownQuery')} options={(saved.data ?? []).map((s) => ({ value: s.id, label: s.name }))} />
            </Form.Item>
            <Form.Item name="group" label={t('groups.one')}>
              <GroupPicker width="100%" />
            </Form.Item>
          </div>
          <Form.Item noStyle shouldUpdate={(a, b) => a.search_id !== b.search_id}>
            {() =>
              !form.getFieldValue('search_id') && (
                <Form.Item name="query" label={t('monitor.query')} rules={[{ required: true, whitespace: true, message: t('monitor.needQuery') }]}>
                  <Input.TextArea className="mono grows" rows={2} spellCheck={false} />
                </Form.Item>
              )
            }
          </Form.Item>
          <div className="two">
            <Form.Item name="schedule" label={t('monitor.schedule')} rules={[{ required: true }]}>
              <ScheduleInput onUsual={(w) => form.setFieldValue('window', w)} />
            </Form.Item>
            <Form.Item name="window" label={t('monitor.window')} rules={[{ pattern: WINDOW, message: t('monitor.windowRule') }]} extra={t('monitor.windowWhy')}>
              <Input />
            </Form.Item>
          </div>
          <Form.Item noStyle shouldUpdate>
            {() => <NextRuns schedule={form.getFieldValue('schedule') as string} zone={form.getFieldValue('time_zone') as string} />}
          </Form.Item>
          <Form.Item label={t('monitor.condition')} style={{ marginBottom: 6 }}>
            <span className="row wrap">
              <Form.Item name={['condition', 'kind']} noStyle>
                <Select style={{ width: 130 }} options={(['rows', 'value'] as const).map((k) => ({ value: k, label: t(`monitor.kind.${k}`) }))} />
              </Form.Item>
              <Form.Item noStyle shouldUpdate={(a, b) => a.condition?.kind !== b.condition?.kind}>
                {() =>
                  form.getFieldValue(['condition', 'kind']) === 'value' && (
                    <Form.Item name={['condition', 'field']} noStyle rules={[{ required: true, message: t('monitor.needField') }]}>
                      <Input placeholder={t('click.field')} aria-label={t('click.field')} style={{ width: 160 }} className="mono" />
                    </Form.Item>
                  )
                }
              </Form.Item>
              <Form.Item name={['condition', 'op']} noStyle>
                <Select aria-label={t('click.operator')} style={{ width: 76 }} options={OPS.map((o) => ({ value: o, label: o }))} />
              </Form.Item>
              <Form.Item name={['condition', 'value']} noStyle>
                <InputNumber aria-label={t('click.values')} style={{ width: 130 }} />
              </Form.Item>
            </span>
          </Form.Item>
          <Form.Item name={['action', 'kind']} label={t('monitor.then')} style={{ marginBottom: 8 }}>
            <Radio.Group optionType="button" options={(['alert', 'export'] as const).map((k) => ({ value: k, label: t(`monitor.action.${k}`) }))} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a, b) => a.action?.kind !== b.action?.kind}>
            {() =>
              form.getFieldValue(['action', 'kind']) === 'alert' ? (
                <div className="two">
                  <Form.Item name={['action', 'severity']} label={t('col.severity')}>
                    <Select options={SEVERITIES.map((s) => ({ value: s, label: t(`sev.${s}`) }))} />
                  </Form.Item>
                  <Form.Item name={['action', 'title', 'zh']} label={t('monitor.title')} extra={t('monitor.titleWhy')}>
                    <Input autoComplete="off" />
                  </Form.Item>
                </div>
              ) : (
                <Form.Item name={['action', 'format']} label={t('export.format')}>
                  <Radio.Group optionType="button" options={EXPORT_FORMATS.map((f) => ({ value: f, label: t(`format.${f}`) }))} />
                </Form.Item>
              )
            }
          </Form.Item>
          <div className="two">
            <Form.Item name="tags" label={t('save.tags')}>
              <WordsInput />
            </Form.Item>
            <Form.Item name="enabled" label={t('monitor.enabled')} valuePropName="checked">
              <Switch />
            </Form.Item>
          </div>
        </>
      )}
    </FormDialog>
  );
}

/** A usual schedule by its name, or any other by its cron expression. */
function ScheduleInput({ value = '', onChange, onUsual, id }: { value?: string; onChange?: (v: string) => void; onUsual: (window: string) => void; id?: string }) {
  const { t } = useSettings();
  const usual = scheduleId(value);
  return (
    <span className="stack" style={{ gap: 6 }}>
      <Select
        id={id}
        value={usual || 'own'}
        onChange={(k) => {
          const s = SCHEDULES.find(([name]) => name === k);
          onChange?.(s ? s[1] : '30 8 * * *');
          if (s) onUsual(s[2]);
        }}
        options={[...SCHEDULES.map(([k]) => ({ value: k, label: t(`schedule.${k as '1m'}`) })), { value: 'own', label: t('schedule.own') }]}
      />
      {!usual && <Input className="mono" aria-label={t('schedule.own')} value={value} onChange={(e) => onChange?.(e.target.value)} />}
    </span>
  );
}

function NextRuns({ schedule, zone }: { schedule: string; zone: string }) {
  const { t, locale } = useSettings();
  const cron = useSettled(schedule ?? '', 300);
  const check = useQuery({
    queryKey: ['schedule', cron, zone],
    enabled: cron.trim() !== '',
    queryFn: () => post<{ valid: boolean; error?: string; next: List<string> }>('/search-monitors/check', { schedule: cron, time_zone: zone }),
    staleTime: 60_000,
    retry: false,
  }).data;
  if (!check) return null;
  return (
    <p className="hint" style={{ margin: '-8px 0 12px' }} role={check.valid ? undefined : 'alert'}>
      {check.valid ? t('monitor.next', { x: joined(list(check.next).slice(0, 3).map((x) => absolute(x).slice(5, 16)), locale) }) : check.error}
    </p>
  );
}
