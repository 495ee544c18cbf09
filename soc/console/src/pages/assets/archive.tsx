import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Segmented, Select } from 'antd';
import { Fragment } from 'react';
import { Link } from 'react-router-dom';
import { itemPath, useWords, type Item } from '../../api/cmdb';
import { buildPath, get, put } from '../../api/client';
import { LEVELS, type Archived, type RiskKind, type RiskLine, type RiskOverview } from '../../api/risk';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { usePageTitle, useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { quoted } from '../../logic/cmdbfilter';
import { number } from '../../logic/format';
import { useCan } from '../../api/queries';
import { Threats } from '../../parts/assets/threats';
import { Bars } from '../../parts/charts';
import { MARKS, MarkTags, type Mark } from '../../parts/cmdb/marks';
import { useSayValue } from '../../parts/cmdb/value';
import { Head, Panel } from '../../parts/page';
import { RiskMark } from '../../parts/risk';
import { SearchBox } from '../../parts/search';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable, type Column } from '../../parts/table';
import { portraitPath } from './portrait';

const SORTS = ['score', 'alerts', 'incidents', 'findings', 'criticality'] as const;
const COUNTS = ['alerts', 'incidents', 'findings'] as const;
const PATHS = { unit: '/cmdb/units', system: '/cmdb/systems', asset: '/cmdb/risk' } as const;
/** The attributes whose values a unit's or system's card shows, and its labels are chosen from. */
const LABELLED = { unit: ['unit_type', 'industry', 'status'], system: ['system_type', 'system_labels', 'importance', 'exposure', 'risk_labels'], asset: [] } as const;
/** What a card tells besides. */
const SHOWN = { unit: ['contact', 'phone', 'postal_address', 'filing_number'], system: ['site_domain', 'site_ip', 'postal_address'], asset: [] } as const;
/** The rating tags that stand for the marks. */
const TAGS: Record<Mark, string> = { cii: 'cii', key_asset: 'key' };

type Row = Partial<Archived> & { id: string; name: string; risk?: RiskLine };

/** Units, systems or assets by their risk, found by any names and labels together. */
export function Archive({ kind }: { kind: RiskKind }) {
  const { t, tx, locale } = useSettings();
  const words = useWords();
  const say = useSayValue();
  const [url, setUrl] = useUrl();
  usePageTitle(t(`page.archive.${kind}`));
  const q = url.get('q') ?? '';
  const labels = (url.get('labels') ?? '').split(',').filter(Boolean);
  const level = url.get('level') ?? '';
  const region = url.get('region') ?? '';
  const mark = kind === 'unit' ? undefined : MARKS.find((m) => m === url.get('mark'));
  const sort = SORTS.find((s) => s === url.get('sort')) ?? 'score';
  const view = kind === 'asset' || url.get('view') === 'rows' ? 'rows' : url.get('view') === 'tiles' ? 'tiles' : 'cards';
  const open = url.get('open') ?? '';
  const own = [mark && `${mark} = true`, region && (kind === 'unit' ? `region = ${quoted(region)}` : `(region = ${quoted(region)} or organisation.region = ${quoted(region)})`)].filter(Boolean).join(' and ');
  const filter = kind === 'asset' ? { kind, q, level, sort, tag: mark && TAGS[mark], region } : { q, labels: labels.join(','), level, sort, filter: own };
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
  const narrowed = !!(q || labels.length || level || region || mark);
  const portrait = (x: Row) => (
    <Link className="ellipsis" title={x.name || x.id} to={portraitPath(x.id)}>
      {x.name || x.id}
    </Link>
  );
  const cls = kind === 'unit' ? 'organisation' : 'business_system';
  const tags = (x: Row) =>
    LABELLED[kind].flatMap((a) =>
      String(x.attributes?.[a] ?? '')
        .split(';')
        .filter((v) => v && v !== 'cii' && v !== 'key_asset')
        .map((v) => (
          <span className="tag" key={`${a} ${v}`} title={words.attributeName(a, cls)}>
            <span className="ellipsis">{say(`attr.${a}`, v, cls)}</span>
          </span>
        )),
    );
  const marks = (x: Row) => <MarkTags of={kind === 'asset' ? { attributes: Object.fromEntries(MARKS.map((m) => [m, String(list(x.risk?.tags).includes(TAGS[m]))])) } : ({ attributes: x.attributes } as Pick<Item, 'attributes'>)} />;
  const members = (x: Row) =>
    Object.entries(x.members ?? {})
      .sort((a, b) => b[1] - a[1])
      .slice(0, 4)
      .map(([c, n]) => `${words.className(c)} ${number(n, locale)}`)
      .join(' · ');
  const columns: Column<Row>[] = [
    {
      key: 'name',
      title: t('ci.f.name'),
      render: (x) => (
        <span className="row" style={{ gap: 6 }}>
          {portrait(x)}
          {marks(x)}
        </span>
      ),
    },
    ...(kind === 'asset' ? [{ key: 'class', title: t('ci.f.class'), width: 110, render: (x: Row) => words.className(x.risk?.class ?? '') }] : [{ key: 'unit', title: t('archive.unit'), render: (x: Row) => (x.unit && x.unit.id !== x.id ? <Link to={portraitPath(x.unit.id)}>{x.unit.name}</Link> : <span className="faint">–</span>) }]),
    { key: 'score', sort: 'score', title: t('risk.score'), width: 120, render: (x) => (x.risk ? <RiskMark score={x.risk.score} level={x.risk.level} /> : <span className="faint">{t('risk.pendingShort')}</span>) },
    ...COUNTS.map((s) => ({ key: s, sort: s, title: t(`risk.${s}`), num: true, width: 84, render: (x: Row) => number(x.risk?.[s] ?? 0, locale) })),
    { key: 'criticality', sort: 'criticality', title: t('risk.criticality'), num: true, width: 90, render: (x) => number(x.risk?.criticality ?? 0, locale) },
    { key: 'why', title: t('risk.why'), render: (x) => tx(x.risk?.why) },
  ];
  return (
    <div className="page">
      <Head title={t(`page.archive.${kind}`)} sub={o && `${t('archive.total')} ${number(o.total, locale)} · ${t('archive.atRisk')} ${number(o.at_risk, locale)}`}>
        <Button href={buildPath(kind === 'asset' ? '/cmdb/risk/export' : `${PATHS[kind]}/export`, { ...filter, format: 'xlsx' })}>{t('archive.export')}</Button>
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('archive.search')} width={280} />
        {kind !== 'asset' && (
          <Select
            mode="tags"
            allowClear
            maxTagCount="responsive"
            style={{ width: 260 }}
            aria-label={t('archive.labels')}
            placeholder={t('archive.labels')}
            value={labels}
            optionFilterProp="label"
            onChange={(v: string[]) => setUrl({ labels: v.map((x) => x.trim()).filter(Boolean).join(',') || undefined })}
            options={LABELLED[kind].map((a) => ({
              label: words.attributeName(a, cls),
              options: list(list(words.model?.dictionaries).find((d) => d.name === list(words.classOf(cls)?.attributes).find((x) => x.name === a)?.dictionary)?.values).map((v) => ({ value: v.value, label: say(`attr.${a}`, v.value, cls) })),
            }))}
          />
        )}
        {kind !== 'unit' &&
          MARKS.map((m) => (
            <button key={m} className="plain toggle" aria-pressed={mark === m} onClick={() => setUrl({ mark: mark === m ? undefined : m }, true)}>
              {t(`ci.mark.${m}`)}
            </button>
          ))}
        <span className="sep" />
        {LEVELS.map((l) => (
          <button key={l} className="plain toggle" aria-pressed={level === l} onClick={() => setUrl({ level: level === l ? undefined : l }, true)}>
            {t(`risk.${l}`)} <span className="num">{o ? number(o.by_level[l] ?? 0, locale) : ''}</span>
          </button>
        ))}
        {region && (
          <span className="chip">
            {region}
            <button className="plain" aria-label={t('do.remove', { x: region })} onClick={() => setUrl({ region: undefined })}>
              ✕
            </button>
          </span>
        )}
        {kind !== 'asset' && (
          <span className="row" style={{ gap: 8, marginLeft: 'auto' }}>
            {view !== 'rows' && <Select aria-label={t('archive.sort')} value={sort} style={{ width: 120 }} options={SORTS.map((s) => ({ value: s, label: t(`risk.${s}`) }))} onChange={(s) => setUrl({ sort: s })} />}
            <Segmented aria-label={t('archive.view')} value={view} options={(['cards', 'tiles', 'rows'] as const).map((v) => ({ value: v, label: t(`archive.${v}`) }))} onChange={(v) => setUrl({ view: v === 'cards' ? undefined : v, open: undefined })} />
          </span>
        )}
      </div>
      <Stale query={query} />
      {query.error && !query.data ? (
        <Failed error={query.error} what="archive.what" retry={() => void query.refetch()} />
      ) : !query.data ? (
        <Skeleton lines={8} />
      ) : rows.length === 0 ? (
        <div className="panel">
          <Empty title={t(narrowed ? 'archive.none' : 'archive.noneYet', { x: t(`page.archive.${kind}`) })} why={t(narrowed ? 'archive.noneWhy' : 'archive.noneYetWhy')}>
            {narrowed ? (
              <Button onClick={() => setUrl({ q: undefined, labels: undefined, level: undefined, region: undefined, mark: undefined })}>{t('do.clear')}</Button>
            ) : (
              <Link to="/cmdb/import">
                <Button>{t('cmdb.import')}</Button>
              </Link>
            )}
          </Empty>
        </div>
      ) : view === 'tiles' ? (
        <div className="archivetiles" aria-busy={query.isFetching}>
          {rows.map((x) => (
            <Link key={x.id} className="panel" to={portraitPath(x.id)} title={tx(x.risk?.why)}>
              <span className="row" style={{ gap: 6, minWidth: 0 }}>
                <b className="ellipsis" style={{ minWidth: 0 }}>{x.name || x.id}</b>
                {marks(x)}
              </span>
              {x.risk ? <RiskMark score={x.risk.score} level={x.risk.level} /> : <span className="faint">{t('risk.pendingShort')}</span>}
              <span className="dim ellipsis mono">{x.attributes?.site_ip || x.attributes?.site_domain || ' '}</span>
              <span className="dim ellipsis">{COUNTS.map((s) => `${t(`risk.${s}`)} ${number(x.risk?.[s] ?? 0, locale)}`).join(' · ')}</span>
            </Link>
          ))}
        </div>
      ) : view === 'cards' ? (
        <div className="archivecards" aria-busy={query.isFetching}>
          {rows.map((x) => (
            <Panel
              key={x.id}
              title={portrait(x)}
              end={
                <>
                  {marks(x)}
                  <CardMenu id={x.id} name={x.name || x.id} cls={cls} attributes={x.attributes ?? {}} />
                </>
              }
            >
              <div className="stack" style={{ gap: 6 }}>
                <div className="row" style={{ gap: 12 }}>
                  {x.risk ? <RiskMark score={x.risk.score} level={x.risk.level} /> : <span className="faint">{t('risk.pending')}</span>}
                  <span className="dim" style={{ marginLeft: 'auto' }}>
                    {COUNTS.map((s) => `${t(`risk.${s}`)} ${number(x.risk?.[s] ?? 0, locale)}`).join(' · ')}
                  </span>
                </div>
                <span>{tx(x.risk?.why)}</span>
                {SHOWN[kind].some((a) => x.attributes?.[a]) && (
                  <dl className="facts cardfacts">
                    {SHOWN[kind]
                      .filter((a) => x.attributes?.[a])
                      .map((a) => (
                        <Fragment key={a}>
                          <dt>{words.attributeName(a, cls)}</dt>
                          <dd className="ellipsis" title={x.attributes?.[a]}>
                            {x.attributes?.[a]}
                          </dd>
                        </Fragment>
                      ))}
                  </dl>
                )}
                {members(x) && <span className="dim">{members(x)}</span>}
                {x.unit && x.unit.id !== x.id && (
                  <span className="dim">
                    {t('archive.unit')} <Link to={portraitPath(x.unit.id)}>{x.unit.name}</Link>
                  </span>
                )}
                <div className="row wrap" style={{ gap: 4 }}>
                  {tags(x)}
                </div>
                <button type="button" className="plain link" aria-expanded={open === x.id} onClick={() => setUrl({ open: open === x.id ? undefined : x.id })}>
                  {t('threats.recent')} {open === x.id ? '▴' : '▾'}
                </button>
                {open === x.id && <Threats id={x.id} />}
              </div>
            </Panel>
          ))}
        </div>
      ) : (
        <div className="panel" style={{ overflowX: 'auto' }} aria-busy={query.isFetching}>
          <DataTable label={t(`page.archive.${kind}`)} rows={rows} rowKey={(x) => x.id} columns={columns} sort={sort} onSort={(s) => setUrl({ sort: s || undefined })} oneWay />
        </div>
      )}
      {rows.length > 0 && (
        <div className="dim" style={{ padding: 10, textAlign: 'center' }}>
          {query.hasNextPage ? (
            <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {t('archive.more')} ({number(rows.length, locale)} / {number(total, locale)})
            </Button>
          ) : (
            t('ci.shownOf', { n: number(rows.length, locale) })
          )}
        </div>
      )}
      {o && kind !== 'asset' && !narrowed && (
        <div className="cols even" style={{ marginTop: 14 }}>
          {(['industries', 'regions'] as const).map((what) => {
            const points = list(o[what]).filter((s) => s.at_risk > 0).slice(0, 18).map((s) => ({ name: s.value ? say(what === 'industries' ? 'attr.industry' : 'attr.region', s.value, 'organisation') : t('archive.noIndustry'), value: s.at_risk }));
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

/** What is done with a unit or system without leaving the list. */
function CardMenu({ id, name, cls, attributes }: { id: string; name: string; cls: string; attributes: Record<string, string> }) {
  const { t } = useSettings();
  const can = useCan();
  const words = useWords();
  const { act } = useAct();
  const path = `/cmdb/items/${encodeURIComponent(id)}`;
  const known = list(words.classOf(cls)?.attributes).map((a) => a.name);
  const mark = (m: Mark, on: boolean) => {
    const send = (v: boolean) => put(`${path}/marks`, { [m]: v });
    void act(() => send(on), { said: t('portrait.marked'), undo: () => void act(() => send(!on), { said: t('ci.undone'), renew: ['cmdb'] }), renew: ['cmdb'] });
  };
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: [
          { key: 'file', label: <Link to={portraitPath(id)}>{t('archive.file')}</Link> },
          ...(can('change-cmdb-item') ? [{ key: 'edit', label: <Link to={`${itemPath(id)}/edit`}>{t('do.edit')}</Link> }] : []),
          { key: 'history', label: <Link to={`${itemPath(id)}?tab=history`}>{t('ci.history')}</Link> },
          ...(can('mark-cmdb-item') ? MARKS.filter((m) => known.includes(m)).map((m) => ({ key: m, label: t(attributes[m] === 'true' ? `ci.unmark.${m}` : `ci.domark.${m}`), onClick: () => mark(m, attributes[m] !== 'true') })) : []),
          ...(can('delete-cmdb-item') ? [{ type: 'divider' as const }, { key: 'delete', danger: true, label: <Link to={`${itemPath(id)}?do=delete`}>{t('ci.delete')}</Link> }] : []),
        ],
      }}
    >
      <Button type="text" size="small" aria-label={t('archive.menu', { x: name })}>
        ⋯
      </Button>
    </Dropdown>
  );
}
