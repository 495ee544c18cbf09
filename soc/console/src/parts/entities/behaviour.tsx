import { useMemo } from 'react';
import { Link } from 'react-router-dom';
import type { EntityBehaviour, EntitySeen } from '../../api/entities';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import type { Key } from '../../locales/zh';
import { number } from '../../logic/format';
import { fieldIs } from '../../logic/logsql';
import { Lines } from '../charts';
import { TenantName } from '../names';
import { Panel } from '../page';
import { Empty, Loaded, Stale } from '../states';
import { When, WhenFull } from '../time';
import { Token } from '../token';
import { usePart, type About } from './ask';
import { Files } from './files';

/** Fields by what they tell, in the order of the page. */
const GROUPS: readonly [Key, readonly string[]][] = [
  ['entity.facet.sources', ['event.dataset', 'icewatch.tenant', 'observer.name']],
  ['entity.facet.network', ['network.transport', 'network.protocol', 'destination.port', 'server.port', 'source.ip', 'destination.ip']],
  ['entity.facet.people', ['user.name', 'host.name']],
  ['entity.facet.programs', ['process.name', 'process.executable', 'service.name']],
  ['entity.facet.sites', ['url.domain', 'dns.question.name', 'http.response.status_code']],
  ['entity.facet.actions', ['event.action', 'event.outcome']],
];

/** What an entity did: events over time by kind, and what they name most. */
export function Behaviour({ about, seen }: { about: About; seen: ReturnType<typeof usePart<EntitySeen>> }) {
  const { t, locale } = useSettings();
  const query = usePart<EntityBehaviour>(about, 'behaviour');
  const d = query.data;
  const lines = useMemo(
    () => ({
      times: list(d?.times).map((x) => Date.parse(x)),
      lines: list(d?.kinds).map((k) => ({ name: k.kind === '*' ? t('entity.kindRest') : k.kind || t('entity.kindNone'), values: [...list(k.values)] })),
    }),
    [d, t],
  );
  const logs = (more = '') => `/search?${new URLSearchParams({ query: `${d?.query ?? ''}${more}`, ...('since' in about.range ? { since: about.range.since } : about.range) })}`;
  return (
    <>
      <Stale query={query} />
      <Loaded query={query} what="entity.part" lines={10}>
        {(b) =>
          b.events === 0 ? (
            <Panel title={t('entity.tab.behaviour')}>
              <Empty small title={t('entity.noEvents')} why={t('entity.noEventsWhy')}>
                {seen.data?.last && <span className="dim">{t('entity.everLast')} <WhenFull time={seen.data.last} /></span>}
              </Empty>
            </Panel>
          ) : (
            <div className="stack" style={{ gap: 14 }}>
              <Panel title={t('entity.eventsOver')} end={<Link to={logs()}>{t('entity.logs')}</Link>} id="entity-events">
                <div className="figures" style={{ marginBottom: 8 }}>
                  <div>
                    <div className="v" data-testid="entity-event-count">{number(b.events, locale)}</div>
                    <div className="l">{t('entity.events')}</div>
                  </div>
                  <div>
                    <div className="v" style={{ fontSize: 14 }}><When time={b.first} /></div>
                    <div className="l">{t('col.firstSeen')}</div>
                  </div>
                  <div>
                    <div className="v" style={{ fontSize: 14 }}><When time={b.last} /></div>
                    <div className="l">{t('col.lastSeen')}</div>
                  </div>
                  {(['success', 'failure', 'unknown'] as const)
                    .filter((k) => b.signins[k])
                    .map((k) => (
                      <div key={k}>
                        <div className="v">{number(b.signins[k] ?? 0, locale)}</div>
                        <div className="l">{`${t('entity.signins')} · ${t(`entity.signin.${k}`)}`}</div>
                      </div>
                    ))}
                </div>
                <Lines bars data={lines} label={t('entity.eventsOver')} bounds={[Date.parse(b.start), Date.parse(b.end)]} />
                <table className="visually-hidden">
                  <caption>{t('entity.eventsOver')}</caption>
                  <tbody>
                    {list(b.kinds).map((k) => (
                      <tr key={k.kind} data-kind={k.kind}>
                        <th scope="row">{k.kind || t('entity.kindNone')}</th>
                        <td>{number(k.events, locale)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Panel>
              {GROUPS.map(([title, fields], n) => {
                const shown = fields.flatMap((f) => list(b.facets).filter((x) => x.field === f && list(x.values).some((v) => v.value !== about.entity.value)));
                if (shown.length === 0) return null;
                return (
                  <Panel key={title} title={t(title)} end={n === 0 ? <Files about={about} list="values" /> : undefined}>
                    <div className="facetgrid">
                      {shown.map((f) => (
                        <div key={f.field} data-facet={f.field}>
                          <h3 className="mono">{f.field}</h3>
                          {list(f.values).filter((v) => v.value !== about.entity.value).map((v) => (
                            <div className="hitrow" key={v.value}>
                              <span title={v.value}>{f.field === 'icewatch.tenant' ? <TenantName slug={v.value} /> : <Token field={f.field} value={v.value} />}</span>
                              <Link to={logs(` ${fieldIs(f.field, v.value)}`)} aria-label={`${f.field} ${v.value}: ${number(v.hits, locale)}`}>
                                {number(v.hits, locale)}
                              </Link>
                            </div>
                          ))}
                          {f.others > 0 && <div className="faint">{t('entity.others', { n: number(f.others, locale) })}</div>}
                        </div>
                      ))}
                    </div>
                  </Panel>
                );
              })}
            </div>
          )
        }
      </Loaded>
    </>
  );
}
