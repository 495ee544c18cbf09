import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Select, Switch } from 'antd';
import { Link } from 'react-router-dom';
import { del, get, post, put } from '../api/client';
import type { DisposalRule, OrderTarget, RuleRecord } from '../api/dispatch';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useHeld } from '../app/held';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { contentOf, reordered } from '../logic/dispatch';
import { number } from '../logic/format';
import { Actions, Conditions, Outcome } from '../parts/disposal/words';
import { DisposalForm } from '../parts/disposal/form';
import { objectLink } from '../parts/orders/detail';
import { Head } from '../parts/page';
import { Empty, Failed, Loaded, Skeleton, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { Tabs, useTab } from '../parts/tabs';
import { Deadline, When } from '../parts/time';

const RENEW = ['disposal-rules'];
const path = (r: Pick<DisposalRule, 'id'>) => `/disposal-rules/${encodeURIComponent(r.id)}`;

/** What is done of itself about alerts and incidents, in the order of its rules, and what they did (?tab=records). ?new=1 makes a rule, ?edit= changes one. */
export default function DisposalRules() {
  const { t } = useSettings();
  const can = useCan();
  const tabs = [
    ...(can('list-disposal-rules') ? [{ key: 'rules' as const, title: t('drule.tab.rules') }] : []),
    { key: 'records' as const, title: t('drule.tab.records') },
  ];
  const tab = useTab(tabs);
  return (
    <div className="page">
      {tab === 'records' ? <Records tabs={tabs} /> : <Rules tabs={tabs} />}
    </div>
  );
}

type Views = readonly { key: 'rules' | 'records'; title: string }[];

function Rules({ tabs }: { tabs: Views }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const write = can('create-disposal-rule');
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const deleted = url.get('deleted') === '1';
  const query = useQuery({ queryKey: ['disposal-rules', deleted], queryFn: ({ signal }) => get<Page<DisposalRule>>('/disposal-rules', { deleted: deleted || undefined }, signal), placeholderData: keepPreviousData, refetchInterval: 15_000 });
  const targets = useQuery({ queryKey: ['work-order-targets'], queryFn: ({ signal }) => get<Page<OrderTarget>>('/work-order-targets', {}, signal), staleTime: 60_000 });
  const rows = list(query.data?.items);
  const live = rows.filter((r) => !r.deleted_at);
  const editing = live.find((r) => r.id === url.get('edit'));
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  const change = (r: DisposalRule, part: Partial<DisposalRule>, position?: number) => put(path(r), { ...contentOf({ ...r, ...part }), ...(position ? { position } : {}) });
  const turn = (r: DisposalRule, enabled: boolean) => void act(() => change(r, { enabled }), { said: t(enabled ? 'inhibit.resumed' : 'inhibit.paused', { x: r.name }), renew: RENEW, undo: () => void act(() => change(r, { enabled: !enabled }), { renew: RENEW }) });
  const place = async (moves: readonly { id: string; position: number }[]) => {
    for (const m of moves) {
      const r = live.find((x) => x.id === m.id);
      if (r) await change(r, {}, m.position);
    }
  };
  const move = (r: DisposalRule, by: -1 | 1) => {
    const moves = reordered(live, r.id, by);
    const back = moves.flatMap((m) => live.filter((x) => x.id === m.id && x.position > 0).map((x) => ({ id: x.id, position: x.position })));
    void act(() => place(moves), { said: t('merge.moved'), renew: RENEW, undo: () => void act(() => place(back), { renew: RENEW }) });
  };
  const restore = (r: DisposalRule) => void act(() => post(`${path(r)}/restore`), { said: t('inhibit.restored', { x: r.name }), renew: RENEW });
  const remove = (r: DisposalRule) => void act(() => del(path(r)), { said: t('inhibit.deleted', { x: r.name }), renew: RENEW, undo: () => restore(r) });
  return (
    <>
      <Head title={t('page.disposalRules')} sub={t('drule.lead')}>
        <button className="plain toggle" aria-pressed={deleted} onClick={() => setUrl({ deleted: deleted ? undefined : '1' })}>
          {t('word.deletedToo')}
        </button>
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('drule.new')}
          </Button>
        )}
      </Head>
      <Tabs tabs={tabs} label={t('page.disposalRules')} />
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.disposalRules" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('drule.none')} why={t('drule.noneWhy')}>
                {write && <Button onClick={() => setUrl({ new: '1' })}>{t('drule.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.disposalRules')}
                rows={rows}
                rowKey={(r) => r.id}
                columns={[
                  {
                    key: 'name',
                    title: t('inhibit.name'),
                    render: (r) => (
                      <>
                        <b style={{ opacity: r.enabled && !r.deleted_at ? 1 : 0.6 }}>{r.name}</b>
                        {r.description && <div className="faint">{r.description}</div>}
                      </>
                    ),
                  },
                  { key: 'on', title: t('drule.on'), render: (r) => t(`drule.on.${r.on}`) },
                  { key: 'when', title: t('drule.when'), render: (r) => <Conditions rule={r} /> },
                  { key: 'what', title: t('drule.what'), render: (r) => <Actions rule={r} target={(id) => list(targets.data?.items).find((x) => x.id === id)?.name ?? id} /> },
                  {
                    key: 'hit',
                    title: t('drule.matched'),
                    num: true,
                    render: (r) => (
                      <Link to={`/disposal-rules?tab=records&rule=${encodeURIComponent(r.id)}`}>
                        {number(r.matched, locale)}
                        {r.last_at ? (
                          <div className="faint">
                            <When time={new Date(r.last_at).toISOString()} />
                          </div>
                        ) : null}
                      </Link>
                    ),
                  },
                  { key: 'state', title: t('col.status'), render: (r) => (r.deleted_at ? <span className="tag">{t('merge.deleted')}</span> : <Switch size="small" checked={r.enabled} disabled={!write || busy} aria-label={t('inhibit.force', { x: r.name })} onChange={(on) => turn(r, on)} />) },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (r) =>
                      write && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          {r.deleted_at ? (
                            <Button size="small" onClick={() => restore(r)}>
                              {t('notify.restore')}
                            </Button>
                          ) : (
                            <>
                              <Button size="small" type="text" disabled={busy || live[0] === r} aria-label={t('merge.up', { x: r.name })} onClick={() => move(r, -1)}>
                                ↑
                              </Button>
                              <Button size="small" type="text" disabled={busy || live.at(-1) === r} aria-label={t('merge.down', { x: r.name })} onClick={() => move(r, 1)}>
                                ↓
                              </Button>
                              <Button size="small" onClick={() => setUrl({ edit: r.id })}>
                                {t('do.edit')}
                              </Button>
                              <Button size="small" aria-label={`${t('do.delete')} ${r.name}`} onClick={() => remove(r)}>
                                {t('do.delete')}
                              </Button>
                            </>
                          )}
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {url.get('new') === '1' && write && <DisposalForm close={() => setUrl({ new: undefined })} />}
      {editing && write && <DisposalForm key={editing.id} rule={editing} close={() => setUrl({ edit: undefined })} />}
    </>
  );
}

/** What rules did of themselves, the latest first. */
function Records({ tabs }: { tabs: Views }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const rule = url.get('rule') ?? '';
  const object = url.get('object') ?? '';
  const failed = url.get('failed') === 'true';
  const asked = { rule, object, failed: failed || undefined };
  const query = useInfiniteQuery({
    queryKey: ['disposal-rules', 'records', asked],
    queryFn: ({ signal, pageParam }) => get<Page<RuleRecord>>('/disposal-records', { ...asked, limit: 100, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    refetchInterval: 15_000,
  });
  const rules = useQuery({ enabled: can('list-disposal-rules'), queryKey: ['disposal-rules', true], queryFn: ({ signal }) => get<Page<DisposalRule>>('/disposal-rules', { deleted: true }, signal) });
  const { rows, news } = useHeld(`${JSON.stringify(asked)} ${query.data?.pages.length ?? 0}`, query.data?.pages.flatMap((p) => list(p.items).map((r) => ({ ...r, id: String(r.seq) }))), !query.hasNextPage);
  const filtered = rule || object || failed;
  const clear = () => setUrl({ rule: undefined, object: undefined, failed: undefined });
  return (
    <>
      <Head title={t('page.disposalRules')} sub={query.data ? t('drule.recordsN', { n: number(query.data.pages[0]?.total ?? rows.length, locale) }) : t('drule.recordsLead')} />
      <Tabs tabs={tabs} label={t('page.disposalRules')} />
      <div className="filters" role="search">
        <Select allowClear showSearch optionFilterProp="label" style={{ width: 220 }} placeholder={t('drule.rule')} aria-label={t('drule.rule')} value={rule || undefined} options={list(rules.data?.items).map((r) => ({ value: r.id, label: r.name }))} onChange={(v?: string) => setUrl({ rule: v })} />
        <Checkbox checked={failed} onChange={(e) => setUrl({ failed: e.target.checked ? 'true' : undefined })}>
          {t('drule.failed')}
        </Checkbox>
        {object && (
          <span className="chip">
            <span className="mono">{object}</span>
            <button className="plain" aria-label={t('do.remove', { x: object })} onClick={() => setUrl({ object: undefined })}>
              ✕
            </button>
          </span>
        )}
        {filtered && (
          <Button type="link" size="small" onClick={clear}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {news}
      <div className="panel">
        {query.error && !query.data ? (
          <Failed error={query.error} what="drule.tab.records" retry={() => void query.refetch()} />
        ) : !query.data ? (
          <Skeleton lines={8} />
        ) : rows.length === 0 ? (
          <Empty title={t(filtered ? 'drule.noRecordFits' : 'drule.noRecords')} why={t('drule.noRecordsWhy')}>
            {filtered && <Button onClick={clear}>{t('do.clear')}</Button>}
          </Empty>
        ) : (
          <>
            <DataTable
              label={t('drule.tab.records')}
              rows={rows}
              rowKey={(r) => String(r.seq)}
              columns={[
                { key: 'at', title: t('drule.at'), render: (r) => <When time={new Date(r.at).toISOString()} /> },
                {
                  key: 'what',
                  title: t('col.what'),
                  render: (r) => (
                    <Link to={objectLink(r.object)} className="clip" style={{ maxWidth: '34em' }} title={r.title || r.object}>
                      {r.title || r.object}
                    </Link>
                  ),
                },
                { key: 'rule', title: t('drule.rule'), render: (r) => <span className="clip">{r.rule_name}</span> },
                {
                  key: 'did',
                  title: t('drule.did'),
                  render: (r) => (
                    <span className="tags">
                      {list(r.done).map((o, i) => (
                        <Outcome key={i} outcome={o} />
                      ))}
                      {r.escalate_at ? (
                        <span className="tag">
                          {t('drule.waits')} <Deadline due={new Date(r.escalate_at).toISOString()} />
                        </span>
                      ) : null}
                    </span>
                  ),
                },
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
    </>
  );
}
