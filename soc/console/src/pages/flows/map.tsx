import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Segmented } from 'antd';
import { Suspense, lazy, useState } from 'react';
import { Link as RouterLink } from 'react-router-dom';
import { get } from '../../api/client';
import type { FlowMap, Profile, Usage } from '../../api/flows';
import { list } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { between, peerName, serviceName, type Link } from '../../logic/flows';
import { bytes, number } from '../../logic/format';
import { goDuration, parseRange } from '../../logic/urlstate';
import { PeerMark } from '../../parts/flows/peer';
import { Panel } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Skeleton, Stale } from '../../parts/states';
import { When, WhenFull } from '../../parts/time';

const MapChart = lazy(() => import('../../parts/flows/mapchart'));

/** With whom an asset talks, as a drawing, and what is known of it: what it offers, what it uses, what is new. */
export function MapTab() {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const asset = (url.get('asset') ?? '').trim();
  const depth = Number(url.get('depth')) || 1;
  const range = parseRange(url, '30d');
  const since = 'since' in range ? goDuration(range.since) : '720h';
  const [link, setLink] = useState<Link | null>(null);
  const map = useQuery({
    queryKey: ['flow-map', asset, depth, since],
    enabled: asset !== '',
    queryFn: ({ signal }) => get<FlowMap>('/flows/map', { asset, depth, since, limit: 300 }, signal),
    placeholderData: keepPreviousData,
  });
  const go = (id: string) => {
    setLink(null);
    setUrl({ asset: id }, true);
  };
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('flows.asset')} param="asset" width={300} />
        <Segmented<number> aria-label={t('flows.depth')} value={depth} onChange={(d) => setUrl({ depth: d === 1 ? undefined : String(d) })} options={[1, 2, 3].map((d) => ({ value: d, label: t('flows.depthN', { n: d }) }))} />
        <span className="dim">{t('flows.legend')}</span>
      </div>
      {asset === '' ? (
        <Panel>
          <Empty title={t('flows.chooseAsset')} why={t('flows.chooseAssetWhy')} />
        </Panel>
      ) : (
        <>
          <Stale query={map} />
          <div className="cols">
            <div className="panel" data-testid="flow-map">
              <Loaded query={map} what="flows.map" lines={12}>
                {(m) =>
                  list(m.edges).length === 0 ? (
                    <Empty title={t('flows.noEdges')} why={t('flows.noEdgesWhy')} />
                  ) : (
                    <>
                      {m.truncated && <div className="notice">{t('flows.truncated')}</div>}
                      <Suspense fallback={<Skeleton lines={12} />}>
                        <MapChart map={m} onNode={go} onLink={setLink} />
                      </Suspense>
                    </>
                  )
                }
              </Loaded>
            </div>
            <div className="stack">
              {link && <LinkFacts link={link} close={() => setLink(null)} />}
              <ProfilePanel asset={asset} />
            </div>
          </div>
          {map.data && list(map.data.edges).length > 0 && <Edges map={map.data} />}
        </>
      )}
    </>
  );
}

/** The same as the drawing, to read and to hear. */
function Edges({ map }: { map: FlowMap }) {
  const { t, locale } = useSettings();
  const node = new Map(list(map.nodes).map((n) => [n.id, n]));
  const name = (id: string) => peerName(node.get(id)) || id;
  return (
    <div style={{ marginTop: 14 }}>
      <Panel title={t('flows.edges')} flush>
        <table className="data" aria-label={t('flows.edges')}>
          <thead>
            <tr>
              <th scope="col">{t('flows.client')}</th>
              <th scope="col">{t('flows.server')}</th>
              <th scope="col">{t('flows.service')}</th>
              <th scope="col" className="num">{t('flowmetric.bytes')}</th>
              <th scope="col" className="num">{t('flowmetric.flows')}</th>
              <th scope="col">{t('col.firstSeen')}</th>
              <th scope="col">{t('col.lastSeen')}</th>
              <th scope="col" />
            </tr>
          </thead>
          <tbody>
            {list(map.edges).map((e) => (
              <tr key={`${e.client} ${e.server} ${e.port}/${e.transport}`}>
                <td>{name(e.client)}</td>
                <td>{name(e.server)}</td>
                <td>{serviceName(e)}</td>
                <td className="num">{bytes(e.bytes_to_client + e.bytes_to_server, locale)}</td>
                <td className="num">{number(e.flows, locale)}</td>
                <td>
                  <When time={e.first_seen} />
                </td>
                <td>
                  <When time={e.last_seen} />
                </td>
                <td>
                  <RouterLink to={`/search?${new URLSearchParams({ query: `event.dataset:flow.* ${between(node.get(e.client)?.address ?? '', node.get(e.server)?.address ?? '')}`, since: '24h' })}`}>{t('flows.raw')}</RouterLink>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Panel>
    </div>
  );
}

function LinkFacts({ link, close }: { link: Link; close: () => void }) {
  const { t, locale } = useSettings();
  return (
    <Panel
      title={`${link.source.split('|')[1]} → ${link.target.split('|')[1]}`}
      end={
        <button className="plain" aria-label={t('do.close')} onClick={close}>
          ✕
        </button>
      }
    >
      <ul className="plainlist">
        {link.edges.map((e) => (
          <li key={`${e.port}${e.transport}`}>
            <b>{serviceName(e)}</b> · {bytes(e.bytes_to_server + e.bytes_to_client, locale)} · {t('flows.days', { n: e.days })}
            <div className="dim">
              {t('col.firstSeen')} <When time={e.first_seen} /> · {t('col.lastSeen')} <When time={e.last_seen} />
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function ProfilePanel({ asset }: { asset: string }) {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['flow-profile', asset], queryFn: ({ signal }) => get<Profile>('/flows/profile', { address: asset }, signal), placeholderData: keepPreviousData });
  return (
    <Panel title={t('flows.profile')}>
      <Loaded query={query} what="flows.profile" lines={6} small>
        {(p) => (
          <div className="stack">
            <PeerMark peer={p.peer} map={false} />
            <dl className="facts">
              <dt>{t('col.firstSeen')}</dt>
              <dd>
                <WhenFull time={p.first_seen} />
              </dd>
              <dt>{t('col.lastSeen')}</dt>
              <dd>
                <WhenFull time={p.last_seen} />
              </dd>
              <dt>{t('flows.peers')}</dt>
              <dd>{t('flows.peersN', { i: number(p.peers.internal, locale), e: number(p.peers.external, locale) })}</dd>
            </dl>
            {list(p.new_peers).length > 0 && (
              <div>
                <h3>{t('flows.newPeers')}</h3>
                <ul className="plainlist">
                  {list(p.new_peers)
                    .slice(0, 10)
                    .map((x) => (
                      <li key={`${x.peer.address}${x.port}${x.transport}${x.role}`}>
                        <PeerMark peer={x.peer} /> <span className="dim">{serviceName(x)}</span> <When time={x.first_seen} age />
                      </li>
                    ))}
                </ul>
              </div>
            )}
            <Services title={t('flows.offers')} items={list(p.offers)} />
            <Services title={t('flows.uses')} items={list(p.uses)} />
          </div>
        )}
      </Loaded>
    </Panel>
  );
}

function Services({ title, items }: { title: string; items: readonly Usage[] }) {
  const { t, locale } = useSettings();
  if (items.length === 0) return null;
  return (
    <div>
      <h3>{title}</h3>
      <ul className="plainlist">
        {items.slice(0, 12).map((s) => (
          <li key={`${s.port}${s.transport}`}>
            <b>{serviceName(s)}</b> <span className="dim">{t('flows.usedBy', { n: s.peers, b: bytes(s.bytes_in + s.bytes_out, locale) })}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
