import { Link } from 'react-router-dom';
import { type Alert, type Incident } from '../api/types';
import { useSettings } from '../app/settings';
import { absolute, number } from '../logic/format';

/** Says that an alert changes again and again and is held, and that some of its firings were only counted. */
export function NoiseMarks({ of }: { of: { flapping?: Alert['flapping']; counted?: number } }) {
  const { t, locale } = useSettings();
  return (
    <>
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
