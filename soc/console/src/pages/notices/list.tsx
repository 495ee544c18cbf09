import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Input, Select, type InputRef } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { get } from '../../api/client';
import { NOTICE_STATES, type Board, type Notice, type NoticeKind, type RegionLine } from '../../api/notices';
import { useCan } from '../../api/queries';
import { SEVERITIES, list, type Page } from '../../api/types';
import { useHeld } from '../../app/held';
import { useNarrow, useSettled, useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useRowKeys } from '../../app/rows';
import { useSettings } from '../../app/settings';
import { joined, number } from '../../logic/format';
import { parseWords } from '../../logic/urlstate';
import { useTenantName } from '../../parts/names';
import { Answered, Favourite, NoticeStateMark } from '../../parts/notices/marks';
import { Head, Panel } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Deadline, When } from '../../parts/time';

const KINDS: NoticeKind[] = ['circular', 'warning'];
const iso = (ms: number | undefined) => (ms ? new Date(ms).toISOString() : undefined);

/** Circulars and early warnings: those one writes and those one is sent. All filters are in the address. */
export default function Notices() {
  const { t, locale } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const kind = parseWords(url, 'kind', KINDS)[0] ?? '';
  const state = parseWords(url, 'state', NOTICE_STATES);
  const level = parseWords(url, 'level', SEVERITIES)[0] ?? '';
  const tag = url.get('tag') ?? '';
  const region = url.get('region') ?? '';
  const unread = url.get('unread') === 'true';
  const kept = url.get('favourite') === 'true';
  const deleted = url.get('deleted') === '1';
  const q = url.get('q') ?? '';
  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (settled !== q && settled === text.trim()) setUrl({ q: settled });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps
  const filter = { kind, state: state.join(','), level, tag, region, unread: unread || undefined, favourite: kept || undefined, deleted: deleted || undefined, q };
  const query = useInfiniteQuery({
    queryKey: ['notices', 'list', filter],
    queryFn: ({ signal, pageParam }) => get<Page<Notice>>('/notices', { ...filter, limit: 100, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    refetchInterval: 30_000,
  });
  const { rows, news } = useHeld(`${JSON.stringify(filter)} ${query.data?.pages.length ?? 0}`, query.data?.pages.flatMap((p) => list(p.items)), !query.hasNextPage);
  const [cursor] = useRowKeys(rows.map((r) => r.id), (id) => navigate(`/notices/${encodeURIComponent(id)}`));
  const input = useRef<InputRef>(null);
  const write = can('create-notice');
  useKeys({ '/': () => input.current?.focus(), n: () => write && navigate('/notices/new') });
  const narrow = useNarrow(1180);
  const filtered = !!kind || state.length > 0 || !!level || !!tag || !!region || unread || kept || deleted || !!q;
  const clear = () => {
    setText('');
    setUrl({ kind: undefined, state: [], level: undefined, tag: undefined, region: undefined, unread: undefined, favourite: undefined, deleted: undefined, q: undefined });
  };
  const make = write && (
    <Link to="/notices/new">
      <Button type="primary">{t('notice.new')}</Button>
    </Link>
  );
  return (
    <div className="page">
      <Head title={t('page.notices')} sub={query.data ? number(query.data.pages[0]?.total ?? rows.length, locale) : t('notice.lead')}>
        {make}
      </Head>
      <Summary />
      <div className="filters" role="search">
        <Input ref={input} allowClear style={{ width: 220 }} placeholder={t('notice.filter')} aria-label={t('notice.filter')} maxLength={200} value={text} suffix={text ? undefined : <kbd>/</kbd>} onChange={(e) => setText(e.target.value)} />
        {KINDS.map((k) => (
          <button key={k} className="plain toggle" aria-pressed={kind === k} onClick={() => setUrl({ kind: kind === k ? undefined : k })}>
            {t(`notice.kind.${k}`)}
          </button>
        ))}
        <span className="divider" aria-hidden />
        {NOTICE_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state.includes(s)} onClick={() => setUrl({ state: state.includes(s) ? state.filter((x) => x !== s) : [...state, s] })}>
            {t(`notice.state.${s}`)}
          </button>
        ))}
        <Select allowClear style={{ width: 104 }} placeholder={t('col.severity')} aria-label={t('col.severity')} value={level || undefined} options={SEVERITIES.map((x) => ({ value: x, label: t(`sev.${x}`) }))} onChange={(v?: string) => setUrl({ level: v })} />
        <button className="plain toggle" aria-pressed={unread} onClick={() => setUrl({ unread: unread ? undefined : 'true' })}>
          {t('notice.unread')}
        </button>
        <button className="plain toggle" aria-pressed={kept} onClick={() => setUrl({ favourite: kept ? undefined : 'true' })}>
          ☆ {t('notice.kept')}
        </button>
        <button className="plain toggle" aria-pressed={deleted} onClick={() => setUrl({ deleted: deleted ? undefined : '1' })}>
          {t('word.deleted')}
        </button>
        {[
          ['tag', tag],
          ['region', region],
        ].map(
          ([param, x]) =>
            x && (
              <span className="chip" key={param}>
                {x}
                <button className="plain" aria-label={t('do.remove', { x })} onClick={() => setUrl({ [param as string]: undefined })}>
                  ✕
                </button>
              </span>
            ),
        )}
        {filtered && (
          <Button type="link" size="small" onClick={clear}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {news}
      <div className="panel" style={{ overflowX: 'auto' }}>
        {query.error && !query.data ? (
          <Failed error={query.error} what="page.notices" retry={() => void query.refetch()} />
        ) : !query.data ? (
          <Skeleton lines={8} />
        ) : rows.length === 0 ? (
          filtered ? (
            <Empty title={t('notice.noneFit')} why={t('notice.noneFitWhy')}>
              <Button onClick={clear}>{t('do.clear')}</Button>
            </Empty>
          ) : (
            <Empty title={t('notice.none')} why={t(write ? 'notice.noneWhy' : 'notice.noneAsk')}>
              {make}
            </Empty>
          )
        ) : (
          <>
            <DataTable
              label={t('page.notices')}
              rows={rows}
              rowKey={(n) => n.id}
              marked={cursor}
              onRow={(n) => navigate(`/notices/${encodeURIComponent(n.id)}`)}
              columns={[
                { key: 'level', title: t('col.severity'), render: (n) => <SeverityMark level={n.level} /> },
                { key: 'kind', title: t('notice.kind'), width: 84, render: (n) => t(`notice.kind.${n.kind}`) },
                {
                  key: 'name',
                  title: t('notice.name'),
                  width: '38%',
                  render: (n) => (
                    <>
                      <Favourite notice={n} />{' '}
                      <Link to={`/notices/${encodeURIComponent(n.id)}`} style={{ fontWeight: n.state === 'published' && !n.read ? 650 : undefined }}>
                        {n.name}
                      </Link>{' '}
                      {n.state === 'published' && !n.read && <span className="tag strong">{t('notice.unread')}</span>}
                      <div className="tags">
                        {n.region && (
                          <button className="plain tag" onClick={() => setUrl({ region: n.region })}>
                            {n.region}
                          </button>
                        )}
                        {list(n.tags).map((x) => (
                          <button className="plain tag" key={x} onClick={() => setUrl({ tag: x })}>
                            # {x}
                          </button>
                        ))}
                      </div>
                    </>
                  ),
                },
                { key: 'state', title: t('col.status'), render: (n) => <NoticeStateMark state={n.state} /> },
                ...(narrow ? [] : [{ key: 'to', title: t('notice.to'), render: (n: Notice) => <span className="clip" title={joined(list(n.tenants).map(tenantName), locale)}>{list(n.tenants).length > 2 ? t('notice.toN', { x: tenantName(list(n.tenants)[0]), n: list(n.tenants).length }) : joined(list(n.tenants).map(tenantName), locale) || '–'}</span> }]),
                { key: 'answers', title: t('notice.answers'), render: (n) => <Answered notice={n} /> },
                { key: 'due', title: t('notice.due'), num: true, render: (n) => (n.due && n.state === 'published' ? <Deadline due={iso(n.due)} done={list(n.recipients).length > 0 && list(n.recipients).every((r) => r.replied_at) ? iso(Math.max(...list(n.recipients).map((r) => r.replied_at ?? 0))) : undefined} /> : n.due ? <When time={iso(n.due)} /> : <span className="faint">–</span>) },
                { key: 'at', title: t('notice.at'), num: true, render: (n) => <When time={iso(n.published_at ?? n.made_at)} /> },
              ]}
            />
            {query.hasNextPage && (
              <div style={{ padding: 12, textAlign: 'center' }}>
                <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  {t('do.more')}
                </Button>
              </div>
            )}
          </>
        )}
      </div>
    </div>
  );
}

/** By what answers are told. */
const RANKS = ['regions', 'units', 'industries'] as const;
type Line = Omit<RegionLine, 'region'> & { rank: number; key: string; name: string };

/** What there is, and how regions, units and industries answer (?rank=). */
function Summary() {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const query = useQuery({ queryKey: ['notices', 'board'], queryFn: ({ signal }) => get<Board>('/notices/board', {}, signal), refetchInterval: 60_000 });
  const b = query.data;
  if (!b || b.total === 0) return null;
  const waiting = (b.by_state?.draft ?? 0) + (b.by_state?.review ?? 0) + (b.by_state?.approved ?? 0);
  const regions = list(b.regions);
  const ranks = RANKS.filter((k) => list<unknown>(b[k]).length > 0);
  const by = ranks.find((k) => k === url.get('rank')) ?? ranks[0] ?? 'regions';
  const lines: Line[] = by === 'regions' ? regions.map((r) => ({ ...r, rank: 0, key: r.region, name: r.region })) : list(b[by]).map((r) => ({ ...r, key: r.id, name: tx(r.name) || r.id }));
  const overdue = regions.reduce((n, r) => n + r.overdue, 0);
  const cells = [
    { key: 'unread', n: b.unread, go: () => setUrl({ unread: 'true', state: [] }) },
    { key: 'waiting', n: waiting, go: () => setUrl({ state: ['draft', 'review', 'approved'], unread: undefined }) },
    { key: 'open', n: b.by_state?.published ?? 0, go: () => setUrl({ state: ['published'], unread: undefined }) },
    { key: 'late', n: overdue, go: () => setUrl({ kind: 'circular', state: ['published'], unread: undefined }) },
  ] as const;
  return (
    <div className="halves" style={{ marginBottom: 12, gridTemplateColumns: lines.length > 0 ? undefined : 'minmax(0, 1fr)' }}>
      <div className="panel">
        <div className="gauges" style={{ gridTemplateColumns: 'repeat(4, 1fr)', padding: '10px 14px' }}>
          {cells.map((c) => (
            <button className="plain" key={c.key} onClick={c.go}>
              <div className="v" data-testid={`notices-${c.key}`}>
                {number(c.n, locale)}
              </div>
              <div className="l">{t(`notice.board.${c.key}`)}</div>
            </button>
          ))}
        </div>
      </div>
      {lines.length > 0 && (
        <Panel
          title={
            <span className="row" style={{ gap: 4 }}>
              {ranks.map((k) => (
                <button key={k} className="plain toggle" aria-pressed={by === k} onClick={() => setUrl({ rank: k === ranks[0] ? undefined : k })}>
                  {t(`notice.by.${k}`)}
                </button>
              ))}
            </span>
          }
          flush
        >
          <div style={{ maxHeight: 150, overflow: 'auto' }}>
            <DataTable
              label={t('notice.regions')}
              rows={lines}
              rowKey={(r) => r.key}
              columns={[
                ...(by === 'regions' ? [] : [{ key: 'rank', title: t('notice.rank'), num: true, width: 50, render: (r: Line) => r.rank }]),
                { key: 'name', title: t(`notice.by.${by}`), render: (r) => (by === 'regions' && r.name ? <button className="plain link" onClick={() => setUrl({ region: r.name })}>{r.name}</button> : r.name || t('figures.noneOf')) },
                { key: 'n', title: t('notice.kind.circular'), num: true, render: (r) => number(r.circulars, locale) },
                { key: 'answered', title: t('notice.answeredShare'), num: true, render: (r) => `${Math.round(r.answered_percent)}%` },
                { key: 'timely', title: t('notice.timelyShare'), num: true, render: (r) => `${Math.round(r.timely_percent)}%` },
                { key: 'late', title: t('notice.overdue'), num: true, render: (r) => (r.overdue > 0 ? <b>{number(r.overdue, locale)}</b> : '0') },
              ]}
            />
          </div>
        </Panel>
      )}
    </div>
  );
}
