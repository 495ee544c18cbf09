import { useQuery } from '@tanstack/react-query';
import { Segmented } from 'antd';
import { Suspense, lazy, useMemo } from 'react';
import { get } from '../../../api/client';
import type { Intake } from '../../../api/storage';
import { list } from '../../../api/types';
import { useUrl } from '../../../app/hooks';
import { useSettings } from '../../../app/settings';
import { bytes, clock, number } from '../../../logic/format';
import { zh, type Key } from '../../../locales/zh';
import { Conditions } from '../../../parts/conditions';
import { MetricChart } from '../../../parts/metricchart';
import { Panel } from '../../../parts/page';
import { Loaded, Skeleton, Stale } from '../../../parts/states';
import { When } from '../../../parts/time';

const Lines = lazy(() => import('../../../parts/charts').then((m) => ({ default: m.Lines })));
const SINCE = ['1h', '24h', '7d'];

/** How fast events come in, how long they wait, and what was lost or turned away, by reason. */
export function IntakeTab() {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const since = SINCE.find((s) => s === url.get('since')) ?? '1h';
  const query = useQuery({ queryKey: ['intake'], queryFn: ({ signal }) => get<Intake>('/intake', {}, signal), refetchInterval: 3_000 });
  const reason = (r: string) => (`drop.${r}` in zh ? t(`drop.${r}` as Key) : r);
  return (
    <div className="stack">
      <Conditions />
      <Stale query={query} />
      <Loaded query={query} what="storage.intake" lines={10}>
        {(x) => {
          const lost = list(x.drops).reduce((n, d) => n + d.total, 0);
          return (
            <>
              <div className="stats" style={{ margin: 0 }}>
                <Figure n={number(x.events_per_second, locale)} l={t('intake.eps')} sub={`${bytes(x.bytes_per_second, locale)}/s`} />
                <Figure n={x.lag_seconds < 60 ? t('seconds', { n: Math.round(x.lag_seconds * 10) / 10 }) : clock(x.lag_seconds * 1000, locale)} l={t('intake.lag')} sub={t('intake.lagWhy')} hot={x.lag_seconds > 60} />
                <Figure n={number(x.queue_batches, locale)} l={t('intake.queue')} sub={bytes(x.queue_bytes, locale)} />
                <Figure n={number(lost, locale)} l={t('intake.drops')} sub={t(x.engine.ready ? 'intake.engineUp' : 'intake.engineDown')} hot={lost > 0 || !x.engine.ready} />
              </div>
              <div className="row">
                <h2 style={{ fontSize: 14 }}>{t('storage.history')}</h2>
                <Segmented aria-label={t('range.label')} size="small" value={since} onChange={(s) => setUrl({ since: s === '1h' ? undefined : s })} options={SINCE.map((s) => ({ value: s, label: t(`range.${s as '1h'}`) }))} />
              </div>
              <div className="halves">
                <Panel title={t('intake.eps')}>
                  <MetricChart query="sum(rate(icewatch_collector_received_total[2m]))" since={since} label={t('intake.eps')} />
                </Panel>
                <Panel title={t('intake.queue')}>
                  <MetricChart query="sum(icewatch_bus_waiting_messages)" since={since} label={t('intake.queue')} />
                </Panel>
              </div>
              <Panel title={t('intake.lagHour')}>
                <Lag history={list(x.history)} />
              </Panel>
              <div className="halves">
                <Panel title={t('intake.dropsBy')} flush>
                  <Reasons rows={list(x.drops)} reason={reason} none={t('intake.noDrops')} />
                </Panel>
                <Panel title={t('intake.refusedBy')} flush>
                  <Reasons rows={list(x.refused)} reason={reason} none={t('intake.noRefused')} />
                </Panel>
              </div>
            </>
          );
        }}
      </Loaded>
    </div>
  );
}

function Lag({ history }: { history: readonly { at: string; lag_seconds: number }[] }) {
  const { t } = useSettings();
  const data = useMemo(() => ({ times: history.map((h) => Date.parse(h.at)), lines: [{ name: t('intake.lag'), values: history.map((h) => h.lag_seconds) }] }), [history, t]);
  return (
    <Suspense fallback={<Skeleton lines={3} />}>
      <Lines data={data} label={t('intake.lagHour')} say={(n) => t('seconds', { n: Math.round(n * 10) / 10 })} height={140} />
    </Suspense>
  );
}

function Figure({ n, l, sub, hot = false }: { n: string; l: string; sub: string; hot?: boolean }) {
  return (
    <div className={`panel stat${hot ? ' hot' : ''}`}>
      <span className="n">{n}</span>
      <span className="l">{l}</span>
      <div className="faint" style={{ fontSize: 12 }}>
        {sub}
      </div>
    </div>
  );
}

function Reasons({ rows, reason, none }: { rows: readonly { reason: string; total: number; last_at?: string | null }[]; reason: (r: string) => string; none: string }) {
  const { locale } = useSettings();
  const some = rows.filter((r) => r.total > 0).sort((a, b) => b.total - a.total);
  if (some.length === 0)
    return (
      <div className="calm" style={{ margin: '4px 14px 10px' }}>
        <span className="dot ok" /> {none}
      </div>
    );
  return (
    <table className="data">
      <tbody>
        {some.map((r) => (
          <tr key={r.reason}>
            <td>{reason(r.reason)}</td>
            <td className="num">{number(r.total, locale)}</td>
            <td className="num">{r.last_at && <When time={r.last_at} age />}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
