import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Link, useNavigate } from 'react-router-dom';
import { get } from '../api/client';
import type { Notice } from '../api/notices';
import { useCan, useOverview } from '../api/queries';
import { SEVERITIES, list, type Alert, type Incident, type Overview, type Page, type SourceHealth } from '../api/types';
import { copyText, useFeedback } from '../app/feedback';
import { useNow } from '../app/hooks';
import { useRowKeys } from '../app/rows';
import { useSettings } from '../app/settings';
import { clock, number, zone } from '../logic/format';
import { Checklist } from '../parts/checklist';
import { TenantName } from '../parts/names';
import { objectLink } from '../parts/orders/detail';
import { Head, Panel, Updated } from '../parts/page';
import { Priority, SeverityMark, StatusMark } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { Deadline, SLAClock, When } from '../parts/time';
import { Entity } from '../parts/token';
import { sourceState } from '../parts/source';

/** Whether anything came in from outside: the suite's own records of what people do count among the events, too. */
const received = (o: Overview) => list(o.sources).some((s) => s.received > 0);

function Verdict({ o }: { o: Overview }) {
  const { t } = useSettings();
  const n = o.me.incidents_open;
  if (n > 0) {
    return (
      <p className="verdict">
        {t('shift.now', { n })}
        {o.me.incidents_breaching > 0 && <span className="pill">{t('shift.breached', { n: o.me.incidents_breaching })}</span>}
      </p>
    );
  }
  return (
    <p className="verdict">
      {t('shift.calm')}
      <span className="dim" style={{ fontWeight: 400 }}>
        {' · '}
        {o.alerts.unacknowledged > 0 ? t('shift.calmAlerts', { n: o.alerts.unacknowledged }) : t('shift.calmAll')}
      </span>
    </p>
  );
}

function Stat({ to, n, label, hot }: { to: string; n: number; label: string; hot?: boolean }) {
  const { locale } = useSettings();
  return (
    <Link to={to} className={`panel stat${hot ? ' hot' : ''}`}>
      <span className="n">{number(n, locale)}</span>
      <span className="l">{label}</span>
    </Link>
  );
}

export function IncidentLine({ i, columns, at }: { i: Incident; columns: string; /** The cursor stands on it. */ at?: boolean }) {
  const { tx } = useSettings();
  return (
    <div className={at ? 'line cursor' : 'line'} role="row" data-id={i.id} style={{ gridTemplateColumns: columns }}>
      <SeverityMark level={i.severity} />
      <span role="cell" style={{ minWidth: 0 }}>
        <Link className="what clamp2" to={`/incidents/${encodeURIComponent(i.id)}`} title={tx(i.title)}>
          {tx(i.title)}
        </Link>
      </span>
      <span role="cell" className="ellipsis dim" title={i.system?.name}>
        {i.system ? (
          <Entity type="asset" value={i.system.id}>
            {i.system.name}
          </Entity>
        ) : (
          i.ci?.name || <TenantName slug={i.tenant} />
        )}
      </span>
      <Priority value={i.priority} />
      <span className="ellipsis dim">{i.assignee || '–'}</span>
      <span className="num">
        <SLAClock sla={i.sla} />
      </span>
    </div>
  );
}

function AlertLine({ a, at }: { a: Alert; at?: boolean }) {
  const { locale, tx } = useSettings();
  return (
    <div className={at ? 'line cursor' : 'line'} role="row" data-id={a.id} style={{ gridTemplateColumns: 'var(--sev-w) minmax(0,1fr) 124px 52px var(--status-w) 70px' }}>
      <SeverityMark level={a.severity} />
      <span role="cell" style={{ minWidth: 0 }}>
        <Link className="what ellipsis" to={`/alerts/${encodeURIComponent(a.id)}`} title={tx(a.title)}>
          {tx(a.title)}
        </Link>
      </span>
      <span role="cell" className="nowrap">
        {a.attacker?.ip ? <Entity type="ip" value={a.attacker.ip} zone={a.attacker.zone} /> : <span className="faint">–</span>}
      </span>
      <span className="num dim">×{number(a.count, locale)}</span>
      <StatusMark status={a.status} />
      <span className="num dim">
        <When time={a.last_seen} age />
      </span>
    </div>
  );
}

function Intake({ o }: { o: Overview }) {
  const { t, locale } = useSettings();
  const now = useNow(5);
  const sources = list(o.sources);
  const bad = sources.filter((s) => ['error', 'silent'].includes(sourceState(s, now).kind));
  const rest = sources.filter((s) => !bad.includes(s));
  const line = (s: SourceHealth) => {
    const st = sourceState(s, now);
    return (
      <div className="src" key={s.id}>
        <i className={`dot ${st.kind === 'ok' ? 'ok' : st.kind === 'off' || st.kind === 'waiting' ? 'off' : 'error'}`} />
        <span className="ellipsis" title={s.listen}>
          {s.id}
        </span>
        <span className="grow ellipsis num dim" title={s.error}>
          {st.kind === 'error' ? s.error || t('source.error') : st.kind === 'silent' ? t('source.silent', { t: clock(st.ms, locale) }) : st.kind === 'waiting' ? t('source.waiting') : st.kind === 'off' ? t('source.off') : number(s.received, locale)}
        </span>
      </div>
    );
  };
  return (
    <Panel title={t('shift.intake')} end={<Link to="/sources">{t('shift.allSources')}</Link>} flush>
      <div className="gauges" style={{ padding: '2px 14px 12px' }}>
        <div>
          <div className="v">{number(o.intake.events_per_second, locale)}</div>
          <div className="l">{t('shift.eps')}</div>
        </div>
        <div>
          <div className="v">{number(o.intake.events_total, locale)}</div>
          <div className="l">{t('shift.total')}</div>
        </div>
        <div>
          <div className="v">{t('seconds', { n: o.intake.lag_seconds < 10 ? Math.round(o.intake.lag_seconds * 10) / 10 : Math.round(o.intake.lag_seconds) })}</div>
          <div className="l">{t('shift.lag')}</div>
        </div>
        <div>
          <div className="v">{number(o.intake.queue_messages, locale)}</div>
          <div className="l">{t('shift.queue')}</div>
        </div>
        <div>
          <div className="v" style={o.intake.dropped_total > 0 ? { color: 'var(--medium)' } : undefined}>
            {number(o.intake.dropped_total, locale)}
          </div>
          <div className="l">{t('shift.dropped')}</div>
        </div>
        <div>
          <div className="v">{number(o.tenants_with_events_24h, locale)}</div>
          <div className="l">{t('shift.tenants')}</div>
        </div>
      </div>
      {bad.length > 0 && (
        <div className="src" style={{ background: 'var(--warn-bg)', fontWeight: 600 }}>
          {t('shift.silent', { n: bad.length })}
        </div>
      )}
      {bad.map(line)}
      {rest.map(line)}
    </Panel>
  );
}

function NoEvents({ sources }: { sources: SourceHealth[] }) {
  const { t } = useSettings();
  const { done, failed } = useFeedback();
  const port = /:(\d+)$/.exec(sources.find((s) => s.kind === 'syslog_udp' && s.state === 'ok')?.listen ?? '')?.[1] ?? '5514';
  const command = `logger -n ${window.location.hostname} -P ${port} -d 'hello icewatch'`;
  return (
    <div className="panel">
      <Empty title={t('shift.noEvents')} why={t('shift.noEventsWhy')}>
        <code className="cmd">{command}</code>
        <Button onClick={() => void copyText(command).then(() => done(t('do.copied')), failed)}>{t('do.copy')}</Button>
      </Empty>
      <div className="state" style={{ paddingTop: 0 }}>
        <div>{t('shift.noEventsOr')}</div>
        <code className="cmd">icewatch simulate</code>
      </div>
    </div>
  );
}

/** Circulars and early warnings that wait for the reader; nothing where none do. */
function Letters() {
  const { t } = useSettings();
  const can = useCan();
  const query = useQuery({ enabled: can('list-notices'), queryKey: ['notices', 'unread'], queryFn: ({ signal }) => get<Page<Notice>>('/notices', { unread: true, state: 'published', limit: 5 }, signal), refetchInterval: 60_000 });
  const rows = list(query.data?.items);
  if (rows.length === 0) return null;
  return (
    <Panel title={t('shift.notices')} end={<Link to="/notices?unread=true">{t('shift.allNotices', { n: query.data?.total ?? rows.length })}</Link>} flush>
      {rows.map((n) => (
        <div className="src" key={n.id}>
          <SeverityMark level={n.level} word={false} />
          <Link className="grow ellipsis" to={`/notices/${encodeURIComponent(n.id)}`} title={n.name}>
            {n.name}
          </Link>
          {n.due ? <Deadline due={new Date(n.due).toISOString()} /> : <span className="dim">{t(`notice.kind.${n.kind}`)}</span>}
        </div>
      ))}
    </Panel>
  );
}

const INCIDENT_COLUMNS = 'var(--sev-w) minmax(0,1fr) 130px 30px 60px 112px';

export default function Shift() {
  const { t, locale } = useSettings();
  const query = useOverview();
  const navigate = useNavigate();
  const listed = [...list(query.data?.incidents).map((i) => i.id), ...list(query.data?.latest_alerts).map((a) => a.id)];
  const [at] = useRowKeys(listed, (id) => navigate(objectLink(id)));
  return (
    <div className="page">
      <Head title={t('page.shift')}>
        <Updated at={query.dataUpdatedAt} />
        <span className="tag">{zone()}</span>
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.shift" lines={12}>
        {(o) => {
          const max = Math.max(1, ...SEVERITIES.map((s) => o.alerts.by_severity?.[s] ?? 0));
          const incidents = list(o.incidents);
          const alerts = list(o.latest_alerts);
          return (
            <>
              <Verdict o={o} />
              <div className="stats">
                <Stat to="/incidents" n={o.me.incidents_open} label={t('shift.open')} />
                <Stat to="/incidents?mine=true" n={o.me.incidents_mine} label={t('shift.mine')} />
                <Stat to="/incidents?sla=breaching" n={o.me.incidents_breaching} label={t('shift.breaching')} hot={o.me.incidents_breaching > 0} />
                <Stat to="/alerts?status=open" n={o.alerts.unacknowledged} label={t('shift.unacked')} />
              </div>
              <div className="cols">
                <div className="stack" style={{ gap: 14 }}>
                  <Checklist received={received(o)} />
                  {/* How to send a first log is for who looks after the sources. */}
                  {!received(o) && alerts.length === 0 && list(o.sources).length > 0 ? (
                    <NoEvents sources={list(o.sources)} />
                  ) : (
                    <>
                      <Panel title={t('shift.incidents')} end={<Link to="/incidents">{t('shift.allIncidents')}</Link>} flush>
                        <div className="list" role="table" aria-label={t('shift.incidents')}>
                          {incidents.map((i) => (
                            <IncidentLine key={i.id} i={i} at={i.id === at} columns={INCIDENT_COLUMNS} />
                          ))}
                        </div>
                        {incidents.length === 0 && <Empty small title={t('shift.noIncidents')} why={t('shift.noIncidentsWhy')} />}
                      </Panel>
                      <Panel title={t('shift.alerts')} end={<Link to="/alerts">{t('shift.allAlerts')}</Link>} flush>
                        <div className="list" role="table" aria-label={t('shift.alerts')}>
                          {alerts.map((a) => (
                            <AlertLine key={a.id} a={a} at={a.id === at} />
                          ))}
                        </div>
                        {alerts.length === 0 && <Empty small title={t('shift.noAlerts')} why={t('shift.noAlertsWhy')} />}
                      </Panel>
                    </>
                  )}
                </div>
                <div className="stack" style={{ gap: 14 }}>
                  <Panel title={t('shift.bySeverity')} end={<span className="dim">{number(o.alerts.open, locale)}</span>}>
                    <div className="bars">
                      {SEVERITIES.map((s) => {
                        const n = o.alerts.by_severity?.[s] ?? 0;
                        return (
                          <Link key={s} to={`/alerts?severity=${s}`} aria-label={`${t(`sev.${s}`)} ${n}`}>
                            <SeverityMark level={s} />
                            <span className="track">
                              <i style={{ width: `${(n / max) * 100}%`, background: `var(--${s})` }} />
                            </span>
                            <span className="num">{number(n, locale)}</span>
                          </Link>
                        );
                      })}
                    </div>
                  </Panel>
                  <Letters />
                  <Intake o={o} />
                </div>
              </div>
            </>
          );
        }}
      </Loaded>
    </div>
  );
}
