import type { Severity, Status } from '../api/types';
import { useT } from '../app/settings';

/** Shape, word and colour together: any one of them is enough to tell the severity. */
export function SeverityMark({ level, word = true }: { level: Severity; word?: boolean }) {
  const t = useT();
  const label = t(`sev.${level}`);
  return (
    <span className={`sev sev-${level}`} title={word ? undefined : label}>
      <svg width="11" height="11" viewBox="0 0 12 12" aria-hidden="true">
        {level === 'critical' && <path d="M6 0 12 6 6 12 0 6z" fill="currentColor" />}
        {level === 'high' && <path d="M6 1 12 11.4H0z" fill="currentColor" />}
        {level === 'medium' && <circle cx="6" cy="6" r="4.8" fill="currentColor" />}
        {level === 'low' && <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" strokeWidth="1.8" />}
        {level === 'informational' && <circle cx="6" cy="6" r="2" fill="currentColor" />}
      </svg>
      {word ? label : <span className="visually-hidden">{label}</span>}
    </span>
  );
}

export function StatusMark({ status }: { status: Status }) {
  const t = useT();
  return (
    <span className="status">
      <i className={`dot ${status}`} />
      {t(`status.${status}`)}
    </span>
  );
}

export function Priority({ value }: { value?: string }) {
  return value ? <span className={`prio ${value}`}>{value}</span> : null;
}

/** How much an asset matters, 1 to 5. */
export function Criticality({ value }: { value?: number }) {
  const t = useT();
  if (!value) return <span className="faint">–</span>;
  return (
    <span className="row" style={{ gap: 6, display: 'inline-flex' }} aria-label={t('alert.criticalityN', { n: value })}>
      <span className="scale" aria-hidden="true">
        {[1, 2, 3, 4, 5].map((i) => (
          <i key={i} className={i <= value ? 'on' : ''} />
        ))}
      </span>
      {value}
    </span>
  );
}
