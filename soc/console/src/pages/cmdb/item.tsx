import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { itemPath, useWords, type HistoryEntry, type Item, type ListedDrawing, type Relation, type Walk } from '../../api/cmdb';
import { del, get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Alert, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { usePageTitle } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { attributeGroups, fieldText, tableRows } from '../../logic/cmdb';
import { entityPath } from '../../logic/entity';
import { number } from '../../logic/format';
import { fieldName } from '../../parts/cmdb/fieldname';
import { FilesView } from '../../parts/cmdb/files';
import { Star } from '../../parts/cmdb/follow';
import { HistoryView } from '../../parts/cmdb/history';
import { RelationsView } from '../../parts/cmdb/relations';
import { MarkButtons } from '../../parts/cmdb/marks';
import { LifeCycles } from '../../parts/cmdb/states';
import { ItemName, ValueOf } from '../../parts/cmdb/value';
import { RequestChange, needsApproval } from '../../parts/cmdb/request';
import { WalkView } from '../../parts/cmdb/walk';
import { Ask } from '../../parts/dialog';
import { TenantName } from '../../parts/names';
import { Panel } from '../../parts/page';
import { ContactCard } from '../../parts/risk';
import { Criticality, SeverityMark, StatusMark } from '../../parts/severity';
import { Empty, Failed, Loaded, Skeleton, Stale } from '../../parts/states';
import { Tabs, useTab } from '../../parts/tabs';
import { When, WhenFull } from '../../parts/time';
import { Token } from '../../parts/token';
import { quoted } from '../../logic/cmdbfilter';

const TABS = ['overview', 'relations', 'graph', 'files', 'history'] as const;

/** One item: what it is, how it hangs together, what became of it. */
export default function ItemPage() {
  const { t } = useSettings();
  const { id = '' } = useParams();
  const navigate = useNavigate();
  const can = useCan();
  const words = useWords();
  // A list may lead here to delete: what hangs on the item is told here alone.
  const [deleting, setDeleting] = useState(() => new URLSearchParams(window.location.search).get('do') === 'delete');
  const query = useQuery({ queryKey: ['cmdb', 'item', id], queryFn: ({ signal }) => get<Item>(`/cmdb/items/${encodeURIComponent(id)}`, {}, signal) });
  const i = query.data;
  const tabs = TABS.filter((key) => key !== 'files' || can('list-cmdb-attachments')).map((key) => ({ key, title: t(`ci.tab.${key}`) }));
  const tab = useTab(tabs);
  usePageTitle(i?.name ?? t('page.cmdb.items'));
  useKeys({ e: () => i && can('change-cmdb-item') && navigate(`${itemPath(id)}/edit`) });
  if (!i) {
    return <div className="page">{query.error ? <Gone id={id} error={query.error} retry={() => void query.refetch()} /> : <Skeleton lines={12} />}</div>;
  }
  return (
    <div className="page">
      <div style={{ marginBottom: 8 }}>
        <Link to={`/cmdb/items?class=${i.class}`}>← {words.className(i.class)}</Link>
      </div>
      <Stale query={query} />
      <div className="head" style={{ marginBottom: 4 }}>
        <h1 className="sentence">{i.name || i.id}</h1>
        <div className="end">
          {can('change-cmdb-item') && (
            <Link className="ant-btn ant-btn-default filebtn" to={`${itemPath(id)}/edit`} style={{ color: 'inherit' }}>
              {t('ci.edit')}&nbsp;<kbd>e</kbd>
            </Link>
          )}
          {can('delete-cmdb-item') && <Button onClick={() => setDeleting(true)}>{t('ci.delete')}</Button>}
        </div>
      </div>
      <div className="meta" style={{ marginBottom: 12 }}>
        <span className="tag">{words.className(i.class)}</span>
        <span className="mono">{i.id}</span>
        <MarkButtons item={i} />
        <Star kind="item" of={i.id} name={i.name} />
        <Link to={`/portraits/${encodeURIComponent(i.id)}`}>{t('portrait.what')}</Link>
        <Link to={entityPath({ type: i.class === 'organisation' ? 'organisation' : 'asset', value: i.id })}>{t('page.entities')}</Link>
        <span>
          {t('cmdb.updated')} <WhenFull time={i.updated_at} />
        </span>
      </div>
      <Tabs tabs={tabs} label={i.name} />
      {tab === 'overview' && <Overview item={i} />}
      {tab === 'relations' && <RelationsView item={i} />}
      {tab === 'graph' && <WalkView item={i} />}
      {tab === 'files' && <FilesView id={id} />}
      {tab === 'history' && (
        <Panel>
          <HistoryView id={id} />
        </Panel>
      )}
      {deleting && can('delete-cmdb-item') && <DeleteDialog item={i} close={() => setDeleting(false)} />}
    </div>
  );
}

function Overview({ item: i }: { item: Item }) {
  const { t, tx, locale } = useSettings();
  const words = useWords();
  const can = useCan();
  const cls = words.classOf(i.class);
  const alerts = useQuery({
    queryKey: ['alerts', 'ci', i.id],
    queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { ci: i.id, since: '720h', status: 'open,acknowledged,closed', limit: 20 }, signal),
    enabled: i.class !== 'organisation',
  });
  const drawings = useQuery({ enabled: can('list-cmdb-topologies'), queryKey: ['cmdb', 'topologies', 'of', i.id], queryFn: ({ signal }) => get<Page<ListedDrawing>>('/cmdb/topologies', { item: i.id, limit: 20 }, signal) });
  const fact = (name: string, value: ReactNode) => (
    <>
      <dt className="ellipsis" title={name}>
        {name}
      </dt>
      <dd>{value}</dd>
    </>
  );
  const known = new Set(list(cls?.attributes).map((a) => a.name));
  const other = Object.keys(i.attributes ?? {}).filter((a) => !known.has(a));
  const value = (name: string) => {
    const a = list(cls?.attributes).find((x) => x.name === name);
    if (a?.type !== 'table') return <ValueOf item={i} field={`attr.${name}`} />;
    return (
      <table className="data" aria-label={words.attributeName(name, i.class)}>
        <thead>
          <tr>
            {list(a.columns).map((c) => (
              <th key={c.name} scope="col">
                {tx(c.title) || c.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tableRows(fieldText(i, `attr.${name}`)).map((r, n) => (
            <tr key={n}>
              {list(a.columns).map((c) => (
                <td key={c.name}>{r[c.name] === undefined ? '–' : String(r[c.name])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    );
  };
  const groups = attributeGroups(cls, words.model)
    .map((g) => ({ ...g, attributes: g.attributes.filter((a) => fieldText(i, `attr.${a.name}`) !== '') }))
    .filter((g) => g.attributes.length > 0);
  return (
    <div className="cols">
      <div className="stack" style={{ gap: 14 }}>
        <Panel title={t('ci.basics')}>
          <dl className="facts">
            {fact(t('ci.f.tenant'), i.tenant ? <TenantName slug={i.tenant} /> : <span className="faint">{t('ci.shared')}</span>)}
            {i.system && fact(t('ci.f.system'), <ItemName id={i.system} />)}
            {i.organisation && fact(t('ci.f.organisation'), <ItemName id={i.organisation} />)}
            {i.criticality ? fact(t('ci.f.criticality'), <Criticality value={i.criticality} />) : null}
            {fact(t('ci.f.owner'), i.owner ? <ContactCard id={i.id}>{i.owner}</ContactCard> : <span className="faint">–</span>)}
            {i.zone && fact(t('ci.f.zone'), <Link to={`/cmdb/items?${new URLSearchParams({ filter: `zone = ${quoted(i.zone)}` })}`}>{i.zone}</Link>)}
            {list(i.addresses).length > 0 &&
              fact(
                t('ci.f.addresses'),
                list(i.addresses).map((a) => (
                  <div key={a}>
                    <Token value={a} />
                  </div>
                )),
              )}
            {list(i.hostnames).length > 0 &&
              fact(
                t('ci.f.hostnames'),
                list(i.hostnames).map((h) => (
                  <div key={h}>
                    <Token field="host.name" value={h} />
                  </div>
                )),
              )}
            {list(i.labels).length > 0 &&
              fact(
                t('ci.f.labels'),
                <span className="row wrap" style={{ gap: 4 }}>
                  {list(i.labels).map((l) => (
                    <Link className="tag" key={l} to={`/cmdb/items?${new URLSearchParams({ filter: `label = ${quoted(l)}` })}`}>
                      {l}
                    </Link>
                  ))}
                </span>,
              )}
          </dl>
        </Panel>
        {groups.map((g) => (
          <Panel key={g.template} title={g.template ? tx(list(words.model?.templates).find((x) => x.name === g.template)?.title) || g.template : t('ci.attributes')}>
            <dl className="facts">
              {g.attributes.map((a) => (
                <Fact key={a.name} name={fieldName(`attr.${a.name}`, words, t, i.class)}>
                  {value(a.name)}
                </Fact>
              ))}
            </dl>
          </Panel>
        ))}
        {other.length > 0 && (
          <Panel title={t('cmdb.attributes')}>
            <dl className="facts">
              {other.map((a) => (
                <Fact key={a} name={words.attributeName(a)}>
                  {fieldText(i, `attr.${a}`)}
                </Fact>
              ))}
            </dl>
          </Panel>
        )}
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
                        <span role="cell" style={{ minWidth: 0 }}>
                          <Link className="what ellipsis" to={`/alerts/${encodeURIComponent(a.id)}`}>
                            {tx(a.title)}
                          </Link>
                        </span>
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
      <div className="stack" style={{ gap: 14 }}>
        <LifeCycles item={i} />
        <Around item={i} />
        {list(drawings.data?.items).length > 0 && (
          <Panel title={t('ci.inTopologies')}>
            {list(drawings.data?.items).map((d) => (
              <div key={d.id} className="row" style={{ padding: '2px 0' }}>
                <Link className="ellipsis" to={`/cmdb/topologies/${d.id}?node=${encodeURIComponent(i.id)}`}>
                  {d.name}
                </Link>
                <span className="faint" style={{ marginLeft: 'auto' }}>
                  {d.owner}
                </span>
              </div>
            ))}
          </Panel>
        )}
      </div>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="ellipsis" title={name}>
        {name}
      </dt>
      <dd>{children}</dd>
    </>
  );
}

/** The nearest items, by relation. */
function Around({ item }: { item: Item }) {
  const { t, locale } = useSettings();
  const words = useWords();
  const query = useQuery({ queryKey: ['cmdb', 'relations', item.id, 'some'], queryFn: ({ signal }) => get<Page<Relation>>(`/cmdb/items/${encodeURIComponent(item.id)}/relations`, { limit: 200 }, signal) });
  return (
    <Panel title={t('cmdb.relations')} end={<Link to={`${itemPath(item.id)}?tab=relations`}>{t('ci.tab.relations')}</Link>}>
      <Loaded query={query} what="ci.relations" lines={4} small>
        {(page) => {
          const groups = new Map<string, Relation[]>();
          for (const r of list(page.items)) groups.set(`${r.type} ${r.forward}`, [...(groups.get(`${r.type} ${r.forward}`) ?? []), r]);
          if (groups.size === 0) return <Empty small title={t('ci.relationsNone')} why={t('ci.relationsNoneWhy')} />;
          return (
            <>
              {[...groups].map(([key, members]) => {
                const first = members[0] as Relation;
                return (
                  <div key={key} style={{ marginBottom: 8 }}>
                    <div className="faint">
                      {words.typeName(first.type, first.forward)} <span className="num">{number(members.length, locale)}</span>
                    </div>
                    {members.slice(0, 6).map((r) => (
                      <div key={`${r.item.id} ${r.origin}`} className="row" style={{ padding: '1px 0' }}>
                        <Link className="ellipsis" to={itemPath(r.item.id)}>
                          {r.item.name || r.item.id}
                        </Link>
                        <span className="faint nowrap" style={{ marginLeft: 'auto' }}>
                          {words.className(r.item.class)}
                        </span>
                      </div>
                    ))}
                    {members.length > 6 && <Link to={`${itemPath(item.id)}?tab=relations&type=${first.type}`}>… {number(members.length - 6, locale)}</Link>}
                  </div>
                );
              })}
              <Link to={`${itemPath(item.id)}?tab=graph`}>{t('ci.tab.graph')} →</Link>
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}

/** Says what depends on an item before it goes, and brings it back with its relations where that was a mistake. */
function DeleteDialog({ item, close }: { item: Item; close: () => void }) {
  const { t, locale } = useSettings();
  const words = useWords();
  const navigate = useNavigate();
  const { act, tell } = useAct();
  const [asking, setAsking] = useState(false);
  const impact = useQuery({ queryKey: ['cmdb', 'walk', item.id, 'impact', 8, ''], queryFn: ({ signal }) => get<Walk>(`/cmdb/items/${encodeURIComponent(item.id)}/walk`, { kind: 'impact', depth: 8 }, signal) });
  const related = useQuery({ queryKey: ['cmdb', 'relations', item.id, 'all'], queryFn: ({ signal }) => get<Page<Relation>>(`/cmdb/items/${encodeURIComponent(item.id)}/relations`, { limit: 1000 }, signal) });
  const counts = Object.entries(impact.data?.counts ?? {});
  const relations = list(related.data?.items);
  return (
    <Ask
      title={t('ci.deleteTitle', { x: item.name })}
      ok={t('ci.delete')}
      why={
        <div className="stack" style={{ gap: 8 }}>
          {impact.isPending ? (
            <Skeleton lines={2} />
          ) : counts.length > 0 ? (
            <div data-testid="breaks">
              {t('ci.deleteImpact')}{' '}
              {counts.map(([c, n]) => (
                <span className="tag" key={c}>
                  {words.className(c)} {number(n, locale)}
                </span>
              ))}
            </div>
          ) : (
            <div>{t('ci.deleteNothing')}</div>
          )}
          {relations.length > 0 && <div>{t('ci.deleteRelations', { n: relations.length })}</div>}
          <div className="faint">{t('ci.deleteBack')}</div>
          {asking && <RequestChange remove={[item.id]} done={close} />}
        </div>
      }
      submit={async () => {
        try {
          await del(`/cmdb/items/${encodeURIComponent(item.id)}`);
        } catch (e) {
          setAsking(needsApproval(e));
          throw e;
        }
        tell({
          said: t('ci.deletedDone', { x: item.name }),
          renew: ['cmdb'],
          undo: () =>
            void act(
              async () => {
                const last = list((await get<Page<HistoryEntry>>(`/cmdb/items/${encodeURIComponent(item.id)}/history`, { limit: 1 })).items)[0];
                await post(`/cmdb/items/${encodeURIComponent(item.id)}/restore`, { entry: last?.id });
                const manual = relations.filter((r) => r.origin === 'manual').map((r) => (r.forward ? { from: item.id, type: r.type, to: r.item.id } : { from: r.item.id, type: r.type, to: item.id }));
                if (manual.length > 0) await post('/cmdb/relations', { relations: manual });
              },
              { said: t('ci.restoredDone'), renew: ['cmdb'] },
            ),
        });
        navigate(`/cmdb/items?class=${item.class}`);
      }}
      close={close}
    />
  );
}



/** An item that is not there: where it was deleted its history is, and the way back. */
function Gone({ id, error, retry }: { id: string; error: unknown; retry: () => void }) {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['cmdb', 'history', id, 'last'], queryFn: ({ signal }) => get<Page<HistoryEntry>>(`/cmdb/items/${encodeURIComponent(id)}/history`, { limit: 1 }, signal), retry: false });
  const last = list(query.data?.items)[0];
  if (!last || last.action !== 'deleted') return <Failed error={error} what="cmdb.what" retry={retry} />;
  return (
    <>
      <h1 className="sentence">{last.name}</h1>
      <div className="panel" style={{ marginBottom: 14 }}>
        <Empty small title={t('ci.isDeleted')} why={t('ci.isDeletedWhy')} />
      </div>
      <Panel title={t('ci.history')}>
        <HistoryView id={id} />
      </Panel>
    </>
  );
}
