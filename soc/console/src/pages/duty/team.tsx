import { useQuery } from '@tanstack/react-query';
import { Button, Input, InputNumber, Popconfirm, Select } from 'antd';
import { useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { del, get, post, put, serverNow } from '../../api/client';
import type { DutyCalendar, Layer, Line, Policy, Step, Team, TeamContent } from '../../api/duty';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { dayIn, daysFrom, firstShown, freshLayer, turnsOf, turnsText, windowsOf, windowsText } from '../../logic/duty';
import { Refused } from '../../parts/dialog';
import { Roster } from '../../parts/duty/roster';
import { Head, Panel } from '../../parts/page';
import { TenantsPicker, UserPicker, WordsInput } from '../../parts/pickers';
import { Loaded } from '../../parts/states';

const PRIORITIES = ['P1', 'P2', 'P3', 'P4'].map((value) => ({ value }));

/** A team with its rotations and whom it calls when; the roster that comes of it stands beside what is written. */
export default function TeamPage() {
  const { id = '' } = useParams();
  const fresh = id === 'new';
  const query = useQuery({ queryKey: ['duty', 'team', id], enabled: !fresh, queryFn: ({ signal }) => get<Team>(`/duty/teams/${id}`, {}, signal) });
  if (fresh) return <Editor />;
  return (
    <Loaded query={query} what="page.team" lines={12}>
      {(team) => <Editor key={team.revision} team={team} />}
    </Loaded>
  );
}

function Editor({ team }: { team?: Team }) {
  const { t, tx } = useSettings();
  const { tell, act } = useAct();
  const can = useCan();
  const go = useNavigate();
  const zone = team?.zone || 'Asia/Shanghai';
  const today = dayIn(serverNow(), zone);
  const [c, setC] = useState<TeamContent>(() =>
    team
      ? { name: team.name, unit: team.unit, tenants: list(team.tenants), systems: list(team.systems), priorities: list(team.priorities), owners: list(team.owners), head: team.head, zone: team.zone, receivers: list(team.receivers), lines: list(team.lines), policies: list(team.policies) }
      : { name: { zh: '', en: '' }, tenants: [], systems: [], priorities: [], owners: [], receivers: [], policies: [], lines: [{ key: 'first', name: { zh: '一线', en: 'First line' }, layers: [freshLayer(today)] }] },
  );
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const write = team ? team.editable && can('update-duty-team') : can('create-duty-team');
  const lines = list(c.lines);
  const policies = list(c.policies);
  const set = (part: Partial<TeamContent>) => setC((old) => ({ ...old, ...part }));
  const setLine = (i: number, l: Line) => set({ lines: lines.map((x, k) => (k === i ? l : x)) });
  const setPolicy = (i: number, p: Policy) => set({ policies: policies.map((x, k) => (k === i ? p : x)) });
  // What is shown is of what was written a moment ago.
  const asked = useSettled(JSON.stringify({ ...c, name: { zh: c.name.zh || '–', en: c.name.en || '–' }, id: team?.id }), 400);
  const first = firstShown(today, 'week');
  const days = daysFrom(first, 14);
  const span = `from=${encodeURIComponent(new Date(Date.parse(`${first}T00:00:00Z`) - 86_400_000).toISOString())}&to=${encodeURIComponent(new Date(Date.parse(`${first}T00:00:00Z`) + 15 * 86_400_000).toISOString())}`;
  const preview = useQuery({ queryKey: ['duty', 'preview', asked], queryFn: () => post<DutyCalendar>(`/duty/preview?${span}`, JSON.parse(asked)), retry: false, placeholderData: (old) => old });
  const save = async () => {
    setBusy(true);
    setError(null);
    try {
      const made = team ? await put<Team>(`/duty/teams/${team.id}`, { ...c, revision: team.revision }) : await post<Team>('/duty/teams', c);
      tell({ said: t('duty.saved'), renew: ['duty'] });
      go(`/duty/calendar?team=${made.id}`);
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="page">
      <Head title={team ? tx(team.name) : t('duty.new')} sub={<Link to="/duty/calendar">← {t('page.roster')}</Link>}>
        {team && write && can('delete-duty-team') && (
          <Popconfirm title={t('do.delete')} onConfirm={() => void act(() => del(`/duty/teams/${team.id}`), { said: t('duty.deleted'), renew: ['duty'] }).then((ok) => ok && go('/duty/calendar'))} okText={t('do.delete')} cancelText={t('do.cancel')}>
            <Button danger>{t('do.delete')}</Button>
          </Popconfirm>
        )}
        {write && (
          <Button type="primary" loading={busy} onClick={() => void save()}>
            {t('do.save')}
          </Button>
        )}
      </Head>
      <Refused error={error} />
      <fieldset disabled={!write} className="plainset">
        <div className="stack">
          <Panel title={t('duty.team')}>
            <div className="fields">
              <Labelled text={t('duty.nameZh')}>
                <Input value={c.name.zh} maxLength={100} onChange={(e) => set({ name: { ...c.name, zh: e.target.value } })} />
              </Labelled>
              <Labelled text={t('duty.nameEn')}>
                <Input value={c.name.en} maxLength={100} onChange={(e) => set({ name: { ...c.name, en: e.target.value } })} />
              </Labelled>
              <Labelled text={t('duty.head')}>
                <UserPicker by="username" value={c.head} onChange={(head) => set({ head })} />
              </Labelled>
              <Labelled text={t('duty.tenants')}>
                <TenantsPicker value={list(c.tenants)} onChange={(tenants) => set({ tenants })} />
              </Labelled>
              <Labelled text={t('duty.systems')}>
                <WordsInput value={list(c.systems)} onChange={(systems) => set({ systems })} />
              </Labelled>
              <Labelled text={t('duty.policyFor')}>
                <Select mode="multiple" value={list(c.priorities)} options={PRIORITIES} onChange={(priorities: string[]) => set({ priorities })} style={{ width: '100%' }} />
              </Labelled>
              <Labelled text={t('duty.owners')}>
                <WordsInput value={list(c.owners)} onChange={(owners) => set({ owners })} />
              </Labelled>
            </div>
          </Panel>
          {lines.map((l, i) => (
            <Panel
              key={l.key}
              title={`${t('duty.line')} ${i + 1} · ${tx(l.name)}`}
              end={
                write &&
                lines.length > 1 && (
                  <Button size="small" onClick={() => set({ lines: lines.filter((_, k) => k !== i) })}>
                    {t('do.delete')}
                  </Button>
                )
              }
            >
              <div className="fields">
                <Labelled text={t('duty.nameZh')}>
                  <Input value={l.name.zh} onChange={(e) => setLine(i, { ...l, name: { ...l.name, zh: e.target.value } })} />
                </Labelled>
                <Labelled text={t('duty.nameEn')}>
                  <Input value={l.name.en} onChange={(e) => setLine(i, { ...l, name: { ...l.name, en: e.target.value } })} />
                </Labelled>
              </div>
              {list(l.layers).map((layer, j) => (
                <LayerFields
                  key={j}
                  n={j + 1}
                  layer={layer}
                  change={(v) => setLine(i, { ...l, layers: list(l.layers).map((x, k) => (k === j ? v : x)) })}
                  remove={() => setLine(i, { ...l, layers: list(l.layers).filter((_, k) => k !== j) })}
                />
              ))}
              <Button size="small" type="dashed" onClick={() => setLine(i, { ...l, layers: [...list(l.layers), freshLayer(today)] })}>
                + {t('duty.addLayer')}
              </Button>
            </Panel>
          ))}
          <span>
            <Button type="dashed" onClick={() => set({ lines: [...lines, { key: freeKey(lines), name: { zh: `${lines.length + 1} 线`, en: `Line ${lines.length + 1}` }, layers: [freshLayer(today)] }] })}>
              + {t('duty.addLine')}
            </Button>
          </span>
          <Panel title={t('duty.policies')}>
            {policies.length === 0 && <p className="dim">{t('duty.policyDefault')}</p>}
            {policies.map((p, i) => (
              <PolicyFields key={i} policy={p} lines={lines} change={(v) => setPolicy(i, v)} remove={() => set({ policies: policies.filter((_, k) => k !== i) })} />
            ))}
            <Button size="small" type="dashed" onClick={() => set({ policies: [...policies, { priorities: [], steps: [{ after_minutes: 0, lines: [lines[0]?.key ?? ''], users: [] }], repeat: 0 }] })}>
              + {t('duty.addPolicy')}
            </Button>
          </Panel>
        </div>
      </fieldset>
      <Panel title={t('duty.preview')} id="preview">
        {preview.error ? <Refused error={preview.error} /> : preview.data && <Roster calendar={preview.data} days={days} today={today} />}
      </Panel>
    </div>
  );
}

/** A key that no line has; keys stay when lines move. */
function freeKey(lines: readonly Line[]): string {
  for (const key of ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth']) {
    if (!lines.some((l) => l.key === key)) return key;
  }
  return `line-${lines.length + 1}`;
}

function Labelled({ text, children }: { text: string; children: React.ReactNode }) {
  return (
    <label className="labelled">
      <span className="dim">{text}</span>
      {children}
    </label>
  );
}

function LayerFields({ n, layer, change, remove }: { n: number; layer: Layer; change: (l: Layer) => void; remove: () => void }) {
  const { t } = useSettings();
  const [hours, setHours] = useState(() => windowsText(list(layer.windows)));
  const [turns, setTurns] = useState(() => turnsText(list(layer.people)));
  const shifts = list(layer.shifts);
  const days = list(layer.windows)[0]?.days;
  return (
    <div className="layer">
      <div className="row" style={{ justifyContent: 'space-between' }}>
        <b>
          {t('duty.layer', { n: String(n) })} {layer.name}
        </b>
        <Button size="small" onClick={remove}>
          {t('do.delete')}
        </Button>
      </div>
      {shifts.length > 0 ? (
        <p className="dim">{t('duty.fixed', { n: String(shifts.length) })}</p>
      ) : (
        <div className="fields">
          <Labelled text={t('duty.every')}>
            <span className="row">
              <InputNumber min={1} max={1000} value={layer.turn.every ?? 1} onChange={(every) => change({ ...layer, turn: { ...layer.turn, every: every ?? 1 } })} />
              <Select value={layer.turn.unit ?? 'day'} onChange={(unit: 'hour' | 'day' | 'week') => change({ ...layer, turn: { ...layer.turn, unit } })} options={(['hour', 'day', 'week'] as const).map((u) => ({ value: u, label: t(`duty.unit.${u}`) }))} style={{ width: 90 }} />
            </span>
          </Labelled>
          <Labelled text={t('duty.handoverAt')}>
            <Input type="time" value={layer.turn.handover ?? '09:00'} onChange={(e) => change({ ...layer, turn: { ...layer.turn, handover: e.target.value } })} />
          </Labelled>
          <Labelled text={t('duty.start')}>
            <Input type="date" value={layer.from} onChange={(e) => change({ ...layer, from: e.target.value })} />
          </Labelled>
          <Labelled text={t('duty.days')}>
            <Select value={layer.days ?? 'all'} onChange={(d: 'all' | 'workdays' | 'restdays') => change({ ...layer, days: d })} options={(['all', 'workdays', 'restdays'] as const).map((d) => ({ value: d, label: t(`duty.days.${d}`) }))} style={{ width: '100%' }} />
          </Labelled>
          <Labelled text={t('duty.hours')}>
            <Input
              value={hours}
              status={windowsOf(hours) === null ? 'error' : undefined}
              onChange={(e) => {
                setHours(e.target.value);
                const windows = windowsOf(e.target.value, days);
                if (windows) change({ ...layer, windows });
              }}
            />
          </Labelled>
          <Labelled text={t('duty.turns')}>
            <Input.TextArea
              rows={3}
              value={turns}
              onChange={(e) => {
                setTurns(e.target.value);
                change({ ...layer, people: turnsOf(e.target.value) });
              }}
            />
          </Labelled>
        </div>
      )}
    </div>
  );
}

function PolicyFields({ policy: p, lines, change, remove }: { policy: Policy; lines: readonly Line[]; change: (p: Policy) => void; remove: () => void }) {
  const { t, tx } = useSettings();
  const steps = list(p.steps);
  const setStep = (i: number, s: Step) => change({ ...p, steps: steps.map((x, k) => (k === i ? s : x)) });
  return (
    <div className="layer">
      <div className="row" style={{ justifyContent: 'space-between' }}>
        <Labelled text={t('duty.policyFor')}>
          <Select mode="multiple" value={list(p.priorities)} options={PRIORITIES} onChange={(priorities: string[]) => change({ ...p, priorities })} style={{ minWidth: 160 }} />
        </Labelled>
        <Button size="small" onClick={remove}>
          {t('do.delete')}
        </Button>
      </div>
      {steps.map((s, i) => (
        <div key={i} className="row wrap">
          <b className="num">{i + 1}</b>
          <InputNumber aria-label={t('duty.after')} min={0} max={10080} value={s.after_minutes} onChange={(v) => setStep(i, { ...s, after_minutes: v ?? 0 })} />
          <span className="dim">{t('duty.after')}</span>
          <Select aria-label={t('duty.callLines')} placeholder={t('duty.callLines')} mode="multiple" value={list(s.lines)} options={lines.map((l) => ({ value: l.key, label: tx(l.name) }))} onChange={(v: string[]) => setStep(i, { ...s, lines: v })} style={{ minWidth: 160 }} />
          <Select aria-label={t('duty.people')} placeholder={t('duty.people')} mode="tags" value={list(s.users)} onChange={(v: string[]) => setStep(i, { ...s, users: v })} style={{ minWidth: 140 }} />
          <label className="row">
            <input type="checkbox" checked={s.head ?? false} onChange={(e) => setStep(i, { ...s, head: e.target.checked })} /> {t('duty.callHead')}
          </label>
          {steps.length > 1 && (
            <Button size="small" aria-label={t('do.delete')} onClick={() => change({ ...p, steps: steps.filter((_, k) => k !== i) })}>
              ✕
            </Button>
          )}
        </div>
      ))}
      <Button size="small" type="dashed" onClick={() => change({ ...p, steps: [...steps, { after_minutes: 15, lines: [], users: [], head: true }] })}>
        + {t('duty.addStep')}
      </Button>
      <div className="fields">
        <Labelled text={t('duty.repeat')}>
          <InputNumber min={0} max={20} value={p.repeat ?? 0} onChange={(v) => change({ ...p, repeat: v ?? 0 })} />
        </Labelled>
        <Labelled text={t('duty.repeatAfter')}>
          <InputNumber min={0} max={10080} value={p.repeat_after_minutes ?? 0} onChange={(v) => change({ ...p, repeat_after_minutes: v ?? 0 })} />
        </Labelled>
        <Labelled text={t('duty.headAfter')}>
          <InputNumber min={0} max={10080} value={p.head_after_minutes ?? 0} onChange={(v) => change({ ...p, head_after_minutes: v ?? 0 })} />
        </Labelled>
      </div>
    </div>
  );
}
