import { useQuery } from '@tanstack/react-query';
import { get } from '../api/client';
import { list, type Page, type SourceHealth } from '../api/types';
import { useNow } from '../app/hooks';
import { useSettings } from '../app/settings';
import { bytes, clock, number } from '../logic/format';
import { Head, Updated } from '../parts/page';
import { sourceState } from '../parts/source';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

function State({ s }: { s: SourceHealth }) {
  const { t, locale } = useSettings();
  const now = useNow(5);
  const st = sourceState(s, now);
  return (
    <span>
      <span className="status">
        <i className={`dot ${st.kind === 'ok' ? 'ok' : st.kind === 'off' || st.kind === 'waiting' ? 'off' : 'error'}`} />
        {st.kind === 'silent' ? t('source.silent', { t: clock(st.ms, locale) }) : t(`source.${st.kind}`)}
      </span>
      {s.error && <div style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>{s.error}</div>}
    </span>
  );
}

export default function Sources() {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['sources'], queryFn: ({ signal }) => get<Page<SourceHealth>>('/sources', {}, signal), refetchInterval: 5_000 });
  return (
    <div className="page">
      <Head title={t('page.sources')}>
        <Updated at={query.dataUpdatedAt} />
      </Head>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="sources.what">
          {(page) =>
            list(page.items).length === 0 ? (
              <Empty title={t('sources.empty')} why={t('sources.emptyWhy')} />
            ) : (
              <DataTable
                label={t('page.sources')}
                rows={list(page.items)}
                rowKey={(s) => s.id}
                columns={[
                  { key: 'id', title: t('col.name'), render: (s) => <b style={{ fontWeight: 550 }}>{s.id}</b> },
                  { key: 'state', title: t('sources.state'), render: (s) => <State s={s} /> },
                  { key: 'kind', title: t('sources.kind'), render: (s) => s.kind },
                  { key: 'listen', title: t('sources.listen'), render: (s) => <span className="mono dim">{s.listen || '–'}</span> },
                  { key: 'received', title: t('sources.received'), num: true, render: (s) => number(s.received, locale) },
                  { key: 'rejected', title: t('sources.rejected'), num: true, render: (s) => <span style={s.rejected ? { color: 'var(--medium)', fontWeight: 600 } : { color: 'var(--faint)' }}>{number(s.rejected, locale)}</span> },
                  { key: 'dropped', title: t('sources.dropped'), num: true, render: (s) => <span style={s.dropped ? { color: 'var(--medium)', fontWeight: 600 } : { color: 'var(--faint)' }}>{number(s.dropped, locale)}</span> },
                  { key: 'bytes', title: t('sources.bytes'), num: true, render: (s) => bytes(s.bytes, locale) },
                  { key: 'last', title: t('sources.lastSeen'), num: true, render: (s) => (s.last_seen && !s.last_seen.startsWith('0001-') ? <When time={s.last_seen} age /> : <span className="faint">{t('sources.never')}</span>) },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </div>
  );
}
