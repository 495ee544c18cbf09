import { useQueries } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import { list, type Alert, type CIRef, type LogEvent, type SystemRef } from '../api/types';
import { useSettings, useT } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { fieldIs } from '../logic/logsql';
import { techniqueName } from '../logic/risk';
import { FieldTable, RawEvent } from './events';
import { useTaxonomy } from './judgement';
import { TenantName } from './names';
import { ContactCard } from './risk';
import { Criticality, Priority, SeverityMark } from './severity';
import { Skeleton } from './states';
import { Token } from './token';

export function EvidenceTable({ alert }: { alert: Alert }) {
  const t = useT();
  const evidence = list(alert.evidence);
  if (evidence.length === 0) return null;
  return (
    <table className="evidence">
      <thead>
        <tr>
          <th>{t('alert.selection')}</th>
          <th>{t('alert.field')}</th>
          <th>{t('alert.value')}</th>
        </tr>
      </thead>
      <tbody>
        {evidence.map((e, i) => (
          <tr key={i}>
            <td className="dim">{e.selection === 'group-by' ? t('alert.groupBy') : e.selection}</td>
            <td className="mono">{e.field}</td>
            <td>
              <mark>
                <Token field={e.field} value={e.value} />
              </mark>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const SHOWN = 20;

/** A LogsQL query and range that find an alert's events. */
export function eventsLink(ids: readonly string[], from: string, to: string): string {
  const query = ids.length === 1 ? fieldIs('event.id', ids[0] as string) : `event.id:in(${ids.map((i) => JSON.stringify(i)).join(',')})`;
  const start = new Date(Date.parse(from) - 60_000).toISOString();
  const end = new Date(Date.parse(to) + 60_000).toISOString();
  return `/search?${new URLSearchParams({ query, start, end })}`;
}

/** The events behind an alert, the latest first: raw with marks, then every field. */
export function EvidenceEvents({ alert }: { alert: Alert }) {
  const t = useT();
  const ids = [...list(alert.event_ids)].slice(-SHOWN).reverse();
  const [at, setAt] = useState(0);
  const [all, setAll] = useState(false);
  const events = useQueries({
    queries: ids.map((id, i) => ({
      queryKey: ['event', id],
      queryFn: ({ signal }: { signal: AbortSignal }) => get<LogEvent>(`/events/${encodeURIComponent(id)}`, {}, signal),
      enabled: i === at,
      staleTime: Infinity,
      retry: 1,
    })),
  });
  const current = events[at];
  if (current?.isLoading) return <Skeleton lines={4} />;
  const event = current?.data ?? alert.fields ?? {};
  const raw = String(event['event.original'] ?? event['message'] ?? '');
  const evidence = list(alert.evidence);
  const shown: LogEvent = { ...event };
  delete shown['event.original'];
  return (
    <div>
      <div className="row wrap" style={{ marginBottom: 6 }}>
        <b>{t('alert.raw')}</b>
        {ids.length > 0 && (
          <span className="dim">
            {t('alert.rawOf', { i: at + 1, n: ids.length })}
          </span>
        )}
        {ids.length > 1 && (
          <>
            <Button size="small" disabled={at === 0} onClick={() => setAt(at - 1)} aria-label="◀">
              ‹
            </Button>
            <Button size="small" disabled={at === ids.length - 1} onClick={() => setAt(at + 1)} aria-label="▶">
              ›
            </Button>
          </>
        )}
        <span className="faint" style={{ marginLeft: 'auto' }}>
          {t('alert.mark')}
        </span>
      </div>
      {current?.error && <div className="stale">{t('alert.rawGone')}</div>}
      {raw && <RawEvent raw={raw} evidence={evidence} />}
      <div className="row" style={{ margin: '10px 0 4px' }}>
        <button className="plain" style={{ color: 'var(--accent-text)' }} aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? '▾' : '▸'} {t('alert.fields')} <span className="faint">{Object.keys(shown).length}</span>
        </button>
        {ids.length > 0 && (
          <Link style={{ marginLeft: 'auto' }} to={eventsLink(list(alert.event_ids), alert.first_seen, alert.last_seen)}>
            {t('alert.searchAll')}
          </Link>
        )}
      </div>
      {(all || !raw) && <FieldTable event={shown} evidence={evidence} />}
    </div>
  );
}

export function HowBad({ alert }: { alert: Alert }) {
  const { t, tx } = useSettings();
  const reasons = list(alert.reasons).map(tx).filter(Boolean);
  return (
    <>
      <div className="equation">
        <div>
          <small>{t('alert.level')}</small>
          <SeverityMark level={alert.rule.level || alert.severity} />
        </div>
        <span className="op" aria-hidden="true">
          ×
        </span>
        <div>
          <small>{t('alert.criticality')}</small>
          {alert.ci?.criticality ? <Criticality value={alert.ci.criticality} /> : <span className="dim">{t('alert.noCI')}</span>}
        </div>
        <span className="op" aria-hidden="true">
          =
        </span>
        <div>
          <small>{t('col.priority')}</small>
          <Priority value={alert.priority} />
        </div>
      </div>
      {reasons.length > 0 && (
        <ul className="reasons" aria-label={t('alert.reasons')}>
          {reasons.map((r, i) => (
            <li key={i}>{r}</li>
          ))}
        </ul>
      )}
      {alert.routing && Object.keys(alert.routing).length > 0 && (
        <div className="tags">
          {Object.entries(alert.routing).map(([k, v]) => (
            <span key={k} className="tag mono">
              {k}={v}
            </span>
          ))}
        </div>
      )}
      <Link className="dim" to={`/policies?${new URLSearchParams({ alert: alert.id })}`}>
        {t('policy.log')}
      </Link>
    </>
  );
}

export function AssetFacts({ ci, system, owner, tenant }: { ci?: CIRef | null; system?: SystemRef | null; owner?: string; tenant?: string }) {
  const t = useT();
  return (
    <>
      {!ci && (
        <p className="dim" style={{ marginBottom: 8 }}>
          {t('alert.assetNone')} <Link to="/cmdb">{t('alert.assetAdd')}</Link>
        </p>
      )}
      <dl className="facts">
        {ci && (
          <>
            <dt>{t('alert.asset')}</dt>
            <dd>
              <Link to={`/cmdb/${encodeURIComponent(ci.id)}`}>{ci.name || ci.id}</Link>
            </dd>
            <dt>{t('cmdb.criticality')}</dt>
            <dd>
              <Criticality value={ci.criticality} />
            </dd>
          </>
        )}
        {system && (system.name || system.id) && (
          <>
            <dt>{t('col.system')}</dt>
            <dd>
              <Link to={`/cmdb/${encodeURIComponent(system.id)}`}>{system.name || system.id}</Link>
            </dd>
          </>
        )}
        {tenant && (
          <>
            <dt>{t('col.tenant')}</dt>
            <dd>
              <TenantName slug={tenant} />
            </dd>
          </>
        )}
        {(owner || ci?.owner) && (
          <>
            <dt>{t('col.owner')}</dt>
            <dd>{ci?.id ? <ContactCard id={ci.id}>{owner || ci.owner}</ContactCard> : owner}</dd>
          </>
        )}
        {list(ci?.labels).length > 0 && (
          <>
            <dt>{t('cmdb.labels')}</dt>
            <dd className="row wrap" style={{ gap: 4 }}>
              {list(ci?.labels).map((l) => (
                <span key={l} className="tag">
                  {l}
                </span>
              ))}
            </dd>
          </>
        )}
      </dl>
    </>
  );
}

/** ATT&CK's tactics in the order of an intrusion. */
const TACTICS = Object.keys(zh)
  .filter((k) => k.startsWith('tactic.'))
  .map((k) => k.slice('tactic.'.length));

/** A technique of ATT&CK: its code, and what it is called. */
function Technique({ id }: { id: string }) {
  const { tx } = useSettings();
  const name = tx(techniqueName(useTaxonomy()?.techniques, id));
  return (
    <span className="tag technique" title={name ? `${id} ${name}` : undefined} data-testid="technique">
      <span className="mono">{id}</span>
      {name && <span className="ellipsis">{name}</span>}
    </span>
  );
}

/** How far an intrusion has come, and by which techniques. */
export function Attack({ tactics, techniques }: { tactics?: string[] | null; techniques?: string[] | null }) {
  const t = useT();
  const phases = [...list(tactics)].sort((a, b) => TACTICS.indexOf(a) - TACTICS.indexOf(b));
  const codes = list(techniques);
  if (phases.length + codes.length === 0) return null;
  return (
    <span className="row wrap" style={{ gap: 4, display: 'inline-flex', maxWidth: '100%' }}>
      {phases.length > 0 && (
        <span className="chain" aria-label={t('alert.phases')}>
          {phases.map((x) => {
            const key = `tactic.${x}`;
            return <span key={x}>{key in zh ? t(key as Key) : x}</span>;
          })}
        </span>
      )}
      {codes.map((x) => (
        <Technique key={x} id={x} />
      ))}
    </span>
  );
}
