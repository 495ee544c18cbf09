import { useQuery } from '@tanstack/react-query';
import { Segmented, Select } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { post } from '../../api/client';
import { EDGE_KINDS, type EdgeKind, type Neighbours } from '../../api/graph';
import { useCan } from '../../api/queries';
import { list, type Alert, type Incident } from '../../api/types';
import { useSettings } from '../../app/settings';
import { absolute, number } from '../../logic/format';
import { moments, partiesOf, stages, unplaced, whoIn, type Moment } from '../../logic/chain';
import { edgeWord } from '../../logic/graph';
import { Attack } from '../alertparts';
import { Panel } from '../page';
import { SeverityMark } from '../severity';
import { Empty, Failed, Skeleton } from '../states';
import { useWhy } from '../graph/side';

const MARGIN = 10 * 60_000;
const SHOWN = 200;
const PARTIES = 12;

/** How an intrusion went on: by ATT&CK's tactics with what is missing between them, or all that is known of it in the order of time. */
export function AttackChain({ incident }: { incident: Incident }) {
  const { t } = useSettings();
  const can = useCan();
  const [view, setView] = useState<'chain' | 'time'>('chain');
  const alerts = list(incident.alerts);
  const entities = partiesOf(incident, PARTIES);
  const victim = partiesOf({ victims: incident.victims }, 1)[0];
  if (alerts.length === 0) return null;
  const span = { start: new Date(Date.parse(incident.first_seen) - MARGIN).toISOString(), end: new Date(Date.parse(incident.last_seen) + MARGIN).toISOString() };
  const graph = (more: Record<string, string>) => {
    const q = new URLSearchParams({ ...span, ...more });
    for (const e of entities) q.append('seed', e);
    return `/graph?${q}`;
  };
  return (
    <Panel
      title={t('story.title')}
      end={
        can('graph-neighbours') && entities.length > 0 ? (
          <span className="row" style={{ gap: 12 }}>
            {victim && <Link to={graph({ trace: 'backward', from: victim, at: incident.last_seen })}>{t('story.trace')}</Link>}
            <Link to={graph({})}>{t('story.graph')}</Link>
          </span>
        ) : undefined
      }
    >
      <div data-testid="attack-chain">
        <Segmented<'chain' | 'time'>
          aria-label={t('story.title')}
          size="small"
          value={view}
          onChange={setView}
          options={[
            { value: 'chain', label: t('story.tab') },
            { value: 'time', label: t('story.timeline') },
          ]}
        />
        {view === 'chain' ? <Stages alerts={alerts} span={span} /> : <Sequence alerts={alerts} entities={entities} span={span} all={partiesOf(incident, Infinity).length} />}
      </div>
    </Panel>
  );
}

function Stages({ alerts, span }: { alerts: readonly Alert[]; span: { start: string; end: string } }) {
  const { t } = useSettings();
  const found = stages(alerts);
  const rest = unplaced(alerts);
  const gaps = found.filter((s) => s.gap).length;
  if (found.length === 0) return <Empty small title={t('story.none')} why={t('story.noneWhy')} />;
  // What is missing happened between the alerts around it.
  const between = (i: number) => {
    const before = found.slice(0, i).flatMap((s) => s.alerts.map((a) => a.first_seen)).sort().pop();
    const after = found.slice(i + 1).flatMap((s) => s.alerts.map((a) => a.last_seen)).sort()[0];
    return before && after && Date.parse(before) < Date.parse(after) ? { start: before, end: after } : span;
  };
  return (
    <>
      {gaps > 0 && <div className="dim" style={{ marginTop: 6 }}>{t('story.gapsN', { n: gaps })}</div>}
      <ol className="attackchain">
        {found.map((s, i) => (
          <li key={s.tactic} className={s.alerts.length > 0 ? 'on' : s.gap ? 'gap' : ''} data-tactic={s.tactic}>
            <h3>{t(`tactic.${s.tactic}`)}</h3>
            {s.alerts.map((a) => (
              <OneAlert key={a.id} alert={a} />
            ))}
            {s.alerts.length === 0 && (
              <div className="faint">
                {t(s.gap ? 'story.gap' : 'story.unseen')} {s.gap && <Link to={`/search?${new URLSearchParams(between(i))}`}>{t('story.gapSearch')}</Link>}
              </div>
            )}
          </li>
        ))}
        {rest.length > 0 && (
          <li>
            <h3>{t('story.unplaced')}</h3>
            {rest.map((a) => (
              <OneAlert key={a.id} alert={a} />
            ))}
          </li>
        )}
      </ol>
    </>
  );
}

function OneAlert({ alert }: { alert: Alert }) {
  const { tx } = useSettings();
  return (
    <div className="row wrap" style={{ gap: 6 }}>
      <span className="num faint nowrap">{absolute(alert.first_seen)}</span>
      <SeverityMark level={alert.severity} />
      <Link to={`/alerts/${encodeURIComponent(alert.id)}`}>{tx(alert.title)}</Link>
      <Attack techniques={list(alert.techniques)} />
    </div>
  );
}

/** Alerts, sign-ins, programs, requests, connections and flows of the incident's entities, in one order. */
function Sequence({ alerts, entities, span, all }: { alerts: readonly Alert[]; entities: string[]; span: { start: string; end: string }; all: number }) {
  const { t } = useSettings();
  const [who, setWho] = useState<string[]>([]);
  const [kinds, setKinds] = useState<EdgeKind[]>([]);
  const query = useQuery({
    enabled: entities.length > 0,
    queryKey: ['graph', 'sequence', entities.join(' '), span.start, span.end],
    queryFn: () => post<Neighbours>('/graph/neighbours', { nodes: entities, limit: 50, ...span, kinds: ['flow', 'access', 'request', 'signin', 'process'] }),
    staleTime: 60_000,
  });
  if (query.isPending && entities.length > 0) return <Skeleton lines={6} />;
  const every = moments(alerts, list(query.data?.edges), list(query.data?.nodes));
  const shown = every.filter((m) => (who.length === 0 || m.who.some((w) => who.includes(w))) && (kinds.length === 0 || kinds.includes(m.edge?.kind ?? 'alert')));
  return (
    <>
      {query.error && <Failed small error={query.error} what="story.timeline" retry={() => void query.refetch()} />}
      <div className="row wrap" style={{ margin: '8px 0', gap: 6 }}>
        <Select mode="multiple" size="small" aria-label={t('story.who')} placeholder={t('story.who')} value={who} onChange={setWho} options={whoIn(every).map((w) => ({ value: w, label: w }))} style={{ minWidth: 180 }} maxTagCount="responsive" allowClear />
        <Select<EdgeKind[]> mode="multiple" size="small" aria-label={t('story.kinds')} placeholder={t('story.kinds')} value={kinds} onChange={setKinds} options={EDGE_KINDS.filter((k) => k !== 'relation' && k !== 'same').map((k) => ({ value: k, label: t(`edge.${k}`) }))} style={{ minWidth: 150 }} maxTagCount="responsive" allowClear />
        <span className="faint">{t('story.span')}</span>
        {all > entities.length && <span className="faint">{t('story.partial', { n: entities.length })}</span>}
      </div>
      <ol className="timeline" data-testid="sequence">
        {shown.slice(0, SHOWN).map((m) => (
          <OneMoment key={m.id} moment={m} span={span} />
        ))}
      </ol>
      {shown.length > SHOWN && <div className="dim">{t('story.more', { n: shown.length - SHOWN })}</div>}
    </>
  );
}

function OneMoment({ moment: m, span }: { moment: Moment; span: { start: string; end: string } }) {
  const { t, tx, locale } = useSettings();
  const why = useWhy();
  const e = m.edge;
  return (
    <li data-kind={e?.kind ?? 'alert'} className={m.alert ? 'k-alert' : ''}>
      <div className="t-head">
        <span className="num nowrap">{absolute(m.at)}</span>
        <span className="tag">{t(`edge.${e?.kind ?? 'alert'}`)}</span>
        {m.alert && <SeverityMark level={m.alert.severity} />}
        {m.alert ? (
          <Link to={`/alerts/${encodeURIComponent(m.alert.id)}`}>{tx(m.alert.title)}</Link>
        ) : (
          <span>
            {m.who[0]} → {m.who[1]} <span className="dim">{e && edgeWord(e)}</span>
          </span>
        )}
      </div>
      <div className="t-text row wrap" style={{ gap: 6 }}>
        {e && e.outcome && <span className="tag">{t(`graph.outcome.${e.outcome}`)}</span>}
        {e && list(e.abnormal).filter((a) => a !== 'first-time').slice(0, 4).map((a) => <span key={a} className="tag">{why(a)}</span>)}
        {e && e.count > 1 && <span className="faint">{t('story.times', { n: number(e.count, locale), x: absolute(m.until) })}</span>}
        {e?.query && <Link to={`/search?${new URLSearchParams({ query: e.query, ...span })}`}>{t('graph.events')}</Link>}
        {m.alert && m.alert.count > 1 && <span className="faint">{t('story.times', { n: number(m.alert.count, locale), x: absolute(m.until) })}</span>}
      </div>
    </li>
  );
}
