import { useQuery } from '@tanstack/react-query';
import { Button, Form, InputNumber, Radio, Select } from 'antd';
import { Suspense, lazy, useMemo, useState } from 'react';
import { del, get, post, put, serverNow } from '../api/client';
import { useCan } from '../api/queries';
import type { Quota, QuotaNow, RetentionClass, RetentionPreview, TenantUsage } from '../api/storage';
import { list, type Page, type Tenant } from '../api/types';
import { useAct } from '../app/act';
import { useSettings } from '../app/settings';
import { absolute, bytes, number } from '../logic/format';
import { momentOf } from '../logic/zone';
import { FormDialog, Refused } from './dialog';
import { Loaded, Skeleton } from './states';

const Lines = lazy(() => import('./charts').then((m) => ({ default: m.Lines })));
const DAYS = 30;
const MIB = 1 << 20;
const at = (slug: string, what: string) => `/tenants/${encodeURIComponent(slug)}/${what}`;
const DAY = 86_400_000;
/** The beginning of today on this desk. */
const serverDay = () => momentOf(`${absolute(serverNow()).slice(0, 10)}T00:00:00`);
const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** What a tenant brings, what it may bring, and how long it is kept. */
export function TenantUsagePanel({ tenant, close }: { tenant: Tenant; close: () => void }) {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const [dialog, setDialog] = useState<'quota' | 'class' | null>(null);
  const quota = useQuery({ queryKey: ['quota', tenant.slug], queryFn: ({ signal }) => get<QuotaNow>(at(tenant.slug, 'quota'), {}, signal), refetchInterval: 10_000 });
  const usage = useQuery({
    queryKey: ['usage', tenant.slug],
    queryFn: async ({ signal }) => list((await get<TenantUsage>(at(tenant.slug, 'usage'), { from: day(serverNow() - (DAYS - 1) * DAY), to: day(serverNow()) }, signal)).items),
  });
  const chart = useMemo(() => {
    const rows = usage.data ?? [];
    return { times: rows.map((r) => momentOf(`${r.day}T00:00:00`)), lines: [{ name: t('usage.raw'), values: rows.map((r) => r.raw_bytes) }, ...(rows.some((r) => r.refused_bytes > 0) ? [{ name: t('usage.refused'), values: rows.map((r) => r.refused_bytes) }] : [])] };
  }, [usage.data, t]);
  const name = tx(tenant.name) || tenant.slug;
  return (
    <aside className="panel drawer" style={{ width: 460 }} aria-label={t('usage.of', { x: name })} data-testid="tenant-usage">
      <header>
        <h2>{t('usage.of', { x: name })}</h2>
        <span className="end">
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body stack">
        <Loaded query={quota} what="usage.quota" lines={4} small>
          {(q) => <QuotaFacts now={q} />}
        </Loaded>
        {can('configure') && (
          <div className="actions">
            <Button onClick={() => setDialog('quota')}>{t('usage.setQuota')}</Button>
            <Button onClick={() => setDialog('class')}>{t('usage.setClass')}</Button>
          </div>
        )}
        <div>
          <h3 className="dim" style={{ fontSize: 12 }}>
            {t('usage.days', { n: DAYS })}
          </h3>
          <Loaded query={usage} what="usage.quota" lines={4} small>
            {(rows) => (
              <>
                <Suspense fallback={<Skeleton lines={4} />}>
                  <Lines data={chart} label={t('usage.raw')} say={(n) => bytes(n, locale)} height={170} bars binary bounds={[serverDay() - (DAYS - 1) * DAY, serverDay() + DAY / 2]} />
                </Suspense>
                <div className="dim">{t('usage.sum', { n: number(rows.reduce((n, r) => n + r.events, 0), locale), b: bytes(rows.reduce((n, r) => n + r.raw_bytes, 0), locale), c: bytes(rows.reduce((n, r) => n + r.stored_bytes, 0), locale) })}</div>
              </>
            )}
          </Loaded>
        </div>
      </div>
      {dialog === 'quota' && quota.data && <QuotaForm slug={tenant.slug} now={quota.data} close={() => setDialog(null)} />}
      {dialog === 'class' && <ClassForm slug={tenant.slug} close={() => setDialog(null)} />}
    </aside>
  );
}

function QuotaFacts({ now: q }: { now: QuotaNow }) {
  const { t, locale } = useSettings();
  return (
    <div>
      <div className="row">
        <b>{t('usage.today')}</b>
        <span>
          {bytes(q.today.raw_bytes, locale)}
          {q.quota.bytes_per_day > 0 && ` / ${bytes(q.quota.bytes_per_day, locale)}`} · {t('usage.events', { n: number(q.today.events, locale) })}
          {q.quota.events_per_day > 0 && ` / ${number(q.quota.events_per_day, locale)}`}
        </span>
        <span className="grow" />
        {q.state !== 'ok' && <span className="late">{t(`quota.${q.state}`)}</span>}
      </div>
      {q.percent !== null && (
        <div className="meter" role="meter" aria-valuenow={Math.round(q.percent)} aria-valuemin={0} aria-valuemax={100} aria-label={t('usage.quota')}>
          <i style={{ width: `${Math.min(100, q.percent)}%` }} />
        </div>
      )}
      <div className="hint">
        {q.quota.bytes_per_day === 0 && q.quota.events_per_day === 0 ? t('usage.unlimited') : t(q.quota.at_limit === 'refuse' ? 'usage.refuses' : 'usage.accepts', { n: q.quota.warn_percent })} {!q.own && t('usage.isDefault')}
      </div>
      {q.today.refused_events > 0 && <div>{t('usage.refusedToday', { n: number(q.today.refused_events, locale), b: bytes(q.today.refused_bytes, locale) })}</div>}
    </div>
  );
}

function QuotaForm({ slug, now, close }: { slug: string; now: QuotaNow; close: () => void }) {
  const { t } = useSettings();
  const { act, tell } = useAct();
  return (
    <FormDialog<Omit<Quota, 'bytes_per_day'> & { mib: number }>
      title={t('usage.setQuota')}
      ok={t('do.save')}
      close={close}
      initial={{ ...now.quota, mib: Math.round(now.quota.bytes_per_day / MIB) }}
      submit={async ({ mib, ...v }) => {
        await put(at(slug, 'quota'), { ...v, bytes_per_day: Math.round(mib * MIB) });
        tell({ said: t('usage.quotaSaved'), renew: ['quota'] });
      }}
    >
      <div className="two">
        <Form.Item name="mib" label={t('usage.perDayMiB')} extra={t('usage.zero')}>
          <InputNumber min={0} style={{ width: '100%' }} />
        </Form.Item>
        <Form.Item name="events_per_day" label={t('usage.perDayEvents')} extra={t('usage.zero')}>
          <InputNumber min={0} step={1000} style={{ width: '100%' }} />
        </Form.Item>
      </div>
      <Form.Item name="warn_percent" label={t('usage.warn')}>
        <InputNumber min={1} max={100} addonAfter="%" style={{ width: 130 }} />
      </Form.Item>
      <Form.Item name="at_limit" label={t('usage.atLimit')} extra={t('usage.atLimitWhy')}>
        <Radio.Group options={(['accept', 'refuse'] as const).map((v) => ({ value: v, label: t(`atlimit.${v}`) }))} />
      </Form.Item>
      {now.own && (
        <Button
          size="small"
          onClick={() => {
            close();
            void act(() => del(at(slug, 'quota')), { said: t('usage.quotaSaved'), renew: ['quota'] });
          }}
        >
          {t('usage.toDefault')}
        </Button>
      )}
    </FormDialog>
  );
}

function ClassForm({ slug, close }: { slug: string; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const classes = useQuery({ queryKey: ['retention-classes'], queryFn: async ({ signal }) => list((await get<Page<RetentionClass>>('/retention/classes', {}, signal)).items) });
  const [chosen, setChosen] = useState('');
  const preview = useQuery({ queryKey: ['retention-preview', slug, chosen], enabled: chosen !== '', queryFn: () => post<RetentionPreview>(at(slug, 'retention/preview'), { class: chosen }), retry: false });
  return (
    <FormDialog<{ class: string }>
      title={t('usage.setClass')}
      ok={t('usage.changeClass')}
      close={close}
      submit={async (v) => {
        await put(at(slug, 'retention'), v);
        tell({ said: t('usage.classSaved'), renew: ['tenants', 'storage', 'retention-classes'] });
      }}
    >
      <Form.Item name="class" label={t('storage.class')} rules={[{ required: true, message: t('usage.chooseClass') }]}>
        <Select onChange={setChosen} options={(classes.data ?? []).map((c) => ({ value: c.name, label: `${c.name} · ${t('storage.daysN', { n: c.days })}` }))} />
      </Form.Item>
      <Refused error={preview.error} />
      {preview.data && (
        <div className={`notice${preview.data.allowed ? '' : ' warn'}`}>
          {preview.data.reason && <div>{preview.data.reason}</div>}
          <ul>
            {list(preview.data.effects).map((e, i) => (
              <li key={i}>{tx(e)}</li>
            ))}
          </ul>
        </div>
      )}
    </FormDialog>
  );
}
