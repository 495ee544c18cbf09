import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import type { Conversation, Sums } from '../../api/flows';
import { list, type List } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { between, serviceName } from '../../logic/flows';
import { bytes, number } from '../../logic/format';
import { parseRange, rangeQuery } from '../../logic/urlstate';
import { PeerMark } from '../../parts/flows/peer';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { SPAN } from './span';

/** Pairs of ends, both directions together, the largest first. */
export function Conversations() {
  const { t, locale } = useSettings();
  const [url] = useUrl();
  const range = parseRange(url, SPAN);
  const address = (url.get('address') ?? '').trim();
  const query = useQuery({
    queryKey: ['conversations', range, address],
    queryFn: ({ signal }) => get<{ items: List<Conversation>; total: Sums }>('/flows/conversations', { ...rangeQuery(range), address, limit: 200 }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
  });
  return (
    <>
      <div className="filters" role="search">
        <SearchBox hint={t('flows.oneEnd')} param="address" />
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="flows.conversations" lines={12}>
          {(d) =>
            list(d.items).length === 0 ? (
              <Empty title={t('flows.none')} why={t('flows.noneWhy')} />
            ) : (
              <DataTable
                label={t('flows.conversations')}
                rows={list(d.items)}
                rowKey={(c) => `${c.zone} ${c.a.address} ${c.b.address}`}
                columns={[
                  { key: 'a', title: 'A', render: (c) => <PeerMark peer={c.a} /> },
                  { key: 'b', title: 'B', render: (c) => <PeerMark peer={c.b} /> },
                  {
                    key: 'services',
                    title: t('flows.services'),
                    render: (c) => (
                      <span className="tags">
                        {list(c.services)
                          .slice(0, 4)
                          .map((s) => (
                            <span className="tag" key={`${s.port}${s.transport}`}>
                              {serviceName(s)}
                            </span>
                          ))}
                        {list(c.services).length > 4 && <span className="faint">+{list(c.services).length - 4}</span>}
                      </span>
                    ),
                  },
                  { key: 'ab', title: 'A → B', num: true, render: (c) => bytes(c.bytes_ab, locale) },
                  { key: 'ba', title: 'B → A', num: true, render: (c) => bytes(c.bytes_ba, locale) },
                  { key: 'flows', title: t('flowmetric.flows'), num: true, render: (c) => number(c.flows, locale) },
                  { key: 'first', title: t('col.firstSeen'), render: (c) => <When time={c.first_seen} /> },
                  { key: 'last', title: t('col.lastSeen'), render: (c) => <When time={c.last_seen} /> },
                  {
                    key: 'raw',
                    title: '',
                    render: (c) => <Link to={`/search?${new URLSearchParams({ query: `event.dataset:flow.* ${between(c.a.address, c.b.address)}`, ...('since' in range ? { since: range.since } : range) })}`}>{t('flows.raw')}</Link>,
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </>
  );
}
