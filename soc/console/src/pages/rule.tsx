import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Link, useParams } from 'react-router-dom';
import { get } from '../api/client';
import type { RuleInfo } from '../api/types';
import { copyText, useFeedback } from '../app/feedback';
import { usePageTitle } from '../app/hooks';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { Attack } from '../parts/alertparts';
import { Panel } from '../parts/page';
import { SeverityMark } from '../parts/severity';
import { Failed, Skeleton } from '../parts/states';

export default function RulePage() {
  const { t, tx, locale } = useSettings();
  const { id = '' } = useParams();
  const { done, failed } = useFeedback();
  const query = useQuery({ queryKey: ['rules', id], queryFn: ({ signal }) => get<RuleInfo>(`/rules/${encodeURIComponent(id)}`, {}, signal) });
  const r = query.data;
  usePageTitle(r ? tx(r.title) || r.id : t('page.rules'));
  if (!r) {
    return <div className="page">{query.error ? <Failed error={query.error} what="rules.what" retry={() => void query.refetch()} /> : <Skeleton lines={12} />}</div>;
  }
  const source = r.source ?? '';
  return (
    <div className="page">
      <div style={{ marginBottom: 8 }}>
        <Link to="/rules">← {t('page.rules')}</Link>
      </div>
      <h1 className="sentence">{tx(r.title) || r.id}</h1>
      <div className="meta" style={{ marginBottom: 14 }}>
        {r.level && <SeverityMark level={r.level} />}
        <span className="status">
          <i className={`dot ${r.status === 'active' ? 'ok' : 'error'}`} />
          {t(`rules.${r.status}`)}
        </span>
        <span className="tag">{r.kind === 'correlation' ? t('alert.correlation') : t('alert.sigma')}</span>
        <Attack tactics={r.tactics} techniques={r.techniques} />
        <span>
          {t('rules.hits')} {number(r.hits, locale)}
        </span>
        <Link to={`/alerts?${new URLSearchParams({ rule: r.id, since: '30d', status: 'open,acknowledged,closed' })}`}>{t('rules.alerts')}</Link>
      </div>
      {r.status === 'rejected' && (
        <div className="stale" role="alert">
          <b>{t('rules.reason')}</b> {r.reason}
        </div>
      )}
      <Panel
        title={
          <>
            {t('rules.source')}{' '}
            <span className="mono dim" style={{ fontWeight: 400 }}>
              {r.path}
              {r.line ? `:${r.line}` : ''}
            </span>
          </>
        }
        end={
          <Button size="small" onClick={() => void copyText(source).then(() => done(t('do.copied')), failed)}>
            {t('do.copy')}
          </Button>
        }
      >
        <pre className="source">
          {source.split('\n').map((line, i) => (
            <span key={i} className={r.status === 'rejected' && r.line === i + 1 ? 'bad' : undefined}>
              {line}
              {'\n'}
            </span>
          ))}
        </pre>
      </Panel>
    </div>
  );
}
