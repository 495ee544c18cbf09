import { useQuery } from '@tanstack/react-query';
import { Button, Input, InputNumber, Select } from 'antd';
import { useRef, useState } from 'react';
import { buildPath, get, post, put, request, serverNow } from '../../api/client';
import type { Holidays, Statistics, SLALine, Team, Terms } from '../../api/duty';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled, useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { clock, number } from '../../logic/format';
import { Refused } from '../../parts/dialog';
import { Availability, StabilityTargets } from '../../parts/duty/availability';
import { Calendars } from '../../parts/duty/calendars';
import { HolidayForm, putHolidays } from '../../parts/duty/holidayform';
import { Head, Panel } from '../../parts/page';
import { Empty, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const GROUPS = ['priority', 'team', 'person', 'unit', 'system', 'tenant', 'month'] as const;
const TABS = ['report', 'availability', 'terms', 'holidays'] as const;

/** How far service levels were kept, what is agreed, and the holidays by which it counts. */
export default function ServiceLevels() {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const tab = TABS.find((x) => x === url.get('tab')) ?? 'report';
  return (
    <div className="page">
      <Head title={t('page.sla')} sub={t('sla.lead')} />
      <div className="filters" role="tablist">
        {TABS.map((x) => (
          <button key={x} role="tab" aria-selected={tab === x} className="plain toggle" onClick={() => setUrl({ tab: x })}>
            {t(`sla.${x}`)}
          </button>
        ))}
      </div>
      {tab === 'report' ? <Report /> : tab === 'availability' ? <Availability /> : tab === 'terms' ? <TermsTab /> : <HolidaysTab />}
    </div>
  );
}

function Report() {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const by = GROUPS.find((x) => x === url.get('by')) ?? 'priority';
  const month = url.get('month') ?? new Date(serverNow()).toISOString().slice(0, 7);
  const next = new Date(`${month}-01T00:00:00Z`);
  next.setUTCMonth(next.getUTCMonth() + 1);
  const range = { from: `${month}-01T00:00:00+08:00`, to: `${next.toISOString().slice(0, 10)}T00:00:00+08:00` };
  const query = useQuery({ queryKey: ['sla', 'report', by, month], queryFn: ({ signal }) => get<Statistics>('/duty/statistics', { ...range, by }, signal) });
  const teams = useQuery({ queryKey: ['duty', 'teams'], queryFn: ({ signal }) => get<Page<Team>>('/duty/teams', {}, signal) });
  const teamName = (id: string) => {
    const team = list(teams.data?.items).find((x) => x.id === id);
    return team ? tx(team.name) : id;
  };
  const share = (met: number, missed: number, v: number) => (met + missed === 0 ? <span className="faint">–</span> : <span style={v < 100 ? { color: 'var(--high)' } : undefined}>{`${Math.round(v * 10) / 10}%`}</span>);
  const seconds = (v: number) => (v > 0 ? clock(v * 1000, locale) : <span className="faint">–</span>);
  const file = (format: string) => buildPath('/sla/report/export', { ...range, by, format });
  return (
    <>
      <div className="filters">
        <Select aria-label={t('sla.by')} value={by} onChange={(v: string) => setUrl({ by: v })} options={GROUPS.map((x) => ({ value: x, label: t(`sla.by.${x}`) }))} style={{ width: 120 }} />
        <Input aria-label={t('sla.by.month')} type="month" value={month} onChange={(e) => setUrl({ month: e.target.value || undefined })} style={{ width: 150 }} />
        <a className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }} href={file('csv')} download>
          {t('sla.csv')}
        </a>
        <a className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }} href={file('xlsx')} download>
          {t('sla.xlsx')}
        </a>
      </div>
      <Loaded query={query} what="sla.report" lines={6}>
        {(r) =>
          list(r.lines).every((l) => l.incidents === 0) && list(r.shares).length === 0 ? (
            <div className="panel">
              <Empty title={t('sla.none.title')} why={t('sla.none.why')} />
            </div>
          ) : (
            <div className="stack">
              <div className="panel" style={{ overflowX: 'auto' }}>
                <DataTable<SLALine>
                  label={t('sla.report')}
                  rows={list(r.lines)}
                  rowKey={(l) => l.group || 'sum'}
                  columns={[
                    { key: 'group', title: t(`sla.by.${by}`), render: (l) => (l.group === '' ? <b>{t('sla.sum')}</b> : by === 'team' ? teamName(l.group) : l.group === '-' ? '–' : l.group) },
                    { key: 'n', title: t('sla.incidents'), num: true, render: (l) => number(l.incidents, locale) },
                    { key: 'running', title: t('sla.running'), num: true, render: (l) => number(l.running, locale) },
                    { key: 'ack', title: t('sla.ackShare'), num: true, render: (l) => share(l.ack_met, l.ack_missed, l.ack_share) },
                    { key: 'resolve', title: t('sla.resolveShare'), num: true, render: (l) => share(l.resolve_met, l.resolve_missed, l.resolve_share) },
                    { key: 'propose', title: t('sla.proposeShare'), num: true, render: (l) => share(l.propose_met, l.propose_missed, (100 * l.propose_met) / Math.max(1, l.propose_met + l.propose_missed)) },
                    { key: 'mtta', title: t('sla.mtta'), num: true, render: (l) => seconds(l.ack_mean_seconds) },
                    { key: 'mttr', title: t('sla.mttr'), num: true, render: (l) => seconds(l.resolve_mean_seconds) },
                    { key: 'paused', title: t('sla.pausedSum'), num: true, render: (l) => seconds(l.paused_seconds) },
                  ]}
                />
              </div>
              {list(r.shares).length > 0 && (
                <Panel
                  title={t('duty.statistics')}
                  flush
                  end={
                    <a href={buildPath('/duty/statistics/export', { ...range, by, format: 'xlsx' })} download>
                      {t('sla.xlsx')}
                    </a>
                  }
                >
                  <DataTable
                    label={t('duty.statistics')}
                    rows={list(r.shares)}
                    rowKey={(s) => `${s.team}/${s.person}`}
                    columns={[
                      { key: 'who', title: t('duty.people'), render: (s) => s.person },
                      { key: 'team', title: t('duty.team'), render: (s) => teamName(s.team) },
                      { key: 'shifts', title: t('duty.shifts'), num: true, render: (s) => number(s.shifts, locale) },
                      { key: 'hours', title: t('duty.hoursSum'), num: true, render: (s) => number(Math.round(s.hours * 10) / 10, locale) },
                      { key: 'nights', title: t('duty.nights'), num: true, render: (s) => number(Math.round(s.night_hours * 10) / 10, locale) },
                      { key: 'rest', title: t('duty.restDays'), num: true, render: (s) => number(Math.round(s.rest_day_hours * 10) / 10, locale) },
                    ]}
                  />
                </Panel>
              )}
            </div>
          )
        }
      </Loaded>
    </>
  );
}

function TermsTab() {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['sla', 'terms'], queryFn: ({ signal }) => get<Terms>('/sla/terms', {}, signal) });
  return (
    <Loaded query={query} what="sla.terms" lines={8}>
      {(terms) => <TermsForm key={JSON.stringify(terms)} terms={terms} title={t('sla.terms')} />}
    </Loaded>
  );
}

interface Trial {
  priority: string;
  ack_due: string;
  resolve_due: string;
}

function TermsForm({ terms, title }: { terms: Terms; title: string }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const can = useCan();
  const [v, setV] = useState(terms);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [opened] = useState(() => new Date(serverNow()).toISOString());
  const write = can('set-setting-sla') || can('configure');
  const asked = useSettled(JSON.stringify({ terms: v, opened }), 300);
  const trial = useQuery({ queryKey: ['sla', 'trial', asked], queryFn: () => post<Trial[]>('/sla/preview', JSON.parse(asked)), retry: false, placeholderData: (old) => old });
  const promise = (i: number, part: Partial<Terms['promises'][number]>) => setV({ ...v, promises: v.promises.map((p, k) => (k === i ? { ...p, ...part } : p)) });
  const fault = (part: Partial<Terms['fault']>) => setV({ ...v, fault: { ...v.fault, ...part } });
  const save = async () => {
    setBusy(true);
    setError(null);
    try {
      await put('/settings/sla', v);
      tell({ said: t('sla.saved'), renew: ['sla'] });
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const minutes = (label: string, value: number, set: (n: number) => void) => (
    <label className="labelled">
      <span className="dim">{label}</span>
      <InputNumber min={0} max={527040} value={value} disabled={!write} onChange={(n) => set(n ?? 0)} />
    </label>
  );
  return (
    <Panel
      title={title}
      end={
        write && (
          <Button type="primary" loading={busy} onClick={() => void save()}>
            {t('do.save')}
          </Button>
        )
      }
    >
      <Refused error={error ?? trial.error} />
      <DataTable
        label={title}
        rows={v.promises.map((p, i) => ({ ...p, i }))}
        rowKey={(p) => p.priority}
        columns={[
          { key: 'p', title: t('sla.priority'), render: (p) => <b>{p.priority}</b> },
          { key: 'ack', title: t('sla.ackMin'), render: (p) => <InputNumber aria-label={`${p.priority} ${t('sla.ackMin')}`} min={1} value={p.ack_minutes} disabled={!write} onChange={(n) => promise(p.i, { ack_minutes: n ?? 1 })} /> },
          { key: 'resolve', title: t('sla.resolveMin'), render: (p) => <InputNumber aria-label={`${p.priority} ${t('sla.resolveMin')}`} min={1} value={p.resolve_minutes} disabled={!write} onChange={(n) => promise(p.i, { resolve_minutes: n ?? 1 })} /> },
          {
            key: 'calendar',
            title: t('sla.calendar'),
            render: (p) => <Select aria-label={`${p.priority} ${t('sla.calendar')}`} value={p.calendar ?? ''} disabled={!write} onChange={(calendar: string) => promise(p.i, { calendar })} options={[{ value: '', label: t('sla.always') }, ...v.calendars.map((c) => ({ value: c.key, label: tx(c.name) || c.key }))]} style={{ minWidth: 140 }} />,
          },
          { key: 'trial', title: t('sla.trial'), render: (p) => <When time={trial.data?.find((x) => x.priority === p.priority)?.resolve_due} /> },
        ]}
      />
      <div className="fields" style={{ margin: '12px 0 18px' }}>
        {minutes(t('sla.warnPercent'), v.warn_percent, (n) => setV({ ...v, warn_percent: n }))}
      </div>
      <h3 style={{ marginBottom: 8 }}>{t('sla.fault')}</h3>
      <div className="fields" style={{ marginBottom: 18 }}>
        {minutes(t('sla.propose'), v.fault.propose_minutes, (n) => fault({ propose_minutes: n }))}
        {minutes(t('sla.onlineWarn'), v.fault.online_warn_minutes, (n) => fault({ online_warn_minutes: n }))}
        {minutes(t('sla.online'), v.fault.online_minutes, (n) => fault({ online_minutes: n }))}
        {minutes(t('sla.offlineWarn'), v.fault.offline_warn_minutes, (n) => fault({ offline_warn_minutes: n }))}
        {minutes(t('sla.offline'), v.fault.offline_minutes, (n) => fault({ offline_minutes: n }))}
      </div>
      <h3 style={{ marginBottom: 2 }}>{t('sla.stability')}</h3>
      <p className="faint" style={{ margin: '0 0 8px' }}>{t('sla.stabilityWhy')}</p>
      <div style={{ marginBottom: 18 }}>
        <StabilityTargets terms={v} set={(stability) => setV({ ...v, stability })} write={write} />
      </div>
      <h3 style={{ marginBottom: 2 }}>{t('sla.calendars')}</h3>
      <p className="faint" style={{ margin: '0 0 8px' }}>{t('sla.calendarsWhy')}</p>
      <Calendars terms={v} set={(calendars) => setV({ ...v, calendars })} write={write} />
    </Panel>
  );
}

function HolidaysTab() {
  const { t } = useSettings();
  const { act } = useAct();
  const can = useCan();
  const file = useRef<HTMLInputElement>(null);
  const [editing, setEditing] = useState('');
  const query = useQuery({ queryKey: ['sla', 'holidays'], queryFn: ({ signal }) => get<Holidays>('/duty/holidays', {}, signal) });
  const send = async (f: File | undefined) => {
    if (f) await act(async () => request('PUT', '/duty/holidays', { raw: { data: await f.text(), type: 'application/yaml' } }), { said: t('sla.uploaded'), renew: ['sla', 'duty'] });
  };
  return (
    <Loaded query={query} what="sla.holidays" lines={8}>
      {(h) => {
        const years = Object.entries({ ...h.published, ...h.own }).sort(([a], [b]) => b.localeCompare(a));
        return (
          <div className="stack">
            {can('upload-holidays') && (
              <span>
                <input ref={file} type="file" accept=".yaml,.yml,.json" className="visually-hidden" tabIndex={-1} aria-hidden="true" onChange={(e) => void send(e.target.files?.[0]).then(() => file.current && (file.current.value = ''))} />
                <Button onClick={() => file.current?.click()}>{t('sla.upload')}</Button>{' '}
                <Button onClick={() => setEditing(String(Number(years[0]?.[0] ?? new Date(serverNow()).getFullYear()) + 1))}>{t('sla.addYear')}</Button>
              </span>
            )}
            {years.map(([year, y]) => (
              <Panel
                key={year}
                title={year}
                end={
                  <>
                    <span className="tag">{t(year in h.own ? 'sla.own' : 'sla.published')}</span>
                    {can('upload-holidays') && (
                      <Button size="small" aria-label={`${t('do.edit')} ${year}`} onClick={() => setEditing(year)}>
                        {t('do.edit')}
                      </Button>
                    )}
                    {can('upload-holidays') && year in h.own && (
                      <Button size="small" onClick={() => void act(() => putHolidays(without(h.own, year)), { said: t(year in h.published ? 'sla.yearBack' : 'sla.yearGone', { x: year }), renew: ['sla', 'duty'], undo: () => void act(() => putHolidays(h.own), { renew: ['sla', 'duty'] }) })}>
                        {t(year in h.published ? 'sla.takeBack' : 'do.remove', { x: year })}
                      </Button>
                    )}
                  </>
                }
              >
                <p className="faint">{y.source}</p>
                <div className="dim" style={{ margin: '8px 0 4px' }}>{t('sla.off')}</div>
                <div className="tags">
                  {list(y.off).map((o) => (
                    <span key={o.from} className="tag">
                      {o.name} {o.from}
                      {o.to !== o.from && ` – ${o.to}`}
                    </span>
                  ))}
                </div>
                <div className="dim" style={{ margin: '8px 0 4px' }}>{t('sla.work')}</div>
                <div className="tags">
                  {list(y.work).map((d) => (
                    <span key={d} className="tag">
                      {d}
                    </span>
                  ))}
                </div>
              </Panel>
            ))}
            {editing && <HolidayForm holidays={h} year={editing} close={() => setEditing('')} />}
          </div>
        );
      }}
    </Loaded>
  );
}

function without<T>(of: Record<string, T>, key: string): Record<string, T> {
  return Object.fromEntries(Object.entries(of).filter(([k]) => k !== key));
}
