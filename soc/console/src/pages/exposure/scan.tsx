import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Progress } from 'antd';
import { Link, useParams } from 'react-router-dom';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { RUN_STATES, share, type ScanResult, type ScanRun } from '../../api/scans';
import { SEVERITIES, list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { RunStateMark } from '../../parts/exposure/marks';
import { Head, Panel } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const KINDS = ['host', 'service', 'weakness', 'absent', 'attempts', 'refused', 'attribute', 'note'] as const;

/** One line of a result: what people look for in it. */
function said(x: ScanResult, zh: boolean): string {
  const d = x.data ?? {};
  const text = (k: string) => (d[k] === undefined || d[k] === null ? '' : typeof d[k] === 'object' ? JSON.stringify(d[k]) : String(d[k] as string | number));
  const at = [text('address') || text('target'), text('port')].filter(Boolean).join(':');
  switch (x.kind) {
    case 'host':
      return [at, Array.isArray(d.names) ? (d.names as string[]).join(' ') : '', text('os'), text('mac'), text('vendor')].filter(Boolean).join(' · ');
    case 'service':
      return [`${at}/${text('proto')}`, text('service'), text('product'), text('version')].filter(Boolean).join(' · ');
    case 'weakness':
      return [at, text(zh ? 'title_zh' : 'title') || text('title'), text('check'), text('path')].filter(Boolean).join(' · ');
    case 'attempts':
      return [at, text('service'), text('account'), text('count'), text('stopped')].filter(Boolean).join(' · ');
    case 'attribute':
      return [at, `${text('name')} = ${text('value')}`, text('source')].filter(Boolean).join(' · ');
    default:
      return [at, text('check'), text('reason'), text('why'), text('text'), text('state')].filter(Boolean).join(' · ');
  }
}

/** A line in words: a weakness by its level, an end by its state. */
function Said({ result }: { result: ScanResult }) {
  const { t, locale } = useSettings();
  const level = SEVERITIES.find((s) => s === ((result.data?.severity === 'info' ? 'informational' : result.data?.severity)));
  const state = RUN_STATES.find((s) => s === result.data?.state);
  if (result.kind === 'end' && state) return <>{t(`scan.state.${state}`)}</>;
  return (
    <>
      {result.kind === 'weakness' && level && <SeverityMark level={level} />} <span className="mono">{said(result, locale === 'zh-CN')}</span>
    </>
  );
}

/** One scan: how far it is, what it found (?kind=, ?cursor=), what came of it. */
export default function ScanPage() {
  const { t } = useSettings();
  const can = useCan();
  const { id = '' } = useParams();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const kind = KINDS.find((k) => k === url.get('kind'));
  const cursor = url.get('cursor') ?? '';
  const path = `/scan-runs/${encodeURIComponent(id)}`;
  const query = useQuery({ queryKey: ['scans', 'run', id], queryFn: ({ signal }) => get<ScanRun>(path, {}, signal), refetchInterval: 3_000 });
  const results = useQuery({ queryKey: ['scans', 'results', id, kind, cursor], queryFn: ({ signal }) => get<Page<ScanResult>>(`${path}/results`, { kind, cursor: cursor || undefined, limit: 100 }, signal), placeholderData: keepPreviousData, refetchInterval: 10_000 });
  const order = (what: 'pause' | 'resume' | 'cancel', words: string) => void act(() => post(`${path}/${what}`), { said: words, renew: ['scans'] });
  return (
    <div className="page">
      <Loaded query={query} what="page.scanRun" lines={8}>
        {(r) => (
          <>
            <Head title={r.kind === 'retest' ? t('scan.kind.retest') : r.name} sub={`${t(`scan.kind.${r.kind}`)} · ${r.zone} · ${t('scan.scope', { r: list(r.ranges).join(' ') })}${list(r.exclusions).length > 0 ? ` · ${t('scan.without', { x: list(r.exclusions).join(' ') })}` : ''}`}>
              {can('pause-scan-run') && (r.state === 'running' || r.state === 'waiting') && <Button onClick={() => order('pause', t('scan.paused'))}>{t('scan.pause')}</Button>}
              {can('resume-scan-run') && r.state === 'paused' && <Button onClick={() => order('resume', t('scan.resumed'))}>{t('scan.resume')}</Button>}
              {can('cancel-scan-run') && ['running', 'waiting', 'paused'].includes(r.state) && (
                <Button danger onClick={() => order('cancel', t('scan.cancelled'))}>
                  {t('scan.cancel')}
                </Button>
              )}
            </Head>
            <Stale query={query} />
            <div className="stack">
              <Panel title={<RunStateMark state={r.state} />}>
                {r.reason && <p>{r.reason}</p>}
                {share(r.progress) !== undefined && <Progress percent={share(r.progress)} status={r.state === 'failed' ? 'exception' : r.state === 'done' ? 'success' : 'normal'} />}
                <div className="row wrap" style={{ gap: 16 }}>
                  {r.progress.hosts_total > 0 && <span>{t('scan.hosts', { d: r.progress.hosts_done, n: r.progress.hosts_total })}</span>}
                  {r.progress.probes_total > 0 && <span>{t('scan.probes', { d: r.progress.probes_done, n: r.progress.probes_total })}</span>}
                  {r.progress.checks_total > 0 && <span>{t('scan.checks', { d: r.progress.checks_done, n: r.progress.checks_total })}</span>}
                  <span>{t('scan.found', { h: r.progress.found, s: r.progress.services, w: r.progress.weaknesses })}</span>
                  {r.progress.refused > 0 && <span className="warn">{t('scan.refused', { n: r.progress.refused })}</span>}
                  <span className="dim">
                    {t('scan.begun')} <When time={r.started_at ?? r.created_at} />
                  </span>
                  {r.ended_at && (
                    <span className="dim">
                      {t('scan.ended')} <When time={r.ended_at} />
                    </span>
                  )}
                </div>
              </Panel>
              <Panel title={t('scan.outcome')}>
                <p>
                  <Link to={`/findings?engine=icewatch-scanner`}>{t('scan.findings', { n: r.new_findings, a: r.known_findings, c: r.closed_findings })}</Link>
                </p>
                {r.kind !== 'retest' && (
                  <>
                    <p>{t('scan.cmdb', { k: r.discovery.known, c: r.discovery.created, u: r.discovery.updated, o: r.discovery.offered, s: r.discovery.software })}</p>
                    <p>
                      <Link to={`/surface?run=${encodeURIComponent(r.id)}&days=0`}>{t('scan.gone', { s: r.discovery.stale, v: r.discovery.vanished, x: r.discovery.conflicts, n: r.discovery.changes })}</Link>
                    </p>
                    {r.discovery.duplicates + r.discovery.merged > 0 && (
                      <p>
                        <Link to="/surface?tab=duplicates">{t('scan.duplicates', { n: r.discovery.duplicates, m: r.discovery.merged })}</Link>
                      </p>
                    )}
                  </>
                )}
                {[...list(r.notes), ...list(r.discovery.notes)].length > 0 && (
                  <ul aria-label={t('scan.notes')}>
                    {[...list(r.notes), ...list(r.discovery.notes)].map((n) => (
                      <li key={n}>{n}</li>
                    ))}
                  </ul>
                )}
              </Panel>
              <Panel title={t('scan.results')} flush>
                <div className="filters" style={{ padding: '8px 12px' }}>
                  {KINDS.map((k) => (
                    <button key={k} className="plain toggle" aria-pressed={kind === k} onClick={() => setUrl({ kind: kind === k ? undefined : k, cursor: undefined })}>
                      {t(`scan.result.${k}`)}
                    </button>
                  ))}
                </div>
                <Loaded query={results} what="scan.results" lines={6}>
                  {(d) =>
                    list(d.items).length === 0 ? (
                      <Empty small title={t('scan.none')} />
                    ) : (
                      <>
                        <DataTable
                          label={t('scan.results')}
                          rows={list(d.items)}
                          rowKey={(x) => String(x.seq)}
                          columns={[
                            { key: 'kind', title: t('scan.kind'), render: (x) => t(`scan.result.${x.kind}` as 'scan.result.host') },
                            { key: 'what', title: t('scan.what'), render: (x) => <Said result={x} /> },
                            { key: 'at', title: t('scan.at'), render: (x) => <When time={x.at} /> },
                          ]}
                        />
                        {d.next && <Button onClick={() => setUrl({ cursor: d.next })}>{t('scan.more')}</Button>}
                      </>
                    )
                  }
                </Loaded>
              </Panel>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
