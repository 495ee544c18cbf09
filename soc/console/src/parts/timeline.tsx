import { type TimelineEntry } from '../api/types';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { When } from './time';

/** What happened to a case, newest first. */
export function Timeline({ entries }: { entries: readonly TimelineEntry[] }) {
  const { t, tx } = useSettings();
  if (entries.length === 0) return <div className="dim">{t('alert.timelineEmpty')}</div>;
  const rows = [...entries].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
  return (
    <ol className="timeline" data-testid="timeline">
      {rows.map((e, i) => {
        const key = `timeline.${e.kind}`;
        return (
          <li key={`${e.time}-${i}`} className={`k-${e.kind}`} data-kind={e.kind}>
            <div className="t-head">
              <b>{key in zh ? t(key as Key) : e.kind}</b>
              <span className="dim">{e.actor && e.actor !== 'system' ? e.actor : t('timeline.system')}</span>
              <When time={e.time} />
            </div>
            {tx(e.text) && <div className="t-text">{tx(e.text)}</div>}
          </li>
        );
      })}
    </ol>
  );
}
