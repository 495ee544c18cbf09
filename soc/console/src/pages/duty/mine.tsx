import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get, post, serverNow } from '../../api/client';
import type { Brief, Handover, MyDuty, MyShift, Swap } from '../../api/duty';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../../parts/dialog';
import { Head, Panel, Updated } from '../../parts/page';
import { UserPicker } from '../../parts/pickers';
import { Priority, StatusMark } from '../../parts/severity';
import { Empty, Loaded, Stale } from '../../parts/states';
import { When } from '../../parts/time';

/** So far ahead the roster is told: a shift that ends there goes on beyond it. */
const outlook = (s: MyShift) => Date.parse(s.to) > serverNow() + 30.9 * 86_400_000;

/** How many of the next shifts show at once. */
const SOON = 4;

/** What is mine now: my shift, incidents, notes, and what waits for me. */
export default function Mine() {
  const { t, tx } = useSettings();
  const { act } = useAct();
  const can = useCan();
  const [over, setOver] = useState<MyShift | null>(null);
  const [swapping, setSwapping] = useState<MyShift | null>(null);
  const [noting, setNoting] = useState(false);
  const [all, setAll] = useState(false);
  const query = useQuery({ queryKey: ['duty', 'me'], queryFn: ({ signal }) => get<MyDuty>('/duty/me', {}, signal), refetchInterval: 10_000 });
  const write = can('respond');
  const onSwap = (w: Swap, action: string) => void act(() => post(`/duty/swaps/${w.id}/${action}`), { said: t('duty.done'), renew: ['duty'] });
  return (
    <div className="page">
      <Head title={t('page.duty')} sub={t('duty.lead')}>
        <Updated at={query.dataUpdatedAt} />
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.duty" lines={10}>
        {(d) => {
          const teams = list(d.teams);
          const on = list(d.on);
          if (teams.length === 0) {
            return (
              <div className="panel">
                <Empty title={t('duty.noTeam')} why={t('duty.noTeamWhy')}>
                  <Link to="/duty/calendar">{t('page.roster')}</Link>
                </Empty>
                <NowOn people={d.people} />
              </div>
            );
          }
          return (
            <div className="cols">
              <div className="stack">
                {list(d.handovers).map((h) => (
                  <Panel key={h.id} title={t('duty.handovers')} id="handover">
                    <p>
                      <b>{t('duty.handoverOf', { x: h.outgoing, y: h.incoming })}</b> · {tx(h.name)} · <When time={h.from} /> – <When time={h.to} />
                    </p>
                    <HandoverBody h={h} />
                    {write && (
                      <Button type="primary" onClick={() => void act(() => post(`/duty/handovers/${h.id}/accept`, {}), { said: t('duty.accepted'), renew: ['duty'] })}>
                        {t('duty.accept')}
                      </Button>
                    )}
                  </Panel>
                ))}
                {list(d.swaps).map((w) => (
                  <Panel key={w.id} title={t('duty.swaps')} id="swap">
                    <p>
                      {t(w.state === 'proposed' ? 'duty.swapOf' : 'duty.undoOf', { x: w.state === 'proposed' ? w.giver : (w.undo_by ?? '') })} · <When time={w.give.from} /> – <When time={w.give.to} />
                      {w.note && <span className="dim"> · {w.note}</span>}
                    </p>
                    <div className="row">
                      <Button type="primary" onClick={() => onSwap(w, w.state === 'proposed' ? 'accept' : 'undo')}>
                        {t('duty.yes')}
                      </Button>
                      <Button onClick={() => onSwap(w, w.state === 'proposed' ? 'decline' : 'keep')}>{t(w.state === 'proposed' ? 'duty.no' : 'duty.keep')}</Button>
                    </div>
                  </Panel>
                ))}
                <Panel title={t('duty.mine')} flush id="mine">
                  <Briefs items={list(d.mine)} />
                </Panel>
                <Panel title={t('duty.others')} flush>
                  <Briefs items={list(d.others)} />
                </Panel>
              </div>
              <div className="stack">
                <Panel title={on.length > 0 ? t('duty.on') : t('duty.off')} id="shift">
                  {on.map((s, i) => (
                    <div key={i} className="stack" style={{ gap: 6, marginBottom: 10 }}>
                      <div>
                        <b>{tx(s.team.name)}</b> · {tx(s.line_name)} · {outlook(s) ? t('duty.throughout') : <>{t('duty.until')} <When time={s.to} /></>}
                      </div>
                      {write && (
                        <span>
                          <Button type="primary" onClick={() => setOver(s)}>
                            {t('duty.handover')}
                          </Button>
                        </span>
                      )}
                    </div>
                  ))}
                  <div className="dim" style={{ margin: '8px 0 4px' }}>
                    {t('duty.next')}
                  </div>
                  {list(d.next).slice(0, all ? undefined : SOON).map((s, i) => (
                    <div key={i} className="row" style={{ justifyContent: 'space-between' }}>
                      <span>
                        <When time={s.from} /> – <When time={s.to} /> <span className="dim">{tx(s.line_name)}</span>
                      </span>
                      {write && (
                        <Button size="small" onClick={() => setSwapping(s)}>
                          {t('duty.swap')}
                        </Button>
                      )}
                    </div>
                  ))}
                  {list(d.next).length > SOON && (
                    <button className="plain link" onClick={() => setAll(!all)}>
                      {all ? t('duty.fewer') : t('duty.allNext', { n: list(d.next).length })}
                    </button>
                  )}
                  {list(d.next).length === 0 && !on.some(outlook) && <span className="faint">{t('duty.noNext')}</span>}
                </Panel>
                <Panel
                  title={t('duty.notes')}
                  end={
                    write && (
                      <Button size="small" onClick={() => setNoting(true)}>
                        {t('duty.noteAdd')}
                      </Button>
                    )
                  }
                >
                  {list(d.notes).map((n) => (
                    <div key={n.id} className="row" style={{ justifyContent: 'space-between', alignItems: 'start' }}>
                      <span style={{ overflowWrap: 'anywhere' }}>
                        {n.text} <span className="faint">{n.by}</span>
                      </span>
                      {write && (
                        <Button size="small" onClick={() => void act(() => post(`/duty/notes/${n.id}/close`), { said: t('duty.done'), renew: ['duty'] })}>
                          {t('duty.noteClose')}
                        </Button>
                      )}
                    </div>
                  ))}
                  {list(d.notes).length === 0 && <span className="faint">{t('duty.noNotes')}</span>}
                </Panel>
                <Panel title={t('duty.who')}>
                  <NowOn people={d.people} />
                </Panel>
              </div>
              {noting && (
                <FormDialog<{ text: string }>
                  title={t('duty.noteAdd')}
                  ok={t('do.save')}
                  submit={(v) => act(() => post('/duty/notes', { team: on[0]?.team.id ?? teams[0]?.id, text: v.text }), { renew: ['duty'] })}
                  close={() => setNoting(false)}
                >
                  <Form.Item name="text" label={t('duty.noteText')} rules={[{ required: true, whitespace: true }]}>
                    <Input.TextArea rows={4} maxLength={10000} autoFocus />
                  </Form.Item>
                </FormDialog>
              )}
            </div>
          );
        }}
      </Loaded>
      {over && <HandoverDialog shift={over} close={() => setOver(null)} />}
      {swapping && (
        <FormDialog<{ taker: string; note?: string }>
          title={t('duty.swap')}
          ok={t('duty.swap')}
          submit={async (v) => {
            await post('/duty/swaps', { team: swapping.team.id, taker: v.taker, give: { line: swapping.line, from: swapping.from, to: swapping.to }, note: v.note ?? '' });
            await act(() => Promise.resolve(), { said: t('duty.swapAsked'), renew: ['duty'] });
          }}
          close={() => setSwapping(null)}
        >
          <p>
            <When time={swapping.from} /> – <When time={swapping.to} />
          </p>
          <Form.Item name="taker" label={t('duty.taker')} rules={[{ required: true }]}>
            <UserPicker by="username" />
          </Form.Item>
          <Form.Item name="note" label={t('duty.note')}>
            <Input maxLength={1000} />
          </Form.Item>
        </FormDialog>
      )}
    </div>
  );
}

function NowOn({ people }: { people: MyDuty['people'] }) {
  const { tx } = useSettings();
  return (
    <>
      {Object.entries(people).map(([id, p]) => (
        <div key={id} className="row" style={{ justifyContent: 'space-between' }}>
          <Link to={`/duty/calendar?team=${encodeURIComponent(id)}`}>{tx(p.name)}</Link>
          <span className={list(p.people).length > 0 ? '' : 'faint'}>{list(p.people).join(', ') || '–'}</span>
        </div>
      ))}
    </>
  );
}

function Briefs({ items }: { items: readonly Brief[] }) {
  const { t, locale } = useSettings();
  if (items.length === 0) return <Empty small title={t('duty.noneOpen')} />;
  return (
    <div className="list" role="table">
      {items.map((b) => (
        <div key={b.id} className="line" role="row" style={{ gridTemplateColumns: '34px minmax(0,1fr) 80px var(--status-w) 84px' }}>
          <Priority value={b.priority} />
          <span role="cell" style={{ minWidth: 0 }}>
            <Link className="what ellipsis" to={`/incidents/${encodeURIComponent(b.id)}`} title={b.title}>
              {locale === 'en-US' ? b.title_en : b.title}
            </Link>
          </span>
          <span className="ellipsis dim">{b.assignee || '–'}</span>
          <StatusMark status={b.status} />
          <span className="num dim">{b.due ? <When time={b.due} /> : '–'}</span>
        </div>
      ))}
    </div>
  );
}

function HandoverBody({ h }: { h: Handover }) {
  const { t } = useSettings();
  const part = (title: string, items: readonly Brief[]) => (
    <>
      <div className="dim">
        {title} {items.length}
      </div>
      {items.length > 0 && <Briefs items={items} />}
    </>
  );
  return (
    <div className="stack" style={{ gap: 6, marginBottom: 12 }}>
      {h.text && <p style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>{h.text}</p>}
      {part(t('duty.opened'), list(h.opened))}
      {part(t('duty.closed'), list(h.closed))}
      {part(t('duty.stillOpen'), list(h.open))}
      <div className="dim">
        {t('duty.notes')} {list(h.notes).length} · {t('duty.calls')} {h.calls}
      </div>
      {list(h.notes).map((n) => (
        <div key={n.id}>
          {n.text} <span className="faint">{n.by}</span>
        </div>
      ))}
    </div>
  );
}

function HandoverDialog({ shift, close }: { shift: MyShift; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const draft = useQuery({ queryKey: ['duty', 'draft', shift.team.id, shift.line], queryFn: ({ signal }) => get<Handover>('/duty/handovers/draft', { team: shift.team.id, line: shift.line }, signal) });
  return (
    <Loaded query={draft} what="duty.handover" lines={4}>
      {(h) => (
        <FormDialog<{ incoming: string; text?: string }>
          title={t('duty.handover')}
          ok={t('duty.sign')}
          width={760}
          initial={{ incoming: h.incoming }}
          submit={async (v) => {
            await post('/duty/handovers', { team: shift.team.id, line: shift.line, incoming: v.incoming, text: v.text ?? '' });
            tell({ said: t('duty.signed'), renew: ['duty'] });
          }}
          close={close}
        >
          <HandoverBody h={h} />
          <Form.Item name="incoming" label={t('duty.incoming')} rules={[{ required: true }]}>
            <UserPicker by="username" />
          </Form.Item>
          <Form.Item name="text" label={t('duty.handoverText')}>
            <Input.TextArea rows={4} maxLength={10000} />
          </Form.Item>
        </FormDialog>
      )}
    </Loaded>
  );
}
