import { useEffect, useRef, useState } from 'react';
import type { LogQLLogs } from '../../api/logql';
import { useKeys } from '../../app/keys';
import { useT } from '../../app/settings';
import { absolute } from '../../logic/format';
import { seriesName } from '../../logic/logql';
import { EventDetail } from './event';

type Row = NonNullable<LogQLLogs['events']>[number];

/** Lines as a LogQL query made them, each opening to the event it came from. Worked by j, k, enter as the other results. */
export function LogQLRows({ events }: { events: readonly Row[] }) {
  const t = useT();
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const [at, setAt] = useState(-1);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    setOpen(new Set());
    setAt(-1);
  }, [events]);
  const toggle = (i: number) =>
    setOpen((o) => {
      const n = new Set(o);
      if (!n.delete(i)) n.add(i);
      return n;
    });
  const move = (to: number) => setAt(Math.max(0, Math.min(events.length - 1, to)));
  useKeys({ j: () => move(at + 1), k: () => move(at - 1), Enter: () => at >= 0 && toggle(at), ' ': () => at >= 0 && toggle(at) });
  useEffect(() => {
    box.current?.querySelector('.hit.cursor')?.scrollIntoView({ block: 'nearest' });
  }, [at]);
  return (
    <div ref={box} role="grid" aria-label={t('search.what')} aria-rowcount={events.length}>
      {events.map((e, i) => {
        const shown = open.has(i);
        const name = seriesName(e.labels);
        return (
          <div key={`${e.event_id}-${i}`} className={`hit${shown ? ' openrow' : ''}${i === at ? ' cursor' : ''}`} data-testid="hit" role="row">
            <div
              className="line"
              role="gridcell"
              onClick={(x) => {
                if ((x.target as HTMLElement).closest('button, a') || window.getSelection()?.toString()) return;
                toggle(i);
              }}
            >
              <button className="plain twist" aria-expanded={shown} aria-label={`${t(shown ? 'search.collapse' : 'search.expand')}: ${e.line.slice(0, 120)}`} onClick={() => toggle(i)}>
                ▶
              </button>
              <time className="dim nowrap" dateTime={e.time} title={absolute(e.time, true)}>
                {absolute(e.time, true).slice(5)}
              </time>
              <span className="ellipsis dim" title={name}>
                {e.labels.host || e.labels.service_name || name}
              </span>
              <span className="msg">{e.line.replace(/\s+/g, ' ').slice(0, 1000)}</span>
            </div>
            {shown && (
              <>
                <div className="tags" style={{ padding: '8px 12px 0 36px', background: 'var(--sunken)', display: 'flex' }} aria-label={t('logql.labels')}>
                  {Object.entries(e.labels).map(([k, v]) => (
                    <span key={k} className="tag mono">
                      {k}={v}
                    </span>
                  ))}
                </div>
                <EventDetail event={e.event} />
              </>
            )}
          </div>
        );
      })}
    </div>
  );
}
