import { useQuery } from '@tanstack/react-query';
import { Button, Modal, Popconfirm } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get, post } from '../../../api/client';
import { useCan } from '../../../api/queries';
import type { ClearPreview, Disk, Storage, StorageClass } from '../../../api/storage';
import { list } from '../../../api/types';
import { useAct } from '../../../app/act';
import { useSettings } from '../../../app/settings';
import { zh, type Key } from '../../../locales/zh';
import { bytes, joined, number } from '../../../logic/format';
import { Conditions } from '../../../parts/conditions';
import { Refused } from '../../../parts/dialog';
import { MetricChart } from '../../../parts/metricchart';
import { Panel } from '../../../parts/page';
import { Loaded, Stale } from '../../../parts/states';
import { DataTable } from '../../../parts/table';

/** How long the disk will do, and who fills it. */
export function SpaceTab() {
  const { t, locale } = useSettings();
  const can = useCan();
  const [clearing, setClearing] = useState(false);
  const query = useQuery({ queryKey: ['storage'], queryFn: ({ signal }) => get<Storage>('/storage', {}, signal), refetchInterval: 15_000 });
  return (
    <div className="stack">
      <Conditions />
      <Stale query={query} />
      <Loaded query={query} what="page.storage" lines={12}>
        {(s) => (
          <>
            <div className="halves">
              <DaysLeft storage={s} />
              <Panel
                title={t('storage.disks')}
                end={
                  can('system') && (
                    <>
                      <Link to="/admin/settings?setting=storage">{t('storage.policy')}</Link>
                      {s.cold && s.cold.due > 0 && <Cool cold={s.cold} />}
                      <Button size="small" onClick={() => setClearing(true)}>
                        {t('storage.clear')}
                      </Button>
                    </>
                  )
                }
              >
                {list(s.disks).map((d) => (
                  <DiskBar key={d.mount} disk={d} />
                ))}
                <Parts storage={s} />
              </Panel>
            </div>
            <Panel title={t('storage.classes')} flush>
              <Classes cold={s.cold !== null} classes={[...list(s.classes)].sort((a, b) => b.bytes - a.bytes || a.days - b.days)} legal={s.legal_minimum_days} />
            </Panel>
            <Panel title={t('storage.tenants')} flush>
              <DataTable
                label={t('storage.tenants')}
                rows={[...list(s.tenants)].sort((a, b) => (b.growth_bytes_per_day ?? 0) - (a.growth_bytes_per_day ?? 0) || b.rows_today - a.rows_today)}
                rowKey={(x) => x.slug}
                columns={[
                  { key: 'name', title: t('col.tenant'), render: (x) => <TenantLink slug={x.slug} name={x.name} /> },
                  { key: 'class', title: t('storage.class'), render: (x) => x.class },
                  { key: 'today', title: t('storage.today'), num: true, render: (x) => number(x.rows_today, locale) },
                  { key: 'perday', title: t('storage.perDay'), num: true, render: (x) => number(Math.round(x.events_per_day), locale) },
                  { key: 'raw', title: t('storage.rawPerDay'), num: true, render: (x) => bytes(x.raw_bytes_per_day, locale) },
                  { key: 'stored', title: t('storage.stored'), num: true, render: (x) => `≈ ${bytes(x.stored_bytes, locale)}` },
                  { key: 'growth', title: t('storage.growth'), num: true, render: (x) => (x.growth_bytes_per_day === null ? '–' : `≈ ${bytes(x.growth_bytes_per_day, locale)}`) },
                ]}
              />
            </Panel>
            <Panel title={t('storage.history')}>
              <MetricChart query="sum(icewatch_lake_bytes)" since="7d" label={t('storagepart.lake')} binary say={(n) => bytes(n, locale)} />
            </Panel>
          </>
        )}
      </Loaded>
      {clearing && <Clear close={() => setClearing(false)} />}
    </div>
  );
}

function TenantLink({ slug, name }: { slug: string; name: { zh?: string; en?: string } }) {
  const { tx } = useSettings();
  return <Link to={`/tenants?${new URLSearchParams({ q: slug, usage: slug })}`}>{tx(name) || slug}</Link>;
}

/** A part of the suite in words; the lake's by retention class. */
function usePartName() {
  const { t } = useSettings();
  return (part: string) => {
    const cls = /^lake\/(.+)$/.exec(part)?.[1];
    return cls ? `${t('storagepart.lake')} ${cls}` : `storagepart.${part}` in zh ? t(`storagepart.${part}` as Key) : part;
  };
}

/** What takes the room, the largest first. */
function Parts({ storage: s }: { storage: Storage }) {
  const { locale } = useSettings();
  const name = usePartName();
  const lake = list(s.classes).reduce((n, c) => n + c.bytes, 0);
  const parts = Object.entries({ ...s.parts, lake: s.parts.lake ?? lake })
    .filter(([, v]) => v > 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 5);
  return (
    <div className="gauges" style={{ marginTop: 10, gridTemplateColumns: 'repeat(5, 1fr)' }}>
      {parts.map(([k, v]) => (
        <div key={k}>
          <div className="l">{name(k)}</div>
          <b>{bytes(v, locale)}</b>
        </div>
      ))}
    </div>
  );
}

/** The one number of this page. */
function DaysLeft({ storage: s }: { storage: Storage }) {
  const { t, locale } = useSettings();
  const near = s.days_left !== null && s.days_left <= s.days_left_alert;
  return (
    <div className={`panel daysleft${near ? ' near' : ''}`} data-testid="days-left">
      <div className="dim">{t('storage.daysLeft')}</div>
      <div className={s.days_left === null ? 'n none' : 'n'}>
        {s.days_left === null ? t('storage.unknown') : s.days_left > 3650 ? t('storage.years') : number(Math.floor(s.days_left), locale)}
        {s.days_left !== null && s.days_left <= 3650 && <small>{t('storage.days')}</small>}
      </div>
      <div>
        {s.growth_bytes_per_day === null
          ? t('storage.unknownGrowth', { n: s.history_days })
          : s.growth_bytes_per_day <= 0
            ? t('storage.noGrowth')
            : t('storage.growing', { b: bytes(s.growth_bytes_per_day, locale), n: s.history_days })}
      </div>
      <div className="faint">{t('storage.alarmAt', { n: s.days_left_alert })}</div>
    </div>
  );
}

function DiskBar({ disk: d }: { disk: Disk }) {
  const { t, locale } = useSettings();
  const name = usePartName();
  const holds = joined(list(d.holds).filter((h) => !h.includes('/') && !/^(run|lock)$/.test(h)).map(name), locale);
  const used = d.total_bytes > 0 ? (100 * (d.total_bytes - d.free_bytes)) / d.total_bytes : 0;
  return (
    <div className="disk">
      <div className="row">
        <b className="mono">{d.mount}</b>
        <span className="faint ellipsis" title={holds}>{holds}</span>
        <span className="grow" />
        <span className="nowrap">{t('storage.free', { b: bytes(d.free_bytes, locale), c: bytes(d.total_bytes, locale), p: number(Math.round(d.free_percent), locale) })}</span>
      </div>
      <div className="meter" role="meter" aria-valuenow={Math.round(used)} aria-valuemin={0} aria-valuemax={100} aria-label={t('storage.used', { x: d.mount })}>
        <i style={{ width: `${used}%` }} />
        {d.reserve_bytes > 0 && <s style={{ width: `${(100 * d.reserve_bytes) / d.total_bytes}%` }} title={t('storage.reserve', { b: bytes(d.reserve_bytes, locale) })} />}
      </div>
    </div>
  );
}

/** Moves the days that are old enough to the second disk, without waiting for the hour. */
function Cool({ cold }: { cold: { folder: string; due: number } }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  return (
    <Popconfirm
      title={t('storage.coolWhy', { x: cold.folder })}
      okText={t('storage.cool', { n: cold.due })}
      cancelText={t('do.cancel')}
      onConfirm={() => void act(() => post('/storage/cool'), { said: t('storage.cooled', { n: cold.due }), renew: ['storage', 'conditions'] })}
    >
      <Button size="small" loading={busy}>
        {t('storage.cool', { n: cold.due })}
      </Button>
    </Popconfirm>
  );
}

function Classes({ classes, legal, cold }: { classes: readonly StorageClass[]; legal: number; cold: boolean }) {
  const { t, locale } = useSettings();
  return (
    <DataTable
      label={t('storage.classes')}
      rows={classes}
      rowKey={(c) => c.name}
      columns={[
        {
          key: 'name',
          title: t('storage.class'),
          render: (c) => (
            <>
              <b>{c.name}</b> {c.security && <span className="tag">{t('storage.security', { n: legal })}</span>}
            </>
          ),
        },
        { key: 'days', title: t('storage.keeps'), num: true, render: (c) => t('storage.daysN', { n: c.days }) },
        { key: 'bytes', title: t('storage.onDisk'), num: true, render: (c) => bytes(c.bytes, locale) },
        ...(cold
          ? [
              {
                key: 'cold',
                title: t('storage.cold'),
                num: true,
                render: (c: StorageClass) => (c.cold_after_days > 0 ? `${bytes(c.cold_bytes, locale)} · ${t('storage.coldAfter', { n: c.cold_after_days })}` : bytes(c.cold_bytes, locale)),
              },
            ]
          : []),
        { key: 'rows', title: t('storage.events'), num: true, render: (c) => number(c.rows, locale) },
        { key: 'per', title: t('storage.perEvent'), num: true, render: (c) => (c.rows > 0 ? bytes(c.bytes_per_event, locale) : '–') },
        { key: 'span', title: t('storage.span'), render: (c) => (c.oldest ? `${c.oldest} – ${c.newest ?? ''}` : <span className="faint">–</span>) },
        { key: 'parts', title: t('storage.partitions'), num: true, render: (c) => number(c.partitions, locale) },
        { key: 'tenants', title: t('page.tenants'), num: true, render: (c) => number(list(c.tenants).length, locale) },
      ]}
    />
  );
}

/** Frees room by removing the oldest days: what would go is named first, and what the law keeps is not offered. */
function Clear({ close }: { close: () => void }) {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const preview = useQuery({ queryKey: ['clear-preview'], queryFn: () => post<ClearPreview>('/storage/clear/preview'), gcTime: 0 });
  const parts = list(preview.data?.partitions);
  return (
    <Modal
      open
      title={t('storage.clear')}
      onCancel={close}
      okText={t('storage.clearDo', { n: parts.length })}
      okButtonProps={{ danger: true, disabled: parts.length === 0 }}
      confirmLoading={busy}
      cancelText={t('do.cancel')}
      onOk={() =>
        void act(() => post('/storage/clear', { partitions: parts.map((p) => ({ class: p.class, day: p.day })) }), { said: t('storage.cleared', { b: bytes(preview.data?.frees_bytes ?? 0, locale) }), renew: ['storage', 'conditions'] }).then((ok) => ok && close())
      }
    >
      <Refused error={preview.error} />
      <p className="hint">{t('storage.clearWhy')}</p>
      {preview.data && (
        <>
          <p>{parts.length === 0 ? t('storage.clearNothing') : t('storage.clearFrees', { b: bytes(preview.data.frees_bytes, locale) })}</p>
          <ul className="plainlist">
            {parts.map((p) => (
              <li key={`${p.class}${p.day}`}>
                {p.class} · {p.day} · {bytes(p.bytes, locale)}
              </li>
            ))}
            {list(preview.data.refused).map((p) => (
              <li key={`${p.class}${p.day}`} className="dim">
                {p.class} · {p.day}: {p.reason}
              </li>
            ))}
          </ul>
        </>
      )}
    </Modal>
  );
}
