import { Button, Input } from 'antd';
import { useState } from 'react';
import { stringify } from 'yaml';
import { request } from '../../api/client';
import type { Holidays, Year } from '../../api/duty';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../dialog';

/** Puts the operator's own years in force; the server takes them as a whole, with years as numbers. */
export async function putHolidays(own: Record<string, Year>): Promise<void> {
  const book = new Map(Object.entries(own).map(([year, y]) => [Number(year), { source: y.source, off: list(y.off), work: list(y.work) }]));
  await request('PUT', '/duty/holidays', { raw: { data: stringify(book), type: 'application/yaml' } });
}

/** The holidays of a year, written by hand; it replaces what ships with the suite for that year. */
export function HolidayForm({ holidays, year, close }: { holidays: Holidays; year: string; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const before = holidays.own[year] ?? holidays.published[year];
  const [of, setOf] = useState(year);
  const [source, setSource] = useState(before?.source ?? '');
  const [off, setOff] = useState(() => (list(before?.off).length > 0 ? [...list(before?.off)] : [{ name: '', from: `${year}-01-01`, to: `${year}-01-01` }]));
  const [work, setWork] = useState(() => [...list(before?.work)]);
  const change = (i: number, part: Partial<(typeof off)[number]>) => setOff(off.map((o, k) => (k === i ? { ...o, ...part } : o)));
  const submit = async () => {
    const own = { ...holidays.own, [of]: { source: source.trim(), off, work: work.filter(Boolean).sort() } };
    await putHolidays(own);
    tell({ said: t('sla.uploaded'), renew: ['sla', 'duty'], undo: () => void putHolidays(holidays.own).then(() => tell({ renew: ['sla', 'duty'] })) });
  };
  return (
    <FormDialog title={t('sla.yearEdit')} ok={t('do.save')} width={640} submit={submit} close={close}>
      <div className="stack">
        <div className="two">
          <label className="labelled">
            <span className="dim">{t('sla.year')}</span>
            <Input type="number" aria-label={t('sla.year')} min={1949} max={2200} value={of} onChange={(e) => setOf(e.target.value)} />
          </label>
          <label className="labelled">
            <span className="dim">{t('sla.source')}</span>
            <Input aria-label={t('sla.source')} maxLength={120} placeholder={t('sla.sourceHint')} value={source} onChange={(e) => setSource(e.target.value)} />
          </label>
        </div>
        <fieldset className="matchers">
          <legend>{t('sla.off')}</legend>
          {off.map((o, i) => (
            <div key={i} className="row" style={{ marginBottom: 6 }}>
              <Input aria-label={t('sla.holidayName')} placeholder={t('sla.holidayName')} maxLength={40} style={{ flex: 1 }} value={o.name} onChange={(e) => change(i, { name: e.target.value })} />
              <input type="date" className="when" aria-label={t('silence.from')} value={o.from} onChange={(e) => change(i, { from: e.target.value, to: o.to < e.target.value ? e.target.value : o.to })} />
              <span>–</span>
              <input type="date" className="when" aria-label={t('silence.until')} value={o.to} min={o.from} onChange={(e) => change(i, { to: e.target.value })} />
              <button type="button" className="plain faint" aria-label={t('do.remove', { x: o.name })} onClick={() => setOff(off.filter((_, k) => k !== i))}>
                ✕
              </button>
            </div>
          ))}
          <Button size="small" type="dashed" onClick={() => setOff([...off, { name: '', from: `${of}-01-01`, to: `${of}-01-01` }])}>
            + {t('sla.addOff')}
          </Button>
        </fieldset>
        <fieldset className="matchers">
          <legend>{t('sla.work')}</legend>
          <div className="row wrap">
            {work.map((d, i) => (
              <span key={i} className="row" style={{ gap: 2 }}>
                <input type="date" className="when" aria-label={t('sla.work')} value={d} onChange={(e) => setWork(work.map((x, k) => (k === i ? e.target.value : x)))} />
                <button type="button" className="plain faint" aria-label={t('do.remove', { x: d })} onClick={() => setWork(work.filter((_, k) => k !== i))}>
                  ✕
                </button>
              </span>
            ))}
            <Button size="small" type="dashed" onClick={() => setWork([...work, `${of}-01-01`])}>
              + {t('sla.addWork')}
            </Button>
          </div>
        </fieldset>
      </div>
    </FormDialog>
  );
}
