import type { SLA } from '../api/types';
import { useNow } from '../app/hooks';
import { useSettings } from '../app/settings';
import { absolute, clock, compact, relative } from '../logic/format';

/** A moment: short text, the whole of it (with the age) on hover. */
export function When({ time, age = false }: { time?: string | null; age?: boolean }) {
  const { locale, times } = useSettings();
  const ago = times === 'usual' ? age : times === 'relative';
  const now = useNow(ago ? 1 : 60);
  if (!time) return <span className="faint">–</span>;
  const full = `${absolute(time, true)} · ${relative(time, now, locale)}`;
  return (
    <time dateTime={time} title={full} className="nowrap">
      {ago ? relative(time, now, locale) : compact(time, now)}
    </time>
  );
}

/** Both at once, where there is room. */
export function WhenFull({ time }: { time?: string | null }) {
  const { locale } = useSettings();
  const now = useNow(10);
  if (!time) return <span className="faint">–</span>;
  return (
    <time dateTime={time}>
      {absolute(time)} <span className="faint">{relative(time, now, locale)}</span>
    </time>
  );
}

/** One deadline counting down, or how it ended. */
export function Deadline({ due, done, state }: { due?: string | null; done?: string | null; state?: SLA['state'] }) {
  const { t, locale } = useSettings();
  const now = useNow();
  if (!due) return <span className="faint">{t('sla.none')}</span>;
  const at = Date.parse(due);
  if (done) {
    const ok = Date.parse(done) <= at;
    return <span className={`sla ${ok ? 'met' : 'breached'}`}>{t(ok ? 'sla.met' : 'sla.missed')}</span>;
  }
  if (state === 'paused') return <span className="sla">{t('sla.paused')}</span>;
  const left = at - now;
  const cls = left < 0 ? 'breached' : state === 'due_soon' || left < 300_000 ? 'due_soon' : '';
  return (
    <span className={`sla ${cls}`} title={absolute(due)}>
      {t(left < 0 ? 'sla.over' : 'sla.left', { t: clock(left, locale) })}
    </span>
  );
}

/** The deadline that counts now: acknowledging first, then resolving. */
export function SLAClock({ sla }: { sla?: SLA | null }) {
  const { t } = useSettings();
  if (!sla) return <span className="faint">{t('sla.none')}</span>;
  const acking = sla.ack_due && !sla.acked_at && !sla.resolved_at;
  return acking ? (
    <Deadline due={sla.ack_due} done={sla.acked_at} state={sla.state} />
  ) : (
    <Deadline due={sla.resolve_due} done={sla.resolved_at} state={sla.state} />
  );
}
