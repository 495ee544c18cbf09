import { Link } from 'react-router-dom';
import { type Alert, type Incident } from '../api/types';
import { useSettings } from '../app/settings';
import { absolute, number } from '../logic/format';

/** Says that an alert changes again and again and is held, and that some of its firings were only counted. */
export function NoiseMarks({ of }: { of: Pick<Alert, 'flapping' | 'counted' | 'gathered_until' | 'kept_only' | 'period'> }) {
  const { t, locale } = useSettings();
  return (
    <>
      <GatheredMark of={of} />
      {of.flapping && (
        <Link className="tag warn" to="/alerts?flapping=true" title={t('flapping.why', { n: of.flapping.changes, t: absolute(of.flapping.since) })} data-testid="flapping">
          {t(of.flapping.recovered ? 'flapping.recovered' : 'flapping.mark', { n: number(of.flapping.changes, locale) })}
        </Link>
      )}
      {!!of.counted && (
        <span className="tag warn" title={t('counted.why')} data-testid="counted">
          {t('counted.mark', { n: number(of.counted, locale) })}
        </span>
      )}
    </>
  );
}

/** That nobody is told of an alert yet, or at all, by the policy of generation. */
export function GatheredMark({ of }: { of: Pick<Alert, 'gathered_until' | 'kept_only' | 'period'> }) {
  const { t } = useSettings();
  if (of.kept_only) {
    return (
      <Link className="tag" to="/alerts?gathered=true" title={t('gen.keptWhy', { x: of.period ?? '' })}>
        {t('gen.keptMark')}
      </Link>
    );
  }
  if (!of.gathered_until) return null;
  return (
    <Link className="tag" to="/alerts?gathered=true" title={t('gen.untilWhy', { x: of.period ?? '' })} data-testid="gathered">
      {t('gen.until', { t: absolute(of.gathered_until) })}
    </Link>
  );
}

/** That an alert tells of a risk of focus: short in lists, by name where there is room. */
export function FocusMark({ of, word }: { of: Pick<Alert, 'focus' | 'focus_from'>; word?: boolean }) {
  const { t } = useSettings();
  if (!of.focus) return null;
  const why = t(of.focus_from ? 'gen.markRaised' : 'gen.markWhy', { x: of.focus });
  if (word) {
    return (
      <Link className="tag strong nowrap" to="/alerts?focus=true" title={why} data-testid="focus">
        {t('gen.markWhy', { x: of.focus })}
      </Link>
    );
  }
  return (
    <span className="tag strong nowrap" title={why}>
      {t('gen.mark')}
    </span>
  );
}

/** Which merge rule made an incident, by what its alerts have in common. */
export function MergeMark({ incident: i }: { incident: Pick<Incident, 'merge'> }) {
  const { t } = useSettings();
  if (!i.merge) return null;
  return (
    <Link
      className="tag"
      to="/merge-rules"
      title={Object.entries(i.merge.by ?? {})
        .map(([k, v]) => `${k}=${v}`)
        .join(' ')}
    >
      {t('merge.mark', { x: i.merge.rule })}
    </Link>
  );
}
