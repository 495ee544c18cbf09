import { useQuery } from '@tanstack/react-query';
import { Button, Input, InputNumber, Select, Switch } from 'antd';
import { useEffect, useId, useState, type ReactNode } from 'react';
import { Link } from 'react-router-dom';
import type { Setting } from '../api/access';
import { get, post, put } from '../api/client';
import { MODES, NAMES, type GenerationPreview, type RaisingPeriod, type RaisingPolicy, type RiskOfFocus } from '../api/generation';
import { useCan, useTenants } from '../api/queries';
import { list, type List } from '../api/types';
import { useAct } from '../app/act';
import { useSettled } from '../app/hooks';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { Refused } from '../parts/dialog';
import { Head, Panel } from '../parts/page';
import { SettingHistory } from '../parts/settinghistory';
import { Empty, Failed, Loaded, Stale } from '../parts/states';

const PATH = '/settings/alert-generation';
const RENEW = ['settings', 'alerts'];
const DAYS = [1, 2, 3, 4, 5, 6, 7] as const;
const FOCUS: RiskOfFocus = { name: '', when: ['severity=critical'], raise: true };
const PERIOD: RaisingPeriod = { name: '', when: ['severity=~"low|informational"'], mode: 'every', minutes: 60 };

/** Which risks are of focus, and when people are told of the rest, with what it would have made of last week's alerts. */
export default function Generation() {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['settings', 'alert-generation'], queryFn: ({ signal }) => get<Setting>(PATH, {}, signal) });
  return (
    <div className="page">
      <Head title={t('page.generation')} sub={t('gen.lead')} />
      <Stale query={query} />
      <Loaded query={query} what="page.generation" lines={8}>
        {(setting) => <Editor setting={setting} />}
      </Loaded>
    </div>
  );
}

/** The document as it is sent: lines that nobody has filled in are left out. */
function bodyOf(p: RaisingPolicy): RaisingPolicy {
  const lines = (x?: List<string>) => list(x).map((l) => l.trim()).filter(Boolean);
  return {
    focus: p.focus.map((f) => ({ ...f, name: f.name.trim(), when: lines(f.when) })),
    periods: p.periods.map((d) => ({
      name: d.name.trim(),
      ...(d.off ? { off: true } : {}),
      ...(list(d.tenants).length > 0 ? { tenants: list(d.tenants) } : {}),
      ...(lines(d.when).length > 0 ? { when: lines(d.when) } : {}),
      mode: d.mode,
      ...(d.mode === 'every' ? { minutes: d.minutes ?? 60 } : {}),
      ...(d.mode === 'at' ? { times: list(d.times), ...(list(d.days).length > 0 ? { days: list(d.days) } : {}) } : {}),
    })),
  };
}

function Editor({ setting }: { setting: Setting }) {
  const { t } = useSettings();
  const can = useCan()('set-alert-generation');
  const { act, busy } = useAct();
  const kept = JSON.stringify(setting.value);
  const [draft, setDraft] = useState(() => setting.value as unknown as RaisingPolicy);
  const [error, setError] = useState<unknown>(null);
  const [saves, setSaves] = useState(0);
  useEffect(() => setDraft(JSON.parse(kept) as RaisingPolicy), [kept]);
  const body = bodyOf(draft);
  const dirty = JSON.stringify(body) !== JSON.stringify(bodyOf(setting.value as unknown as RaisingPolicy));
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
      { said: t('gen.saved'), renew: RENEW, undo },
    );
    setSaves((n) => n + 1);
  };
  const save = () => {
    const before = setting.value;
    void send(body, () => void send(before));
  };
  const setFocus = (focus: RiskOfFocus[]) => setDraft({ ...draft, focus });
  const setPeriods = (periods: RaisingPeriod[]) => setDraft({ ...draft, periods });
  return (
    <div className="stack" style={{ gap: 14 }}>
      <div className="halves">
        <div className="stack" style={{ gap: 14 }}>
          <Refused error={error} />
          <Panel title={t('gen.focus')} end={can && <Button size="small" onClick={() => setFocus([...draft.focus, { ...FOCUS }])}>{t('gen.focusAdd')}</Button>}>
            <p className="dim" style={{ marginTop: 0 }}>{t('gen.focusWhy')}</p>
            {draft.focus.length === 0 && <Empty small title={t('gen.focusNone')} why="" />}
            {draft.focus.map((f, i) => (
              <Entry key={i} of={f} rows={draft.focus} at={i} set={setFocus} can={can}>
                <label className="row">
                  <Switch size="small" disabled={!can} checked={!!f.raise} onChange={(raise) => setFocus(replaced(draft.focus, i, { ...f, raise }))} aria-label={t('gen.raise')} />
                  {t('gen.raise')}
                </label>
              </Entry>
            ))}
          </Panel>
          <Panel title={t('gen.periods')} end={can && <Button size="small" onClick={() => setPeriods([...draft.periods, { ...PERIOD }])}>{t('gen.periodAdd')}</Button>}>
            <p className="dim" style={{ marginTop: 0 }}>{t('gen.periodsWhy')}</p>
            {draft.periods.length === 0 && <Empty small title={t('gen.periodsNone')} why="" />}
            {draft.periods.map((d, i) => (
              <Entry key={i} of={d} rows={draft.periods} at={i} set={setPeriods} can={can}>
                <Mode of={d} can={can} set={(part) => setPeriods(replaced(draft.periods, i, { ...d, ...part }))} />
              </Entry>
            ))}
          </Panel>
          {can && (
            <div className="form-foot">
              <Button type="primary" disabled={!dirty} loading={busy} onClick={save}>
                {t('do.save')}
              </Button>
              {dirty && <Button onClick={() => setDraft(setting.value as unknown as RaisingPolicy)}>{t('do.cancel')}</Button>}
              {dirty && <span className="dim">{t('settings.unsaved')}</span>}
            </div>
          )}
        </div>
        <Preview policy={body} />
      </div>
      <SettingHistory setting={setting} saves={saves} restore={(v) => void send(v.value, () => void send(setting.value))} />
    </div>
  );
}

interface Common {
  name: string;
  off?: boolean;
  tenants?: List<string>;
  when?: List<string>;
}

/** A copy of rows with one of them changed. */
function replaced<T>(rows: T[], at: number, row: T): T[] {
  return rows.map((x, i) => (i === at ? row : x));
}

/** One line of the policy: its name, for whom it is, its conditions, and what is of its kind. */
function Entry<T extends Common>({ of, rows, at, set, can, children }: { of: T; rows: T[]; at: number; set: (rows: T[]) => void; can: boolean; children: ReactNode }) {
  const { t, tx } = useSettings();
  const id = useId();
  const tenants = useTenants().data ?? [];
  const change = (part: Partial<Common>) => set(replaced(rows, at, { ...of, ...part }));
  const name = of.name || t('gen.unnamed');
  const move = (by: number) => {
    const next = rows.filter((_, i) => i !== at);
    next.splice(at + by, 0, of);
    set(next);
  };
  return (
    <fieldset className="setgroup" style={{ opacity: of.off ? 0.75 : 1 }} disabled={!can}>
      <div className="row">
        <Switch size="small" disabled={!can} checked={!of.off} onChange={(on) => change({ off: on ? undefined : true })} aria-label={t('gen.on', { x: name })} />
        <Input maxLength={100} aria-label={t('gen.name')} placeholder={t('gen.name')} status={of.name.trim() ? undefined : 'warning'} value={of.name} onChange={(e) => change({ name: e.target.value })} />
        {can && (
          <>
            <Button size="small" type="text" disabled={at === 0} aria-label={t('gen.up', { x: name })} onClick={() => move(-1)}>
              ↑
            </Button>
            <Button size="small" type="text" disabled={at === rows.length - 1} aria-label={t('gen.down', { x: name })} onClick={() => move(1)}>
              ↓
            </Button>
            <Button size="small" type="text" aria-label={t('gen.remove', { x: name })} onClick={() => set(rows.filter((_, i) => i !== at))}>
              ✕
            </Button>
          </>
        )}
      </div>
      <div style={{ marginTop: 6 }}>
        <label htmlFor={`${id}-when`} className="dim">
          {t('gen.when')}
        </label>{' '}
        <span className="faint">{t('gen.whenWhy')}</span>
        <Input.TextArea id={`${id}-when`} className="mono" rows={Math.min(6, Math.max(1, list(of.when).length))} spellCheck={false} value={list(of.when).join('\n')} onChange={(e) => change({ when: e.target.value.split('\n') })} title={t('gen.names', { x: NAMES.join(', ') })} />
      </div>
      <div className="row wrap" style={{ marginTop: 6, gap: 14 }}>
        {children}
        {tenants.length > 1 && (
          <Select
            mode="multiple"
            allowClear
            disabled={!can}
            aria-label={t('silence.tenants')}
            placeholder={t('silence.allTenants')}
            value={list(of.tenants)}
            onChange={(slugs: string[]) => change({ tenants: slugs })}
            optionFilterProp="label"
            options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))}
            style={{ minWidth: 200, flex: 1 }}
            maxTagCount="responsive"
          />
        )}
      </div>
    </fieldset>
  );
}

function Mode({ of: d, set, can }: { of: RaisingPeriod; set: (part: Partial<RaisingPeriod>) => void; can: boolean }) {
  const { t } = useSettings();
  return (
    <span className="row wrap">
      <Select aria-label={t('gen.mode')} disabled={!can} value={d.mode} style={{ width: 150 }} onChange={(mode) => set({ mode, ...(mode === 'at' && list(d.times).length === 0 ? { times: ['08:30'] } : {}) })} options={MODES.map((m) => ({ value: m, label: t(`gen.mode.${m}`) }))} />
      {d.mode === 'every' && (
        <>
          <InputNumber aria-label={t('gen.minutes')} disabled={!can} min={1} max={1440} value={d.minutes ?? 60} onChange={(n) => set({ minutes: n ?? 60 })} style={{ width: 90 }} /> {t('gen.minutes')}
        </>
      )}
      {d.mode === 'at' && (
        <>
          <Select mode="tags" open={false} suffixIcon={null} disabled={!can} aria-label={t('gen.times')} placeholder="08:30" tokenSeparators={[',', '，', ' ']} value={list(d.times)} onChange={(times: string[]) => set({ times })} style={{ minWidth: 150 }} />
          <Select mode="multiple" disabled={!can} aria-label={t('gen.days')} placeholder={t('gen.daysAll')} value={list(d.days)} onChange={(days: number[]) => set({ days: [...days].sort() })} options={DAYS.map((n) => ({ value: n, label: t(`gen.day.${n}`) }))} style={{ minWidth: 150 }} />
        </>
      )}
    </span>
  );
}

/** What the policy as it is being written would have made of last week's alerts. */
function Preview({ policy }: { policy: RaisingPolicy }) {
  const { t, locale } = useSettings();
  const now = JSON.stringify(policy);
  const asked = useSettled(now, 400);
  const query = useQuery({ queryKey: ['generation-preview', asked], retry: false, queryFn: () => post<GenerationPreview>('/alerts/generation/preview', JSON.parse(asked)) });
  const p = asked === now ? query.data : undefined;
  const shares = [...list(p?.by_focus).map((s) => ({ ...s, focus: true })), ...list(p?.by_period).map((s) => ({ ...s, focus: false }))];
  return (
    <Panel title={t('gen.preview', { n: p?.days ?? 7 })}>
      <div aria-live="polite" data-testid="generation-preview">
        {query.error && asked === now ? (
          <Failed small error={query.error} what="gen.preview" />
        ) : !p ? (
          <b className="faint">…</b>
        ) : p.alerts === 0 ? (
          <Empty small title={t('gen.previewNone', { n: p.days })} why="" />
        ) : (
          <>
            <div className="gauges" style={{ gridTemplateColumns: 'repeat(5, 1fr)' }}>
              {(
                [
                  ['alerts', p.alerts],
                  ['ofFocus', p.focus],
                  ['gathered', p.gathered],
                  ['kept', p.kept],
                  ['tellings', p.tellings],
                ] as const
              ).map(([key, value]) => (
                <div key={key}>
                  <div className="v" data-testid={`generation-${key}`}>
                    {number(value, locale)}
                  </div>
                  <div className="l">{t(`gen.${key}`)}</div>
                </div>
              ))}
            </div>
            {p.truncated && <div className="faint">{t('gen.truncated')}</div>}
            <ul className="plainlist" style={{ marginTop: 10 }}>
              {shares.map((s) => (
                <li key={`${s.focus}${s.name}`}>
                  <div className="row">
                    <b className="grow ellipsis">{s.name || t('gen.unnamed')}</b>
                    <span className="dim nowrap">{s.focus ? t('gen.shareFocus', { n: number(s.alerts, locale), m: number(s.raised ?? 0, locale) }) : t('gen.sharePeriod', { n: number(s.alerts, locale), m: number(s.times ?? 0, locale) })}</span>
                  </div>
                  <div className="row wrap faint">
                    {list(s.sample).map((a) => (
                      <Link key={a} className="mono" to={`/alerts/${encodeURIComponent(a)}`}>
                        {a}
                      </Link>
                    ))}
                  </div>
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
    </Panel>
  );
}
