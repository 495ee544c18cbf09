import { type TimelineEntry } from '../api/types';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { localTimes } from '../logic/format';
import { useActorName } from './names';
import { When } from './time';

/** An alert opens when its rule fires, and its alert entries tell of the incident it went into. */
const ALERT_KINDS: Record<string, string | undefined> = { opened: 'created', alert: 'incident' };

/** What happened to a case, newest first. */
export function Timeline({ entries, of = 'incident' }: { entries: readonly TimelineEntry[]; of?: 'incident' | 'alert' }) {
  const { t, tx } = useSettings();
  const actorName = useActorName();
  if (entries.length === 0) return <div className="dim">{t('alert.timelineEmpty')}</div>;
  const rows = [...entries].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
  return (
    <ol className="timeline" data-testid="timeline">
      {rows.map((e, i) => {
        const key = `timeline.${(of === 'alert' && ALERT_KINDS[e.kind]) || e.kind}`;
        return (
          <li key={`${e.time}-${i}`} className={`k-${e.kind}`} data-kind={e.kind}>
            <div className="t-head">
              <b>{key in zh ? t(key as Key) : e.kind}</b>
              <span className="dim">{actorName(e.actor)}</span>
              <When time={e.time} />
            </div>
            {tx(e.text) && <div className="t-text">{localTimes(tx(e.text))}</div>}
          </li>
        );
      })}
    </ol>
  );
}
