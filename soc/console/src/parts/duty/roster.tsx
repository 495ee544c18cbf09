import { serverNow } from '../../api/client';
import type { DutyCalendar, Stretch } from '../../api/duty';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { byDay, clockIn, dayIn } from '../../logic/duty';
import { absolute, joined } from '../../logic/format';

/** A colour of its own for each person, the same in every view. */
function hue(name: string): number {
  let h = 7;
  for (const c of name) h = (h * 31 + (c.codePointAt(0) ?? 0)) % 360;
  return h;
}

/** A roster as a sheet of weeks: who is on each line, gaps and holidays marked. pick is called for a shift that was chosen by mouse or key. */
export function Roster({ calendar: c, days, month, today, pick }: { calendar: DutyCalendar; days: readonly string[]; month?: string; today: string; pick?: (line: string, s: Stretch) => void }) {
  const { t, tx, locale } = useSettings();
  const lines = list(c.lines).map((l) => ({ ...l, days: byDay(list(l.stretches), c.zone) }));
  const special = new Map(list(c.days).map((d) => [d.date, d]));
  const shown = (s: Stretch) => dayIn(Date.parse(s.to) - 1, c.zone) >= (days[0] as string) && dayIn(s.from, c.zone) <= (days[days.length - 1] as string);
  // What has passed cannot be filled any more.
  const now = serverNow();
  const past = (s: Stretch) => Date.parse(s.to) <= now;
  const gaps = list(c.lines).slice(0, 1).flatMap((l) => list(l.stretches).filter((s) => s.gap && shown(s) && !past(s)));
  const conflicts = list(c.conflicts);
  const weekday = new Intl.DateTimeFormat(locale, { weekday: 'short', timeZone: 'UTC' });
  return (
    <div className="stack">
      <div className="row wrap" role="status">
        <span className={gaps.length > 0 ? 'tag warn' : 'tag'}>{lines.length > 1 && `${tx(lines[0]?.name)} · `}
          {gaps.length > 0 ? t('duty.gaps', { n: gaps.length }) : t('duty.noGaps')}</span>
        {conflicts.length > 0 && (
          <span className="tag warn" title={conflicts.map((x) => `${t('duty.conflictOf', { x: x.person, y: joined(list(x.places), locale) })}: ${absolute(x.from)} – ${absolute(x.to)}`).join('\n')}>
            {t('duty.conflicts', { n: conflicts.length })}
          </span>
        )}
        {list(c.unknown_years).map((y) => (
          <span key={y} className="dim">
            {t('duty.unknownYear', { n: String(y) })}
          </span>
        ))}
      </div>
      <div className="roster" role="grid" aria-label={tx(c.team.name)}>
        {days.slice(0, 7).map((d) => (
          <div key={d} className="head" role="columnheader">
            {weekday.format(new Date(`${d}T00:00:00Z`))}
          </div>
        ))}
        {days.map((d) => {
          const is = special.get(d);
          return (
            <div key={d} role="gridcell" className={`day${month && !d.startsWith(month) ? ' other' : ''}${d === today ? ' today' : ''}${is?.name ? ' off' : ''}`} data-day={d}>
              <div className="date">
                <span className="num">{Number(d.slice(8))}</span>
                {is?.name && <span className="holiday">{is.name}</span>}
                {is?.make_up && <span className="dim">{t('duty.makeUp')}</span>}
              </div>
              {lines.map((l) =>
                (l.days.get(d) ?? []).map((p, i) => {
                  const who = list(p.stretch.people).join(', ');
                  const whole = p.from === '00:00' && p.to === '24:00';
                  const label = `${tx(l.name)} ${p.from}–${p.to} ${who || t('duty.gap')}`;
                  const body = (
                    <>
                      {!whole && <span className="num">{p.from}</span>} <b>{who || (lines.length > 1 ? `${tx(l.name)} ${t('duty.gap')}` : t('duty.gap'))}</b>
                    </>
                  );
                  const props = { className: `shift${p.stretch.gap ? ' gap' : ''}${d < today ? ' past' : ''}${p.stretch.swap ? ' swapped' : ''}`, title: `${tx(l.name)}: ${absolute(p.stretch.from)} – ${absolute(p.stretch.to)} (${clockIn(p.stretch.from, c.zone)})`, style: { '--hue': hue(who) } as React.CSSProperties };
                  return pick ? (
                    <button key={`${l.line}-${i}`} type="button" aria-label={label} {...props} onClick={() => pick(l.line, p.stretch)}>
                      {body}
                    </button>
                  ) : (
                    <div key={`${l.line}-${i}`} aria-label={label} {...props}>
                      {body}
                    </div>
                  );
                }),
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
