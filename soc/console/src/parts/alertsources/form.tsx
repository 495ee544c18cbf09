import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Form, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { parse, stringify } from 'yaml';
import { get, post, put } from '../../api/client';
import { SOURCE_KINDS, type AlertSource, type Correction, type Mapping, type NewSource, type Sampled, type SourceContent, type SourceField, type SourceKind, type SourceTemplate } from '../../api/alertsources';
import { useTenants } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { Refused } from '../dialog';
import { Outcome } from './outcome';

/** What the form holds: lists as texts, mapping and corrections as YAML. */
interface Draft {
  name: string;
  description: string;
  kind: SourceKind;
  template: string;
  tenant: string;
  network_zone: string;
  silent_after: string;
  rules: string;
  brokers: string;
  topics: string;
  group: string;
  from: string;
  tls: boolean;
  ca: string;
  mechanism: string;
  username: string;
  password: string;
  filter: string;
  senders: string;
  topic: string;
  hosts: string;
}

const words = (text: string) => text.split(/[,，\s]+/).filter(Boolean);

function draftOf(x: AlertSource | undefined): Draft {
  const rules = { ...(x?.mapping ?? {}), ...(x?.corrections?.length ? { corrections: x.corrections } : {}) };
  return {
    name: x?.name ?? '', description: x?.description ?? '', kind: x?.kind ?? 'webhook', template: x?.template ?? '', tenant: x?.tenant ?? '', network_zone: x?.network_zone ?? '', silent_after: x?.silent_after ?? '',
    rules: Object.keys(rules).length > 0 ? stringify(rules) : '',
    brokers: x?.kafka?.brokers.join(', ') ?? '', topics: x?.kafka?.topics.join(', ') ?? '', group: x?.kafka?.group ?? '', from: x?.kafka?.from || x?.events?.from || '', tls: x?.kafka?.tls ?? false, ca: x?.kafka?.ca ?? '', mechanism: x?.kafka?.mechanism ?? '', username: x?.kafka?.username ?? '', password: '',
    filter: x?.events?.filter ?? '', senders: x?.mail?.senders?.join(', ') ?? '', topic: x?.cloud?.topic ?? '', hosts: x?.cloud?.hosts?.join(', ') ?? '',
  };
}

/** The source that a draft means; a YAML that cannot be read is an error in words. */
function contentOf(d: Draft, enabled: boolean, enveloped: boolean): { content?: SourceContent & { secrets?: Record<string, string> }; error?: string } {
  let rules: (Mapping & { corrections?: Correction[] }) | null;
  try {
    rules = parse(d.rules) as typeof rules;
  } catch (e) {
    return { error: e instanceof Error ? e.message : String(e) };
  }
  if (rules !== null && rules !== undefined && (typeof rules !== 'object' || Array.isArray(rules))) return { error: 'fields: …' };
  const { corrections, ...mapping } = rules ?? {};
  return {
    content: {
      name: d.name.trim(), description: d.description.trim(), kind: d.kind, enabled, template: d.template, tenant: d.tenant, network_zone: d.network_zone.trim(), silent_after: d.silent_after.trim(), mapping, corrections: corrections ?? [],
      ...(d.kind === 'kafka' ? { kafka: { brokers: words(d.brokers), topics: words(d.topics), group: d.group.trim(), from: d.from, tls: d.tls, ca: d.ca, mechanism: d.mechanism, username: d.username } } : {}),
      ...(d.kind === 'events' ? { events: { filter: d.filter.trim(), from: d.from } } : {}),
      ...(d.kind === 'mail' && d.senders.trim() ? { mail: { senders: words(d.senders) } } : {}),
      ...(enveloped ? { cloud: { topic: d.topic.trim(), hosts: words(d.hosts) } } : {}),
      ...(d.password ? { secrets: { password: d.password } } : {}),
    },
  };
}

export function useTemplates() {
  return useQuery({ queryKey: ['alert-templates'], queryFn: ({ signal }) => get<Page<SourceTemplate>>('/alert-sources/templates', undefined, signal) });
}

/** Makes or changes a source, showing beside it what it makes of messages. */
export function SourceForm({ source, first, close }: { source?: AlertSource; /** A message to try. */ first?: string; close: (made?: NewSource) => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const [d, setD] = useState<Draft>(() => draftOf(source));
  const [sample, setSample] = useState(first ?? '');
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [tested, setTested] = useState<{ ok: boolean; detail: string } | null>(null);
  const set = (part: Partial<Draft>) => setD((old) => ({ ...old, ...part }));
  const templates = list(useTemplates().data?.items);
  const fields = list(useQuery({ queryKey: ['alert-fields'], queryFn: ({ signal }) => get<Page<SourceField>>('/alert-sources/fields', undefined, signal) }).data?.items);
  const tenants = useTenants().data ?? [];
  const fitting = templates.filter((x) => x.kinds.includes(d.kind));
  const template = templates.find((x) => x.id === d.template);
  const enveloped = !!template?.envelope;
  const { content, error: yamlError } = contentOf(d, source?.enabled ?? true, enveloped);
  const asked = useSettled(JSON.stringify({ content, sample }), 400);
  const preview = useQuery({
    queryKey: ['alert-source-preview', source?.id, asked],
    enabled: !!template && !yamlError,
    retry: false,
    placeholderData: keepPreviousData,
    queryFn: () => {
      const q = JSON.parse(asked) as { content: SourceContent; sample: string };
      return post<Page<Sampled>>('/alert-sources/preview', { ...q.content, name: q.content.name || '-', id: source?.id, sample: q.sample });
    },
  });
  const send = async () => {
    if (!content) return;
    setBusy(true);
    setError(null);
    try {
      if (source) {
        await put<AlertSource>(`/alert-sources/${encodeURIComponent(source.id)}`, { ...content, revision: source.revision });
        tell({ said: t('asource.saved', { x: content.name }), renew: ['alert-sources'] });
        close();
      } else {
        const made = await post<NewSource>('/alert-sources', content);
        tell({ said: t('asource.saved', { x: content.name }), renew: ['alert-sources'] });
        close(made);
      }
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const test = async () => {
    setTested(null);
    setError(null);
    try {
      setTested(await post('/alert-sources/test', { ...content, id: source?.id }));
    } catch (e) {
      setError(e);
    }
  };
  const text = (name: keyof Draft, label: Parameters<typeof t>[0], extra?: { why?: Parameters<typeof t>[0]; type?: string }) => (
    <Form.Item label={t(label)} extra={extra?.why ? t(extra.why) : undefined}>
      <Input aria-label={t(label)} type={extra?.type} autoComplete={extra?.type === 'password' ? 'new-password' : 'off'} value={d[name] as string} onChange={(e) => set({ [name]: e.target.value })} />
    </Form.Item>
  );
  return (
    <Modal
      open
      width={1180}
      style={{ top: 24 }}
      title={source ? t('asource.edit', { x: source.name }) : t('asource.new')}
      maskClosable={false}
      onCancel={() => close()}
      footer={
        <>
          {tested && (
            <span role="status" style={{ marginRight: 12, color: tested.ok ? 'var(--ok)' : 'var(--medium)' }}>
              {tested.detail}
            </span>
          )}
          <Button disabled={!content || !template} onClick={() => void test()}>
            {t('asource.test')}
          </Button>
          <Button onClick={() => close()}>{t('do.cancel')}</Button>
          <Button type="primary" loading={busy} disabled={!content || !template || d.name.trim() === ''} onClick={() => void send()}>
            {t('do.save')}
          </Button>
        </>
      }
    >
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6, alignItems: 'start' }}>
        <Form layout="vertical" size="small">
          {text('name', 'asource.name')}
          <div className="two">
            <Form.Item label={t('asource.kind')}>
              <Select<SourceKind> aria-label={t('asource.kind')} disabled={!!source} value={d.kind} onChange={(kind) => set({ kind, template: templates.find((x) => x.kinds[0] === kind)?.id ?? '' })} options={SOURCE_KINDS.map((k) => ({ value: k, label: t(`asource.kind.${k}`) }))} />
            </Form.Item>
            <Form.Item label={t('asource.template')} extra={template?.description ? tx(template.description) : undefined}>
              <Select aria-label={t('asource.template')} showSearch optionFilterProp="label" value={d.template || undefined} onChange={(v: string) => set({ template: v })} options={fitting.map((x) => ({ value: x.id, label: tx(x.title) || x.id }))} />
            </Form.Item>
          </div>
          <div className="two">
            <Form.Item label={t('asource.tenant')}>
              <Select aria-label={t('asource.tenant')} showSearch optionFilterProp="label" value={d.tenant} onChange={(v: string) => set({ tenant: v })} options={[{ value: '', label: t('asource.byItem') }, ...tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))]} />
            </Form.Item>
            {text('network_zone', 'asource.zone', { why: 'asource.zoneWhy' })}
          </div>
          {d.kind === 'kafka' && (
            <>
              {text('brokers', 'asource.brokers')}
              <div className="two">
                {text('topics', 'asource.topics')}
                {text('group', 'asource.group')}
              </div>
              <div className="two">
                <Form.Item label={t('asource.mechanism')}>
                  <Select aria-label={t('asource.mechanism')} value={d.mechanism} onChange={(v: string) => set({ mechanism: v })} options={[{ value: '', label: t('asource.none') }, ...['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'].map((v) => ({ value: v, label: v }))]} />
                </Form.Item>
                <Form.Item label={t('asource.from')}>
                  <Select aria-label={t('asource.from')} value={d.from || 'latest'} onChange={(v: string) => set({ from: v })} options={[{ value: 'latest', label: t('asource.latest') }, { value: 'earliest', label: t('asource.earliest') }]} />
                </Form.Item>
              </div>
              {d.mechanism && (
                <div className="two">
                  {text('username', 'asource.username')}
                  {text('password', 'asource.password', { type: 'password', why: source ? 'asource.passwordKept' : undefined })}
                </div>
              )}
              <Checkbox checked={d.tls} onChange={(e) => set({ tls: e.target.checked })}>
                {t('asource.tls')}
              </Checkbox>
              {d.tls && (
                <Form.Item label={t('asource.ca')}>
                  <Input.TextArea aria-label={t('asource.ca')} rows={3} className="mono" value={d.ca} onChange={(e) => set({ ca: e.target.value })} />
                </Form.Item>
              )}
            </>
          )}
          {d.kind === 'events' && text('filter', 'asource.filter', { why: 'asource.filterWhy' })}
          {d.kind === 'mail' && text('senders', 'asource.senders')}
          {enveloped && (
            <div className="two">
              {text('topic', 'asource.cloudTopic', { why: 'asource.cloudTopicWhy' })}
              {text('hosts', 'asource.cloudHosts', { why: 'asource.cloudHostsWhy' })}
            </div>
          )}
          {text('silent_after', 'asource.silent', { why: 'asource.silentWhy' })}
          <Form.Item label={t('asource.rules')} extra={yamlError ? <span style={{ color: 'var(--medium)' }}>{t('asource.badYaml', { x: yamlError })}</span> : t('asource.rulesWhy')}>
            <Input.TextArea
              aria-label={t('asource.rules')}
              className="mono"
              rows={10}
              spellCheck={false}
              placeholder={'fields:\n  service: .labels.app\nseverity: {S1: critical}\ncorrections:\n  - {field: host, op: lower}'}
              value={d.rules}
              onChange={(e) => set({ rules: e.target.value })}
            />
          </Form.Item>
          <details>
            <summary className="dim">{t('asource.fieldsOf')}</summary>
            <dl className="facts">
              {fields.map((f) => (
                <div key={f.name} style={{ display: 'contents' }}>
                  <dt className="mono">{f.name}</dt>
                  <dd>{tx(f.title)}</dd>
                </div>
              ))}
            </dl>
          </details>
        </Form>
        <div className="stack">
          <label>
            <span className="dim">{t('asource.sample')}</span>
            <Input.TextArea aria-label={t('asource.sample')} className="mono" rows={5} spellCheck={false} placeholder={t('asource.sampleWhy')} value={sample} onChange={(e) => setSample(e.target.value)} />
          </label>
          <h3>{t('asource.preview')}</h3>
          <Refused error={preview.error} />
          {!preview.error && list(preview.data?.items).map((x, i) => <Outcome key={i} of={x} />)}
        </div>
      </div>
    </Modal>
  );
}
