import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import { LEVELS, type FindingFigures, type Judgement, type UnitProgress } from '../../api/findings';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { covered, engineName } from '../../logic/findings';
import { number } from '../../logic/format';
import { Bars } from '../../parts/charts';
import { ComeAndGone, CoverageByUnit, OpenByLevel, RepairByUnit, RepairByWeek } from '../../parts/exposure/trends';
import { Head, Panel, Updated } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const WEEKS = [4, 12, 26] as const;

/** How many findings there are, where, how long repairs take, and how much was looked at. ?weeks= is the time that units are told of. */
export default function Figures() {
  const { t, locale } = useSettings();
  const can = useCan();
  const query = useQuery({ queryKey: ['findings', 'figures'], queryFn: ({ signal }) => get<FindingFigures>('/finding-figures', {}, signal), refetchInterval: 60_000 });
  return (
    <div className="page">
      <Head title={t('page.findingFigures')} sub={t('finding.lead')}>
        <Updated at={query.dataUpdatedAt} />
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.findingFigures" lines={8}>
        {(f) => (
          <div className="stack">
            <div className="panel">
              <div className="gauges" style={{ gridTemplateColumns: 'repeat(auto-fit, minmax(120px, 1fr))', padding: 14 }}>
                <Gauge value={number(f.counting, locale)} label={t('finding.counting')} to="/findings" />
                <Gauge value={number(f.overdue, locale)} label={t('finding.overdue')} to="/findings?overdue=1" />
                <Gauge value={number(f.attacked, locale)} label={t('finding.attacked')} to="/findings?attacked=1" />
                <Gauge value={number(f.assets, locale)} label={t('finding.assets')} />
                <Gauge value={f.known > 0 ? `${Math.floor((100 * f.looked_at) / f.known)} %` : '–'} label={t('finding.cover')} more={`${number(f.looked_at, locale)} / ${number(f.known, locale)}`} />
              </div>
            </div>
            <div className="chartgrid">
              <Panel title={t('finding.openTrend')}>
                <OpenByLevel days={f.trend} />
              </Panel>
              <Panel title={t('finding.level')} flush>
                <DataTable
                  label={t('finding.level')}
                  rows={LEVELS}
                  rowKey={(l) => l}
                  columns={[
                    { key: 'level', title: t('vuln.level'), render: (l) => <SeverityMark level={l} /> },
                    { key: 'n', title: t('finding.counting'), num: true, render: (l) => <Link to={`/findings?level=${l}`}>{number(f.by_level[l] ?? 0, locale)}</Link> },
                    { key: 'days', title: t('finding.mttr'), num: true, render: (l) => (f.repair_days[l] === undefined ? '–' : f.repair_days[l].toFixed(1)) },
                  ]}
                />
              </Panel>
              <Panel title={t('finding.trend')}>
                <ComeAndGone days={f.trend} />
              </Panel>
              <Engines engines={f.engines} />
            </div>
            {can('list-unit-progress') && <Units />}
            {can('get-inventory-judgement') && <Judged />}
          </div>
        )}
      </Loaded>
    </div>
  );
}

function Gauge({ value, label, to, more }: { value: string; label: string; to?: string; more?: string }) {
  return (
    <div>
      <div className="v">{to ? <Link to={to}>{value}</Link> : value}</div>
      <div className="l">
        {label} {more && <span className="faint">{more}</span>}
      </div>
    </div>
  );
}

/** How units repair, week by week, and how lately their assets were looked at. */
function Units() {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const weeks = WEEKS.find((n) => String(n) === url.get('weeks')) ?? 12;
  const query = useQuery({ queryKey: ['findings', 'units', weeks], queryFn: ({ signal }) => get<Page<UnitProgress>>('/finding-figures/units', { weeks }, signal), placeholderData: keepPreviousData, refetchInterval: 60_000 });
  return (
    <>
      <div className="filters" role="group" aria-label={t('finding.byUnit')}>
        <h2 style={{ margin: 0 }}>{t('finding.byUnit')}</h2>
        {WEEKS.map((n) => (
          <button key={n} className="plain toggle" aria-pressed={weeks === n} onClick={() => setUrl({ weeks: n === 12 ? undefined : String(n) })}>
            {t('finding.weeks', { n })}
          </button>
        ))}
      </div>
      <Stale query={query} />
      <Loaded query={query} what="finding.byUnit" lines={6}>
        {(d) => {
          const units = list(d.items);
          const repaired = units.some((u) => u.closed > 0);
          return (
            <>
              <div className="chartgrid">
                <Panel title={t('finding.mttrUnit')}>{repaired ? <RepairByUnit units={units} /> : <Empty small title={t('finding.noRepairs')} why={t('finding.noRepairsWhy')} />}</Panel>
                <Panel title={t('finding.mttrWeek')}>{repaired ? <RepairByWeek units={units} /> : <Empty small title={t('finding.noRepairs')} why={t('finding.noRepairsWhy')} />}</Panel>
              </div>
              <Panel title={t('finding.coverage')}>{units.some((u) => u.known > 0) ? <CoverageByUnit units={units} /> : <Empty small title={t('finding.noAssets')} why={t('finding.noAssetsWhy')} />}</Panel>
              {units.length > 0 && (
                <Panel flush>
                  <DataTable
                    label={t('finding.byUnit')}
                    rows={units}
                    rowKey={(u) => u.unit}
                    columns={[
                      { key: 'unit', title: t('finding.unit'), render: (u) => (u.unit ? <Link to={`/cmdb/${encodeURIComponent(u.unit)}`}>{u.name || u.unit}</Link> : <span className="dim">{t('finding.noUnit')}</span>) },
                      { key: 'n', title: t('finding.counting'), num: true, render: (u) => (u.unit ? <Link to={`/findings?unit=${encodeURIComponent(u.unit)}`}>{number(u.counting, locale)}</Link> : number(u.counting, locale)) },
                      { key: 'overdue', title: t('finding.overdue'), num: true, render: (u) => number(u.overdue, locale) },
                      { key: 'cover', title: t('finding.cover'), num: true, render: (u) => (covered(u) === undefined ? '–' : `${covered(u)} %`) },
                      { key: 'looked', title: t('finding.lastLooked'), render: (u) => <When time={u.last_looked_at} /> },
                      { key: 'closed', title: t('finding.closedWeeks', { n: weeks }), num: true, render: (u) => number(u.closed, locale) },
                      { key: 'late', title: t('finding.closedLate'), num: true, render: (u) => number(u.closed_late, locale) },
                      { key: 'days', title: t('finding.mttr'), num: true, render: (u) => (u.closed > 0 ? u.repair_days.toFixed(1) : '–') },
                    ]}
                  />
                </Panel>
              )}
            </>
          );
        }}
      </Loaded>
    </>
  );
}

function Engines({ engines }: { engines: Record<string, number> }) {
  const { t } = useSettings();
  const points = useMemo(() => Object.entries(engines).map(([name, value]) => ({ name: engineName(name, t), value })).sort((a, b) => b.value - a.value), [engines, t]);
  if (points.length === 0) return null;
  return (
    <Panel title={t('finding.byEngine')}>
      <Bars points={points} label={`${t('finding.byEngine')}: ${points.map((p) => `${p.name} ${p.value}`).join('; ')}`} />
    </Panel>
  );
}

/** How far inventories are judged by the library. */
function Judged() {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['findings', 'judgement'], queryFn: ({ signal }) => get<Judgement>('/inventory-judgement', {}, signal), refetchInterval: 30_000 });
  return (
    <Panel title={t('installed.title')} flush>
      <p className="dim" style={{ padding: '0 14px' }}>
        {t('installed.why')}
      </p>
      <Loaded query={query} what="installed.title" lines={3} small>
        {(j) =>
          j.hosts === 0 ? (
            <Empty small title={t('installed.empty')} why={t('installed.emptyWhy')} />
          ) : (
            <>
              <p style={{ padding: '0 14px' }}>{t('installed.summary', { n: number(j.hosts, locale), w: number(j.waiting, locale), u: number(j.uncovered, locale), f: number(j.failed, locale), p: number(j.packages, locale) })}</p>
              <DataTable
                label={t('installed.title')}
                rows={list(j.items)}
                rowKey={(h) => h.id}
                columns={[
                  {
                    key: 'host',
                    title: t('installed.host'),
                    render: (h) => (
                      <>
                        {h.item ? <Link to={`/cmdb/${encodeURIComponent(h.item)}`}>{h.name}</Link> : h.name}
                        {h.error ? <div className="warn">{h.error}</div> : !h.covered && <div className="faint">{t('installed.uncovered')}</div>}
                      </>
                    ),
                  },
                  { key: 'platform', title: t('installed.platform'), render: (h) => h.platform },
                  { key: 'packages', title: t('installed.packages'), num: true, render: (h) => number(h.packages, locale) },
                  { key: 'findings', title: t('installed.findings'), num: true, render: (h) => (h.item && h.findings > 0 ? <Link to={`/findings?item=${encodeURIComponent(h.item)}&engine=icewatch-inventory`}>{number(h.findings, locale)}</Link> : number(h.findings, locale)) },
                  {
                    key: 'baseline',
                    title: t('installed.baseline'),
                    num: true,
                    render: (h) => {
                      const n = h.baseline.passed + h.baseline.failed;
                      if (n === 0) return '–';
                      const text = `${Math.floor((100 * h.baseline.passed) / n)} %`;
                      return (
                        <span title={t('installed.score', { p: number(h.baseline.passed, locale), f: number(h.baseline.failed, locale), u: number(h.baseline.unknown, locale) })}>{h.item && h.baseline.failed > 0 ? <Link to={`/findings?item=${encodeURIComponent(h.item)}&engine=icewatch-baseline`}>{text}</Link> : text}</span>
                      );
                    },
                  },
                  { key: 'at', title: t('installed.at'), render: (h) => <When time={h.judged_at} /> },
                ]}
              />
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}
