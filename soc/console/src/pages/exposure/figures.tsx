import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import type { FindingFigures, Judgement } from '../../api/findings';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { engineName } from '../../logic/findings';
import { number } from '../../logic/format';
import { Bars, Lines } from '../../parts/charts';
import { Head, Panel } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Empty, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'] as const;

/** How many findings there are, where, and how long repairs take. */
export default function Figures() {
  const { t, locale } = useSettings();
  const can = useCan();
  const query = useQuery({ queryKey: ['findings', 'figures'], queryFn: ({ signal }) => get<FindingFigures>('/finding-figures', {}, signal), refetchInterval: 60_000 });
  const days = (n?: number) => (n ? n.toFixed(1) : '–');
  return (
    <div className="page">
      <Head title={t('page.findingFigures')} sub={t('finding.lead')} />
      <Loaded query={query} what="page.findingFigures" lines={8}>
        {(f) => (
          <div className="stack">
            <p>
              {t('finding.summary', { n: number(f.counting, locale), o: number(f.overdue, locale), a: number(f.attacked, locale), s: number(f.assets, locale) })} · {t('finding.looked', { n: number(f.looked_at, locale), k: number(f.known, locale) })}
            </p>
            <div style={{ display: 'grid', gridTemplateColumns: 'repeat(auto-fit, minmax(420px, 1fr))', gap: 12 }}>
              <Panel title={t('finding.trend')}>
                <Trend days={list(f.trend)} />
              </Panel>
              <Panel title={t('finding.level')} flush>
                <DataTable
                  label={t('finding.level')}
                  rows={LEVELS}
                  rowKey={(l) => l}
                  columns={[
                    { key: 'level', title: t('vuln.level'), render: (l) => <SeverityMark level={l} /> },
                    { key: 'n', title: t('finding.counting'), num: true, render: (l) => <Link to={`/findings?level=${l}`}>{number(f.by_level[l] ?? 0, locale)}</Link> },
                    { key: 'days', title: t('finding.mttr'), num: true, render: (l) => days(f.repair_days[l]) },
                  ]}
                />
              </Panel>
            </div>
            <Panel title={t('finding.byUnit')} flush>
              <DataTable
                label={t('finding.byUnit')}
                rows={list(f.units)}
                rowKey={(u) => u.unit}
                columns={[
                  { key: 'unit', title: t('finding.unit'), render: (u) => (u.unit ? <Link to={`/cmdb/${encodeURIComponent(u.unit)}`}>{u.name || u.unit}</Link> : <span className="dim">{t('finding.noUnit')}</span>) },
                  { key: 'n', title: t('finding.counting'), num: true, render: (u) => (u.unit ? <Link to={`/findings?unit=${encodeURIComponent(u.unit)}`}>{number(u.counting, locale)}</Link> : number(u.counting, locale)) },
                  { key: 'late', title: t('finding.overdue'), num: true, render: (u) => number(u.overdue, locale) },
                  { key: 'cover', title: t('finding.cover'), num: true, render: (u) => (u.known > 0 ? <span title={`${u.looked_at} / ${u.known}`}>{Math.floor((100 * u.looked_at) / u.known)} %</span> : '–') },
                  { key: 'closed', title: t('finding.closedN'), num: true, render: (u) => number(u.closed, locale) },
                  { key: 'days', title: t('finding.mttr'), num: true, render: (u) => days(u.repair_days) },
                ]}
              />
            </Panel>
            <Engines engines={f.engines} />
            {can('get-inventory-judgement') && <Judged />}
          </div>
        )}
      </Loaded>
    </div>
  );
}

/** What came and what was closed, day by day. */
function Trend({ days }: { days: FindingFigures['trend'] }) {
  const { t } = useSettings();
  const data = useMemo(() => {
    const l = list(days);
    return {
      times: l.map((d) => Date.parse(`${d.day}T00:00:00Z`)),
      lines: [
        { name: t('finding.new'), values: l.map((d) => d.new) },
        { name: t('finding.closed'), values: l.map((d) => d.closed) },
      ],
    };
  }, [days, t]);
  return <Lines data={data} label={t('finding.trend')} height={200} />;
}

function Engines({ engines }: { engines: Record<string, number> }) {
  const { t } = useSettings();
  const points = useMemo(() => Object.entries(engines).map(([name, value]) => ({ name: engineName(name, t), value })).sort((a, b) => b.value - a.value), [engines, t]);
  if (points.length === 0) return null;
  return (
    <Panel title={t('finding.byEngine')}>
      <Bars points={points} label={t('finding.byEngine')} />
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
      <Loaded query={query} what="judged.title" lines={3} small>
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
