import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import { useCan } from '../api/queries';
import { list, type Alert } from '../api/types';
import { useSettings } from '../app/settings';
import { localTimes } from '../logic/format';
import { CloseDialog, useAlertActions, type Patch } from './acting';
import { AssetFacts, EvidenceTable } from './alertparts';
import { RawEvent } from './events';
import { Priority, SeverityMark, StatusMark } from './severity';
import { Parties, VerdictMark } from './judgement';
import { AlertTags } from './alerttags';
import { NoiseMarks } from './noisemarks';
import { InhibitedMark } from './inhibitions/mark';
import { SilencedMark } from './silences/mark';
import { WhenFull } from './time';

/** The one thing to know about an alert, beside the list. */
export function Preview({ id, known, patch }: { id: string; known: Alert; patch: Patch }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const act = useAlertActions(patch);
  const [closing, setClosing] = useState(false);
  const detail = useQuery({ queryKey: ['alert', id], queryFn: ({ signal }) => get<Alert>(`/alerts/${encodeURIComponent(id)}`, {}, signal), refetchInterval: 10_000 });
  // The list's status is the newer one just after an action.
  const a = { ...known, ...detail.data, status: known.status };
  const raw = String(a.fields?.['event.original'] ?? a.fields?.['message'] ?? '');
  const advice = tx(a.rule.advice);
  return (
    <div style={{ padding: '14px 16px' }} className="stack">
      <div className="row wrap">
        <SeverityMark level={a.severity} />
        <Priority value={a.priority} />
        <VerdictMark value={a.verdict} reason={tx(a.verdict_reason)} />
        <StatusMark status={a.status} />
        <SilencedMark alert={a} />
        <InhibitedMark alert={a} />
        <NoiseMarks of={a} />
        <AlertTags alert={a} />
      </div>
      <h2 style={{ fontSize: 16, lineHeight: 1.45, overflowWrap: 'anywhere' }}>
        <Link to={`/alerts/${encodeURIComponent(id)}`} style={{ color: 'inherit' }}>
          {tx(a.title)}
        </Link>
      </h2>
      {can('respond') && (
        <div className="actions">
          {a.status === 'open' && (
            <Button type="primary" onClick={() => void act.acknowledge([id])}>
              {t('act.ack')} <kbd style={{ background: 'transparent', color: 'inherit', borderColor: 'currentColor', opacity: 0.7 }}>a</kbd>
            </Button>
          )}
          {a.status !== 'closed' ? <Button onClick={() => setClosing(true)}>{t('act.closeAlert')}</Button> : <Button onClick={() => void act.reopen([id])}>{t('act.reopen')}</Button>}
          <Link to={`/silences?${new URLSearchParams({ new: '1', alert: id })}`}>
            <Button>
              {t('silence.alert')} <kbd>s</kbd>
            </Button>
          </Link>
          {a.incident_id && (
            <Link className="tag" style={{ height: 30 }} to={`/incidents/${encodeURIComponent(a.incident_id)}`}>
              {a.incident_id}
            </Link>
          )}
        </div>
      )}
      <Parties of={a} />
      {tx(a.verdict_reason) && <div>{localTimes(tx(a.verdict_reason))}</div>}
      <div>
        <h3 className="dim" style={{ fontSize: 12, marginBottom: 4 }}>
          {t('alert.why')}
        </h3>
        <Link to={`/rules/${encodeURIComponent(a.rule.id)}`}>{tx(a.rule.title)}</Link>
        <EvidenceTable alert={a} />
        {raw && <RawEvent raw={raw} evidence={list(a.evidence)} />}
      </div>
      {advice && (
        <div>
          <h3 className="dim" style={{ fontSize: 12, marginBottom: 4 }}>
            {t('alert.next')}
          </h3>
          <div className="advice" style={{ fontSize: 13 }}>
            {advice}
          </div>
        </div>
      )}
      <div>
        <h3 className="dim" style={{ fontSize: 12, marginBottom: 4 }}>
          {t('alert.asset')}
        </h3>
        <AssetFacts ci={a.ci} system={a.system} owner={a.owner} tenant={a.tenant} />
      </div>
      <dl className="facts">
        <dt>{t('col.firstSeen')}</dt>
        <dd>
          <WhenFull time={a.first_seen} />
        </dd>
        <dt>{t('col.lastSeen')}</dt>
        <dd>
          <WhenFull time={a.last_seen} />
        </dd>
      </dl>
      {closing && <CloseDialog title={t('act.closeAlert')} cancel={() => setClosing(false)} submit={(r, c) => act.close([id], r, c)} />}
    </div>
  );
}
