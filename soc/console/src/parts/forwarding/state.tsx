import type { Target } from '../../api/forwarding';
import { useSettings } from '../../app/settings';
import { When } from '../time';

const DOTS = { ok: 'ok', catching_up: 'acknowledged', retrying: 'error', paused: 'off', blocked: 'error', away: 'error' } as const;

/** How a target fares, and what went wrong last. */
export function TargetStateMark({ target: x, whole = false }: { target: Target; whole?: boolean }) {
  const { t } = useSettings();
  const s = x.status;
  const why = s.state === 'blocked' || s.state === 'away' ? t(`forward.stateWhy.${s.state}`) : '';
  return (
    <div style={{ maxWidth: whole ? undefined : 320 }}>
      <span className="status">
        <i className={`dot ${DOTS[s.state]}`} />
        {t(`forward.state.${s.state}`)}
        {s.since && s.error && (
          <span className="faint">
            <When time={s.since} age />
          </span>
        )}
      </span>
      {why && <div className="dim">{why}</div>}
      {s.error && (
        <div className={whole ? undefined : 'ellipsis'} title={s.error} style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>
          {s.error}
        </div>
      )}
    </div>
  );
}
