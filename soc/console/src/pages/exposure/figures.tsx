import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import type { FindingFigures } from '../../api/findings';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Head, Panel } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';

const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'] as const;

/** How many findings there are, where, and how long repairs take. */
export default function Figures() {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['findings', 'figures'], queryFn: ({ signal }) => get<FindingFigures>('/finding-figures', {}, signal), refetchInterval: 60_000 });
  const days = (n?: number) => (n ? n.toFixed(1) : '–');
  return (
    <div className="page">
      <Head title={t('page.findingFigures')} sub={t('finding.lead')} />
      <Loaded query={query} what="page.findingFigures" lines={8}>
        {(f) => (
          <>
            <p>
              {t('finding.summary', { n: number(f.counting, locale), o: number(f.overdue, locale), a: number(f.attacked, locale), s: number(f.assets, locale) })} · {t('finding.looked', { n: number(f.looked_at, locale) })}
            </p>
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
            <Panel title={t('finding.byUnit')} flush>
              <DataTable
                label={t('finding.byUnit')}
                rows={list(f.units)}
                rowKey={(u) => u.unit}
                columns={[
                  { key: 'unit', title: t('finding.unit'), render: (u) => (u.unit ? <Link to={`/cmdb/${encodeURIComponent(u.unit)}`}>{u.unit}</Link> : <span className="dim">{t('finding.noUnit')}</span>) },
                  { key: 'n', title: t('finding.counting'), num: true, render: (u) => number(u.counting, locale) },
                  { key: 'late', title: t('finding.overdue'), num: true, render: (u) => number(u.overdue, locale) },
                  { key: 'closed', title: t('finding.closedN'), num: true, render: (u) => number(u.closed, locale) },
                  { key: 'days', title: t('finding.mttr'), num: true, render: (u) => days(u.repair_days) },
                ]}
              />
            </Panel>
            <Panel title={t('finding.trend')} flush>
              <DataTable
                label={t('finding.trend')}
                rows={list(f.trend).filter((d) => d.new > 0 || d.closed > 0)}
                rowKey={(d) => d.day}
                columns={[
                  { key: 'day', title: t('finding.day'), render: (d) => d.day },
                  { key: 'new', title: t('finding.new'), num: true, render: (d) => number(d.new, locale) },
                  { key: 'closed', title: t('finding.closed'), num: true, render: (d) => number(d.closed, locale) },
                ]}
              />
            </Panel>
          </>
        )}
      </Loaded>
    </div>
  );
}
