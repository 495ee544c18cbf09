import { Segmented } from 'antd';
import { Link } from 'react-router-dom';
import type { EntityPortrait, EntitySide } from '../../api/entities';
import { PHASES, VERDICTS, type Facet, type Phase, type Verdict } from '../../api/judgement';
import { list, type List, type Severity } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { zh, type Key } from '../../locales/zh';
import { absolute, number } from '../../logic/format';
import { PhaseStrip, useTaxonomy, VerdictMark } from '../judgement';
import { Panel } from '../page';
import { SeverityMark, StatusMark } from '../severity';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When, WhenFull } from '../time';
import { Entity, Token } from '../token';
import { usePart, type About } from './ask';
import { Files } from './files';

export const ROLES = ['any', 'attacker', 'victim'] as const;
export type Role = (typeof ROLES)[number];

export function useRole(): Role {
  const [url] = useUrl();
  return ROLES.find((r) => r === url.get('role')) ?? 'any';
}

/** What part the entity plays; in the page's address. */
export function RolePicker() {
  const { t } = useSettings();
  const [, setUrl] = useUrl();
  const role = useRole();
  return <Segmented<Role> aria-label={t('entity.role')} value={role} options={ROLES.map((r) => ({ value: r, label: t(`entity.role.${r}`) }))} onChange={(r) => setUrl({ role: r === 'any' ? undefined : r }, true)} />;
}

function Side({ of: s }: { of: EntitySide }) {
  return (
    <>
      {s.item ? <Entity type="asset" value={s.item}>{s.name || s.item}</Entity> : s.name && <b>{s.name}</b>} {s.ip && <Token field="source.ip" value={s.ip} />}
    </>
  );
}

/** An entity as attacker or victim, from the alerts that tell of it. */
export function Portrait({ about }: { about: About }) {
  const { t, tx, locale } = useSettings();
  const role = useRole();
  const taxonomy = useTaxonomy();
  const query = usePart<EntityPortrait>(about, 'portrait', { role });
  const facet = (title: Key, values: List<Facet>, show: (v: string) => React.ReactNode) =>
    list(values).length > 0 && (
      <div>
        <h3>{t(title)}</h3>
        {list(values).slice(0, 12).map((f) => (
          <div className="hitrow" key={f.value}>
            <span title={f.value}>{show(f.value)}</span>
            <span>{number(f.alerts, locale)}</span>
          </div>
        ))}
      </div>
    );
  return (
    <div className="stack" style={{ gap: 14 }}>
      <div>
        <RolePicker />
      </div>
      <Stale query={query} />
      <Loaded query={query} what="entity.part" lines={10}>
        {(p) =>
          p.alerts === 0 ? (
            <Panel title={t('entity.tab.portrait')}>
              <Empty small title={t('entity.noAlerts')} why={t('entity.noAlertsWhy')} />
            </Panel>
          ) : (
            <>
              {p.suspicion && (
                <Panel title={t('entity.suspect')} id="entity-suspicion">
                  <div style={{ fontSize: 15, lineHeight: 1.7 }}>
                    <Side of={p.suspicion.asset} />{' '}
                    {p.suspicion.from ? t('entity.suspectBetween', { a: absolute(p.suspicion.from), b: absolute(p.suspicion.to) }) : t('entity.suspectBefore', { b: absolute(p.suspicion.to) })}
                    {(p.suspicion.by.ip || p.suspicion.by.item) && (
                      <>
                        {' · '}
                        {t('entity.suspectBy', { x: '' })} <Side of={p.suspicion.by} />
                      </>
                    )}
                  </div>
                  <ul className="reasons">
                    {list(p.suspicion.why).map((w) => (
                      <li key={w}>{`entity.why.${w}` in zh ? t(`entity.why.${w}` as Key) : w}</li>
                    ))}
                    {p.suspicion.seen > 1 && <li>{t('entity.suspectSeen', { n: p.suspicion.seen })}</li>}
                    <li>
                      <Link to={`/alerts/${encodeURIComponent(p.suspicion.alert)}`}>{t('entity.firstSign')}</Link>
                    </li>
                  </ul>
                </Panel>
              )}
              <Panel title={t('entity.tab.portrait')} id="entity-portrait">
                {p.partial && <div className="dim">{t('entity.partial')}</div>}
                <div className="figures">
                  {(
                    [
                      ['entity.alerts', p.alerts],
                      ['entity.attacks', p.events],
                      ['entity.incidents', p.incidents],
                      ['status.open', p.open],
                      ['status.acknowledged', p.acknowledged],
                      ['status.closed', p.closed],
                      ['entity.true', p.true_positives],
                      ['entity.false', p.false_positives],
                    ] as [Key, number][]
                  ).map(([k, n]) => (
                    <div key={k} data-figure={k}>
                      <div className="v">{number(n, locale)}</div>
                      <div className="l">{t(k)}</div>
                    </div>
                  ))}
                </div>
                <div style={{ margin: '10px 0' }}>
                  <PhaseStrip phases={list(p.phases).map((f) => f.value as Phase).filter((x) => PHASES.includes(x))} />
                </div>
                <div className="facetgrid">
                  {facet('col.severity', p.severities, (v) => <SeverityMark level={v as Severity} />)}
                  {facet('entity.verdicts', list(p.verdicts).filter((f) => VERDICTS.includes(f.value as Verdict)), (v) => <VerdictMark value={v as Verdict} />)}
                  {facet('entity.techniques', p.techniques, (v) => (
                    <>
                      <span className="mono">{v}</span> {tx(taxonomy?.techniques?.[v])}
                    </>
                  ))}
                  {facet('entity.ends', p.others, (v) => <Token field="source.ip" value={v} />)}
                  {list(p.rules).length > 0 && (
                    <div>
                      <h3>{t('entity.rules')}</h3>
                      {list(p.rules).slice(0, 12).map((r) => (
                        <div className="hitrow" key={r.rule}>
                          <span title={tx(r.title)}>
                            <Link to={`/rules/${encodeURIComponent(r.rule)}`}>{tx(r.title) || r.rule}</Link>
                          </span>
                          <span>{number(r.alerts, locale)}</span>
                        </div>
                      ))}
                    </div>
                  )}
                </div>
              </Panel>
              <Panel title={t('entity.chain')} end={<><span className="faint">{t('entity.chainFirst')}</span><Files about={about} list="alerts" role={role} /></>}>
                <ol className="timeline" data-testid="entity-chain">
                  {list(p.chain).map((l) => (
                    <li key={l.id} className="k-alert">
                      <div className="t-head">
                        <SeverityMark level={l.severity} />
                        <VerdictMark value={l.verdict} />
                        <StatusMark status={l.status} />
                        {l.phase && `phase.${l.phase}` in zh && <span className="tag">{t(`phase.${l.phase}` as Key)}</span>}
                        {list(l.techniques).slice(0, 3).map((x) => (
                          <span className="tag mono" key={x} title={tx(taxonomy?.techniques?.[x])}>
                            {x}
                          </span>
                        ))}
                        <When time={l.first_seen} />
                      </div>
                      <Link to={`/alerts/${encodeURIComponent(l.id)}`}>{tx(l.title)}</Link>
                      {(l.attacker?.ip || l.victim?.ip) && (
                        <div className="dim">
                          {l.attacker?.ip && <Token field="source.ip" value={l.attacker.ip} />} → {l.victim?.ip && <Token field="destination.ip" value={l.victim.ip} />} {l.victim?.name}
                        </div>
                      )}
                    </li>
                  ))}
                </ol>
              </Panel>
              {list(p.judged).length > 0 && (
                <Panel title={t('entity.decided')} flush>
                  <DataTable
                    label={t('entity.decided')}
                    rows={list(p.judged)}
                    rowKey={(x) => x.alert}
                    columns={[
                      { key: 'at', title: t('entity.at'), width: 170, render: (x) => <WhenFull time={x.at} /> },
                      { key: 'title', title: t('entity.alerts'), render: (x) => <Link to={`/alerts/${encodeURIComponent(x.alert)}`}>{tx(x.title)}</Link> },
                      { key: 'how', title: t('entity.conclusion'), render: (x) => (`resolution.${x.resolution}` in zh ? t(`resolution.${x.resolution}` as Key) : x.resolution) },
                      { key: 'by', title: t('entity.by'), render: (x) => x.by },
                    ]}
                  />
                </Panel>
              )}
            </>
          )
        }
      </Loaded>
    </div>
  );
}
