import { useQuery } from '@tanstack/react-query';
import { Fragment, type ReactNode } from 'react';
import { Link, useParams } from 'react-router-dom';
import { itemPath, useWords, type HistoryEntry, type Item, type Relation } from '../../api/cmdb';
import { get } from '../../api/client';
import type { RiskDetail, RiskLine } from '../../api/risk';
import { list, type Alert, type Incident, type Page } from '../../api/types';
import { usePageTitle } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import type { Key } from '../../locales/zh';
import { entityPath } from '../../logic/entity';
import { number } from '../../logic/format';
import { Facts } from '../../parts/assets/facts';
import { Reasons } from '../../parts/assets/reasons';
import { Threats } from '../../parts/assets/threats';
import { ChangeTable } from '../../parts/cmdb/changelist';
import { MarkButtons } from '../../parts/cmdb/marks';
import { Panel } from '../../parts/page';
import { Contacts, RiskMark } from '../../parts/risk';
import { SeverityMark, StatusMark } from '../../parts/severity';
import { Failed, Loaded, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { Token } from '../../parts/token';

const EVERY = 'open,acknowledged,closed';
const LATEST = 40;
const BELONGS = ['belongs_to_system', 'belongs_to_organisation'] as const;
/** What the panels beside the basics show. */
const PROTECTION = ['attr.protection_level', 'attr.filing_number', 'attr.assessed_on', 'attr.exposure', 'attr.controls'];
const NETWORK = ['attr.site_domain', 'attr.site_ip', 'attr.management_ip', 'attr.open_ports'];
const SUPPLY = ['attr.supplier', 'attr.contract', 'attr.vendor', 'attr.product', 'attr.version', 'attr.purchased_on', 'attr.warranty_until'];
const ELSEWHERE = [...PROTECTION, ...NETWORK, ...SUPPLY, 'attr.cii', 'attr.key_asset', 'attr.contacts'];

export const portraitPath = (id: string) => `/portraits/${encodeURIComponent(id)}`;

/** An asset, a system or a unit on one page: risk, alerts, what it is made of, protection, supply, network, people, unit, time line. */
export default function PortraitPage() {
  const { t, tx, locale } = useSettings();
  const words = useWords();
  const { id = '' } = useParams();
  const path = `/cmdb/items/${encodeURIComponent(id)}`;
  const item = useQuery({ queryKey: ['cmdb', 'item', id], queryFn: ({ signal }) => get<Item>(path, {}, signal) });
  const cls = item.data?.class;
  const risk = useQuery({ queryKey: ['cmdb', 'risk', id], enabled: !!cls, queryFn: ({ signal }) => get<RiskDetail>(`${path}/risk`, {}, signal), refetchInterval: 30_000, retry: false });
  const about = cls === 'business_system' ? { system: id } : { ci: id };
  const alone = !!cls && cls !== 'organisation';
  const alerts = useQuery({ queryKey: ['alerts', 'portrait', id], enabled: alone, queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { ...about, status: EVERY, since: '720h', limit: 20 }, signal) });
  const incidents = useQuery({ queryKey: ['incidents', 'portrait', id], enabled: alone, queryFn: ({ signal }) => get<Page<Incident>>('/incidents', { ...about, status: EVERY, limit: 20 }, signal) });
  const relations = useQuery({ queryKey: ['cmdb', 'relations', id, 'portrait'], enabled: !!cls, queryFn: ({ signal }) => get<Page<Relation>>(`${path}/relations`, { limit: 1000 }, signal) });
  const history = useQuery({ queryKey: ['cmdb', 'history', id, 'portrait'], enabled: !!cls, queryFn: ({ signal }) => get<Page<HistoryEntry>>(`${path}/history`, { limit: 30 }, signal) });
  const i = item.data;
  usePageTitle(i?.name || t('portrait.what'));
  if (!i) {
    return (
      <div className="page">
        <h1 className="visually-hidden">{t('portrait.what')}</h1>
        {item.error ? <Failed error={item.error} what="portrait.what" retry={() => void item.refetch()} /> : <Skeleton lines={12} />}
      </div>
    );
  }
  const archive = cls === 'organisation' ? 'unit' : cls === 'business_system' ? 'system' : 'asset';
  const whole = archive !== 'asset';
  const known = list(words.classOf(i.class)?.attributes).map((a) => `attr.${a.name}`);
  const basics = ['tenant', 'owner', 'criticality', 'labels', ...known, ...Object.keys(i.attributes ?? {}).map((a) => `attr.${a}`).filter((f) => !known.includes(f))].filter((f) => !ELSEWHERE.includes(f));
  const related = (types: readonly string[], forward: boolean) => [...new Map(list(relations.data?.items).filter((r) => types.includes(r.type) && r.forward === forward).map((r) => [r.item.id, r.item])).values()];
  const named = (items: readonly Relation['item'][]): ReactNode =>
    items.slice(0, 8).map((x) => (
      <div key={x.id} className="row">
        <Link className="ellipsis" to={portraitPath(x.id)}>
          {x.name || x.id}
        </Link>
        <span className="faint nowrap" style={{ marginLeft: 'auto' }}>
          {words.className(x.class)}
        </span>
      </div>
    ));
  const above = related(BELONGS, true);
  const members = new Map<string, number>();
  for (const m of related(BELONGS, false)) members.set(m.class, (members.get(m.class) ?? 0) + 1);
  const suppliers = related(['supplied_by', 'covered_by'], true);
  const networks = related(['in_network', 'in_zone', 'connects_to', 'resolves_to'], true);
  const happened = [
    ...list(history.data?.items).map((h) => ({ key: `h${h.id}`, time: h.time, kind: h.action === 'created' ? 'created' : '', head: <b>{t(`ci.${h.action}`)}</b>, by: h.actor, what: h.action === 'created' ? null : <ChangeTable changes={list(h.changes).slice(0, 5)} cls={h.class} /> })),
    ...list(alerts.data?.items).map((a) => ({ key: a.id, time: a.last_seen, kind: 'alert', head: <SeverityMark level={a.severity} />, by: t('portrait.alert'), what: <Link to={`/alerts/${a.id}`}>{tx(a.title)}</Link> })),
    ...list(incidents.data?.items).map((x) => ({ key: x.id, time: x.opened_at, kind: 'opened', head: <SeverityMark level={x.severity} />, by: t('portrait.incident'), what: <Link to={`/incidents/${x.id}`}>{`${x.id} ${tx(x.title)}`}</Link> })),
  ]
    .sort((a, b) => Date.parse(b.time) - Date.parse(a.time))
    .slice(0, LATEST);
  const none = (key: Key) => <span className="dim">{t(key)}</span>;
  return (
    <div className="page">
      <div style={{ marginBottom: 8 }}>
        <Link to={{ unit: '/units', system: '/systems', asset: '/risk' }[archive]}>← {t(`page.archive.${archive}`)}</Link>
      </div>
      <Stale query={item} />
      <h1 className="sentence">{i.name || i.id}</h1>
      <div className="meta" style={{ marginBottom: 14 }}>
        {risk.data && <RiskMark score={risk.data.score} level={risk.data.level} />}
        <span className="tag">{words.className(i.class)}</span>
        <span className="mono">{i.id}</span>
        <MarkButtons item={i} />
        <Link to={entityPath({ type: cls === 'organisation' ? 'organisation' : 'asset', value: i.id })}>{t('page.entities')}</Link>
        <Link to={itemPath(i.id)}>{t('portrait.edit')}</Link>
        <Link to={`${itemPath(i.id)}?tab=graph`}>{t('ci.tab.graph')}</Link>
        <Link to={`${itemPath(i.id)}?tab=files`}>{t('ci.tab.files')}</Link>
      </div>
      <div className="cols">
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('risk.reasons')}>
            {risk.error && !risk.data ? (
              none('risk.pending')
            ) : (
              <Loaded query={risk} what="risk.reasons" lines={4} small>
                {(r) => <Reasons of={r} />}
              </Loaded>
            )}
          </Panel>
          {whole && <Parts of={archive === 'unit' ? { unit: id } : { system: id }} />}
          {!alone && (
            <Panel title={t('portrait.monitoring')}>
              <Threats id={id} limit={20} />
            </Panel>
          )}
          {alone && (
            <Panel title={t('portrait.monitoring')} end={<Link to={`/alerts?${new URLSearchParams({ ...(cls === 'business_system' ? { system: id } : { ci: id }), since: '30d', status: EVERY })}`}>{t('shift.allAlerts')}</Link>} flush>
              <Loaded query={alerts} what="alerts.what" lines={3} small>
                {(page) =>
                  list(page.items).length === 0 ? (
                    <div style={{ padding: '0 14px 10px' }}>{none('portrait.noAlerts')}</div>
                  ) : (
                    <DataTable
                      label={t('portrait.monitoring')}
                      rows={list(page.items)}
                      rowKey={(a) => a.id}
                      columns={[
                        { key: 'severity', title: t('portrait.severity'), width: 84, render: (a) => <SeverityMark level={a.severity} /> },
                        { key: 'title', title: t('portrait.alert'), render: (a) => <Link to={`/alerts/${a.id}`}>{tx(a.title)}</Link> },
                        { key: 'count', title: t('portrait.times'), num: true, width: 70, render: (a) => number(a.count, locale) },
                        { key: 'status', title: t('portrait.status'), width: 100, render: (a) => <StatusMark status={a.status} /> },
                        { key: 'last', title: t('portrait.last'), num: true, width: 100, render: (a) => <When time={a.last_seen} /> },
                      ]}
                    />
                  )
                }
              </Loaded>
            </Panel>
          )}
          <Panel title={t('portrait.timeline')} end={<Link to={`${itemPath(i.id)}?tab=history`}>{t('ci.history')}</Link>}>
            {history.isPending ? (
              <Skeleton lines={3} />
            ) : happened.length === 0 ? (
              none('portrait.noHistory')
            ) : (
              <ol className="timeline" data-testid="portraittimeline">
                {happened.map((h) => (
                  <li key={h.key} className={h.kind ? `k-${h.kind}` : ''}>
                    <div className="t-head">
                      {h.head}
                      <span className="dim">{h.by}</span>
                      <When time={h.time} />
                    </div>
                    {h.what}
                  </li>
                ))}
              </ol>
            )}
          </Panel>
        </div>
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('portrait.basics')}>
            <Facts item={i} fields={basics} none />
          </Panel>
          {above.length > 0 && <Panel title={t('portrait.unit')}>{named(above)}</Panel>}
          {whole && (
            <Panel title={t('archive.members')}>
              {members.size === 0 ? (
                none('portrait.noMembers')
              ) : (
                <dl className="facts">
                  {[...members].map(([c, n]) => (
                    <Fragment key={c}>
                      <dt>{words.className(c)}</dt>
                      <dd>
                        <Link to={`/cmdb/items?${new URLSearchParams(archive === 'system' ? { class: c, system: id } : { class: c, filter: `organisation = "${id}"` })}`}>{number(n, locale)}</Link>
                      </dd>
                    </Fragment>
                  ))}
                </dl>
              )}
            </Panel>
          )}
          <Panel title={t('portrait.people')}>
            <Contacts id={id} />
          </Panel>
          {alone && (
            <>
              <Panel title={t('portrait.protection')}>
                <Facts item={i} fields={PROTECTION} none />
              </Panel>
              <Panel title={t('portrait.network')}>
                {list(i.addresses).map((a) => (
                  <div key={a}>
                    <Token value={a} /> <span className="faint">{i.zone}</span>
                  </div>
                ))}
                {list(i.hostnames).map((h) => (
                  <div key={h}>
                    <Token field="host.name" value={h} />
                  </div>
                ))}
                <Facts item={i} fields={NETWORK} none={list(i.addresses).length + list(i.hostnames).length + networks.length === 0} />
                {named(networks)}
              </Panel>
              <Panel title={t('portrait.supply')}>
                <Facts item={i} fields={SUPPLY} none={suppliers.length === 0} />
                {named(suppliers)}
              </Panel>
            </>
          )}
        </div>
      </div>
    </div>
  );
}

/** What belongs to a unit or system, the most at risk first. */
function Parts({ of }: { of: { unit?: string; system?: string } }) {
  const { t, tx, locale } = useSettings();
  const words = useWords();
  const query = useQuery({ queryKey: ['cmdb', 'risk', 'parts', of.unit ?? of.system], queryFn: ({ signal }) => get<Page<RiskLine>>('/cmdb/risk', { ...of, limit: 10 }, signal), refetchInterval: 30_000 });
  return (
    <Panel title={t('portrait.parts')} end={query.data && <span className="faint">{t('ci.total', { n: number(query.data.total ?? 0, locale) })}</span>} flush>
      <Loaded query={query} what="portrait.parts" lines={4} small>
        {(page) =>
          list(page.items).length === 0 ? (
            <div className="dim" style={{ padding: '0 14px 10px' }}>
              {t('portrait.noMembers')}
            </div>
          ) : (
            <DataTable
              label={t('portrait.parts')}
              rows={list(page.items)}
              rowKey={(x) => x.id}
              columns={[
                { key: 'name', title: t('ci.f.name'), render: (x) => <Link to={portraitPath(x.id)}>{x.name || x.id}</Link> },
                { key: 'class', title: t('ci.f.class'), width: 100, render: (x) => words.className(x.class) },
                { key: 'score', title: t('risk.score'), width: 120, render: (x) => <RiskMark score={x.score} level={x.level} /> },
                { key: 'alerts', title: t('risk.alerts'), num: true, width: 70, render: (x) => number(x.alerts, locale) },
                { key: 'why', title: t('risk.why'), render: (x) => tx(x.why) },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
