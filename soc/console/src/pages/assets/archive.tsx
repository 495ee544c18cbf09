import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Input, Segmented, Select } from 'antd';
import { useEffect, useState } from 'react';
import { Link } from 'react-router-dom';
import { BASE, buildPath, get } from '../../api/client';
import { LEVELS, type Archived, type RiskKind, type RiskLine, type RiskOverview } from '../../api/risk';
import { list, type Page } from '../../api/types';
import { usePageTitle, useSettled, useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Bars } from '../../parts/charts';
import { Head, Panel } from '../../parts/page';
import { RiskMark } from '../../parts/risk';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';

const SORTS = ['score', 'alerts', 'incidents', 'findings', 'criticality'] as const;
const PATHS = { unit: '/cmdb/units', system: '/cmdb/systems', asset: '/cmdb/risk' } as const;

type Row = Partial<Archived> & { id: string; name: string; risk?: RiskLine };

/** Units, systems or assets by their risk, found by any names and labels together. */
export function Archive({ kind }: { kind: RiskKind }) {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  usePageTitle(t(`page.archive.${kind}`));
  const [text, setText] = useState(url.get('q') ?? '');
  const q = useSettled(text, 300);
  const [labelText, setLabelText] = useState(url.get('labels') ?? '');
  const labels = useSettled(labelText, 300);
  useEffect(() => setUrl({ q: q || undefined, labels: labels || undefined }), [q, labels, setUrl]);
  const level = url.get('level') ?? '';
  const sort = SORTS.find((s) => s === url.get('sort')) ?? 'score';
  const cards = kind !== 'asset' && url.get('view') !== 'rows';
  const filter = kind === 'asset' ? { kind, q, level, sort } : { q, labels: labels.replaceAll('，', ','), level, sort };
  const overview = useQuery({ queryKey: ['cmdb', 'risk', 'overview', kind], queryFn: ({ signal }) => get<RiskOverview>('/cmdb/risk/overview', { kind }, signal), refetchInterval: 60_000 });
  const query = useInfiniteQuery({
    queryKey: ['cmdb', 'archive', kind, JSON.stringify(filter)],
    queryFn: ({ signal, pageParam }) => get<Page<Archived | RiskLine>>(PATHS[kind], { ...filter, limit: 60, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (p) => p.next || undefined,
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
  });
  const rows: Row[] = (query.data?.pages ?? []).flatMap((p) => list(p.items)).map((x) => ('score' in x ? { id: x.id, name: x.name, risk: x } : x));
  const total = query.data?.pages[0]?.total ?? 0;
  const o = overview.data;
  const portrait = (x: Row) => <Link to={`/portraits/${encodeURIComponent(x.id)}`}>{x.name || x.id}</Link>;
  const counts = (x: Row) => (
    <span className="faint">
      {SORTS.slice(1, 4).map((s) => `${t(`risk.${s}`)} ${number((x.risk?.[s] as number | undefined) ?? 0, locale)}`).join(' · ')}
    </span>
  );
  return (
    <div className="page">
      <Head title={t(`page.archive.${kind}`)} sub={o && `${t('archive.total')} ${number(o.total, locale)} · ${t('archive.atRisk')} ${number(o.at_risk, locale)}`}>
        <Button href={BASE + buildPath('/cmdb/risk/export', { kind, level, sort, q: kind === 'asset' ? q : undefined, format: 'xlsx' })}>{t('archive.export')}</Button>
      </Head>
      {o && (
        <div className="row wrap" style={{ gap: 8, marginBottom: 12 }}>
          {LEVELS.map((l) => (
            <Button key={l} type={level === l ? 'primary' : 'default'} aria-pressed={level === l} onClick={() => setUrl({ level: level === l ? undefined : l })}>
              {t(`risk.${l}`)} {number(o.by_level[l] ?? 0, locale)}
            </Button>
          ))}
        </div>
      )}
      <div className="filters" role="search">
        <Input allowClear style={{ width: 280 }} placeholder={t('archive.search')} aria-label={t('archive.search')} value={text} onChange={(e) => setText(e.target.value)} />
        {kind !== 'asset' && <Input allowClear style={{ width: 220 }} placeholder={t('archive.labels')} aria-label={t('archive.labels')} value={labelText} onChange={(e) => setLabelText(e.target.value)} />}
        <Select aria-label={t('archive.sort')} value={sort} style={{ width: 130 }} options={SORTS.map((s) => ({ value: s, label: t(`risk.${s}`) }))} onChange={(s) => setUrl({ sort: s })} />
        {kind !== 'asset' && <Segmented value={cards ? 'cards' : 'rows'} options={[{ value: 'cards', label: t('archive.cards') }, { value: 'rows', label: t('archive.rows') }]} onChange={(v) => setUrl({ view: v === 'rows' ? 'rows' : undefined })} />}
      </div>
      <Stale query={query} />
      {query.error && !query.data ? (
        <Failed error={query.error} what="archive.what" retry={() => void query.refetch()} />
      ) : !query.data ? (
        <Skeleton lines={8} />
      ) : rows.length === 0 ? (
        <Empty title={t('archive.none')} why={t('archive.noneWhy')}>
          <Link to="/cmdb">{t('page.cmdb')}</Link>
        </Empty>
      ) : cards ? (
        <div style={{ display: 'grid', gridTemplateColumns: 'repeat(auto-fill, minmax(260px, 1fr))', gap: 12 }}>
          {rows.map((x) => (
            <Panel key={x.id} title={portrait(x)}>
              <div className="stack" style={{ gap: 6 }}>
                {x.risk ? <RiskMark score={x.risk.score} level={x.risk.level} /> : <span className="faint">{t('risk.pending')}</span>}
                {counts(x)}
                <span>{tx(x.risk?.why)}</span>
                {x.unit && x.unit.id !== x.id && (
                  <span className="faint">
                    {t('archive.unit')} <Link to={`/portraits/${encodeURIComponent(x.unit.id)}`}>{x.unit.name}</Link>
                  </span>
                )}
                <div className="row wrap" style={{ gap: 4 }}>
                  {['industry', 'unit_type', 'system_type', 'system_labels', 'risk_labels']
                    .flatMap((a) => (x.attributes?.[a] ?? '').split(';'))
                    .filter(Boolean)
                    .map((l) => (
                      <span className="tag" key={l}>
                        {l}
                      </span>
                    ))}
                </div>
              </div>
            </Panel>
          ))}
        </div>
      ) : (
        <DataTable
          label={t(`page.archive.${kind}`)}
          rows={rows}
          rowKey={(x) => x.id}
          columns={[
            { key: 'name', title: t('archive.what'), render: portrait },
            { key: 'score', title: t('risk.score'), width: 150, render: (x) => (x.risk ? <RiskMark score={x.risk.score} level={x.risk.level} /> : '') },
            { key: 'counts', title: t('risk.alerts'), width: 230, render: counts },
            { key: 'why', title: t('risk.why'), render: (x) => tx(x.risk?.why) },
          ]}
        />
      )}
      {query.hasNextPage && (
        <Button style={{ marginTop: 12 }} loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {t('archive.more')} ({number(rows.length, locale)} / {number(total, locale)})
        </Button>
      )}
      {o && kind !== 'asset' && (
        <div className="cols" style={{ marginTop: 14 }}>
          {(['industries', 'regions'] as const).map((what) => {
            const points = list(o[what]).filter((s) => s.at_risk > 0).slice(0, 18).map((s) => ({ name: s.value || t('archive.noIndustry'), value: s.at_risk }));
            return points.length > 0 ? (
              <Panel key={what} title={t(`archive.${what}`)}>
                <Bars points={points} label={t(`archive.${what}`)} />
              </Panel>
            ) : null;
          })}
        </div>
      )}
    </div>
  );
}
