import { Input, InputNumber, Select } from 'antd';
import { useT } from '../../app/settings';
import { REPEATS, WEEKDAYS, type Repeat } from '../../logic/recurrence';

/** When a silence comes again, by plain choices; who knows RRULE may write one. */
export function RepeatFields({ repeat, set, minutes, setMinutes }: { repeat: Repeat; set: (r: Repeat) => void; /** How long each time lasts. */ minutes: number; setMinutes: (n: number) => void }) {
  const t = useT();
  return (
    <div className="stack" style={{ gap: 6 }}>
      <div className="dim">{t('repeat.title')}</div>
      <span className="row wrap" role="group" aria-label={t('repeat.title')} style={{ gap: 4 }}>
        {REPEATS.map((k) => (
          <button key={k} type="button" className="plain toggle" aria-pressed={repeat.kind === k} onClick={() => set({ ...repeat, kind: k })}>
            {t(`repeat.${k}`)}
          </button>
        ))}
      </span>
      {repeat.kind === 'weekly' && (
        <span className="row wrap" role="group" aria-label={t('repeat.weekdays')} style={{ gap: 4 }}>
          {WEEKDAYS.map((d) => (
            <button key={d} type="button" className="plain toggle" aria-pressed={repeat.weekdays.includes(d)} onClick={() => set({ ...repeat, weekdays: repeat.weekdays.includes(d) ? repeat.weekdays.filter((x) => x !== d) : [...repeat.weekdays, d] })}>
              {t(`repeat.day.${d}`)}
            </button>
          ))}
        </span>
      )}
      {repeat.kind === 'monthly' && (
        <Select
          aria-label={t('repeat.day')}
          value={repeat.day}
          style={{ width: 160 }}
          onChange={(day: number) => set({ ...repeat, day })}
          options={[...Array.from({ length: 31 }, (_, i) => ({ value: i + 1, label: t('repeat.dayN', { n: i + 1 }) })), { value: -1, label: t('repeat.lastDay') }]}
        />
      )}
      {repeat.kind === 'custom' && <Input className="mono" aria-label={t('repeat.rule')} placeholder="FREQ=MONTHLY;BYDAY=1SU" value={repeat.rule} onChange={(e) => set({ ...repeat, rule: e.target.value })} />}
      {repeat.kind !== 'once' && (
        <label className="row">
          <span className="dim">{t('repeat.lasts')}</span>
          <InputNumber aria-label={t('repeat.lasts')} min={1} max={44640} value={minutes} onChange={(n) => setMinutes(n ?? 60)} />
        </label>
      )}
    </div>
  );
}
