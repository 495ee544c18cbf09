import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Input } from 'antd';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { get, post } from '../api/client';
import { useCan } from '../api/queries';
import { SEVERITIES, list, type Page, type RuleInfo } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { Attack } from '../parts/alertparts';
import { Head } from '../parts/page';
import { SeverityMark } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';

/** A rule that was rejected before its id could be read is known by its file. */
export function ruleKey(r: RuleInfo): string {
  return r.id || r.path;
}

export default function Rules() {
  const { t, tx, locale } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const [busy, setBusy] = useState(false);
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const state = url.get('status') ?? '';
  const query = useQuery({ queryKey: ['rules'], queryFn: ({ signal }) => get<Page<RuleInfo>>('/rules', { limit: 5000 }, signal), refetchInterval: 15_000 });
  const all = list(query.data?.items);
  const rejected = all.filter((r) => r.status === 'rejected').length;
  const wanted = q.trim().toLowerCase();
  const rows = all
    .filter((r) => !state || r.status === state)
    .filter((r) => !wanted || [r.id, r.title?.zh, r.title?.en, r.path, ...list(r.techniques), ...list(r.tactics), ...list(r.tags)].join(' ').toLowerCase().includes(wanted))
    .sort((a, b) => Number(b.status === 'rejected') - Number(a.status === 'rejected') || SEVERITIES.indexOf(a.level) - SEVERITIES.indexOf(b.level) || tx(a.title).localeCompare(tx(b.title)));
  const reload = async () => {
    setBusy(true);
    try {
      await post('/rules/reload');
      done(t('rules.reloaded'));
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
      void client.invalidateQueries({ queryKey: ['rules'] });
    }
  };
  return (
    <div className="page">
      <Head title={t('page.rules')} sub={query.data ? number(all.length, locale) : ''}>
        {can('admin') && (
          <Button loading={busy} onClick={() => void reload()}>
            {t('rules.reload')}
          </Button>
        )}
      </Head>
      <div className="filters" role="search">
        <Input allowClear style={{ width: 280 }} placeholder={t('rules.filter')} aria-label={t('rules.filter')} value={q} onChange={(e) => setUrl({ q: e.target.value })} />
        {(['', 'active', 'rejected'] as const).map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ status: s })}>
            {s === '' ? t('rules.all') : t(`rules.${s}`)}
          </button>
        ))}
      </div>
      <Stale query={query} />
      {rejected > 0 && state !== 'rejected' && (
        <div className="stale">
          <span aria-hidden="true">⚠</span>
          {t('rules.rejectedN', { n: rejected })}
          <Button size="small" style={{ marginLeft: 'auto' }} onClick={() => setUrl({ status: 'rejected' })}>
            {t('do.details')}
          </Button>
        </div>
      )}
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="rules.what" lines={14}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('rules.empty')} why={t('rules.emptyWhy')}>
                {(q || state) && <Button onClick={() => setUrl({ q: undefined, status: undefined })}>{t('do.clear')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.rules')}
                rows={rows}
                rowKey={(r) => `${r.path}#${r.id}#${r.line ?? 0}`}
                onRow={(r) => r.id && navigate(`/rules/${encodeURIComponent(r.id)}`)}
                columns={[
                  { key: 'level', title: t('col.severity'), width: 86, render: (r) => (r.level ? <SeverityMark level={r.level} /> : '–') },
                  {
                    key: 'title',
                    title: t('col.name'),
                    render: (r) => (
                      <>
                        {r.id ? <Link to={`/rules/${encodeURIComponent(r.id)}`}>{tx(r.title) || r.id}</Link> : tx(r.title) || r.path}
                        {r.status === 'rejected' && (
                          <div style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>
                            {t('rules.rejected')}: {r.reason}
                          </div>
                        )}
                      </>
                    ),
                  },
                  { key: 'kind', title: t('rules.kind'), render: (r) => <span className="nowrap">{r.kind === 'correlation' ? t('alert.correlation') : t('alert.sigma')}</span> },
                  { key: 'attack', title: t('alert.attack'), render: (r) => <Attack techniques={r.techniques} /> },
                  { key: 'path', title: t('rules.path'), render: (r) => <span className="mono dim" style={{ overflowWrap: 'anywhere' }}>{r.path}{r.line ? `:${r.line}` : ''}</span> },
                  { key: 'hits', title: t('rules.hits'), num: true, render: (r) => number(r.hits, locale) },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </div>
  );
}
