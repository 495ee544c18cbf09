import { useInfiniteQuery } from '@tanstack/react-query';
import { Button, Checkbox, Input, Select } from 'antd';
import { Link } from 'react-router-dom';
import { buildPath, get } from '../api/client';
import type { DisposalRecord } from '../api/casework';
import { list, type Page } from '../api/types';
import { useSettled, useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { number } from '../logic/format';
import { useActorName } from '../parts/names';
import { Head } from '../parts/page';
import { Empty, Failed, Skeleton } from '../parts/states';
import { When } from '../parts/time';

const KINDS = ['acknowledged', 'assigned', 'comment', 'closed', 'reopened', 'undone', 'task', 'evidence', 'related', 'report', 'review', 'tag', 'work_order'] as const;
const DAYS = [1, 7, 14, 30, 90];

/** Who did what to which alert or incident. The filters are in the address, so that a view can be kept and sent. */
export default function DisposalsPage() {
  const { t, tx, locale } = useSettings();
  const [params, set] = useUrl();
  const days = Number(params.get('days')) || 7;
  const kind = params.get('kind') ?? '';
  const mine = params.get('mine') === 'true';
  const q = params.get('q') ?? '';
  const words = useSettled(q, 300);
  const asked = { since: `${days}d`, kind, actor: mine ? 'me' : undefined, q: words };
  const query = useInfiniteQuery({
    queryKey: ['disposals', asked],
    queryFn: ({ signal, pageParam }) => get<Page<DisposalRecord>>('/disposals', { ...asked, limit: 100, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    refetchInterval: 30_000,
  });
  const rows = (query.data?.pages ?? []).flatMap((p) => list(p.items));
  const actorName = useActorName();
  const named = (k: string) => (`timeline.${k}` in zh ? t(`timeline.${k}` as Key) : k);
  return (
    <div className="page">
      <Head title={t('page.disposals')} sub={query.data ? number(query.data.pages[0]?.total ?? 0, locale) : t('disposals.lead')}>
        <Button href={buildPath('/disposals.csv', asked)} download>
          {t('disposals.export')}
        </Button>
      </Head>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        <Select aria-label={t('range.label')} value={days} onChange={(v) => set({ days: String(v) })} options={DAYS.map((n) => ({ value: n, label: t('disposals.days', { n }) }))} style={{ width: 100 }} />
        <Select
          mode="multiple"
          allowClear
          style={{ minWidth: 220 }}
          placeholder={t('disposals.what')}
          aria-label={t('disposals.what')}
          value={kind ? kind.split(',') : []}
          onChange={(v: string[]) => set({ kind: v.join(',') || undefined })}
          options={KINDS.map((k) => ({ value: k, label: named(k) }))}
        />
        <Input.Search allowClear style={{ width: 240 }} value={q} maxLength={200} aria-label={t('disposals.find')} placeholder={t('disposals.find')} onChange={(e) => set({ q: e.target.value || undefined })} />
        <Checkbox checked={mine} onChange={(e) => set({ mine: e.target.checked ? 'true' : undefined })}>
          {t('disposals.mine')}
        </Checkbox>
      </div>
      {query.error && !query.data ? (
        <Failed error={query.error} what="page.disposals" retry={() => void query.refetch()} />
      ) : !query.data ? (
        <Skeleton lines={12} />
      ) : rows.length === 0 ? (
        <Empty title={t('disposals.none')} why={t('disposals.noneWhy')} />
      ) : (
        <div className="panel">
          <div className="list" role="table" aria-label={t('page.disposals')}>
            {rows.map((r) => (
              <div key={r.seq} className="line" role="row" style={{ gridTemplateColumns: '84px 130px 84px minmax(0,1.2fr) minmax(0,1.2fr)' }}>
                <span className="dim">
                  <When time={r.time} />
                </span>
                <span className="ellipsis" title={r.actor}>
                  {actorName(r.actor)}
                </span>
                <b className="ellipsis">{named(r.kind)}</b>
                <span role="cell" className="ellipsis">
                  <Link to={`/${r.of}s/${encodeURIComponent(r.object)}`} title={r.title || r.object}>
                    {r.title || r.object}
                  </Link>
                </span>
                <span className="ellipsis dim" title={tx(r.text)}>
                  {tx(r.text)}
                </span>
              </div>
            ))}
          </div>
          {query.hasNextPage && (
            <div className="row" style={{ padding: 10 }}>
              <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                {t('do.more')}
              </Button>
            </div>
          )}
        </div>
      )}
    </div>
  );
}
