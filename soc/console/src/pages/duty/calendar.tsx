import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Select } from 'antd';
import { useRef, useState } from 'react';
import { Link } from 'react-router-dom';
import { BASE, del, get, post, serverNow, upload } from '../../api/client';
import type { DutyCalendar, Override, Team } from '../../api/duty';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { localInput, localTime } from '../../logic/access';
import { dayIn, daysFrom, firstShown, stepped } from '../../logic/duty';
import { FormDialog } from '../../parts/dialog';
import { Roster } from '../../parts/duty/roster';
import { Head, Panel } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { When } from '../../parts/time';

interface OverrideForm {
  line: string;
  from: string;
  to: string;
  people?: string[];
  note?: string;
}

/** Who is on duty, by month or week; whoever may puts others on duty by a click on a shift or the button. */
export default function Calendar() {
  const { t, tx } = useSettings();
  const { act, tell } = useAct();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const [changing, setChanging] = useState<Partial<OverrideForm> | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const teams = useQuery({ queryKey: ['duty', 'teams'], queryFn: ({ signal }) => get<Page<Team>>('/duty/teams', {}, signal) });
  const all = list(teams.data?.items);
  const team = all.find((x) => x.id === url.get('team')) ?? all.find((x) => x.mine) ?? all[0];
  const zone = team?.zone || 'Asia/Shanghai';
  const mode = url.get('mode') === 'week' ? 'week' : 'month';
  const today = dayIn(serverNow(), zone);
  const day = url.get('day') ?? today;
  const first = firstShown(day, mode);
  const days = daysFrom(first, mode === 'week' ? 7 : 42);
  // A day more at both ends, since days begin by the team's clock and not by ours.
  const from = new Date(Date.parse(`${first}T00:00:00Z`) - 86_400_000).toISOString();
  const to = new Date(Date.parse(`${days[days.length - 1] as string}T00:00:00Z`) + 2 * 86_400_000).toISOString();
  const query = useQuery({
    queryKey: ['duty', 'calendar', team?.id, from, to],
    enabled: team !== undefined,
    queryFn: ({ signal }) => get<DutyCalendar>(`/duty/teams/${team?.id ?? ''}/calendar`, { from, to }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
  });
  const write = can('respond') && (team?.editable || team?.mine);
  const takeIn = async (f: File | undefined) => {
    if (!f || !team) return;
    await act(async () => {
      const r = await upload<{ shifts: number }>(`/duty/teams/${team.id}/lines/${list(team.lines)[0]?.key ?? ''}/calendar`, { name: f.name.slice(0, 100) }, await f.text(), 'text/calendar');
      tell({ said: t('duty.imported', { n: r.shifts }), renew: ['duty'] });
    });
  };
  return (
    <div className="page">
      <Head title={t('page.roster')}>
        {team && (
          <a href={`${BASE}/duty/teams/${team.id}/calendar.ics?from=${encodeURIComponent(from)}&to=${encodeURIComponent(to)}`} download className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }}>
            {t('duty.export')}
          </a>
        )}
        {team?.editable && can('import-duty-calendar') && (
          <>
            <input ref={file} type="file" accept=".ics,text/calendar" className="visually-hidden" tabIndex={-1} aria-hidden="true" onChange={(e) => void takeIn(e.target.files?.[0]).then(() => file.current && (file.current.value = ''))} />
            <Button onClick={() => file.current?.click()}>{t('duty.import')}</Button>
          </>
        )}
        {write && <Button onClick={() => setChanging({ line: list(team?.lines)[0]?.key })}>{t('duty.override')}</Button>}
        {team && (
          <Link className="ant-btn ant-btn-default filebtn" to={`/duty/teams/${team.id}`} style={{ color: 'inherit' }}>
            {t('page.team')}
          </Link>
        )}
        {can('create-duty-team') && (
          <Link className="ant-btn ant-btn-primary filebtn" to="/duty/teams/new">
            {t('duty.new')}
          </Link>
        )}
      </Head>
      <Stale query={teams} />
      <Loaded query={teams} what="page.roster" lines={6}>
        {() =>
          !team ? (
            <div className="panel">
              <Empty title={t('duty.empty')} why={t('duty.emptyWhy')}>
                {can('create-duty-team') && <Link to="/duty/teams/new">{t('duty.new')}</Link>}
              </Empty>
            </div>
          ) : (
            <>
              <div className="filters" role="search">
                <Select aria-label={t('duty.team')} value={team.id} onChange={(v: string) => setUrl({ team: v })} options={all.map((x) => ({ value: x.id, label: tx(x.name) }))} style={{ minWidth: 180 }} />
                {(['month', 'week'] as const).map((m) => (
                  <button key={m} className="plain toggle" aria-pressed={mode === m} onClick={() => setUrl({ mode: m })}>
                    {t(`duty.${m}`)}
                  </button>
                ))}
                <Button size="small" aria-label={t('duty.prev')} onClick={() => setUrl({ day: stepped(day, mode, -1) })}>
                  ‹
                </Button>
                <b className="num">{mode === 'month' ? day.slice(0, 7) : `${first} – ${days[6] ?? ''}`}</b>
                <Button size="small" aria-label={t('duty.later')} onClick={() => setUrl({ day: stepped(day, mode, 1) })}>
                  ›
                </Button>
                <Button size="small" onClick={() => setUrl({ day: undefined })}>
                  {t('duty.today')}
                </Button>
                <span className="tag">{zone}</span>
              </div>
              <Loaded query={query} what="page.roster" lines={12}>
                {(c) => (
                  <>
                    <Roster calendar={c} days={days} month={mode === 'month' ? day.slice(0, 7) : undefined} today={today} pick={write ? (line, s) => setChanging({ line, from: localInput(s.from), to: localInput(s.to), people: list(s.people) }) : undefined} />
                    {list(c.overrides).length > 0 && (
                      <Panel title={t('duty.overrides')}>
                        {list(c.overrides).map((o: Override) => (
                          <div key={o.id} className="row" style={{ justifyContent: 'space-between' }}>
                            <span>
                              <When time={o.from} /> – <When time={o.to} /> · {o.replaces ? `${o.replaces} → ` : ''}
                              <b>{list(o.people).join(', ') || t('duty.gap')}</b> <span className="dim">{o.note}</span> <span className="faint">{o.by}</span>
                            </span>
                            {write && !o.swap && (
                              <Button size="small" onClick={() => void act(() => del(`/duty/overrides/${o.id}`), { said: t('duty.overrideGone'), renew: ['duty'], undo: () => void act(() => post('/duty/overrides', { team: o.team, line: o.line, from: o.from, to: o.to, people: list(o.people), note: o.note }), { renew: ['duty'] }) })}>
                                {t('do.delete')}
                              </Button>
                            )}
                          </div>
                        ))}
                      </Panel>
                    )}
                  </>
                )}
              </Loaded>
            </>
          )
        }
      </Loaded>
      {changing && team && (
        <FormDialog<OverrideForm>
          title={t('duty.override')}
          ok={t('do.save')}
          initial={changing}
          submit={async (v) => {
            await post('/duty/overrides', { team: team.id, line: v.line, from: localTime(v.from), to: localTime(v.to), people: v.people ?? [], note: v.note ?? '' });
            tell({ said: t('duty.overrideSaved'), renew: ['duty'] });
          }}
          close={() => setChanging(null)}
        >
          <Form.Item name="line" label={t('duty.line')} rules={[{ required: true }]}>
            <Select options={list(team.lines).map((l) => ({ value: l.key, label: tx(l.name) }))} />
          </Form.Item>
          <Form.Item name="from" label={t('duty.from')} rules={[{ required: true }]}>
            <Input type="datetime-local" />
          </Form.Item>
          <Form.Item name="to" label={t('duty.to')} rules={[{ required: true }]}>
            <Input type="datetime-local" />
          </Form.Item>
          <Form.Item name="people" label={t('duty.people')}>
            <Select mode="tags" tokenSeparators={[' ', ',', '，']} />
          </Form.Item>
          <Form.Item name="note" label={t('duty.note')}>
            <Input maxLength={1000} />
          </Form.Item>
        </FormDialog>
      )}
    </div>
  );
}
