import { Link } from 'react-router-dom';
import type { EntityPeer, EntityPeers } from '../../api/entities';
import { list } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { between } from '../../logic/flows';
import { bytes, joined, number } from '../../logic/format';
import { Panel } from '../page';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { Entity, Token } from '../token';
import { usePart, type About } from './ask';
import { Files } from './files';

/** Whom an entity communicates with. */
export function Peers({ about }: { about: About }) {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const abroad = url.get('abroad') === '1';
  const query = usePart<EntityPeers>(about, 'peers');
  const since = 'since' in about.range ? { since: about.range.since } : about.range;
  return (
    <Panel
      title={t('entity.peers')}
      flush
      id="entity-peers"
      end={
        <>
          <label className="row" style={{ gap: 4 }}>
            <input type="checkbox" checked={abroad} onChange={(e) => setUrl({ abroad: e.target.checked ? '1' : undefined })} /> {t('entity.abroad')}
          </label>
          <Files about={about} list="peers" />
        </>
      }
    >
      <Stale query={query} />
      <Loaded query={query} what="entity.part" lines={8} small>
        {(d) => {
          const rows = list(d.items).filter((p) => !abroad || p.abroad);
          return (
            <>
              <div className="dim" style={{ padding: '0 14px 8px' }}>
                {t('entity.peersSum', { n: number(d.total, locale), a: number(d.abroad, locale), i: number(d.internal, locale) })} · {list(d.addresses).length > 0 ? t('entity.peersOf', { x: joined(list(d.addresses).slice(0, 5), locale) }) : t('entity.peersNamed')}
                {d.partial && ` · ${t('entity.partial')}`}
              </div>
              {rows.length === 0 ? (
                <Empty small title={t('entity.noPeers')} why={t('entity.noPeersWhy')} />
              ) : (
                <div style={{ overflowX: 'auto' }}>
                  <DataTable<EntityPeer>
                    label={t('entity.peers')}
                    rows={rows}
                    rowKey={(p) => p.address}
                    columns={[
                      { key: 'who', title: t('entity.address'), render: (p) => <span className="nowrap"><Token field="source.ip" value={p.address} zone={about.entity.zone} /></span> },
                      { key: 'item', title: t('entity.who'), render: (p) => (p.item ? <Entity type="asset" value={p.item}>{p.name}</Entity> : <span className="tag">{t(p.internal ? 'entity.internal' : 'entity.external')}</span>) },
                      { key: 'place', title: t('entity.place'), render: (p) => <span className={p.abroad ? '' : 'dim'}>{p.country || p.code || '–'}{p.abroad && ` · ${t('entity.abroad')}`}</span> },
                      { key: 'out', title: t('entity.out'), num: true, render: (p) => number(p.out, locale) },
                      { key: 'in', title: t('entity.in'), num: true, render: (p) => number(p.in, locale) },
                      { key: 'bytes', title: t('entity.bytes'), num: true, render: (p) => <span className="nowrap">{p.bytes ? bytes(p.bytes, locale) : '–'}</span> },
                      {
                        key: 'services',
                        title: t('entity.services'),
                        render: (p) => (
                          <span className="tags">
                            {list(p.services).slice(0, 4).map((s) => (
                              <span className="tag" key={s}>
                                {s}
                              </span>
                            ))}
                            {list(p.services).length > 4 && <span className="faint">+{list(p.services).length - 4}</span>}
                          </span>
                        ),
                      },
                      { key: 'first', title: t('col.firstSeen'), render: (p) => <When time={p.first} /> },
                      { key: 'last', title: t('col.lastSeen'), render: (p) => <When time={p.last} /> },
                      { key: 'logs', title: '', render: (p) => list(d.addresses).length === 1 && <Link className="nowrap" to={`/search?${new URLSearchParams({ query: between(list(d.addresses)[0] as string, p.address), ...since })}`}>{t('entity.logs')}</Link> },
                    ]}
                  />
                </div>
              )}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}
