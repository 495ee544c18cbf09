import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useEffect, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { get, post } from '../api/client';
import { useCan } from '../api/queries';
import { list, type Alert } from '../api/types';
import { usePageTitle } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { AlertCaptures } from '../parts/casework/alertcaptures';
import { DataMark } from '../parts/datamark';
import { KeyMark } from '../parts/keymark';
import { AssignButton, CloseDialog, CommentBox, useAlertActions } from '../parts/acting';
import { AssetFacts, Attack, EvidenceEvents, EvidenceTable, HowBad } from '../parts/alertparts';
import { Judgement, VerdictMark } from '../parts/judgement';
import { AlertTags } from '../parts/alerttags';
import { FocusMark, NoiseMarks } from '../parts/noisemarks';
import { InhibitedMark } from '../parts/inhibitions/mark';
import { AlertKnowledge } from '../parts/knowledge/article';
import { Panel } from '../parts/page';
import { Priority, SeverityMark, StatusMark } from '../parts/severity';
import { SuppressedMark } from '../parts/suppressions/mark';
import { MaintenanceMark } from '../parts/maintenancemark';
import { SilencedMark } from '../parts/silences/mark';
import { Failed, Skeleton, Stale } from '../parts/states';
import { Timeline } from '../parts/timeline';
import { WhenFull } from '../parts/time';
import { Token } from '../parts/token';

export default function AlertPage() {
  const { t, tx } = useSettings();
  const { id = '' } = useParams();
  const navigate = useNavigate();
  const can = useCan();
  const act = useAlertActions();
  const [closing, setClosing] = useState(false);
  const query = useQuery({
    queryKey: ['alert', id],
    queryFn: ({ signal }) => get<Alert>(`/alerts/${encodeURIComponent(id)}`, {}, signal),
    refetchInterval: 10_000,
  });
  const a = query.data;
  usePageTitle(a ? tx(a.title) : t('page.alerts'));
  const respond = can('respond');
  const suppress = can('create-suppression');
  const known = a !== undefined;
  useEffect(() => {
    // Opened is looked at; where that cannot be noted, it stays new.
    if (known) void post('/alerts/read', { ids: [id] }).catch(() => undefined);
  }, [known, id]);
  useKeys({
    a: () => respond && a?.status === 'open' && void act.acknowledge([id]),
    f: () => respond && a && a.status !== 'closed' && void act.close([id], 'false_positive', ''),
    e: () => respond && a && a.status !== 'closed' && setClosing(true),
    s: () => respond && navigate(`/silences?${new URLSearchParams({ new: '1', alert: id })}`),
    w: () => suppress && a && navigate(`/suppressions?${new URLSearchParams({ alert: id })}`),
    i: () => a?.incident_id && navigate(`/incidents/${encodeURIComponent(a.incident_id)}`),
    Escape: () => navigate(-1),
  });
  if (!a) {
    return <div className="page">{query.error ? <Failed error={query.error} what="alerts.what" retry={() => void query.refetch()} /> : <Skeleton lines={14} />}</div>;
  }
  const advice = tx(a.rule.advice);
  return (
    <div className="page">
      <div className="row" style={{ marginBottom: 8 }}>
        <Link to="/alerts" onClick={(e) => {
          // Back to the very list, with its place and filters, where we came from it.
          if (window.history.length > 1 && window.history.state?.idx > 0) {
            e.preventDefault();
            navigate(-1);
          }
        }}>
          ← {t('page.alerts')}
        </Link>
        {respond && (
          <div className="actions" style={{ marginLeft: 'auto' }}>
            {a.status === 'open' && (
              <Button type="primary" onClick={() => void act.acknowledge([id])}>
                {t('act.ack')} <kbd className="onbutton">a</kbd>
              </Button>
            )}
            <AssignButton assign={(u) => act.assign([id], u)} />
            <Button onClick={() => navigate(`/silences?${new URLSearchParams({ new: '1', alert: id })}`)}>
              {t('silence.alert')} <kbd>s</kbd>
            </Button>
            {suppress && !a.suppressed_by && (
              <Button onClick={() => navigate(`/suppressions?${new URLSearchParams({ alert: id })}`)} data-testid="suppress">
                {t('suppress.fromAlert')} <kbd>w</kbd>
              </Button>
            )}
            {a.suppressed_by ? null : a.status === 'closed' ? (
              <Button onClick={() => void act.reopen([id])}>{t('act.reopen')}</Button>
            ) : (
              <Button onClick={() => setClosing(true)}>
                {t('act.closeAlert')} <kbd>e</kbd>
              </Button>
            )}
          </div>
        )}
      </div>
      <Stale query={query} />
      <h1 className="sentence">{tx(a.title)}</h1>
      <div className="meta" style={{ marginBottom: 16 }}>
        <SeverityMark level={a.severity} />
        <KeyMark of={a} word />
        <DataMark of={a} word />
        <FocusMark of={a} word />
        <Priority value={a.priority} />
        <VerdictMark value={a.verdict} reason={tx(a.verdict_reason)} />
        <StatusMark status={a.status} />
        <SilencedMark alert={a} />
        <InhibitedMark alert={a} />
        <NoiseMarks of={a} />
        <SuppressedMark alert={a} />
        <MaintenanceMark alert={a} />
        {a.status === 'closed' && a.resolution && <span className="tag">{t(`resolution.${a.resolution}`)}</span>}
        <span>{t('alert.times', { n: a.count })}</span>
        <span>
          {t('col.lastSeen')} <WhenFull time={a.last_seen} />
        </span>
        {a.assignee && (
          <span>
            {t('col.assignee')} <b>{a.assignee}</b>
          </span>
        )}
        {a.incident_id && (
          <Link className="tag strong" to={`/incidents/${encodeURIComponent(a.incident_id)}`}>
            {t('alert.incident')} {a.incident_id}
          </Link>
        )}
        <AlertTags alert={a} />
      </div>
      <div className="cols">
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('judged.title')} id="judgement">
            <Judgement of={a} />
          </Panel>
          <Panel title={t('alert.why')} id="why">
            <div className="row wrap" style={{ marginBottom: 10 }}>
              <Link to={`/rules/${encodeURIComponent(a.rule.id)}`}>{tx(a.rule.title) || a.rule.id}</Link>
              {a.rule.version && <span className="tag" title={a.rule.hash && `SHA-256 ${a.rule.hash}`}>{t('judged.version', { x: a.rule.version })}</span>}
              <span className="tag">{a.rule.kind === 'correlation' ? t('alert.correlation') : t('alert.sigma')}</span>
              <Attack tactics={a.tactics} techniques={a.techniques} />
            </div>
            <EvidenceTable alert={a} />
            <EvidenceEvents key={a.id} alert={a} />
          </Panel>
          <AlertCaptures key={`${a.id} captures`} alert={a} respond={respond} />
          <Panel title={t('alert.howBad')}>
            <HowBad alert={a} />
          </Panel>
          <Panel title={t('alert.next')}>
            {advice ? <div className="advice">{advice}</div> : <span className="dim">{t('alert.noAdvice')}</span>}
            <AlertKnowledge rule={a.rule.knowledge} attack={a.attack} />
          </Panel>
        </div>
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('alert.asset')} id="asset">
            <AssetFacts ci={a.ci} system={a.system} owner={a.owner} tenant={a.tenant} />
          </Panel>
          <Panel>
            <dl className="facts" style={{ paddingTop: 10 }}>
              {a.source_ip && (
                <>
                  <dt>{t('alert.source')}</dt>
                  <dd>
                    <Token field="source.ip" value={a.source_ip} />
                  </dd>
                </>
              )}
              {a.user && (
                <>
                  <dt>{t('alert.user')}</dt>
                  <dd>
                    <Token field="user.name" value={a.user} />
                  </dd>
                </>
              )}
              <dt>{t('col.firstSeen')}</dt>
              <dd>
                <WhenFull time={a.first_seen} />
              </dd>
              <dt>{t('col.lastSeen')}</dt>
              <dd>
                <WhenFull time={a.last_seen} />
              </dd>
              {list(a.group).length > 0 && (
                <>
                  <dt>{t('alert.group')}</dt>
                  <dd>
                    {list(a.group).map((g, i) => (
                      <div key={i}>
                        <span className="dim mono">{g.field}</span> <Token field={g.field} value={g.value} />
                      </div>
                    ))}
                  </dd>
                </>
              )}
            </dl>
          </Panel>
          <Panel title={t('alert.timeline')}>
            {respond && <CommentBox submit={(text) => act.comment(id, text)} />}
            <Timeline entries={list(a.timeline)} of="alert" />
          </Panel>
        </div>
      </div>
      {closing && <CloseDialog title={t('act.closeAlert')} cancel={() => setClosing(false)} submit={(r, c) => act.close([id], r, c)} />}
    </div>
  );
}
