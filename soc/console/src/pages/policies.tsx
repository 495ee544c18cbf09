import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import type { PolicyDecision, PolicyPackage, PolicyStatus } from '../api/policies';
import { list, type Page } from '../api/types';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { Head, Panel } from '../parts/page';
import { SearchBox } from '../parts/search';
import { Priority } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

/** Which policies are in force, which are refused and why, and what they decided. */
export default function Policies() {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['policies'], queryFn: ({ signal }) => get<PolicyStatus>('/policies', {}, signal), refetchInterval: 3_000 });
  return (
    <div className="page">
      <Head title={t('page.policies')} sub={t('policy.lead')} />
      <Stale query={query} />
      <Loaded query={query} what="policy.what" lines={6}>
        {(st) => (
          <div className="stack" style={{ gap: 14 }}>
            <div className="stats">
              <Figure label={t('policy.since')}>
                <When time={st.since} />
              </Figure>
              <Figure label={t('policy.mean')}>{st.stats.decisions > 0 ? `${number(Math.round(st.mean_us), locale)} µs` : '–'}</Figure>
              <Figure label={`${t('policy.decisions')} / ${t('policy.cached')}`}>
                {number(st.stats.decisions, locale)} / {number(st.stats.cached, locale)}
              </Figure>
              <Figure label={t('policy.signatures')}>{t(st.require_signature ? 'policy.required' : 'policy.optional')}</Figure>
            </div>
            {list(st.problems).length > 0 && (
              <Panel title={t('policy.refused')}>
                {list(st.problems).map((p, i) => (
                  <div key={i} className="notice warn" role="alert" style={{ overflowWrap: 'anywhere' }}>
                    <b className="mono">
                      {p.path}
                      {p.line ? `:${p.line}` : ''}
                    </b>
                    <div>{p.reason}</div>
                    <div className="dim">{t(p.kept ? 'policy.kept' : 'policy.notKept')}</div>
                  </div>
                ))}
              </Panel>
            )}
            <Panel title={t('policy.inForce')} end={list(st.problems).length === 0 && <span className="dim">{t('policy.refusedNone')}</span>} flush>
              <DataTable<PolicyPackage>
                label={t('policy.inForce')}
                rows={list(st.packages)}
                rowKey={(p) => p.name}
                columns={[
                  {
                    key: 'name',
                    title: t('policy.package'),
                    render: (p) => (
                      <span className="mono" title={list(p.paths).join('\n')}>
                        {p.name} {!p.asked && <span className="tag">{t('policy.helper')}</span>}
                      </span>
                    ),
                  },
                  { key: 'source', title: t('policy.source'), render: (p) => (p.source === 'builtin' ? t('policy.builtin') : <span className="mono">{p.source}</span>) },
                  { key: 'revision', title: t('policy.revision'), render: (p) => <span className="mono">{p.revision}</span> },
                  { key: 'signed', title: t('policy.signedBy'), render: (p) => p.signed_by ?? <span className="dim">{p.source === 'builtin' ? t('policy.builtin') : t('policy.unsigned')}</span> },
                ]}
              />
            </Panel>
          </div>
        )}
      </Loaded>
      <Decisions />
    </div>
  );
}

function Figure({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div className="panel stat">
      <span className="n" style={{ fontSize: 20 }}>
        {children}
      </span>
      <span className="l">{label}</span>
    </div>
  );
}

/** The decision log. What is looked for is in the URL, so that an alert can lead to its decisions. */
function Decisions() {
  const { t, tx } = useSettings();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const alert = url.get('alert') ?? '';
  const failed = url.get('failed') === '1';
  const query = useQuery({
    queryKey: ['policy-decisions', q, alert, failed],
    queryFn: ({ signal }) => get<Page<PolicyDecision>>('/policy-decisions', { q, alert, failed: failed ? 'true' : undefined, limit: 50 }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 5_000,
  });
  const rows = list(query.data?.items);
  return (
    <div style={{ marginTop: 14 }}>
      <div className="filters" role="search">
        <SearchBox hint={t('policy.logFind')} />
        <button className="plain toggle" aria-pressed={failed} onClick={() => setUrl({ failed: failed ? undefined : '1' })}>
          {t('policy.logFailed')}
        </button>
        {alert && (
          <button className="plain toggle" aria-pressed onClick={() => setUrl({ alert: undefined })}>
            {t('timeline.alert')} <span className="mono">{alert.slice(0, 8)}</span> ✕
          </button>
        )}
      </div>
      <Panel title={t('policy.log')} flush>
        <Loaded query={query} what="policy.log" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty small title={t('policy.logEmpty')} />
            ) : (
              <DataTable
                label={t('policy.log')}
                rows={rows}
                rowKey={(d) => d.decision_id}
                columns={[
                  { key: 'time', title: t('policy.time'), render: (d) => <When time={d.timestamp} /> },
                  { key: 'path', title: t('policy.path'), render: (d) => <span className="mono">{d.path}</span> },
                  {
                    key: 'result',
                    title: t('policy.result'),
                    render: (d) => (
                      <>
                        {d.result?.priority && <Priority value={d.result.priority} />} {d.result?.open && <span className="tag">{t('policy.opens')}</span>}{' '}
                        {d.error ? <span style={{ color: 'var(--danger-text)' }}>{d.error}</span> : <span className="dim">{list(d.result?.reasons).map(tx).join(' ')}</span>}
                      </>
                    ),
                  },
                  { key: 'alert', title: t('timeline.alert'), render: (d) => d.custom.alert && <Link to={`/alerts/${encodeURIComponent(d.custom.alert)}`}>{d.custom.alert.slice(0, 8)}</Link> },
                  {
                    key: 'input',
                    title: t('policy.input'),
                    render: (d) => (
                      <details>
                        <summary className="mono faint nowrap">{d.custom.input_digest.slice(0, 12)}</summary>
                        <pre className="mono" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere', maxWidth: 560 }}>
                          {JSON.stringify(d.input, null, 1)}
                        </pre>
                      </details>
                    ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Panel>
    </div>
  );
}
