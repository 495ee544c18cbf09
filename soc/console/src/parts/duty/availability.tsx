import { useQuery } from '@tanstack/react-query';
import { Button, Input, InputNumber } from 'antd';
import { Link } from 'react-router-dom';
import { buildPath, get, serverNow } from '../../api/client';
import type { Stability, SystemsUptime, SystemUptime, Terms } from '../../api/duty';
import { list } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { clock, number } from '../../logic/format';
import { Empty, Loaded } from '../states';
import { DataTable } from '../table';

/** How available and stable each business system was in a month, and whether what is agreed was kept. */
export function Availability() {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const month = url.get('month') ?? new Date(serverNow()).toISOString().slice(0, 7);
  const next = new Date(`${month}-01T00:00:00Z`);
  next.setUTCMonth(next.getUTCMonth() + 1);
  const range = { from: `${month}-01T00:00:00+08:00`, to: `${next.toISOString().slice(0, 10)}T00:00:00+08:00` };
  const query = useQuery({ queryKey: ['sla', 'availability', month], queryFn: ({ signal }) => get<SystemsUptime>('/sla/availability', range, signal) });
  const seconds = (v: number) => (v > 0 ? clock(v * 1000, locale) : <span className="faint">–</span>);
  // Never rounded up to what it is not: 99.9996 % is not 100 %.
  const percent = (v: number) => `${(Math.floor(v * 1000) / 1000).toFixed(3)}%`;
  return (
    <>
      <p className="faint" style={{ margin: '0 0 8px' }}>{t('sla.availabilityWhy')}</p>
      <div className="filters">
        <Input aria-label={t('sla.by.month')} type="month" value={month} onChange={(e) => setUrl({ month: e.target.value || undefined })} style={{ width: 150 }} />
        {(['csv', 'xlsx'] as const).map((format) => (
          <a key={format} className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }} href={buildPath('/sla/availability/export', { ...range, format })} download>
            {t(`sla.${format}`)}
          </a>
        ))}
        {query.data && <span className="dim">{t('sla.missedSum', { total: number(list(query.data.systems).length, locale), n: number(query.data.missed, locale) })}</span>}
      </div>
      <Loaded query={query} what="sla.availability" lines={6}>
        {(r) => (
          <div className="panel" style={{ overflowX: 'auto' }}>
            {list(r.systems).length === 0 ? (
              <Empty title={t('sla.noSystems.title')} why={t('sla.noSystems.why')} />
            ) : (
              <DataTable<SystemUptime>
                label={t('sla.stability')}
                rows={list(r.systems)}
                rowKey={(s) => s.system}
                columns={[
                  { key: 'system', title: t('sla.by.system'), render: (s) => <Link to={`/cmdb/business_system/${encodeURIComponent(s.system)}`}>{s.name}</Link> },
                  { key: 'level', title: t('sla.level'), num: true, render: (s) => s.level ?? <span className="faint">–</span> },
                  { key: 'rate', title: t('sla.rate'), num: true, render: (s) => <b style={s.met ? undefined : { color: 'var(--high)' }}>{percent(s.availability)}</b> },
                  { key: 'target', title: t('sla.target'), num: true, render: (s) => (s.agreed ? `${s.target}%` : <span className="faint">–</span>) },
                  { key: 'met', title: t('sla.kept'), render: (s) => <span className="tag">{t(!s.agreed ? 'sla.unagreed' : s.met ? 'sla.keptYes' : 'sla.keptNo')}</span> },
                  { key: 'outages', title: t('sla.outages'), num: true, render: (s) => (s.outages_per_30_days ? t('sla.outagesMost', { n: number(s.outages, locale), most: number(s.outages_per_30_days, locale) }) : number(s.outages, locale)) },
                  { key: 'down', title: t('sla.down'), num: true, render: (s) => (s.down ? <span className="tag">{t('sla.downNow')}</span> : seconds(s.down_seconds)) },
                  { key: 'longest', title: t('sla.longest'), num: true, render: (s) => seconds(s.longest_seconds) },
                  { key: 'mttr', title: t('sla.recovery'), num: true, render: (s) => seconds(s.mttr_seconds) },
                  { key: 'mtbf', title: t('sla.mtbf'), num: true, render: (s) => seconds(s.mtbf_seconds) },
                  { key: 'planned', title: t('sla.planned'), num: true, render: (s) => seconds(s.planned_seconds) },
                ]}
              />
            )}
          </div>
        )}
      </Loaded>
    </>
  );
}

/** What counts where the terms say nothing of the stability of systems: as the server has it. */
const DEFAULT: Stability[] = [{ level: 3, percent: 99.9 }, { percent: 99.5 }];

/** What is agreed on the availability and stability of systems. */
export function StabilityTargets({ terms, set, write }: { terms: Terms; set: (list: Stability[]) => void; write: boolean }) {
  const { t } = useSettings();
  const rows = terms.stability ?? DEFAULT;
  const change = (i: number, part: Partial<Stability>) => set(rows.map((r, k) => (k === i ? { ...r, ...part } : r)));
  return (
    <div className="stack" style={{ gap: 8 }} data-testid="stability">
      <DataTable
        label={t('sla.stability')}
        rows={rows.map((r, i) => ({ ...r, i }))}
        rowKey={(r) => String(r.i)}
        columns={[
          { key: 'level', title: t('sla.level'), render: (r) => <InputNumber aria-label={`${r.i + 1} ${t('sla.level')}`} min={0} max={5} value={r.level ?? 0} disabled={!write} onChange={(n) => change(r.i, { level: n ?? 0 })} /> },
          {
            key: 'systems',
            title: t('sla.systemIds'),
            render: (r) => (
              <Input
                aria-label={`${r.i + 1} ${t('sla.systemIds')}`}
                key={(r.systems ?? []).join()}
                defaultValue={(r.systems ?? []).join(', ')}
                disabled={!write}
                onBlur={(e) => change(r.i, { systems: e.target.value.split(/[,，\s]+/).filter(Boolean) })}
              />
            ),
          },
          { key: 'percent', title: t('sla.percent'), render: (r) => <InputNumber aria-label={`${r.i + 1} ${t('sla.percent')}`} min={0.001} max={100} step={0.1} value={r.percent} disabled={!write} onChange={(n) => change(r.i, { percent: n ?? 100 })} /> },
          { key: 'outages', title: t('sla.outages30'), render: (r) => <InputNumber aria-label={`${r.i + 1} ${t('sla.outages30')}`} min={0} max={10000} value={r.outages_per_30_days ?? 0} disabled={!write} onChange={(n) => change(r.i, { outages_per_30_days: n ?? 0 })} /> },
          {
            key: 'do',
            title: '',
            render: (r) =>
              write && (
                <Button size="small" aria-label={`${t('sla.removeCalendar')} ${r.i + 1}`} onClick={() => set(rows.filter((_, k) => k !== r.i))}>
                  {t('do.delete')}
                </Button>
              ),
          },
        ]}
      />
      {write && (
        <div>
          <Button size="small" type="dashed" onClick={() => set([...rows, { percent: 99.5 }])}>
            + {t('sla.addTarget')}
          </Button>
        </div>
      )}
    </div>
  );
}
