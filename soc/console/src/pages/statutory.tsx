import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import type { StatutoryReport, StatutoryTerms } from '../api/casework';
import { list, type Page } from '../api/types';
import { useNow } from '../app/hooks';
import { useSettings } from '../app/settings';
import { tableCSV, download } from '../logic/export';
import { clock } from '../logic/format';
import { Head, Updated } from '../parts/page';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { WhenFull } from '../parts/time';

const iso = (ms: number) => new Date(ms).toISOString();

/** Reports that the law demands and that have not been sent yet, the first due first. */
export default function Statutory() {
  const { t, locale } = useSettings();
  const en = locale === 'en-US';
  const now = useNow(1);
  const terms = useQuery({ queryKey: ['statutory-terms'], queryFn: ({ signal }) => get<StatutoryTerms>('/statutory-terms', {}, signal), staleTime: Infinity });
  const query = useQuery({ queryKey: ['incident', 'statutory-due'], queryFn: ({ signal }) => get<Page<StatutoryReport & { incident: string }>>('/statutory-reports', {}, signal), refetchInterval: 15_000 });
  const named = (of: { key: string; zh: string; en: string }[], key: string) => {
    const x = of.find((y) => y.key === key);
    return x ? (en ? x.en : x.zh) : key;
  };
  const level = (r: StatutoryReport) => named(list(terms.data?.levels), r.level);
  const to = (r: StatutoryReport) => list(terms.data?.operators).find((o) => o.key === r.operator)?.to ?? '';
  const rows = list(query.data?.items);
  const csv = () => tableCSV([['incident', 'kind', 'level', 'operator', 'known_at', 'due', 'state', 'clock'], ...rows.map((r) => [r.incident, r.kind, level(r), named(list(terms.data?.operators), r.operator), iso(r.known_at), r.due ? iso(r.due) : '', r.state, r.clock])]);
  return (
    <div className="page">
      <Head title={t('page.statutory')} sub={t('statutory.lead')}>
        <Updated at={query.dataUpdatedAt} />
        {rows.length > 0 && <Button onClick={() => download('icewatch-statutory.csv', 'text/csv', csv())}>{t('statutory.export')}</Button>}
      </Head>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.statutory" lines={5}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('statutory.none')} why={t('statutory.noneWhy')}>
                <Link to="/incidents">{t('page.incidents')}</Link>
              </Empty>
            ) : (
              <DataTable
                label={t('page.statutory')}
                rows={rows}
                rowKey={(r) => r.id}
                columns={[
                  { key: 'incident', title: t('page.incidents'), render: (r) => <Link className="mono" to={`/incidents/${encodeURIComponent(r.incident)}`}>{r.incident}</Link> },
                  { key: 'kind', title: t('statutory.kind'), render: (r) => t(`statutory.kind.${r.kind}`) },
                  { key: 'level', title: t('case.level'), render: level },
                  { key: 'to', title: t('statutory.to'), render: (r) => <span title={named(list(terms.data?.operators), r.operator)}>{to(r) || named(list(terms.data?.operators), r.operator)}</span> },
                  { key: 'state', title: t('col.status'), render: (r) => <span className="tag">{t(`case.state.${r.state}`)}</span> },
                  { key: 'known', title: t('statutory.known'), render: (r) => <WhenFull time={iso(r.known_at)} /> },
                  { key: 'due', title: t('case.due'), render: (r) => (r.due ? <WhenFull time={iso(r.due)} /> : <span className="faint">{t('case.noDue')}</span>) },
                  {
                    key: 'left',
                    title: t('statutory.left'),
                    num: true,
                    render: (r) => (r.due ? r.due > now ? clock(r.due - now, locale) : <span className="pill">{t('statutory.late', { t: clock(now - r.due, locale) })}</span> : '–'),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </div>
  );
}
