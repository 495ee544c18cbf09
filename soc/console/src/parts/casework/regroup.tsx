import { useQuery } from '@tanstack/react-query';
import { Button, Input } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Alert, type Incident, type List, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Panel } from '../page';
import { SeverityMark, StatusMark } from '../severity';
import { Empty, Failed } from '../states';
import { When } from '../time';
import { VerdictMark } from '../judgement';
import { useCase } from './panels';

/** A merge or a split of incidents. */
interface Regroup {
  id: string;
  kind: 'merge' | 'split';
  incident: string;
  /** Merged into it, or the one that was split off. */
  others: List<string>;
  alerts: number;
  at: string;
  actor: string;
  undone_at?: string;
  undone_by?: string;
}

const incidentLink = (id: string) => (
  <Link key={id} to={`/incidents/${encodeURIComponent(id)}`} className="mono">
    {id}
  </Link>
);

/** Where an incident goes on, if another took its alerts. */
export function MergedNote({ incident }: { incident: Incident }) {
  const { t } = useSettings();
  if (!incident.merged_into) return null;
  return (
    <div className="stale" role="status">
      {t('regroup.mergedInto')} {incidentLink(incident.merged_into)}
    </div>
  );
}

/** The alerts of an incident; those that belong elsewhere are marked and split off. */
export function RelatedAlerts({ incident }: { incident: Incident }) {
  const { t, tx, locale } = useSettings();
  const respond = useCan()('split-incident');
  const { path, act } = useCase(incident.id);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const alerts = list(incident.alerts);
  const marked = alerts.filter((a) => chosen.has(a.id));
  const whole = marked.length >= incident.alert_count;
  const splits = respond && incident.status !== 'closed' && incident.alert_count > 1;
  const toggle = (a: Alert) => {
    const next = new Set(chosen);
    if (!next.delete(a.id)) next.add(a.id);
    setChosen(next);
  };
  const split = async () => {
    let made = '';
    const done = await act(
      async () => {
        made = (await post<Regroup>(`${path}/split`, { alerts: marked.map((a) => a.id) })).id;
      },
      t('regroup.split', { n: marked.length }),
      () => post(`${path}/regroups/${encodeURIComponent(made)}/undo`),
    );
    if (done) setChosen(new Set());
  };
  const all = `/alerts?${new URLSearchParams({ incident: incident.id, status: 'open,acknowledged,closed', since: '90d' })}`;
  return (
    <Panel
      title={t('incident.alerts')}
      id="related-alerts"
      flush
      end={
        <>
          {marked.length > 0 && (
            <Button size="small" disabled={whole} title={whole ? t('regroup.notAll') : t('regroup.splitWhy')} onClick={() => void split()}>
              {t('regroup.splitN', { n: marked.length })}
            </Button>
          )}
          <Link to={all}>
            {t('shift.allAlerts')} {number(incident.alert_count, locale)}
          </Link>
        </>
      }
    >
      {alerts.length === 0 ? (
        <Empty small title={t('incident.noAlerts')} />
      ) : (
        <div className="list" role="table" aria-label={t('incident.alerts')}>
          {alerts.map((a) => (
            <div key={a.id} className="line" role="row" style={{ gridTemplateColumns: `${splits ? '14px ' : ''}var(--sev-w) minmax(0,1fr) var(--verdict-w) 56px var(--status-w) 84px` }}>
              {splits && (
                <span role="cell">
                  <input type="checkbox" aria-label={t('alerts.selectOne', { x: tx(a.title) })} checked={chosen.has(a.id)} onChange={() => toggle(a)} />
                </span>
              )}
              <SeverityMark level={a.severity} />
              <span role="cell" style={{ minWidth: 0 }}>
                <Link className="what ellipsis" to={`/alerts/${encodeURIComponent(a.id)}`} title={tx(a.title)}>
                  {tx(a.title)}
                </Link>
              </span>
              <span>
                <VerdictMark value={a.verdict} reason={tx(a.verdict_reason)} />
              </span>
              <span className="num dim">×{number(a.count, locale)}</span>
              <StatusMark status={a.status} />
              <span className="num dim">
                <When time={a.first_seen} />
              </span>
            </div>
          ))}
        </div>
      )}
    </Panel>
  );
}

/** Merges and splits of an incident, each with its way back, and a merge by id. */
export function Regroups({ incident }: { incident: Incident }) {
  const { t } = useSettings();
  const respond = useCan()('merge-incidents');
  const { path, act } = useCase(incident.id);
  const [other, setOther] = useState('');
  // Under the incident's key, so that whatever changes it asks again.
  const query = useQuery({ queryKey: ['incident', incident.id, 'regroups'], queryFn: ({ signal }) => get<Page<Regroup>>(`${path}/regroups`, {}, signal) });
  const items = list(query.data?.items);
  const closed = incident.status === 'closed';
  const undo = (g: Regroup) => act(() => post(`${path}/regroups/${encodeURIComponent(g.id)}/undo`), t('case.undone'));
  const merge = async () => {
    const id = other.trim();
    if (!id) return;
    let made = '';
    const done = await act(
      async () => {
        made = (await post<Regroup>(`${path}/merge`, { incidents: [id] })).id;
      },
      t('case.merged', { x: id }),
      () => post(`${path}/regroups/${encodeURIComponent(made)}/undo`),
    );
    if (done) setOther('');
  };
  if (items.length === 0 && (closed || !respond)) return null;
  return (
    <Panel title={t('timeline.related')} id="regroups">
      {query.error && !query.data && <Failed small error={query.error} what="timeline.related" retry={() => void query.refetch()} />}
      {items.map((g) => (
        <div key={g.id} className="row wrap" style={{ padding: '3px 0', opacity: g.undone_at ? 0.6 : 1 }}>
          <span>{t(g.kind === 'merge' ? 'regroup.mergeN' : 'regroup.splitOffN', { n: g.alerts })}</span>
          {list(g.others).map(incidentLink)}
          <span className="dim" style={{ marginLeft: 'auto' }}>
            {g.actor} <When time={g.at} />
          </span>
          {g.undone_at ? (
            <span className="faint">{t('bulk.isUndone', { x: g.undone_by ?? '' })}</span>
          ) : (
            respond && (
              <Button size="small" type="text" onClick={() => void undo(g)}>
                {t('do.undo')}
              </Button>
            )
          )}
        </div>
      ))}
      {respond && !closed && (
        <div className="row" style={{ marginTop: items.length > 0 ? 8 : 0 }}>
          <Input value={other} className="mono" maxLength={64} placeholder={t('regroup.other')} aria-label={t('regroup.other')} onChange={(e) => setOther(e.target.value)} onPressEnter={() => void merge()} />
          <Button disabled={!other.trim()} onClick={() => void merge()}>
            {t('case.merge')}
          </Button>
        </div>
      )}
    </Panel>
  );
}
