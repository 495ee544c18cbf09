import { Button, Checkbox, Input } from 'antd';
import { useState } from 'react';
import type { Terms, Window } from '../../api/duty';
import { useSettings } from '../../app/settings';
import { windowsOf, windowsText } from '../../logic/duty';
import { WEEKDAYS } from '../../logic/recurrence';

type Calendar = Terms['calendars'][number];

/** The windows of a week, those of the same days together. */
export function byDays(windows: readonly Window[]): { days: number[]; windows: Window[] }[] {
  const rows: { days: number[]; windows: Window[] }[] = [];
  for (const w of windows) {
    const row = rows.find((r) => r.days.join() === w.days.join());
    if (row) row.windows.push(w);
    else rows.push({ days: w.days, windows: [w] });
  }
  return rows;
}

/** A key that no calendar has. */
function freeKey(taken: readonly Calendar[]): string {
  for (let n = taken.length + 1; ; n++) if (!taken.some((c) => c.key === `calendar-${n}`)) return `calendar-${n}`;
}

/** When the clocks of solutions run: the hours of each day of the week, and whether holidays stop them. */
export function Calendars({ terms, set, write }: { terms: Terms; set: (calendars: Calendar[]) => void; write: boolean }) {
  const { t, tx } = useSettings();
  const list = terms.calendars;
  const change = (i: number, part: Partial<Calendar>) => set(list.map((c, k) => (k === i ? { ...c, ...part } : c)));
  const fresh: Calendar = { key: freeKey(list), name: { zh: '', en: '' }, windows: [{ days: [1, 2, 3, 4, 5], from: '09:00', to: '18:00' }], holidays: true };
  return (
    <div className="stack" style={{ gap: 10 }} data-testid="calendars">
      {list.map((c, i) => {
        const users = terms.promises.filter((p) => p.calendar === c.key).map((p) => p.priority);
        return (
          <fieldset key={c.key} className="matchers panel" style={{ padding: '8px 12px' }}>
            <div className="row wrap" style={{ gap: 10 }}>
              <Input aria-label={`${c.key} ${t('sla.nameZh')}`} placeholder={t('sla.nameZh')} style={{ width: 150 }} disabled={!write} value={c.name.zh} onChange={(e) => change(i, { name: { ...c.name, zh: e.target.value } })} />
              <Input aria-label={`${c.key} ${t('sla.nameEn')}`} placeholder={t('sla.nameEn')} style={{ width: 150 }} disabled={!write} value={c.name.en} onChange={(e) => change(i, { name: { ...c.name, en: e.target.value } })} />
              <Checkbox checked={c.holidays} disabled={!write} onChange={(e) => change(i, { holidays: e.target.checked })}>
                {t('sla.stopsOnHolidays')}
              </Checkbox>
              {write && (
                <Button size="small" style={{ marginLeft: 'auto' }} disabled={users.length > 0} title={users.length > 0 ? t('sla.calendarUsed', { x: users.join(', ') }) : undefined} aria-label={`${t('sla.removeCalendar')} ${tx(c.name) || c.key}`} onClick={() => set(list.filter((_, k) => k !== i))}>
                  {t('sla.removeCalendar')}
                </Button>
              )}
            </div>
            <Week windows={c.windows} set={(windows) => change(i, { windows })} write={write} />
          </fieldset>
        );
      })}
      {write && (
        <div>
          <Button size="small" type="dashed" onClick={() => set([...list, fresh])}>
            + {t('sla.addCalendar')}
          </Button>
        </div>
      )}
    </div>
  );
}

interface Row {
  days: number[];
  text: string;
}

/** Rows of days and hours. What is typed stays as it is typed; what can be read goes out. */
function Week({ windows, set, write }: { windows: Window[]; set: (w: Window[]) => void; write: boolean }) {
  const { t } = useSettings();
  const [rows, setRows] = useState<Row[]>(() => byDays(windows).map((r) => ({ days: r.days, text: windowsText(r.windows) })));
  const update = (next: Row[]) => {
    setRows(next);
    const read = next.filter((r) => r.days.length > 0).map((r) => windowsOf(r.text, r.days));
    if (read.every((w) => w !== null)) set(read.flat() as Window[]);
  };
  const change = (i: number, part: Partial<Row>) => update(rows.map((r, k) => (k === i ? { ...r, ...part } : r)));
  return (
    <div className="stack" style={{ gap: 6, marginTop: 8 }}>
      {rows.map((r, i) => {
        const bad = r.text.trim() === '' || windowsOf(r.text) === null;
        return (
          <div key={i} className="row wrap">
            <span className="row" role="group" aria-label={t('repeat.weekdays')} style={{ gap: 4 }}>
              {WEEKDAYS.map((d, k) => (
                <button key={d} type="button" className="plain toggle" disabled={!write} aria-pressed={r.days.includes(k + 1)} onClick={() => change(i, { days: r.days.includes(k + 1) ? r.days.filter((x) => x !== k + 1) : [...r.days, k + 1].sort() })}>
                  {t(`repeat.day.${d}`)}
                </button>
              ))}
            </span>
            <Input className="mono" style={{ width: 260 }} disabled={!write} status={bad ? 'error' : undefined} aria-label={t('sla.hours')} placeholder="09:00-12:00, 13:30-17:30" value={r.text} onChange={(e) => change(i, { text: e.target.value })} />
            {bad && <span className="faint">{t('sla.hoursHint')}</span>}
            {write && (
              <button type="button" className="plain faint" aria-label={t('do.remove', { x: r.text })} onClick={() => update(rows.filter((_, k) => k !== i))}>
                ✕
              </button>
            )}
          </div>
        );
      })}
      {rows.length === 0 && <span className="dim">{t('sla.openAlways')}</span>}
      {write && (
        <div>
          <Button size="small" type="link" style={{ paddingInline: 0 }} onClick={() => update([...rows, { days: [6, 7], text: '09:00-12:00' }])}>
            + {t('sla.addHours')}
          </Button>
        </div>
      )}
    </div>
  );
}
