import { Button } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import type { Device, Habits, Session } from '../api/access';
import { list } from '../api/types';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { Ask } from './dialog';
import { Empty } from './states';
import { DataTable } from './table';
import { When } from './time';
import { Token } from './token';

/** How somebody signed in, in words; what this console does not know shows as the server writes it. */
export function useChannelName(): (channel: string | undefined) => string {
  const { t } = useSettings();
  return (c) => (!c ? '–' : `channel.${c}` in zh ? t(`channel.${c}` as Key) : c);
}

export function Findings({ items }: { items: readonly string[] }) {
  const { t } = useSettings();
  return (
    <span className="tags">
      {items.map((f) => (
        <span className="tag strong" key={f}>
          ⚠ {`finding.${f}` in zh ? t(`finding.${f}` as Key) : f}
        </span>
      ))}
    </span>
  );
}

/** Open sessions; the newest activity first, the reader's own marked. */
export function SessionTable({ sessions, who, end }: { sessions: readonly Session[]; /** Shows whose they are. */ who: boolean; end: (s: Session) => Promise<unknown> }) {
  const { t } = useSettings();
  const channel = useChannelName();
  const [ending, setEnding] = useState<Session | null>(null);
  if (sessions.length === 0) return <Empty small title={t('sessions.empty')} />;
  return (
    <>
      <DataTable
        label={t('sessions.open')}
        rows={sessions}
        rowKey={(s) => s.id}
        columns={[
          ...(who
            ? [{ key: 'user', title: t('sessions.user'), render: (s: Session) => (s.user_id ? <Link to={`/admin/users/${encodeURIComponent(s.user_id)}?tab=sessions`}>{s.username}</Link> : s.username) }]
            : []),
          {
            key: 'client',
            title: t('sessions.client'),
            render: (s) => (
              <span className="row wrap" style={{ gap: 6 }}>
                {s.client || '–'} {s.current && <span className="tag strong">{t('sessions.current')}</span>}
                <Findings items={list(s.findings)} />
              </span>
            ),
          },
          {
            key: 'address',
            title: t('sessions.address'),
            render: (s) => (
              <span>
                <span className="mono">{s.last_address || s.address || '–'}</span>
                {s.last_address && s.address && s.last_address !== s.address && <div className="faint">{t('sessions.addressNow', { x: s.address })}</div>}
              </span>
            ),
          },
          { key: 'channel', title: t('sessions.channel'), render: (s) => channel(s.channel) },
          { key: 'since', title: t('sessions.since'), num: true, render: (s) => <When time={s.created_at} /> },
          { key: 'seen', title: t('sessions.seen'), num: true, render: (s) => <When time={s.last_seen_at} age /> },
          {
            key: 'do',
            title: '',
            num: true,
            render: (s) =>
              s.current ? null : (
                <Button size="small" onClick={() => setEnding(s)} aria-label={`${t('sessions.end')} ${s.username ?? ''}`}>
                  {t('sessions.end')}
                </Button>
              ),
          },
        ]}
      />
      {ending && <Ask title={t('sessions.end')} why={t('sessions.endWhy', { x: ending.username ?? '' })} ok={t('sessions.end')} close={() => setEnding(null)} submit={() => end(ending)} />}
    </>
  );
}

export function DeviceTable({ devices, forget }: { devices: readonly Device[]; forget?: (d: Device) => void }) {
  const { t } = useSettings();
  if (devices.length === 0) return <Empty small title={t('devices.empty')} />;
  return (
    <DataTable
      label={t('devices.what')}
      rows={devices}
      rowKey={(d) => d.id}
      columns={[
        {
          key: 'client',
          title: t('sessions.client'),
          render: (d) => (
            <span>
              {d.client || '–'} {d.current && <span className="tag strong">{t('sessions.current')}</span>}
            </span>
          ),
        },
        { key: 'address', title: t('sessions.address'), render: (d) => (d.address ? <Token field="source.ip" value={d.address} /> : '–') },
        { key: 'since', title: t('devices.since'), num: true, render: (d) => <When time={d.created_at} /> },
        { key: 'seen', title: t('sessions.seen'), num: true, render: (d) => <When time={d.last_seen_at} age /> },
        ...(forget
          ? [
              {
                key: 'do',
                title: '',
                num: true,
                render: (d: Device) => (
                  <Button size="small" onClick={() => forget(d)}>
                    {t('devices.forget')}
                  </Button>
                ),
              },
            ]
          : []),
      ]}
    />
  );
}

/** Where, with what and when somebody usually signs in, and the last times. */
export function HabitView({ habits }: { habits: Habits }) {
  const { t } = useSettings();
  const channel = useChannelName();
  const of = (kind: string) => list(habits.habits).filter((h) => h.kind === kind);
  // In the server's time zone, as its rules count them.
  const hours = Array.from({ length: 24 }, (_, h) => of('hour').find((x) => Number(x.value) === h)?.count ?? 0);
  const most = Math.max(1, ...hours);
  const recent = list(habits.recent);
  if (recent.length === 0 && hours.every((n) => n === 0)) return <Empty small title={t('habits.none')} />;
  return (
    <>
      <dl className="facts" style={{ padding: '4px 14px 10px' }}>
        <dt>{t('habits.networks')}</dt>
        <dd>
          {of('network').map((n) => (
            <span className="tag mono" key={n.value} style={{ marginRight: 6 }}>
              {n.value} ×{n.count}
            </span>
          ))}
        </dd>
        <dt>{t('habits.clients')}</dt>
        <dd>
          {of('client').map((n) => (
            <span className="tag" key={n.value} style={{ marginRight: 6 }}>
              {n.value} ×{n.count}
            </span>
          ))}
        </dd>
        {hours.some((n) => n > 0) && (
          <>
            <dt>{t('habits.hours')}</dt>
            <dd>
              <span className="hours">
                {hours.map((n, h) => (
                  <i key={h} title={t('habits.hour', { h, n })} style={{ height: n ? 3 + (n / most) * 25 : 1, background: n ? 'var(--accent)' : 'var(--border)' }} />
                ))}
              </span>
            </dd>
          </>
        )}
      </dl>
      <DataTable
        label={t('habits.recent')}
        rows={recent.map((r, i) => ({ ...r, i }))}
        rowKey={(r) => String(r.i)}
        columns={[
          { key: 'at', title: t('col.time'), width: 150, render: (r) => <When time={r.at} /> },
          {
            key: 'event',
            title: t('habits.recent'),
            render: (r) => (
              <span className="row wrap" style={{ gap: 6 }}>
                {t(`event.${r.event}` as Key)} <Findings items={list(r.findings)} />
              </span>
            ),
          },
          { key: 'address', title: t('sessions.address'), render: (r) => (r.address ? <Token field="source.ip" value={r.address} /> : '–') },
          { key: 'client', title: t('sessions.client'), render: (r) => r.client || '–' },
          { key: 'channel', title: t('sessions.channel'), render: (r) => channel(r.channel) },
        ]}
      />
    </>
  );
}
