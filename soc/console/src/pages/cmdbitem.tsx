import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from 'react-router-dom';
import { get } from '../api/client';
import { list, type Alert, type CMDBItem, type Page } from '../api/types';
import { usePageTitle } from '../app/hooks';
import { useSettings } from '../app/settings';
import { fieldValues } from '../logic/evidence';
import { number } from '../logic/format';
import { relatedItems } from '../logic/relations';
import { TenantName } from '../parts/names';
import { Panel } from '../parts/page';
import { ContactCard } from '../parts/risk';
import { Criticality, SeverityMark, StatusMark } from '../parts/severity';
import { Failed, Loaded, Skeleton, Stale } from '../parts/states';
import { When, WhenFull } from '../parts/time';
import { Token } from '../parts/token';
import { useClasses } from './cmdb';

export default function CMDBItemPage() {
  const { t, tx, locale } = useSettings();
  const { id = '' } = useParams();
  const classes = useClasses().data;
  const query = useQuery({ queryKey: ['cmdb', 'item', id], queryFn: ({ signal }) => get<CMDBItem>(`/cmdb/items/${encodeURIComponent(id)}`, {}, signal) });
  const alerts = useQuery({
    queryKey: ['alerts', 'ci', id],
    queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { ci: id, since: '720h', status: 'open,acknowledged,closed', limit: 20 }, signal),
    enabled: !!query.data && query.data.class !== 'organisation',
  });
  const i = query.data;
  usePageTitle(i?.name ?? t('page.cmdb'));
  if (!i) {
    return <div className="page">{query.error ? <Failed error={query.error} what="cmdb.what" retry={() => void query.refetch()} /> : <Skeleton lines={12} />}</div>;
  }
  const className = (c: string) => tx(classes?.find((x) => x.class === c)?.name) || c;
  const related = relatedItems(i.relations);
  const attributes = Object.entries(i.attributes ?? {});
  return (
    <div className="page">
      <div style={{ marginBottom: 8 }}>
        <Link to={`/cmdb?class=${i.class}`}>← {className(i.class)}</Link>
      </div>
      <Stale query={query} />
      <h1 className="sentence">{i.name || i.id}</h1>
      <div className="meta" style={{ marginBottom: 16 }}>
        <span className="tag">{className(i.class)}</span>
        <span className="mono">{i.id}</span>
        <Link to={`/assets/${encodeURIComponent(i.id)}`}>{t('portrait.what')}</Link>
        <span>
          {t('cmdb.updated')} <WhenFull time={i.updated_at} />
        </span>
      </div>
      <div className="cols">
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('incident.facts')}>
            <dl className="facts">
              {i.tenant && (
                <>
                  <dt>{t('col.tenant')}</dt>
                  <dd>
                    <TenantName slug={i.tenant} />
                  </dd>
                </>
              )}
              {i.system && (
                <>
                  <dt>{t('col.system')}</dt>
                  <dd>
                    <Link to={`/cmdb/${encodeURIComponent(i.system)}`}>{related.find((r) => r.id === i.system)?.name ?? i.system}</Link>
                  </dd>
                </>
              )}
              {i.organisation && (
                <>
                  <dt>{t('cmdb.organisation')}</dt>
                  <dd>
                    <Link to={`/cmdb/${encodeURIComponent(i.organisation)}`}>{related.find((r) => r.id === i.organisation)?.name ?? i.organisation}</Link>
                  </dd>
                </>
              )}
              {i.criticality ? (
                <>
                  <dt>{t('cmdb.criticality')}</dt>
                  <dd>
                    <Criticality value={i.criticality} />
                  </dd>
                </>
              ) : null}
              {i.owner && (
                <>
                  <dt>{t('col.owner')}</dt>
                  <dd>
                    <ContactCard id={i.id}>{i.owner}</ContactCard>
                  </dd>
                </>
              )}
              {i.zone && (
                <>
                  <dt>{t('cmdb.zone')}</dt>
                  <dd>{i.zone}</dd>
                </>
              )}
              {list(i.addresses).length > 0 && (
                <>
                  <dt>{t('cmdb.addresses')}</dt>
                  <dd>
                    {list(i.addresses).map((a) => (
                      <div key={a}>
                        <Token value={a} />
                      </div>
                    ))}
                  </dd>
                </>
              )}
              {list(i.hostnames).length > 0 && (
                <>
                  <dt>{t('cmdb.hostnames')}</dt>
                  <dd>
                    {list(i.hostnames).map((h) => (
                      <div key={h}>
                        <Token field="host.name" value={h} />
                      </div>
                    ))}
                  </dd>
                </>
              )}
              {list(i.labels).length > 0 && (
                <>
                  <dt>{t('cmdb.labels')}</dt>
                  <dd className="row wrap" style={{ gap: 4 }}>
                    {list(i.labels).map((l) => (
                      <span className="tag" key={l}>
                        {l}
                      </span>
                    ))}
                  </dd>
                </>
              )}
              {attributes.map(([k, v]) => (
                <FactRow key={k} name={k} value={fieldValues(v).join(', ')} />
              ))}
            </dl>
          </Panel>
          {i.class !== 'organisation' && (
            <Panel title={t('cmdb.itemAlerts')} end={<Link to={`/alerts?${new URLSearchParams({ ci: i.id, since: '30d', status: 'open,acknowledged,closed' })}`}>{t('shift.allAlerts')}</Link>} flush>
              <Loaded query={alerts} what="alerts.what" lines={3} small>
                {(page) =>
                  list(page.items).length === 0 ? (
                    <div className="dim" style={{ padding: '0 14px 10px' }}>
                      {t('cmdb.itemAlertsNone')}
                    </div>
                  ) : (
                    <div className="list" role="table" aria-label={t('cmdb.itemAlerts')}>
                      {list(page.items).map((a) => (
                        <div key={a.id} className="line" role="row" style={{ gridTemplateColumns: 'var(--sev-w) minmax(0,1fr) 56px var(--status-w) 84px' }}>
                          <SeverityMark level={a.severity} />
                          <Link className="what ellipsis" to={`/alerts/${encodeURIComponent(a.id)}`}>
                            {tx(a.title)}
                          </Link>
                          <span className="num dim">×{number(a.count, locale)}</span>
                          <StatusMark status={a.status} />
                          <span className="num dim">
                            <When time={a.last_seen} />
                          </span>
                        </div>
                      ))}
                    </div>
                  )
                }
              </Loaded>
            </Panel>
          )}
        </div>
        <Panel title={t('cmdb.relations')} end={related.length > 0 ? number(related.length, locale) : undefined}>
          {related.length === 0 ? (
            <span className="dim">–</span>
          ) : (
            related.map((r) => (
              <div key={r.id} className="row" style={{ padding: '2px 0' }}>
                <Link className="ellipsis" to={`/cmdb/${encodeURIComponent(r.id)}`}>
                  {r.name}
                </Link>
                <span className="faint" style={{ marginLeft: 'auto' }}>
                  {r.class ? className(r.class) : ''}
                </span>
              </div>
            ))
          )}
        </Panel>
      </div>
    </div>
  );
}

function FactRow({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt className="ellipsis" title={name}>
        {name}
      </dt>
      <dd>{value || '–'}</dd>
    </>
  );
}
