import { useQuery } from '@tanstack/react-query';
import type { AuditTrack, StepKind, TrackSession } from '../api/audit';
import { get } from '../api/client';
import { list } from '../api/types';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { absolute, clock } from '../logic/format';
import { parseRange, rangeParams, rangeQuery } from '../logic/urlstate';
import { useAuditText } from './audittext';
import { Diff } from './diff';
import { useOperationText } from './operation';
import { RangePicker } from './range';
import { useChannelName } from './sessions';
import { Empty, Loaded } from './states';

const FALLBACK = '24h';
/** Gaps below a minute are work going on, not a pause worth telling. */
const GAP_S = 60;

/** What one user did, session by session, oldest first. */
export function Track({ user }: { user: string }) {
  const { t } = useSettings();
  const [params, setUrl] = useUrl();
  const range = parseRange(params, FALLBACK);
  const q = rangeQuery(range);
  const query = useQuery({
    queryKey: ['track', user, range],
    queryFn: ({ signal }) => get<AuditTrack>('/audit/track', { user, from: q.since ?? q.start, to: q.end, limit: 2000 }, signal),
  });
  return (
    <div className="stack">
      <div className="row">
        <RangePicker value={range} choices={['1h', '24h', '7d', '30d', '90d']} onChange={(r) => setUrl(rangeParams(r, FALLBACK))} />
      </div>
      <Loaded query={query} what="audit.track" lines={8}>
        {(track) =>
          list(track.sessions).length === 0 ? (
            <div className="panel">
              <Empty title={t('audit.trackNone', { x: user })} why={t('audit.emptyWhy')} />
            </div>
          ) : (
            <>
              {track.truncated && <div className="notice warn">{t('audit.trackCut')}</div>}
              {list(track.sessions).map((s, i) => (
                <TrackOf key={s.session_id ?? i} session={s} />
              ))}
            </>
          )
        }
      </Loaded>
    </div>
  );
}

const MARK: Record<StepKind, string> = { 'sign-in': 'k-opened', 'sign-out': 'k-closed', change: 'k-acknowledged', read: '', denied: 'k-alert', failed: 'k-alert' };

function TrackOf({ session: s }: { session: TrackSession }) {
  const { t, locale } = useSettings();
  const channel = useChannelName();
  const text = useOperationText();
  const words = useAuditText();
  return (
    <section className="panel" data-testid="track-session">
      <header>
        <h2>
          {absolute(s.start)} – {absolute(s.end).slice(absolute(s.end).slice(0, 10) === absolute(s.start).slice(0, 10) ? 11 : 0)}
        </h2>
        <span className="dim">{s.session_id ? [channel(s.channel), list(s.addresses).join(', ') || s.address, s.client].filter(Boolean).join(' · ') : t('audit.noSession')}</span>
        <span className="end dim">{t('audit.trackSum', { c: s.changes ?? 0, r: s.reads ?? 0, d: s.denied ?? 0, f: s.failed ?? 0 })}</span>
      </header>
      <div className="body">
        <ul className="timeline">
          {list(s.steps).map(({ record: r, kind, gap_seconds: gap }) => (
            <li key={r.seq} className={MARK[kind]} data-kind={kind}>
              {(gap ?? 0) >= GAP_S && <div className="faint" style={{ fontSize: 12, marginBottom: 4 }}>{t('audit.gap', { t: clock((gap ?? 0) * 1000, locale) })}</div>}
              <div className="t-head">
                <b>{t(`audit.kind.${kind}`)}</b>
                <span title={r.action}>{text({ id: r.action })}</span>
                <span style={{ overflowWrap: 'anywhere' }} title={r.object}>{words.object(r.object)}</span>
                {!!r.count && r.count > 1 && <span className="tag">{t('audit.times', { n: r.count })}</span>}
                <time dateTime={r.time}>{absolute(r.time).slice(11)}</time>
              </div>
              {r.detail && <div className="t-text" title={r.detail}>{words.detail(r.detail)}</div>}
              {list(r.changes).length > 0 && <Diff changes={list(r.changes)} />}
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}
