import type { AlertSource } from '../../api/alertsources';
import { useT } from '../../app/settings';

const DOTS = { ok: 'ok', idle: 'off', silent: 'error', unmapped: 'error', error: 'error', broken: 'error', disabled: 'off' } as const;

/** How a source fares, and what went wrong last. */
export function SourceStateMark({ source: x, whole = false }: { source: AlertSource; whole?: boolean }) {
  const t = useT();
  const h = x.health;
  return (
    <div style={{ maxWidth: whole ? undefined : 320 }}>
      <span className="status">
        <i className={`dot ${DOTS[h.state]}`} />
        {t(`asource.state.${h.state}`)}
      </span>
      {h.error && h.state !== 'disabled' && (
        <div className={whole ? undefined : 'ellipsis'} title={h.error} style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>
          {h.error}
        </div>
      )}
    </div>
  );
}
