import { useQuery } from '@tanstack/react-query';
import { Button, Input, InputNumber, Select } from 'antd';
import { useEffect, useState } from 'react';
import type { Setting } from '../api/access';
import { get, put } from '../api/client';
import { SOURCES, type Factor, type Step, type Terms } from '../api/eventlevel';
import { useCan } from '../api/queries';
import type { Text } from '../api/types';
import { useAct } from '../app/act';
import { useSettings } from '../app/settings';
import { Refused } from '../parts/dialog';
import { Head, Panel } from '../parts/page';
import { SettingHistory } from '../parts/settinghistory';
import { Loaded, Stale } from '../parts/states';

const PATH = '/settings/data-event-levels';
const FACTOR: Factor = { key: '', name: { zh: '', en: '' }, source: 'field', of: '', weight: 10, steps: [{ at_least: 1, name: { zh: '', en: '' }, points: 50 }] };

/** By which factors data-security events are graded: the table, its levels, and the activities that events concern. */
export default function EventLevels() {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['settings', 'data-event-levels'], queryFn: ({ signal }) => get<Setting>(PATH, {}, signal) });
  return (
    <div className="page">
      <Head title={t('page.eventLevels')} sub={t('level.lead')} />
      <Stale query={query} />
      <Loaded query={query} what="page.eventLevels" lines={10}>
        {(setting) => <Editor setting={setting} />}
      </Loaded>
    </div>
  );
}

/** A copy of rows with one of them changed, or without it. */
function replaced<T>(rows: readonly T[], at: number, row: T | null): T[] {
  return rows.flatMap((x, i) => (i !== at ? [x] : row === null ? [] : [row]));
}

function Editor({ setting }: { setting: Setting }) {
  const { t, tx } = useSettings();
  const can = useCan()('set-data-event-levels');
  const { act, busy } = useAct();
  const kept = JSON.stringify(setting.value);
  const [draft, setDraft] = useState(() => JSON.parse(kept) as Terms);
  const [error, setError] = useState<unknown>(null);
  const [saves, setSaves] = useState(0);
  useEffect(() => setDraft(JSON.parse(kept) as Terms), [kept]);
  const dirty = JSON.stringify(draft) !== kept;
  const send = async (value: unknown, undo?: () => void) => {
    setError(null);
    await act(
      async () => {
        try {
          await put(PATH, value);
        } catch (e) {
          setError(e);
          throw e;
        }
      },
      { said: t('level.saved'), renew: ['settings', 'event-level'], undo },
    );
    setSaves((n) => n + 1);
  };
  const save = () => {
    const before = setting.value;
    void send(draft, () => void send(before));
  };
  const setFactor = (at: number, f: Factor | null) => setDraft({ ...draft, factors: replaced(draft.factors, at, f) });
  const floors = [{ value: 0, label: t('level.noFloor') }, ...draft.levels.map((l, i) => ({ value: i + 1, label: tx(l.name) || String(i + 1) }))];
  return (
    <fieldset className="stack" style={{ gap: 14, border: 0, padding: 0, margin: 0 }} disabled={!can}>
      <Refused error={error} />
      <Panel title={t('level.levels')} end={can && <Button size="small" onClick={() => setDraft({ ...draft, levels: [...draft.levels, { name: { zh: '', en: '' }, from: Math.min(100, (draft.levels.at(-1)?.from ?? 0) + 5) }] })}>{t('level.addLevel')}</Button>}>
        <label className="row" style={{ marginBottom: 8 }}>
          <span className="dim">{t('level.from')}</span>
          <InputNumber min={1} max={5} value={draft.from} onChange={(n) => setDraft({ ...draft, from: n ?? 3 })} />
        </label>
        {draft.levels.map((l, i) => (
          <div className="row wrap" key={i} style={{ marginBottom: 6 }}>
            <b className="num" style={{ width: 20 }}>{i + 1}</b>
            <Names value={l.name} set={(name) => setDraft({ ...draft, levels: replaced(draft.levels, i, { ...l, name }) })} />
            <span className="dim">{t('level.fromPoints')}</span>
            <InputNumber aria-label={t('level.fromPoints')} min={0} max={100} disabled={i === 0} value={l.from} onChange={(n) => setDraft({ ...draft, levels: replaced(draft.levels, i, { ...l, from: n ?? 0 }) })} />
            {can && draft.levels.length > 2 && i > 0 && <Remove of={tx(l.name)} act={() => setDraft({ ...draft, levels: replaced(draft.levels, i, null) })} />}
          </div>
        ))}
      </Panel>
      <Panel title={t('level.factors')} end={can && <Button size="small" onClick={() => setDraft({ ...draft, factors: [...draft.factors, FACTOR] })}>{t('level.addFactor')}</Button>}>
        <p className="dim" style={{ marginTop: 0 }}>{t('level.factorsWhy')}</p>
        {draft.factors.map((f, i) => (
          <div className="setgroup" key={i}>
            <div className="row wrap">
              <Names value={f.name} set={(name) => setFactor(i, { ...f, name })} />
              <Input className="mono" style={{ width: 130 }} aria-label={t('level.key')} placeholder={t('level.key')} maxLength={40} value={f.key} onChange={(e) => setFactor(i, { ...f, key: e.target.value })} />
              <Select aria-label={t('level.source')} disabled={!can} style={{ width: 160 }} value={f.source} onChange={(source) => setFactor(i, { ...f, source, of: source === 'field' || source === 'attribute' ? f.of : undefined })} options={SOURCES.map((s) => ({ value: s, label: t(`level.source.${s}`) }))} />
              {(f.source === 'field' || f.source === 'attribute') && <Input className="mono" style={{ width: 200 }} aria-label={t('level.of')} placeholder={t('level.of')} maxLength={200} value={f.of} onChange={(e) => setFactor(i, { ...f, of: e.target.value })} />}
              <span className="dim">{t('level.weight')}</span>
              <InputNumber aria-label={t('level.weight')} min={0} max={100} value={f.weight} onChange={(n) => setFactor(i, { ...f, weight: n ?? 0 })} style={{ width: 80 }} />
              {can && <Remove of={tx(f.name)} act={() => setFactor(i, null)} />}
            </div>
            {f.steps.map((s, n) => (
              <StepRow key={n} of={s} answer={f.source === 'answer'} floors={floors} can={can} set={(next) => setFactor(i, { ...f, steps: replaced(f.steps, n, next) })} />
            ))}
            {can && (
              <Button size="small" type="text" onClick={() => setFactor(i, { ...f, steps: [...f.steps, f.source === 'answer' ? { is: '', name: { zh: '', en: '' }, points: 0 } : { at_least: 0, name: { zh: '', en: '' }, points: 0 }] })}>
                + {t('level.addStep')}
              </Button>
            )}
          </div>
        ))}
      </Panel>
      <Panel title={t('level.activities')} end={can && <Button size="small" onClick={() => setDraft({ ...draft, activities: [...draft.activities, { key: '', name: { zh: '', en: '' }, when: ['tactic=collection'] }] })}>{t('level.addActivity')}</Button>}>
        <p className="dim" style={{ marginTop: 0 }}>{t('level.activitiesWhy')}</p>
        {draft.activities.map((a, i) => {
          const set = (part: Partial<typeof a> | null) => setDraft({ ...draft, activities: replaced(draft.activities, i, part && { ...a, ...part }) });
          return (
            <div className="row wrap" key={i} style={{ marginBottom: 6, alignItems: 'flex-start' }}>
              <Names value={a.name} set={(name) => set({ name })} />
              <Input className="mono" style={{ width: 130 }} aria-label={t('level.key')} placeholder={t('level.key')} maxLength={40} value={a.key} onChange={(e) => set({ key: e.target.value })} />
              <Input.TextArea className="mono" style={{ flex: 1, minWidth: 220 }} rows={Math.min(5, a.when.length)} aria-label={t('gen.when')} spellCheck={false} value={a.when.join('\n')} onChange={(e) => set({ when: e.target.value.split('\n') })} />
              {can && <Remove of={tx(a.name)} act={() => set(null)} />}
            </div>
          );
        })}
      </Panel>
      {can && (
        <div className="form-foot">
          <Button type="primary" disabled={!dirty} loading={busy} onClick={save}>
            {t('do.save')}
          </Button>
          {dirty && <Button onClick={() => setDraft(JSON.parse(kept) as Terms)}>{t('do.cancel')}</Button>}
          {dirty && <span className="dim">{t('settings.unsaved')}</span>}
          <Button type="text" style={{ marginLeft: 'auto' }} onClick={() => setDraft(setting.default as unknown as Terms)}>
            {t('settings.reset')}
          </Button>
        </div>
      )}
      <SettingHistory setting={setting} saves={saves} restore={(v) => void send(v.value, () => void send(setting.value))} />
    </fieldset>
  );
}

function Names({ value, set }: { value: Text; set: (v: Text) => void }) {
  const { t } = useSettings();
  return (
    <>
      <Input style={{ width: 150 }} maxLength={100} aria-label={t('level.zh')} placeholder={t('level.zh')} value={value.zh} onChange={(e) => set({ ...value, zh: e.target.value })} />
      <Input style={{ width: 190 }} maxLength={100} aria-label={t('level.en')} placeholder={t('level.en')} value={value.en} onChange={(e) => set({ ...value, en: e.target.value })} />
    </>
  );
}

function Remove({ of, act }: { of: string; act: () => void }) {
  const { t } = useSettings();
  return (
    <Button size="small" type="text" aria-label={t('gen.remove', { x: of || t('gen.unnamed') })} onClick={act}>
      ✕
    </Button>
  );
}

/** One step of a factor: from which number on or at which value it holds, and what it counts. */
function StepRow({ of: s, answer, floors, can, set }: { of: Step; answer: boolean; floors: { value: number; label: string }[]; can: boolean; set: (s: Step | null) => void }) {
  const { t, tx } = useSettings();
  const byValue = answer || s.is !== undefined;
  return (
    <div className="row wrap" style={{ margin: '6px 0 0 14px' }}>
      <Select aria-label={t('level.atLeast')} disabled={!can || answer} style={{ width: 100 }} value={byValue ? 'is' : 'at_least'} onChange={(how) => set(how === 'is' ? { ...s, at_least: undefined, is: '' } : { ...s, is: undefined, at_least: 0 })} options={[{ value: 'at_least', label: t('level.atLeast') }, { value: 'is', label: t('level.is') }]} />
      {byValue ? (
        <Input className="mono" style={{ width: 140 }} aria-label={t('level.is')} maxLength={200} value={s.is ?? ''} onChange={(e) => set({ ...s, at_least: undefined, is: e.target.value })} />
      ) : (
        <InputNumber style={{ width: 140 }} aria-label={t('level.atLeast')} value={s.at_least} onChange={(n) => set({ ...s, at_least: n ?? 0 })} />
      )}
      <Names value={s.name} set={(name) => set({ ...s, name })} />
      <span className="dim">{t('level.points')}</span>
      <InputNumber aria-label={t('level.points')} min={0} max={100} value={s.points} onChange={(n) => set({ ...s, points: n ?? 0 })} style={{ width: 80 }} />
      <span className="dim">{t('level.floor')}</span>
      <Select aria-label={t('level.floor')} disabled={!can} style={{ width: 120 }} value={s.floor ?? 0} onChange={(n) => set({ ...s, floor: n || undefined })} options={floors} />
      {can && <Remove of={tx(s.name)} act={() => set(null)} />}
    </div>
  );
}
