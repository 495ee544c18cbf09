import { useMemo } from 'react';
import { LEVELS, type FindingFigures, type UnitProgress } from '../../api/findings';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { covered, repairs } from '../../logic/findings';
import { number } from '../../logic/format';
import type { Colours } from '../chart';
import { Bars, Lines, Shares } from '../charts';

const at = (day: string) => Date.parse(`${day}T00:00:00Z`);
const bySeverity = (c: Colours) => LEVELS.map((l) => c.severity[l]);
const byAge = (c: Colours) => [c.accent, `${c.accent}b0`, `${c.accent}70`, `${c.accent}38`, c.line];

/** What a chart says, for who cannot see it: its title and its values. */
const said = (title: string, values: readonly string[]) => `${title}: ${values.join('; ')}`;

/** Findings that were open at the end of each day, by level. */
export function OpenByLevel({ days }: { days: FindingFigures['trend'] }) {
  const { t, locale } = useSettings();
  const data = useMemo(() => {
    const l = list(days);
    return { times: l.map((d) => at(d.day)), lines: LEVELS.map((level) => ({ name: t(`sev.${level}`), values: l.map((d) => d.open?.[level] ?? 0) })) };
  }, [days, t]);
  const today = list(days)[list(days).length - 1];
  return <Lines data={data} area colours={bySeverity} height={220} label={said(t('finding.openTrend'), LEVELS.map((l) => `${t(`sev.${l}`)} ${number(today?.open?.[l] ?? 0, locale)}`))} />;
}

/** What came and what was closed, day by day. */
export function ComeAndGone({ days }: { days: FindingFigures['trend'] }) {
  const { t, locale } = useSettings();
  const data = useMemo(() => {
    const l = list(days);
    return {
      times: l.map((d) => at(d.day)),
      lines: [
        { name: t('finding.new'), values: l.map((d) => d.new) },
        { name: t('finding.closed'), values: l.map((d) => d.closed) },
      ],
    };
  }, [days, t]);
  const sum = (k: 'new' | 'closed') => number(list(days).reduce((n, d) => n + d[k], 0), locale);
  return <Lines data={data} height={220} label={said(t('finding.trend'), [`${t('finding.new')} ${sum('new')}`, `${t('finding.closed')} ${sum('closed')}`])} />;
}

/** Mean days to repair of units that repaired anything, the slowest first. */
export function RepairByUnit({ units }: { units: readonly UnitProgress[] }) {
  const { t } = useSettings();
  const points = useMemo(() => units.filter((u) => u.closed > 0).map((u) => ({ name: u.name || u.unit || t('finding.noUnit'), value: u.repair_days })).sort((a, b) => b.value - a.value).slice(0, 12), [units, t]);
  const days = (n: number) => t('finding.days', { n: n.toFixed(1) });
  return <Bars points={points} say={days} label={said(t('finding.mttrUnit'), points.map((p) => `${p.name} ${days(p.value)}`))} />;
}

/** Mean days to repair by the week in which findings were closed: of all, and of the units that closed the most. */
export function RepairByWeek({ units }: { units: readonly UnitProgress[] }) {
  const { t } = useSettings();
  const data = useMemo(() => repairs(units, 5, t('finding.allUnits'), (u) => u.name || u.unit || t('finding.noUnit')), [units, t]);
  const days = (n: number) => t('finding.days', { n: n.toFixed(1) });
  const last = data.lines[0]?.values.reduce((x: number | null, v) => v ?? x, null);
  return <Lines data={data} say={days} height={220} label={said(t('finding.mttrWeek'), [`${data.lines[0]?.name ?? ''} ${last == null ? '–' : days(last)}`])} />;
}

/** How long ago the assets of units were looked at, the least covered first. */
export function CoverageByUnit({ units }: { units: readonly UnitProgress[] }) {
  const { t } = useSettings();
  const rows = useMemo(
    () =>
      units
        .filter((u) => u.known > 0)
        .sort((a, b) => (covered(a) ?? 0) - (covered(b) ?? 0) || b.known - a.known)
        .slice(0, 12)
        .map((u) => {
          const l = u.looked_at;
          return { name: u.name || u.unit || t('finding.noUnit'), values: [l.within_7_days, l.within_30_days, l.within_90_days, l.older, l.never], note: `${covered(u)}% · ${l.within_7_days + l.within_30_days}/${u.known}` };
        }),
    [units, t],
  );
  const parts = useMemo(() => [t('finding.age.7'), t('finding.age.30'), t('finding.age.90'), t('finding.age.older'), t('finding.age.never')], [t]);
  return <Shares rows={rows} parts={parts} colours={byAge} label={said(t('finding.coverage'), rows.map((r) => `${r.name} ${r.note}`))} />;
}
