import { useQuery } from '@tanstack/react-query';
import { Select } from 'antd';
import { get, put } from '../../api/client';
import type { EventLevel } from '../../api/eventlevel';
import { useCan } from '../../api/queries';
import { list, type Incident } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { Panel } from '../page';
import { Loaded } from '../states';

/** How grave an incident is as a data-security event, factor by factor, and what people are to answer. */
export function EventLevelPanel({ incident: i }: { incident: Pick<Incident, 'id' | 'status'> }) {
  const { t, tx } = useSettings();
  const can = useCan()('answer-event-level') && i.status !== 'closed';
  const { act, busy } = useAct();
  const path = `/incidents/${encodeURIComponent(i.id)}/event-level`;
  const query = useQuery({ queryKey: ['event-level', i.id], queryFn: ({ signal }) => get<EventLevel>(path, {}, signal), refetchInterval: 15_000 });
  const v = query.data;
  // Where nothing is graded and nobody may grade, there is nothing to say.
  if (v && !v.judged && (!can || list(v.questions).length === 0)) return null;
  const answer = (factor: string, name: string, key: string) => {
    const before = list(v?.answers).find((a) => a.factor === factor)?.answer ?? '';
    const send = (to: string) => put(`${path}/${encodeURIComponent(factor)}`, { answer: to });
    void act(() => send(key), { said: t('level.answered', { x: name }), renew: ['event-level', 'incident'], undo: () => void act(() => send(before), { renew: ['event-level', 'incident'] }) });
  };
  return (
    <Panel title={t('level.title')} id="event-level">
      <Loaded query={query} what="level.title" lines={4} small>
        {(e) => (
          <>
            {e.judged ? (
              <p style={{ marginTop: 0 }} data-testid="event-level">
                <b style={{ fontSize: 16 }}>{tx(e.grade.name)}</b> <span className="dim">{t('level.score', { n: e.grade.score })}</span> {!!e.grade.floor && <span className="tag">{t('level.byFloor')}</span>}
              </p>
            ) : (
              <p className="dim" style={{ marginTop: 0 }}>{t('level.none')}</p>
            )}
            {e.judged && (
              <dl className="facts">
                {list(e.grade.reasons).map((r) => (
                  <div key={r.factor} style={{ display: 'contents' }}>
                    <dt>{tx(r.name)}</dt>
                    <dd>
                      {tx(r.means) ? (
                        <>
                          {tx(r.means)} <span className="faint">{t('level.counts', { p: r.points, w: r.weight })}</span>
                        </>
                      ) : (
                        <span className="faint">{t(r.asked ? 'level.asked' : 'level.unknown')}</span>
                      )}
                    </dd>
                  </div>
                ))}
                {e.category && (
                  <>
                    <dt>{t('level.category')}</dt>
                    <dd>{e.category}</dd>
                  </>
                )}
                {tx(e.activity_name) && (
                  <>
                    <dt>{t('level.activity')}</dt>
                    <dd>{tx(e.activity_name)}</dd>
                  </>
                )}
              </dl>
            )}
            {can &&
              list(e.questions).map((q) => (
                <label key={q.factor} className="labelled" style={{ marginTop: 8 }}>
                  <span className="dim">{tx(q.name)}</span>
                  <Select allowClear disabled={busy} aria-label={tx(q.name)} placeholder={t('level.choose')} value={list(e.answers).find((a) => a.factor === q.factor)?.answer ?? null} onChange={(key?: string | null) => answer(q.factor, tx(q.name), key ?? '')} options={list(q.choices).map((c) => ({ value: c.key, label: tx(c.name) }))} />
                </label>
              ))}
          </>
        )}
      </Loaded>
    </Panel>
  );
}
