import type { ScenarioFigures } from '../../api/scenarios';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';

/** Days of a scenario as bars from zero; each says its day and number. */
export function DayBars({ figures: f, height = 34 }: { figures: ScenarioFigures; height?: number }) {
  const { t, locale } = useSettings();
  const days = list(f.days);
  const most = Math.max(1, ...days.map((d) => d.alerts));
  const said = days.map((d) => `${d.day.slice(5)} ${number(d.alerts, locale)}`).join(', ');
  return (
    <div role="img" aria-label={`${t('scenario.trend')}: ${said}`} className="minibars" style={{ height }}>
      {days.map((d) => (
        <i key={d.day} title={`${d.day} · ${t('scenario.alerts')} ${number(d.alerts, locale)} · ${t('scenario.risks')} ${number(d.risks, locale)}`} style={{ height: d.alerts === 0 ? 1 : `${Math.max(6, (100 * d.alerts) / most)}%` }} />
      ))}
    </div>
  );
}
