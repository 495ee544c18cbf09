import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../../../api/client';
import type { SlowSearch } from '../../../api/storage';
import { list, type Page } from '../../../api/types';
import { useSettings } from '../../../app/settings';
import { number } from '../../../logic/format';
import { Empty, Loaded, Stale } from '../../../parts/states';
import { DataTable } from '../../../parts/table';
import { When } from '../../../parts/time';

/** Searches that took longer than the setting allows, the newest first. */
export function Slow() {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['slow'], queryFn: async ({ signal }) => list((await get<Page<SlowSearch>>('/search/slow', { limit: 200 }, signal)).items), refetchInterval: 15_000 });
  return (
    <>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="storage.slow" lines={6}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('slow.none')} why={t('slow.noneWhy')}>
                <Link to="/admin/settings?setting=watch">{t('storage.policy')}</Link>
              </Empty>
            ) : (
              <DataTable
                label={t('storage.slow')}
                rows={rows}
                rowKey={(s) => `${s.at}${s.user}${s.query}`}
                columns={[
                  { key: 'at', title: t('col.time'), render: (s) => <When time={s.at} /> },
                  { key: 'user', title: t('users.one'), render: (s) => s.user },
                  { key: 'query', title: t('monitor.query'), render: (s) => <Link className="mono" to={`/search?${new URLSearchParams({ query: s.query, start: s.from, end: s.to })}`}>{s.query || '*'}</Link> },
                  { key: 'took', title: t('slow.took'), num: true, render: (s) => <b>{number(s.took_ms / 1000, locale)} s</b> },
                  { key: 'rows', title: t('slow.rows'), num: true, render: (s) => number(s.rows, locale) },
                  { key: 'outcome', title: t('slow.outcome'), render: (s) => t(`slow.${s.outcome}`) },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </>
  );
}
