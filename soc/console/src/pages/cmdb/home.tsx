import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState, type ReactNode } from 'react';
import { Link, Navigate, useLocation, useNavigate } from 'react-router-dom';
import type { RiskOverview } from '../../api/risk';
import { itemPath, useWords, type ListedDrawing, type Statistics } from '../../api/cmdb';
import { get } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { changed, classTree, countOf, type ClassNode } from '../../logic/cmdb';
import { quoted } from '../../logic/cmdbfilter';
import { number } from '../../logic/format';
import { Star, useFollowing } from '../../parts/cmdb/follow';
import { Head, Panel } from '../../parts/page';
import { Empty, Loaded, Skeleton, Stale } from '../../parts/states';

export const ofLine = (line: string) => `business_line = ${quoted(line)} or system.business_line = ${quoted(line)}`;
export const ofZone = (zone: string) => `zone = ${quoted(zone)}`;
const itemsWith = (p: Record<string, string>) => `/cmdb/items?${new URLSearchParams(p)}`;

export default function Home() {
  const { t } = useSettings();
  const { search } = useLocation();
  const navigate = useNavigate();
  const can = useCan();
  const words = useWords();
  const statistics = useQuery({ queryKey: ['cmdb', 'statistics'], queryFn: ({ signal }) => get<Statistics>('/cmdb/statistics', {}, signal), staleTime: 10_000, refetchInterval: 60_000 });
  const drawings = useQuery({ queryKey: ['cmdb', 'topologies', 'count'], queryFn: ({ signal }) => get<Page<ListedDrawing>>('/cmdb/topologies', { limit: 1 }, signal), staleTime: 30_000 });
  // The list stood at this address once: links to it go on working.
  if (/[?&](q|class|tenant|filter|system)=/.test(search)) return <Navigate replace to={`/cmdb/items${search}`} />;
  return (
    <div className="page">
      <Head title={t('page.cmdb')} sub={t('ci.home.lead')}>
        <Link className="ant-btn ant-btn-default filebtn" to="/cmdb/path" style={{ color: 'inherit' }}>
          {t('page.cmdb.path')}
        </Link>
        {can('create-cmdb-item') && (
          <Button type="primary" onClick={() => navigate('/cmdb/items/new')}>
            {t('ci.new')}
          </Button>
        )}
      </Head>
      <Stale query={statistics} />
      <Loaded query={statistics} what="page.cmdb" lines={10}>
        {(s) =>
          s.items === 0 ? (
            <div className="panel">
              <Empty title={t('ci.homeEmpty')} why={t('ci.homeEmptyWhy')}>
                <Link to="/cmdb/import">
                  <Button type="primary">{t('cmdb.import')}</Button>
                </Link>
                <Link to="/cmdb/items/new">{t('ci.new')}</Link>
              </Empty>
            </div>
          ) : (
            <>
              <div className="stats five">
                <Stat to="/cmdb/models" n={list(words.model?.classes).filter((c) => !c.abstract).length} label={t('ci.models')} />
                <Stat to="/cmdb/items" n={s.items} label={t('ci.items')} />
                <Stat to="/cmdb/models?tab=topology" n={s.relations} label={t('ci.relations')} />
                <Stat to="/cmdb/topologies" n={drawings.data?.total ?? 0} label={t('ci.topologies')} />
                <Stat to={itemsWith({ class: 'business_system' })} n={s.classes['business_system'] ?? 0} label={t('ci.businesses')} />
              </div>
              <div className="cols even">
                <Followed statistics={s} />
                <Changes statistics={s} />
              </div>
              <Districts />
              <Panel title={t('ci.byModel')}>{words.model ? <ByModel counts={s.classes} tree={classTree(words.model)} /> : <Skeleton lines={6} />}</Panel>
            </>
          )
        }
      </Loaded>
    </div>
  );
}

/** Every district and county with its assets, the ones too that have none yet: how many there are, and how bad it is. */
function Districts() {
  const { t, tx, locale } = useSettings();
  const words = useWords();
  const can = useCan();
  const query = useQuery({ enabled: can('get-cmdb-risk-overview'), queryKey: ['cmdb', 'risk', 'overview', 'asset'], queryFn: ({ signal }) => get<RiskOverview>('/cmdb/risk/overview', { kind: 'asset' }, signal), refetchInterval: 60_000 });
  const standard = list(list(words.model?.dictionaries).find((d) => d.name === 'region')?.values);
  if (!can('get-cmdb-risk-overview')) return <div style={{ height: 14 }} />;
  const seen = new Map(list(query.data?.regions).map((r) => [r.value, r]));
  const names = [...standard.map((v) => v.value), ...[...seen.keys()].filter((r) => r && !standard.some((v) => v.value === r))];
  const without = seen.get('')?.total ?? 0;
  return (
    <section className="panel districts" aria-label={t('ci.districts')}>
      <header>
        <h2>{t('ci.districts')}</h2>
        <div className="end faint">{without > 0 && <Link to={itemsWith({ class: 'organisation', filter: 'not region exists' })}>{t('ci.districtsWithout', { n: number(without, locale) })}</Link>}</div>
      </header>
      <div className="body">
        <Loaded query={query} what="ci.districts" lines={3} small>
          {() =>
            names.length === 0 ? (
              <span className="dim">{t('ci.districtsNone')}</span>
            ) : (
              <div className="districtgrid">
                {names.map((name) => {
                  const r = seen.get(name);
                  const title = tx(standard.find((v) => v.value === name)) || name;
                  return (
                    <Link key={name} className={r ? '' : 'bare'} to={`/risk?${new URLSearchParams({ region: name })}`}>
                      <b className="ellipsis">{title}</b>
                      {r ? (
                        <>
                          <span>{t('ci.districtItems', { n: number(r.total, locale) })}</span>
                          <span className={r.at_risk > 0 ? 'atrisk' : ''}>{r.at_risk > 0 ? t('ci.districtRisk', { n: number(r.at_risk, locale), x: r.worst }) : t('ci.districtCalm')}</span>
                        </>
                      ) : (
                        <span className="faint">{t('ci.districtNone')}</span>
                      )}
                    </Link>
                  );
                })}
              </div>
            )
          }
        </Loaded>
      </div>
    </section>
  );
}

function Stat({ to, n, label }: { to: string; n: number; label: string }) {
  const { locale } = useSettings();
  return (
    <Link className="panel stat" to={to}>
      <span className="n">{number(n, locale)}</span>
      <span className="l">{label}</span>
    </Link>
  );
}

/** How many lines and zones stand on the home until all are asked for. */
const SHORT = 8;

function Followed({ statistics }: { statistics: Statistics }) {
  const { t, locale } = useSettings();
  const words = useWords();
  const { all: followed, follows } = useFollowing();
  const items = followed.filter((f) => f.kind === 'item');
  const [all, setAll] = useState(false);
  const section = (title: string, kind: 'line' | 'zone', counts: Record<string, number>, filter: (x: string) => string, none?: ReactNode) => {
    const names = Object.keys(counts).sort((a, b) => Number(follows(kind, b)) - Number(follows(kind, a)) || (counts[b] ?? 0) - (counts[a] ?? 0) || a.localeCompare(b));
    const most = Math.max(1, ...Object.values(counts));
    return (
      <>
        <h3 className="folder faint">{title}</h3>
        {names.length === 0 && <div className="dim" style={{ padding: '0 14px 8px' }}>{none}</div>}
        {names.slice(0, all ? names.length : SHORT).map((x) => {
          return (
            <div className="figrow" key={x}>
              <Star kind={kind} of={x} name={x} />
              <Link className="ellipsis" to={itemsWith({ filter: filter(x) })}>
                {x}
              </Link>
              <span className="track">
                <i style={{ width: `${((counts[x] ?? 0) / most) * 100}%` }} />
              </span>
              <span className="num">{number(counts[x] ?? 0, locale)}</span>
            </div>
          );
        })}
        {names.length > SHORT && (
          <Button type="link" size="small" aria-expanded={all} onClick={() => setAll(!all)}>
            {t(all ? 'ci.fewer' : 'ci.allOf', { n: number(names.length, locale) })}
          </Button>
        )}
      </>
    );
  };
  return (
    <Panel title={t('ci.followed')} end={followed.length === 0 ? <span className="faint">{t('ci.followWhy')}</span> : undefined} flush>
      {items.length > 0 && (
        <>
          <h3 className="folder faint">{t('ci.followedItems')}</h3>
          {items.map((f) => (
            <div className="figrow" key={f.key}>
              <Star kind="item" of={f.key} name={f.name} />
              <Link className="ellipsis" title={f.name} to={itemPath(f.key)}>
                {f.name}
              </Link>
              <span className="faint">{words.className(f.class ?? '')}</span>
              <span className="num">{f.items > 0 ? number(f.items, locale) : ''}</span>
            </div>
          ))}
        </>
      )}
      {section(t('ci.lines'), 'line', statistics.lines, ofLine, t('ci.lineNone'))}
      {section(t('ci.zones'), 'zone', statistics.zones, ofZone)}
    </Panel>
  );
}

const KINDS = ['created', 'updated', 'deleted'] as const;

function Changes({ statistics }: { statistics: Statistics }) {
  const { t, locale } = useSettings();
  const days = list(statistics.changes);
  const most = Math.max(1, ...days.map(changed));
  return (
    <Panel
      title={t('ci.changes7')}
      end={
        <>
          {KINDS.map((k) => (
            <span key={k} className="row" style={{ gap: 5 }}>
              <i className={`kind ${k}`} aria-hidden="true" />
              {t(`ci.${k}`)}
            </span>
          ))}
          <Link to="/cmdb/changes">{t('page.cmdb.changes')}</Link>
        </>
      }
    >
      <table className="daybars" aria-label={t('ci.changes7')}>
        <tbody>
          {days.map((d) => (
            <tr key={d.day}>
              <th scope="row" className="num">
                {d.day.slice(5)}
              </th>
              <td>
                <div className="daybar">
                  {KINDS.map((k) =>
                    d[k] > 0 ? (
                      <Link key={k} className={k} style={{ width: `${(d[k] / most) * 100}%` }} title={`${t(`ci.${k}`)} ${number(d[k], locale)}`} to={`/cmdb/changes?day=${d.day}&action=${k}`}>
                        <span className="visually-hidden">{`${t(`ci.${k}`)} ${number(d[k], locale)}`}</span>
                      </Link>
                    ) : null,
                  )}
                </div>
              </td>
              <td className="num">{changed(d) > 0 ? <Link to={`/cmdb/changes?day=${d.day}`}>{number(changed(d), locale)}</Link> : <span className="faint">0</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function ByModel({ counts, tree }: { counts: Record<string, number>; tree: ClassNode[] }) {
  const { t, locale } = useSettings();
  const words = useWords();
  const flat = (n: ClassNode): ClassNode[] => [n, ...n.below.flatMap(flat)];
  return (
    <div className="layercards">
      {tree.map((layer) => (
        <section key={layer.name}>
          <h3>{layer.name ? words.layerName(layer.name) : t('ci.noLayer')}</h3>
          {layer.below.flatMap(flat).map((c) => {
            const n = countOf(counts, words.model, c.name);
            return (
              <Link key={c.name} className={n === 0 ? 'faint' : ''} to={itemsWith({ class: c.name })} style={{ fontStyle: c.abstract ? 'italic' : undefined }}>
                <span className="ellipsis">{words.className(c.name)}</span>
                <span className="num">{number(n, locale)}</span>
              </Link>
            );
          })}
        </section>
      ))}
    </div>
  );
}
