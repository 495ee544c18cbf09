import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import { DIRECTIONS, PHASES, type Judged, type Party, type Phase, type Taxonomy, type Verdict } from '../api/judgement';
import { useCan } from '../api/queries';
import { list, type List } from '../api/types';
import { useSettings, useT } from '../app/settings';
import { localTimes } from '../logic/format';
import { riskNames } from '../logic/risk';
import { TenantName, useTenantName } from './names';
import { Token } from './token';

/** How alerts are classed: the tree of risks, the types of attack, and names. */
export function useTaxonomy(): Taxonomy | undefined {
  const can = useCan();
  return useQuery({
    enabled: can('get-taxonomy'),
    queryKey: ['taxonomy'],
    queryFn: ({ signal }) => get<Taxonomy>('/taxonomy', {}, signal),
    staleTime: 300_000,
  }).data;
}

/** How far an attack got: shape, word and colour together. */
export function VerdictMark({ value, reason }: { value?: Verdict; reason?: string }) {
  const t = useT();
  if (!value) return null;
  return (
    <span className={`vmark vmark-${value}`} title={reason ? localTimes(reason) : undefined} data-testid="verdict">
      <svg width="11" height="11" viewBox="0 0 12 12" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round">
        {value === 'failed' && <path d="M2.5 2.5 9.5 9.5M9.5 2.5 2.5 9.5" />}
        {value === 'attempt' && <circle cx="6" cy="6" r="4.2" strokeDasharray="2.2 2" />}
        {value === 'success' && <path d="M1.8 6.4 4.8 9.4 10.4 2.8" />}
        {value === 'compromised' && <path d="M6 1 11 10.5H1zM6 4.6v2.6M6 9h.01" />}
      </svg>
      {t(`verdict.${value}`)}
    </span>
  );
}

/** The kill chain with the phases that were reached. */
export function PhaseStrip({ phases }: { phases?: List<Phase> }) {
  const t = useT();
  const reached = list(phases);
  if (reached.length === 0) return null;
  return (
    <ol className="phases" aria-label={t('judged.phases')} data-testid="phases">
      {PHASES.map((p) => (
        <li key={p} className={reached.includes(p) ? 'on' : ''} aria-current={reached.includes(p) ? 'step' : undefined}>
          {t(`phase.${p}`)}
        </li>
      ))}
    </ol>
  );
}

/** One side of an attack: the machine by its name, and where it stands. */
function PartyBox({ party, side, outside }: { party?: Party; side: 'attacker' | 'victim'; outside: boolean }) {
  const t = useT();
  const tenantName = useTenantName();
  const field = side === 'attacker' ? 'source.ip' : 'destination.ip';
  return (
    <div className={`party ${side}`} data-testid={side}>
      <small>{t(`judged.${side}`)}</small>
      {!party ? (
        <span className="dim">{t('judged.unknown')}</span>
      ) : (
        <>
          <div className="who">
            {party.item ? <Link to={`/cmdb/${encodeURIComponent(party.item)}`}>{party.name || party.item}</Link> : party.name && <b>{party.name}</b>}
            {party.ip && <Token field={field} value={party.ip} />}
            {!party.name && !party.ip && party.user && <Token field="user.name" value={party.user} />}
          </div>
          <div className="where">
            {party.zone ? <span className="tag">{party.zone}</span> : outside && <span className="tag">{t('judged.outside')}</span>}
            {party.system && <span className="tag">{party.system}</span>}
            {party.tenant && tenantName(party.tenant) !== party.system && (
              <span className="tag">
                <TenantName slug={party.tenant} />
              </span>
            )}
            {party.user && (party.name || party.ip) && (
              <span className="dim">
                {t('alert.user')} <Token field="user.name" value={party.user} />
              </span>
            )}
          </div>
        </>
      )}
    </div>
  );
}

/** Whether a side lies outside of the networks that are ours. The direction is that of the
    connection: on the way out the victim, which makes it, is ours. */
function outside(j: Judged, p?: Party): boolean {
  return !!p && !p.zone && !p.item && !!j.direction && ['inbound', 'outbound', 'external'].includes(j.direction);
}

/** Who attacks whom, and which way. */
export function Parties({ of: j }: { of: Judged }) {
  const t = useT();
  if (!j.attacker && !j.victim) return null;
  return (
    <div className="parties">
      <PartyBox party={j.attacker} side="attacker" outside={outside(j, j.attacker)} />
      <div className="arrow" aria-hidden="true">
        <span>→</span>
        {j.direction && DIRECTIONS.includes(j.direction) && <small>{t(`direction.${j.direction}`)}</small>}
      </div>
      <PartyBox party={j.victim} side="victim" outside={outside(j, j.victim)} />
    </div>
  );
}

/** Who attacks whom, and how that went. */
export function Judgement({ of: j }: { of: Judged }) {
  const { t, tx } = useSettings();
  const taxonomy = useTaxonomy();
  const risk = riskNames(list(taxonomy?.risks), [j.risk?.class, j.risk?.subclass, j.risk?.type]);
  const attack = list(taxonomy?.attacks).find((a) => a.id === j.attack);
  const reason = localTimes(tx(j.verdict_reason));
  return (
    <div className="judgement" data-testid="judgement">
      <Parties of={j} />
      <PhaseStrip phases={j.phases} />
      <dl className="facts">
        <dt>{t('judged.verdict')}</dt>
        <dd>
          {j.verdict ? <VerdictMark value={j.verdict} /> : <span className="dim">{t('judged.noVerdict')}</span>}
          {reason && <div data-testid="verdict-reason">{reason}</div>}
        </dd>
        {j.attack && (
          <>
            <dt>{t('judged.attack')}</dt>
            <dd>{attack ? tx(attack.name) : j.attack}</dd>
          </>
        )}
        {j.threat && (
          <>
            <dt>{t('judged.threat')}</dt>
            <dd>{t(`threat.${j.threat}`)}</dd>
          </>
        )}
        {risk.length > 0 && (
          <>
            <dt>{t('judged.risk')}</dt>
            <dd data-testid="risk">
              <span className="chain">
                {risk.map((n, i) => (
                  <span key={i}>{tx(n)}</span>
                ))}
              </span>
              <div className="faint">GB/Z 20986-2007</div>
            </dd>
          </>
        )}
      </dl>
    </div>
  );
}

/** The attackers or victims of an incident. */
export function PartyList({ parties, field }: { parties?: List<Party>; field: string }) {
  return (
    <>
      {list(parties).map((p, i) => (
        <div key={i} className="row wrap" style={{ gap: 6 }}>
          {p.item ? <Link to={`/cmdb/${encodeURIComponent(p.item)}`}>{p.name || p.item}</Link> : p.name && <b>{p.name}</b>}
          {p.ip && <Token field={field} value={p.ip} />}
          {p.user && <Token field="user.name" value={p.user} />}
          {p.zone && <span className="tag">{p.zone}</span>}
        </div>
      ))}
    </>
  );
}
