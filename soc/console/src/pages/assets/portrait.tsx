import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import type { ReactNode } from 'react';
import { Link, useParams } from 'react-router-dom';
import { get, put } from '../../api/client';
import { useCan } from '../../api/queries';
import type { RiskDetail } from '../../api/risk';
import { list, type Alert, type CMDBItem, type Incident, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { usePageTitle } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import type { Key } from '../../locales/zh';
import { Bars } from '../../parts/charts';
import { Panel } from '../../parts/page';
import { Contacts, RiskMark } from '../../parts/risk';
import { SeverityMark, StatusMark } from '../../parts/severity';
import { Failed, Loaded, Skeleton } from '../../parts/states';
import { When } from '../../parts/time';

interface Related {
  type: string;
  item: { id: string; class: string; name: string };
}
interface Entry {
  id: number;
  time: string;
  actor: string;
  action: string;
  changes: { field: string; before?: string; after?: string }[];
}

/** An asset, a system or a unit on one page: risk, watch, protection, supply, network, people, unit, time line. */
export default function PortraitPage() {
  const { t, tx } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const { id = '' } = useParams();
  const path = `/cmdb/items/${encodeURIComponent(id)}`;
  const item = useQuery({ queryKey: ['cmdb', 'item', id], queryFn: ({ signal }) => get<CMDBItem>(path, {}, signal) });
  const risk = useQuery({ queryKey: ['cmdb', 'risk', id], queryFn: ({ signal }) => get<RiskDetail>(`${path}/risk`, {}, signal), refetchInterval: 30_000, retry: false });
  const about = item.data?.class === 'business_system' ? { system: id } : { ci: id };
  const ready = !!item.data && item.data.class !== 'organisation';
  const alerts = useQuery({ queryKey: ['alerts', 'portrait', id], enabled: ready, queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { ...about, status: 'open,acknowledged,closed', since: '720h', limit: 20 }, signal) });
  const incidents = useQuery({ queryKey: ['incidents', 'portrait', id], enabled: ready, queryFn: ({ signal }) => get<Page<Incident>>('/incidents', { ...about, status: 'open,acknowledged,closed', limit: 20 }, signal) });
  const relations = useQuery({ queryKey: ['cmdb', 'relations', id], queryFn: ({ signal }) => get<Page<Related>>(`${path}/relations`, { limit: 200 }, signal) });
  const history = useQuery({ queryKey: ['cmdb', 'history', id], queryFn: ({ signal }) => get<Page<Entry>>(`${path}/history`, { limit: 30 }, signal) });
  const i = item.data;
  usePageTitle(i?.name ?? t('portrait.what'));
  if (!i) return <div className="page">{item.error ? <Failed error={item.error} what="portrait.what" retry={() => void item.refetch()} /> : <Skeleton lines={12} />}</div>;
  const attributes = Object.entries(i.attributes ?? {}).map(([k, v]) => [k, String(v)] as const);
  const value = (name: string) => attributes.find(([k]) => k === name)?.[1] ?? '';
  const mark = (name: 'cii' | 'key_asset', on: boolean) => {
    const send = (v: boolean) => put(`${path}/marks`, { [name]: v });
    const renew = ['cmdb'];
    void act(() => send(on), { said: t('portrait.marked'), undo: () => void act(() => send(!on), { renew }), renew });
  };
  const none = <span className="faint">{t('portrait.none')}</span>;
  const links = (types: readonly string[]): ReactNode => {
    const found = list(relations.data?.items).filter((r) => types.includes(r.type));
    return found.length === 0 ? none : found.map((r) => <div key={r.type + r.item.id}><Link to={`/portraits/${encodeURIComponent(r.item.id)}`}>{r.item.name}</Link></div>);
  };
  const facts = (names: readonly string[]): ReactNode => {
    const found = attributes.filter(([k]) => names.includes(k));
    return found.length === 0 ? none : <dl className="facts">{found.map(([k, v]) => [<dt key={k}>{k}</dt>, <dd key={`${k}=`}>{v}</dd>])}</dl>;
  };
  const happened = [
    ...list(history.data?.items).map((h) => ({ key: `h${h.id}`, time: h.time, what: <>{h.actor} {h.action}: {list(h.changes).map((c) => `${c.field} ${c.before ?? ''} → ${c.after ?? ''}`).slice(0, 4).join('; ')}</> })),
    ...list(alerts.data?.items).map((a) => ({ key: a.id, time: a.last_seen, what: <><SeverityMark level={a.severity} word={false} /> <Link to={`/alerts/${a.id}`}>{tx(a.title)}</Link></> })),
    ...list(incidents.data?.items).map((x) => ({ key: x.id, time: x.opened_at, what: <><SeverityMark level={x.severity} word={false} /> <Link to={`/incidents/${x.id}`}>{x.id} {tx(x.title)}</Link></> })),
  ].sort((a, b) => b.time.localeCompare(a.time));
  const section = (title: Key, body: ReactNode) => <Panel title={t(title)}>{body}</Panel>;
  return (
    <div className="page">
      <h1 className="sentence">{i.name || i.id}</h1>
      <div className="meta row wrap" style={{ marginBottom: 16, gap: 8 }}>
        {risk.data && <RiskMark score={risk.data.score} level={risk.data.level} />}
        <span className="mono">{i.id}</span>
        <Link to={`/cmdb/${encodeURIComponent(i.id)}`}>{t('portrait.edit')}</Link>
        {can('mark-cmdb-item') && (
          <>
            <Button size="small" disabled={busy} onClick={() => mark('cii', value('cii') !== 'true')}>{t(value('cii') === 'true' ? 'portrait.notCii' : 'portrait.cii')}</Button>
            <Button size="small" disabled={busy} onClick={() => mark('key_asset', value('key_asset') !== 'true')}>{t(value('key_asset') === 'true' ? 'portrait.notKey' : 'portrait.key')}</Button>
          </>
        )}
      </div>
      <div className="cols">
        <div className="stack" style={{ gap: 14 }}>
          {section('risk.reasons', risk.error ? <span className="faint">{t('risk.pending')}</span> : (
            <Loaded query={risk} what="risk.reasons" lines={4} small>
              {(r) => (
                <div className="stack" style={{ gap: 10 }}>
                  {list(r.result.parts).map((p) => (
                    <div key={p.name}>
                      <b>{t(`risk.part.${p.name}`)}</b> <span className="mono">{p.points} / {p.most}</span>
                      {list(p.reasons).map((x, n) => <div key={n} className="faint">{tx(x)}</div>)}
                    </div>
                  ))}
                  <div>
                    <b>{t('risk.importance')}</b> <span className="mono">× {r.result.importance}</span>
                    {list(r.result.matters).map((x, n) => <div key={n} className="faint">{tx(x)}</div>)}
                  </div>
                  <div><b>{t('risk.peers')}</b><div className="faint">{t('risk.rank', { n: r.peers.count, x: r.peers.rank, y: r.peers.mean })}</div></div>
                  {list(r.result.words).length > 0 && (
                    <div><b>{t('risk.words')}</b><div className="row wrap" style={{ gap: 8, alignItems: 'baseline' }}>{list(r.result.words).map((w) => <span key={w.name.en} style={{ fontSize: 12 + 14 * Math.min(1, w.weight) }}>{tx(w.name)}</span>)}</div></div>
                  )}
                  {list(r.trend).some((d) => d.score >= 0) && (
                    <div><b>{t('risk.trend')}</b><Bars label={t('risk.trend')} points={list(r.trend).filter((d) => d.score >= 0).map((d) => ({ name: d.day, value: d.score }))} /></div>
                  )}
                </div>
              )}
            </Loaded>
          ))}
          {section('portrait.monitoring', list(alerts.data?.items).length === 0 ? <span className="faint">{t('portrait.noAlerts')}</span> : list(alerts.data?.items).map((a) => (
            <div key={a.id} className="row" style={{ gap: 8 }}><SeverityMark level={a.severity} word={false} /><StatusMark status={a.status} /><Link to={`/alerts/${a.id}`}>{tx(a.title)}</Link><When time={a.last_seen} /></div>
          )))}
          {section('portrait.timeline', happened.length === 0 ? none : happened.slice(0, 40).map((h) => <div key={h.key}><When time={h.time} /> {h.what}</div>))}
        </div>
        <div className="stack" style={{ gap: 14 }}>
          {section('portrait.basics', facts(attributes.map(([k]) => k).filter((k) => !['controls', 'exposure', 'open_ports', 'contacts'].includes(k))))}
          {section('portrait.protection', facts(['controls', 'exposure', 'protection_level', 'assessed_on']))}
          {section('portrait.supply', links(['supplied_by', 'covered_by']))}
          {section('portrait.network', <>{list(i.addresses).map((a) => <div key={a} className="mono">{a} {i.zone}</div>)}{facts(['site_ip', 'site_domain', 'open_ports'])}{links(['in_network', 'in_zone', 'connects_to'])}</>)}
          {section('portrait.people', <Contacts id={id} />)}
          {section('portrait.unit', links(['belongs_to_organisation', 'belongs_to_system']))}
        </div>
      </div>
    </div>
  );
}
