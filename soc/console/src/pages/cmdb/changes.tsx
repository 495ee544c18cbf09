import { useInfiniteQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { Link } from 'react-router-dom';
import { itemPath, useWords, type HistoryEntry } from '../../api/cmdb';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { download, tableCSV } from '../../logic/export';
import { ChangeTable } from '../../parts/cmdb/changelist';
import { fieldName } from '../../parts/cmdb/fieldname';
import { Head } from '../../parts/page';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { WhenFull } from '../../parts/time';

const ACTIONS = ['created', 'updated', 'deleted'] as const;
const LIMIT = 50;

/** What happened to items, newest first; what was deleted can be restored from here. */
export default function Changes() {
  const { t } = useSettings();
  const words = useWords();
  const can = useCan();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const day = url.get('day') ?? '';
  const action = ACTIONS.find((a) => a === url.get('action')) ?? '';
  const cls = url.get('class') ?? '';
  const actor = url.get('actor') ?? '';
  const since = day ? `${day}T00:00:00Z` : '';
  const until = day ? new Date(Date.parse(since) + 86_400_000).toISOString() : '';
  const filter = { since, until, action, class: cls, actor, limit: LIMIT };
  const query = useInfiniteQuery({
    queryKey: ['cmdb', 'changes', filter],
    queryFn: ({ pageParam, signal }) => get<Page<HistoryEntry>>('/cmdb/changes', { ...filter, before: pageParam || undefined }, signal),
    initialPageParam: 0,
    getNextPageParam: (last) => {
      const items = list(last.items);
      return items.length === LIMIT ? items[items.length - 1]?.id : undefined;
    },
  });
  const rows = list(query.data?.pages).flatMap((p) => list(p.items));
  const csv = () =>
    download(
      `icewatch-cmdb-changes${day ? `-${day}` : ''}.csv`,
      'text/csv',
      tableCSV([
        [t('ci.when'), t('ci.who'), t('ci.what'), t('ci.class'), t('ci.item'), t('ci.field'), t('ci.before'), t('ci.after')],
        ...rows.flatMap((h) => list(h.changes).map((c) => [h.time, h.actor, t(`ci.${h.action}`), words.className(h.class), h.name, fieldName(c.field, words, t, h.class), c.before ?? '', c.after ?? ''])),
      ]),
    );
  return (
    <div className="page">
      <Head title={t('page.cmdb.changes')} sub={day ? t('ci.dayX', { x: day }) : undefined}>
        <Button onClick={csv} disabled={rows.length === 0}>
          {t('ci.exportCsv')}
        </Button>
      </Head>
      <div className="filters" role="search">
        <Input type="date" style={{ width: 150 }} aria-label={t('ci.when')} value={day} onChange={(e) => setUrl({ day: e.target.value })} />
        {ACTIONS.map((a) => (
          <button key={a} className="plain toggle" aria-pressed={action === a} onClick={() => setUrl({ action: action === a ? undefined : a })}>
            {t(`ci.${a}`)}
          </button>
        ))}
        <Select allowClear showSearch optionFilterProp="label" aria-label={t('ci.class')} placeholder={t('ci.allClasses')} value={cls || undefined} onChange={(v?: string) => setUrl({ class: v })} style={{ width: 170 }} options={list(words.model?.classes).filter((c) => !c.abstract).map((c) => ({ value: c.class, label: words.className(c.class) }))} />
        {actor && (
          <span className="chip">
            {actor}
            <button className="plain" aria-label={t('do.remove', { x: actor })} onClick={() => setUrl({ actor: undefined })}>
              ✕
            </button>
          </span>
        )}
      </div>
      <Stale query={query} />
      <div className="panel">
        {query.isPending ? (
          <Skeleton lines={10} />
        ) : query.error && rows.length === 0 ? (
          <Failed error={query.error} what="page.cmdb.changes" retry={() => void query.refetch()} />
        ) : rows.length === 0 ? (
          <Empty title={t('ci.changesNone')} why={t('ci.changesNoneWhy')}>
            <Button onClick={() => setUrl({ day: undefined, action: undefined, class: undefined, actor: undefined })}>{t('do.clear')}</Button>
          </Empty>
        ) : (
          <table className="data" aria-label={t('page.cmdb.changes')}>
            <thead>
              <tr>
                <th scope="col" style={{ width: 150 }}>{t('ci.when')}</th>
                <th scope="col" style={{ width: 120 }}>{t('ci.who')}</th>
                <th scope="col" style={{ width: 70 }}>{t('ci.what')}</th>
                <th scope="col" style={{ width: 240 }}>{t('ci.item')}</th>
                <th scope="col">{t('ci.fieldsChanged')}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((h) => (
                <tr key={h.id}>
                  <td className="nowrap"><WhenFull time={h.time} /></td>
                  <td>
                    <button className="plain linklike" onClick={() => setUrl({ actor: h.actor })}>
                      {h.actor}
                    </button>
                  </td>
                  <td>{t(`ci.${h.action}`)}</td>
                  <td>
                    <Link to={`${itemPath(h.item_id)}?tab=history`}>{h.name || h.item_id}</Link>
                    <div className="faint">{words.className(h.class)}</div>
                    {h.action === 'deleted' && can('restore-cmdb-item') && (
                      <Button size="small" disabled={busy} onClick={() => void act(() => post(`/cmdb/items/${encodeURIComponent(h.item_id)}/restore`, { entry: h.id }), { said: t('ci.restoredDone'), renew: ['cmdb'] })}>
                        {t('ci.restoreIt')}
                      </Button>
                    )}
                  </td>
                  <td>
                    <details open={list(h.changes).length <= 4}>
                      <summary className="dim">{t('ci.fieldsChanged')} {list(h.changes).length}</summary>
                      <ChangeTable changes={list(h.changes)} cls={h.class} />
                    </details>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {query.hasNextPage && (
          <div style={{ padding: 12, textAlign: 'center' }}>
            <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {t('do.more')}
            </Button>
          </div>
        )}
      </div>
    </div>
  );
}
