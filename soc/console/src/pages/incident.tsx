import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { get, post } from '../api/client';
import { useCan } from '../api/queries';
import { list, type Delivery, type Incident, type Page, type List, type Resolution, type Status } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useNarrow, usePageTitle } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { DataMark } from '../parts/datamark';
import { EventLevelPanel } from '../parts/casework/eventlevel';
import { KeyMark } from '../parts/keymark';
import { AssignButton, CloseDialog, CommentBox, useRefreshCases } from '../parts/acting';
import { AssetFacts, Attack } from '../parts/alertparts';
import { PartyList, PhaseStrip, VerdictMark } from '../parts/judgement';
import { MergeMark, NoiseMarks } from '../parts/noisemarks';
import { OverrideButton, OverrideNote } from '../parts/override';
import { Panel } from '../parts/page';
import { Priority, SeverityMark, StatusMark } from '../parts/severity';
import { Failed, Skeleton, Stale } from '../parts/states';
import { ClockActions } from '../parts/duty/clockactions';
import { Timeline } from '../parts/timeline';
import { Deadline, When, WhenFull } from '../parts/time';
import { Evidence, Observables, Similar, Tasks } from '../parts/casework/panels';
import { MergedNote, Regroups, RelatedAlerts } from '../parts/casework/regroup';
import { Reports } from '../parts/casework/reports';
import { WorkOrders } from '../parts/casework/workorders';
import { RootCause } from '../parts/casework/root';
import { AttackChain } from '../parts/casework/chain';
import { Token } from '../parts/token';
import { WhyNot } from '../parts/why';

function Notices({ id }: { id: string }) {
  const { t } = useSettings();
  const query = useQuery({
    queryKey: ['incident', id, 'notices'],
    queryFn: ({ signal }) => get<Page<Delivery>>('/notifications', { incident: id }, signal),
    refetchInterval: 10_000,
  });
  if (query.error && !query.data) return <Failed small error={query.error} what="incident.notices" retry={() => void query.refetch()} />;
  const rows = list(query.data?.items);
  if (rows.length === 0) return <span className="dim">{t('incident.noticesNone')}</span>;
  return (
    <>
      {rows.map((d) => (
        <div key={d.id} className="row wrap" style={{ padding: '3px 0' }}>
          <i className={`dot ${d.status === 'delivered' ? 'ok' : d.status === 'retrying' ? 'open' : 'error'}`} />
          <b>{d.receiver}</b>
          <span className="dim">{t(`delivery.${d.status}`)}</span>
          {d.attempt > 1 && <span className="dim">{t('incident.attempt', { n: d.attempt })}</span>}
          <span className="dim" style={{ marginLeft: 'auto' }}>
            <When time={d.at} />
          </span>
          {d.error && (
            <div className="faint" style={{ width: '100%', overflowWrap: 'anywhere' }}>
              <WhyNot error={d.error} />
            </div>
          )}
        </div>
      ))}
    </>
  );
}

export default function IncidentPage() {
  const { t, tx } = useSettings();
  const { id = '' } = useParams();
  const navigate = useNavigate();
  const can = useCan();
  const { done, failed } = useFeedback();
  const refresh = useRefreshCases();
  const [closing, setClosing] = useState(false);
  const narrow = useNarrow(1100);
  const query = useQuery({
    queryKey: ['incident', id],
    queryFn: ({ signal }) => get<Incident>(`/incidents/${encodeURIComponent(id)}`, {}, signal),
    refetchInterval: 5_000,
  });
  const i = query.data;
  usePageTitle(i ? `${i.id} ${tx(i.title)}` : t('page.incidents'));
  const respond = can('respond');
  // Where the reader's roles may bring it; what is not among these is shown and says why.
  const moves = useQuery({ enabled: respond && !!i, queryKey: ['incident', id, 'moves', i?.status], queryFn: ({ signal }) => get<{ status: Status; to: List<Status> }>(`/incidents/${encodeURIComponent(id)}/moves`, {}, signal), staleTime: 60_000 });
  const may = (to: Status) => !moves.data || list(moves.data.to).includes(to);
  const barred = (to: Status) => (may(to) ? undefined : t('move.barred', { x: t(`status.${i?.status ?? 'open'}`), y: t(`status.${to}`) }));
  const act = async (action: string, body: object, text: string, undo?: () => void) => {
    try {
      await post(`/incidents/${encodeURIComponent(id)}/${action}`, body);
      done(text, undo);
    } catch (e) {
      failed(e);
    } finally {
      refresh();
    }
  };
  const reopen = () => act('reopen', {}, t('incidents.reopened', { x: id }));
  const acknowledge = () => act('acknowledge', { comment: '' }, t('incidents.acked', { x: id }), () => void reopen());
  const close = (resolution: Resolution, comment: string, closeAlerts: boolean) =>
    act('close', { resolution, comment, close_alerts: closeAlerts }, t('incidents.closed', { x: id, r: t(`resolution.${resolution}`) }), () => void reopen());
  const restore = (): Promise<void> => act('restore', {}, t('archive.restored', { x: id }), () => void archive());
  const archive = (): Promise<void> => act('archive', {}, t('archive.done', { x: id }), () => void restore());
  useKeys({
    a: () => respond && i?.status === 'open' && may('acknowledged') && void acknowledge(),
    e: () => respond && i && i.status !== 'closed' && may('closed') && setClosing(true),
    Escape: () => navigate(-1),
  });
  if (!i) {
    return <div className="page">{query.error ? <Failed error={query.error} what="incidents.what" retry={() => void query.refetch()} /> : <Skeleton lines={14} />}</div>;
  }
  const reasons = list(i.reasons).map(tx).filter(Boolean);
  const why = reasons.length > 0 && (
    <Panel title={t('incident.reasons')}>
      <ul className="reasons">
        {reasons.map((r, n) => (
          <li key={n}>{r}</li>
        ))}
      </ul>
    </Panel>
  );
  return (
    <div className="page">
      <div className="row" style={{ marginBottom: 8 }}>
        <Link to="/incidents">← {t('page.incidents')}</Link>
        <span className="mono dim">{i.id}</span>
        {respond && (
          <div className="actions" style={{ marginLeft: 'auto' }}>
            {i.status === 'open' && (
              <Button type="primary" disabled={!may('acknowledged')} title={barred('acknowledged')} onClick={() => void acknowledge()}>
                {t('act.ack')} <kbd className="onbutton">a</kbd>
              </Button>
            )}
            <AssignButton assign={(u) => act('assign', { assignee: u }, t('incidents.assigned', { x: id, y: u }))} />
            <OverrideButton incident={i} />
            <ClockActions incident={i} />
            {i.status === 'closed' && can('archive-incident') && <Button onClick={() => void (i.archived_at ? restore() : archive())}>{t(i.archived_at ? 'archive.restore' : 'archive.do')}</Button>}
            {i.status === 'closed' ? (
              <Button disabled={!may('open')} title={barred('open')} onClick={() => void reopen()}>
                {t('act.reopen')}
              </Button>
            ) : (
              <Button disabled={!may('closed')} title={barred('closed')} onClick={() => setClosing(true)}>
                {t('act.close')} <kbd className="onbutton">e</kbd>
              </Button>
            )}
          </div>
        )}
      </div>
      <Stale query={query} />
      {moves.data && list(moves.data.to).length === 0 && <div className="notice">{t('move.none', { x: t(`status.${i.status}`) })}</div>}
      <MergedNote incident={i} />
      <h1 className="sentence">{tx(i.title)}</h1>
      <div className="meta">
        <SeverityMark level={i.severity} />
        <KeyMark of={i} word />
        <DataMark of={i} word />
        <Priority value={i.priority} />
        <StatusMark status={i.status} />
        {i.status === 'closed' && i.resolution && <span className="tag">{t(`resolution.${i.resolution}`)}</span>}
        <span>
          {t('col.opened')} <WhenFull time={i.opened_at} />
        </span>
        <VerdictMark value={i.verdict} />
        <MergeMark incident={i} />
        <NoiseMarks of={i} />
        <Attack tactics={i.tactics} />
      </div>
      <PhaseStrip phases={i.phases} />
      <OverrideNote incident={i} />
      <div className="stats">
        <div className="panel stat">
          <span className="n" style={{ fontSize: 20 }}>
            <Deadline due={i.sla?.ack_due} done={i.sla?.acked_at ?? (i.status === 'closed' ? i.sla?.resolved_at : null)} state={i.sla?.state} />
          </span>
          <span className="l">{t('sla.ack')}</span>
        </div>
        <div className="panel stat">
          <span className="n" style={{ fontSize: 20 }}>
            <Deadline due={i.sla?.resolve_due} done={i.sla?.resolved_at} state={i.sla?.acked_at ? i.sla.state : 'ok'} />
          </span>
          <span className="l">{t('sla.resolve')}</span>
        </div>
        <div className="panel stat">
          <span className="n ellipsis" style={{ fontSize: 20 }} title={i.system?.name}>
            {i.system ? <Link to={`/cmdb/${encodeURIComponent(i.system.id)}`}>{i.system.name || i.system.id}</Link> : '–'}
          </span>
          <span className="l">{t('col.system')}</span>
        </div>
        <div className="panel stat">
          <span className="n ellipsis" style={{ fontSize: 20 }}>
            {i.assignee || i.acknowledged_by || '–'}
          </span>
          <span className="l">{t('col.assignee')}</span>
        </div>
      </div>
      <div className="cols">
        <div className="stack" style={{ gap: 14 }}>
          {/* In one column, why it is as bad as it is comes before what is done about it. */}
          {narrow && why}
          <RootCause incident={i} />
          <AttackChain incident={i} />
          <RelatedAlerts incident={i} />
          <Tasks incident={i} />
          <Evidence incident={i} />
          <Observables incident={i} />
          <Panel title={t('alert.timeline')}>
            {respond && <CommentBox submit={(text) => act('comments', { text }, t('alerts.commented'))} />}
            <Timeline entries={list(i.timeline)} />
          </Panel>
        </div>
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('alert.asset')}>
            <AssetFacts ci={i.ci} system={i.system} owner={i.owner} tenant={i.tenant} />
          </Panel>
          {!narrow && why}
          <EventLevelPanel incident={i} />
          <Panel title={t('incident.facts')}>
            <dl className="facts">
              {list(i.attackers).length > 0 && (
                <>
                  <dt>{t('judged.attacker')}</dt>
                  <dd data-testid="attackers">
                    <PartyList parties={i.attackers} field="source.ip" />
                  </dd>
                </>
              )}
              {list(i.victims).length > 0 && (
                <>
                  <dt>{t('judged.victim')}</dt>
                  <dd data-testid="victims">
                    <PartyList parties={i.victims} field="destination.ip" />
                  </dd>
                </>
              )}
              {list(i.attackers).length === 0 && list(i.actors).length > 0 && (
                <>
                  <dt>{t('alert.source')}</dt>
                  <dd>
                    {list(i.actors).map((a) => (
                      <div key={a}>
                        <Token field="source.ip" value={a} />
                      </div>
                    ))}
                  </dd>
                </>
              )}
              <dt>{t('col.firstSeen')}</dt>
              <dd>
                <WhenFull time={i.first_seen} />
              </dd>
              <dt>{t('col.lastSeen')}</dt>
              <dd>
                <WhenFull time={i.last_seen} />
              </dd>
              {list(i.techniques).length > 0 && (
                <>
                  <dt>{t('alert.techniques')}</dt>
                  <dd>
                    <Attack techniques={i.techniques} />
                  </dd>
                </>
              )}
            </dl>
          </Panel>
          <WorkOrders object={i.id} />
          <Similar incident={i} />
          <Regroups incident={i} />
          <Reports incident={i} />
          <Panel title={t('incident.notices')}>
            <Notices id={i.id} />
          </Panel>
        </div>
      </div>
      {closing && <CloseDialog title={t('act.closeIncident', { x: i.id })} cancel={() => setClosing(false)} submit={close} withAlerts />}
    </div>
  );
}
