import { Button, Checkbox, Input, InputNumber, Modal, Segmented, Select } from 'antd';
import { useId, useState, type ReactNode } from 'react';
import { post, put } from '../../api/client';
import { TARGET_KINDS, type Target, type TargetKind, type TargetTest } from '../../api/forwarding';
import { useTenants } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { blank, bodyOf, formOf, needsPassword, speaksTLS, type TargetForm } from '../../logic/forwarding';
import type { Key } from '../../locales/zh';
import { Refused } from '../dialog';
import { WordsInput } from '../pickers';
import { FilterPreview } from './preview';

/** Makes a target in two steps (which kind; where and what), or changes one. `close` gets what was made. */
export function TargetWizard({ target, close }: { target?: Target; close: (made?: Target) => void }) {
  const { t } = useSettings();
  const [kind, setKind] = useState<TargetKind | null>(target?.kind ?? null);
  if (!kind)
    return (
      <Modal open width={720} title={t('forward.new')} footer={null} onCancel={() => close()}>
        <p className="dim" style={{ margin: '4px 0 10px' }}>
          {t('forward.choose')}
        </p>
        <div className="cards">
          {TARGET_KINDS.map((k, i) => (
            <button key={k} className="plain panel card" autoFocus={i === 0} onClick={() => setKind(k)}>
              <span className="grow">
                <b>{t(`forward.kind.${k}`)}</b>
                <span className="dim">{t(`forward.kindWhy.${k}`)}</span>
              </span>
            </button>
          ))}
        </div>
      </Modal>
    );
  return <Settings key={kind} kind={kind} target={target} back={target ? undefined : () => setKind(null)} close={close} />;
}

function Settings({ kind, target, back, close }: { kind: TargetKind; target?: Target; back?: () => void; close: (made?: Target) => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const tenants = useTenants().data ?? [];
  const [f, setF] = useState<TargetForm>(() => (target ? formOf(target) : blank(kind)));
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState<'' | 'save' | 'test'>('');
  const [result, setResult] = useState<TargetTest | null>(null);
  const stored = list(target?.secrets_set);
  const set = (change: Partial<TargetForm>) => {
    setF((x) => ({ ...x, ...change }));
    setResult(null);
  };
  const block = (change: Record<string, unknown>) => set({ block: { ...f.block, ...change } });
  const body = () => bodyOf(kind, f, target?.enabled ?? true, stored);
  const run = async (what: 'save' | 'test', work: () => Promise<void>) => {
    setBusy(what);
    setError(null);
    try {
      await work();
    } catch (e) {
      setError(e);
    } finally {
      setBusy('');
    }
  };
  const test = () => run('test', async () => setResult(await post<TargetTest>('/forwarding/test', { ...body(), name: f.name.trim() || 'test', ...(target ? { id: target.id } : {}) })));
  const save = () =>
    run('save', async () => {
      const made = target ? await put<Target>(`/forwarding/targets/${encodeURIComponent(target.id)}`, { ...body(), revision: target.revision }) : await post<Target>('/forwarding/targets', body());
      tell({ said: t('forward.saved', { x: made.name }), renew: ['forward-targets', 'dead-letters'] });
      close(made);
    });
  const metrics = kind === 'remote-write';
  return (
    <Modal
      open
      width={960}
      maskClosable={false}
      title={target ? t('forward.edit', { x: target.name }) : t('forward.newKind', { x: t(`forward.kind.${kind}`) })}
      onCancel={() => close()}
      footer={
        <span className="row">
          {back && <Button onClick={back}>{t('forward.back')}</Button>}
          <Button style={{ marginLeft: 'auto' }} onClick={() => close()}>
            {t('do.cancel')}
          </Button>
          <Button type="primary" disabled={!f.name.trim()} loading={busy === 'save'} onClick={() => void save()}>
            {t(target ? 'do.save' : 'forward.create')}
          </Button>
        </span>
      }
    >
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <section className="stack" aria-label={t('forward.to')}>
          <h3>{t('forward.to')}</h3>
          <Field label={t('forward.name')} hint={t('forward.nameWhy')}>
            {(id) => <Input id={id} autoFocus maxLength={64} value={f.name} onChange={(e) => set({ name: e.target.value })} />}
          </Field>
          <Destination kind={kind} block={f.block} set={block} />
          {needsPassword(kind, f.block) && (
            <Field label={t(f.block.auth === 'api-key' || f.block.auth === 'bearer' ? `forward.secret.${f.block.auth}` : 'forward.secret')}>
              {(id) => <Input.Password id={id} autoComplete="new-password" placeholder={stored.includes('password') ? t('forward.secretKept') : ''} value={f.password} onChange={(e) => set({ password: e.target.value })} />}
            </Field>
          )}
          {speaksTLS(kind, f.block) && (
            <details open={!!(f.tls.ca || f.tls.client_certificate || f.tls.server_name)}>
              <summary className="dim">{t('forward.tlsMore')}</summary>
              <div className="stack" style={{ paddingTop: 8 }}>
                <Field label={t('forward.ca')}>{(id) => <textarea id={id} className="pem" rows={3} spellCheck={false} placeholder="-----BEGIN CERTIFICATE-----" value={f.tls.ca} onChange={(e) => set({ tls: { ...f.tls, ca: e.target.value } })} />}</Field>
                <Field label={t('forward.serverName')}>{(id) => <Input id={id} value={f.tls.server_name} onChange={(e) => set({ tls: { ...f.tls, server_name: e.target.value } })} />}</Field>
                <Field label={t('forward.clientCertificate')}>{(id) => <textarea id={id} className="pem" rows={2} spellCheck={false} value={f.tls.client_certificate} onChange={(e) => set({ tls: { ...f.tls, client_certificate: e.target.value } })} />}</Field>
                {f.tls.client_certificate.trim() && (
                  <Field label={t('forward.clientKey')}>
                    {(id) => <textarea id={id} className="pem" rows={2} spellCheck={false} placeholder={stored.includes('client_key') ? t('forward.secretKept') : ''} value={f.client_key} onChange={(e) => set({ client_key: e.target.value })} />}
                  </Field>
                )}
              </div>
            </details>
          )}
          <div className="row">
            <Button loading={busy === 'test'} title={t('forward.testWhy')} onClick={() => void test()}>
              {t('forward.test')}
            </Button>
            <span className="faint">{t('forward.testWhy')}</span>
          </div>
          {result && (
            <div className={`notice ${result.ok ? 'good' : 'warn'}`} role="status" data-testid="test-result">
              <b>{result.ok ? t('forward.testOk', { n: Math.round(result.took_ms) }) : t('forward.testBad')}</b>
              <div style={{ overflowWrap: 'anywhere' }}>{[result.error, result.detail].filter(Boolean).join(' · ')}</div>
            </div>
          )}
        </section>
        <section className="stack" aria-label={t('forward.content')}>
          <h3>{t('forward.content')}</h3>
          <Field label={t('forward.filter')} hint={t(metrics ? 'forward.filterMetrics' : 'forward.filterLogs')}>
            {(id) => <textarea id={id} className="pem" rows={2} spellCheck={false} placeholder={t('forward.all')} value={f.filter} onChange={(e) => set({ filter: e.target.value })} />}
          </Field>
          {tenants.length > 1 && (
            <Field label={t('forward.tenants')}>
              {(id) => <Select id={id} mode="multiple" allowClear placeholder={t('forward.allTenants')} value={f.tenants} onChange={(v: string[]) => set({ tenants: v })} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />}
            </Field>
          )}
          <FilterPreview filter={f.filter} tenant={f.tenants.join(',')} metrics={metrics} />
          {!target && (
            <Field label={t('forward.from')}>
              {() => <Segmented value={f.from} onChange={(from) => set({ from })} options={(['now', 'beginning'] as const).map((v) => ({ value: v, label: t(`forward.from.${v}`) }))} />}
            </Field>
          )}
          {!metrics && (
            <Checkbox checked={f.original} onChange={(e) => set({ original: e.target.checked })}>
              {t('forward.original')}
            </Checkbox>
          )}
          <Field label={t('forward.description')}>{(id) => <Input id={id} maxLength={500} value={f.description} onChange={(e) => set({ description: e.target.value })} />}</Field>
        </section>
      </div>
    </Modal>
  );
}

function Field({ label, hint, children }: { label: string; hint?: string; children: (id: string) => ReactNode }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id)}
      {hint && <div className="hint">{hint}</div>}
    </div>
  );
}

/** The settings of each kind. */
function Destination({ kind, block, set }: { kind: TargetKind; block: Record<string, unknown>; set: (change: Record<string, unknown>) => void }) {
  const { t } = useSettings();
  const text = (key: string, label: Key, more: { hint?: string; placeholder?: string } = {}) => (
    <Field label={t(label)} hint={more.hint}>
      {(id) => <Input id={id} className="mono" spellCheck={false} placeholder={more.placeholder} value={String(block[key] ?? '')} onChange={(e) => set({ [key]: e.target.value.trim() })} />}
    </Field>
  );
  const words = (key: string, label: Key, placeholder: string) => <Field label={t(label)}>{(id) => <WordsInput id={id} placeholder={placeholder} value={list(block[key] as string[])} onChange={(v) => set({ [key]: v })} />}</Field>;
  const choice = (key: string, label: Key, options: { value: string; label: string }[]) => (
    <Field label={t(label)}>
      {(id) =>
        options.length <= 3 ? (
          <div>
            <Segmented id={id} aria-label={t(label)} value={String(block[key] ?? '')} options={options} onChange={(v) => set({ [key]: v })} />
          </div>
        ) : (
          <Select id={id} aria-label={t(label)} value={String(block[key] ?? '')} options={options} onChange={(v) => set({ [key]: v })} style={{ width: '100%' }} />
        )
      }
    </Field>
  );
  const check = (key: string, label: Key) => (
    <Checkbox checked={block[key] === true} onChange={(e) => set({ [key]: e.target.checked })}>
      {t(label)}
    </Checkbox>
  );
  const auth = (...kinds: ('none' | 'basic' | 'api-key' | 'bearer')[]) => choice('auth', 'forward.auth', kinds.map((k) => ({ value: k, label: t(`forward.auth.${k}`) })));
  switch (kind) {
    case 'elasticsearch':
      return (
        <>
          {words('urls', 'forward.urls', 'https://es1.example:9200')}
          {text('index', 'forward.index', { hint: t('forward.indexWhy') })}
          {auth('none', 'basic', 'api-key')}
          {block.auth === 'basic' && text('username', 'forward.username')}
          {block.auth === 'api-key' && text('api_key_id', 'forward.apiKeyId')}
          <span className="row wrap">
            {check('template', 'forward.template')}
            {check('gzip', 'forward.gzip')}
          </span>
        </>
      );
    case 'kafka':
      return (
        <>
          {words('brokers', 'forward.brokers', 'kafka1.example:9092')}
          {text('topic', 'forward.topic', { hint: t('forward.topicWhy') })}
          {choice('mechanism', 'forward.auth', ['', 'PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'].map((v) => ({ value: v, label: v || t('forward.auth.none') })))}
          {!!block.mechanism && text('username', 'forward.username')}
          {choice('compression', 'forward.compression', ['zstd', 'lz4', 'snappy', 'gzip', 'none'].map((v) => ({ value: v, label: v })))}
          {check('tls', 'forward.tls')}
        </>
      );
    case 'syslog':
      return (
        <>
          {text('address', 'forward.address', { placeholder: 'siem.example:6514' })}
          <div className="two">
            {choice('transport', 'forward.transport', ['tls', 'tcp', 'udp'].map((v) => ({ value: v, label: v.toUpperCase() })))}
            {choice('format', 'forward.format', [
              { value: 'rfc5424', label: 'RFC 5424' },
              { value: 'cef', label: 'CEF' },
            ])}
          </div>
          {block.transport === 'udp' && <div className="notice warn">{t('forward.udpWhy')}</div>}
          <Field label={t('forward.facility')}>{(id) => <InputNumber id={id} min={0} max={23} value={Number(block.facility)} onChange={(v) => set({ facility: v ?? 16 })} />}</Field>
        </>
      );
    case 'loki':
      return (
        <>
          {text('url', 'forward.url', { placeholder: 'https://loki.example:3100/loki/api/v1/push' })}
          {text('tenant', 'forward.lokiTenant')}
          {auth('none', 'basic', 'bearer')}
          {block.auth === 'basic' && text('username', 'forward.username')}
          <Field label={t('forward.labels')}>{(id) => <textarea id={id} className="pem" rows={3} spellCheck={false} value={String(block.labels ?? '')} onChange={(e) => set({ labels: e.target.value })} />}</Field>
        </>
      );
    case 'remote-write':
      return (
        <>
          {text('url', 'forward.url', { placeholder: 'https://victoria.example/api/v1/write' })}
          {auth('none', 'basic', 'bearer')}
          {block.auth === 'basic' && text('username', 'forward.username')}
        </>
      );
  }
}
