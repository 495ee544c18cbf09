import { useInfiniteQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import type { HistoryEntry } from '../../api/cmdb';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { absolute } from '../../logic/format';
import { Ask } from '../dialog';
import { Empty, Failed, Skeleton } from '../states';
import { WhenFull } from '../time';
import { ChangeTable } from './changelist';

const LIMIT = 50;

/** All changes of an item, what each did, and the way back to what it was after one. */
export function HistoryView({ id }: { id: string }) {
  const { t } = useSettings();
  const can = useCan();
  const { act, tell } = useAct();
  const [asked, setAsked] = useState<HistoryEntry | null>(null);
  const query = useInfiniteQuery({
    queryKey: ['cmdb', 'history', id],
    queryFn: ({ pageParam, signal }) => get<Page<HistoryEntry>>(`/cmdb/items/${encodeURIComponent(id)}/history`, { before: pageParam || undefined, limit: LIMIT }, signal),
    initialPageParam: 0,
    getNextPageParam: (last) => (list(last.items).length === LIMIT ? list(last.items)[LIMIT - 1]?.id : undefined),
  });
  const rows = list(query.data?.pages).flatMap((p) => list(p.items));
  if (query.isPending) return <Skeleton lines={6} />;
  if (query.error && rows.length === 0) return <Failed error={query.error} what="ci.history" retry={() => void query.refetch()} />;
  if (rows.length === 0) return <Empty small title={t('ci.historyNone')} />;
  const restore = (h: HistoryEntry) => post(`/cmdb/items/${encodeURIComponent(id)}/restore`, { entry: h.id });
  return (
    <>
      <ul className="timeline" data-testid="history">
        {rows.map((h, i) => (
          <li key={h.id} className={h.action === 'created' ? 'k-created' : h.action === 'deleted' ? 'k-closed' : ''}>
            <div className="t-head">
              <b>{t(`ci.${h.action}`)}</b>
              <span>{h.actor}</span>
              {h.model ? <span className="tag">{t('ci.byModelMove', { n: h.model })}</span> : null}
              <WhenFull time={h.time} />
              {(i > 0 || h.action === 'deleted') && can('restore-cmdb-item') && (
                <Button size="small" onClick={() => setAsked(h)}>
                  {t('ci.restore')}
                </Button>
              )}
            </div>
            <ChangeTable changes={list(h.changes)} cls={h.class} />
          </li>
        ))}
      </ul>
      {query.hasNextPage && (
        <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {t('do.more')}
        </Button>
      )}
      {asked && (
        <Ask
          title={t('ci.restoreTitle', { x: absolute(asked.time) })}
          why={t('ci.restoreWhy')}
          ok={t('ci.restore')}
          danger={false}
          submit={async () => {
            const last = rows[0];
            await restore(asked);
            tell({ said: t('ci.restoredDone'), renew: ['cmdb'], undo: last && last.action !== 'deleted' ? () => void act(() => restore(last), { said: t('ci.undone'), renew: ['cmdb'] }) : undefined });
          }}
          close={() => setAsked(null)}
        />
      )}
    </>
  );
}
