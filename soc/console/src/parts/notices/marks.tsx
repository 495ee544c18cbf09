import type { Notice, NoticeState } from '../../api/notices';
import { del, put } from '../../api/client';
import { useAct } from '../../app/act';
import { useNow } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { tally } from '../../logic/notices';

export function NoticeStateMark({ state }: { state: NoticeState }) {
  const { t } = useSettings();
  return (
    <span className={state === 'published' || state === 'review' ? 'tag strong' : 'tag'}>
      <i className={`dot ${state === 'closed' ? 'closed' : state === 'published' ? 'ok' : state === 'draft' ? 'off' : 'open'}`} />
      {t(`notice.state.${state}`)}
    </span>
  );
}

/** How many of those it is for have answered, and whether some are late. */
export function Answered({ notice: n }: { notice: Notice }) {
  const { t, locale } = useSettings();
  const now = useNow(60);
  if (!n.published_at) return <span className="faint">–</span>;
  const c = tally(n, now);
  return (
    <span className="nowrap">
      {n.kind === 'circular' ? t('notice.answeredOf', { n: number(c.answered, locale), m: number(c.all, locale) }) : t('notice.readOf', { n: number(c.read, locale), m: number(c.all, locale) })}
      {' '}
      {c.overdue > 0 && n.state === 'published' && <span className="tag strong late-mark">{t('notice.overdueN', { n: c.overdue })}</span>}
    </span>
  );
}

/** Keeps a notice in the reader's view, or lets go of it. */
export function Favourite({ notice: n }: { notice: Notice }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const path = `/notices/${encodeURIComponent(n.id)}/favourite`;
  return (
    <button className="plain star" disabled={busy} aria-pressed={!!n.favourite} aria-label={t(n.favourite ? 'notice.letGo' : 'notice.keep', { x: n.name })} title={t(n.favourite ? 'notice.letGo' : 'notice.keep', { x: n.name })} onClick={() => void act(() => (n.favourite ? del(path) : put(path, {})), { renew: ['notices'] })}>
      {n.favourite ? '★' : '☆'}
    </button>
  );
}
