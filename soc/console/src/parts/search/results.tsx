import { PushpinOutlined } from '@ant-design/icons';
import { memo, useEffect, useRef, useState } from 'react';
import type { LogEvent } from '../../api/types';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { keyOf, lineOf, markWords, textOf } from '../../logic/event';
import { absolute } from '../../logic/format';
import { useTenantName } from '../names';
import { useDesk } from './desk';
import { EventDetail } from './event';
import { useWindowed } from './windowed';

/** A text with the words looked for marked; white space shows as it is where the line is open. */
export function Line({ text, words, lines }: { text: string; words: readonly string[]; lines: number }) {
  const shown = lines === 1 ? text.replace(/\s+/g, ' ').slice(0, 1000) : text;
  return (
    <span className="msg" style={lines > 1 ? { display: '-webkit-box', WebkitLineClamp: lines, WebkitBoxOrient: 'vertical', whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' } : undefined}>
      {markWords(shown, words).map((s, i) => (s.marked ? <mark key={i}>{s.text}</mark> : s.text))}
    </span>
  );
}

/** Where an event was seen: its host, or else whose it is. */
export function useWhere(): (e: LogEvent) => string {
  const tenantName = useTenantName();
  return (e) => textOf(e, 'host.name') || tenantName(textOf(e, 'icewatch.tenant'));
}

interface RowProps {
  event: LogEvent;
  lines: number;
  open: boolean;
  cursor: boolean;
  columns?: readonly string[];
  /** So many of the columns, the first ones, stand still while the others are scrolled. */
  still: number;
  words: readonly string[];
  where: string;
  toggle: () => void;
}

const sameRow = (a: RowProps, b: RowProps) =>
  a.event === b.event && a.lines === b.lines && a.open === b.open && a.cursor === b.cursor && a.where === b.where && a.words === b.words && a.columns === b.columns && a.still === b.still;

const WIDTH = 160;
const GAP = 10;
/** The tracks of a table: the twist, the time, and the columns, each wide enough to be read. */
const tracks = (n: number, still: number) => `14px 156px ${still > 0 ? `repeat(${still}, ${WIDTH}px) ` : ''}${n > still ? `repeat(${n - still}, minmax(${still > 0 || n > 6 ? WIDTH : 0}px, 1fr))` : ''}`;
/** Where what stands still begins: the twist, the time, then the pinned columns. */
const LEFT = [12, 12 + 14 + GAP] as const;
const stillAt = (place: number, still: number): React.CSSProperties | undefined => (still > 0 && place < still + 2 ? { position: 'sticky', zIndex: 1, left: place < 2 ? LEFT[place] : LEFT[1] + 156 + GAP + (place - 2) * (WIDTH + GAP) } : undefined);
const cell = (place: number, still: number) => (still > 0 && place < still + 2 ? 'ellipsis pinnedcell' : 'ellipsis');

/** One event: time, host and line, or the chosen columns; opens to all of its fields. */
const Row = memo(function Row({ event, lines, open, cursor, columns, still, words, where, toggle }: RowProps) {
  const { t } = useSettings();
  const time = textOf(event, '@timestamp');
  const press = (e: React.MouseEvent) => {
    // Marking words is not opening; neither is a button in the row.
    if ((e.target as HTMLElement).closest('button, a') || window.getSelection()?.toString()) return;
    toggle();
  };
  return (
    <div className={`hit${open ? ' openrow' : ''}${cursor ? ' cursor' : ''}`} data-testid="hit" data-event={textOf(event, 'event.id')} role="row">
      <div className={columns ? 'line table' : 'line'} role="gridcell" onClick={press} style={columns ? { gridTemplateColumns: tracks(columns.length, still) } : undefined}>
        <button className={columns && still > 0 ? 'plain twist pinnedcell' : 'plain twist'} style={columns && stillAt(0, still)} aria-expanded={open} aria-label={`${t(open ? 'search.collapse' : 'search.expand')}: ${lineOf(event).slice(0, 120)}`} onClick={toggle}>
          ▶
        </button>
        <time className={columns && still > 0 ? 'dim nowrap pinnedcell' : 'dim nowrap'} style={columns && stillAt(1, still)} dateTime={time} title={absolute(time, true)}>
          {time && absolute(time, true).slice(5)}
        </time>
        {columns ? (
          columns.map((c, i) => (
            <span key={c} className={cell(i + 2, still)} style={stillAt(i + 2, still)} title={textOf(event, c)}>
              {textOf(event, c) || <span className="faint">–</span>}
            </span>
          ))
        ) : (
          <>
            <span className="ellipsis dim" title={where}>
              {where}
            </span>
            <Line text={lineOf(event)} words={words} lines={lines} />
          </>
        )}
      </div>
      {open && <EventDetail event={event} />}
    </div>
  );
}, sameRow);

const NONE: readonly string[] = [];
/** So many rows are drawn whole, so that the browser's own search finds them; more are drawn in parts. */
const WHOLE = 400;
const PART = 20;

/** The events found, worked by mouse or by j, k, space and enter. */
export function Results({ events, table, lines, busy }: { events: readonly LogEvent[]; table: boolean; lines: number; busy: boolean }) {
  const { t } = useSettings();
  const desk = useDesk();
  const where = useWhere();
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [at, setAt] = useState(-1);
  const box = useRef<HTMLDivElement>(null);
  const columns = table ? (desk?.columns ?? NONE) : undefined;
  const still = columns ? (desk?.pinned.length ?? 0) : 0;
  const words = desk?.words ?? NONE;
  const toggle = (key: string) =>
    setOpen((o) => {
      const n = new Set(o);
      if (!n.delete(key)) n.add(key);
      return n;
    });
  const move = (to: number) => setAt(Math.max(0, Math.min(events.length - 1, to)));
  const current = events[at];
  useKeys({
    j: () => move(at + 1),
    k: () => move(at - 1),
    Enter: () => current && toggle(keyOf(current, at)),
    ' ': () => current && toggle(keyOf(current, at)),
    c: () => current && desk?.context(current),
  });
  useEffect(() => {
    box.current?.querySelector('.hit.cursor')?.scrollIntoView({ block: 'nearest' });
  }, [at]);
  const row = (e: LogEvent, i: number) => {
    const key = keyOf(e, i);
    return <Row key={key} event={e} lines={lines} open={open.has(key)} cursor={i === at} columns={columns} still={still} words={words} where={where(e)} toggle={() => toggle(key)} />;
  };

  // Of very many rows those near the window alone are drawn; the others keep their height.
  const parts = events.length <= WHOLE ? 0 : Math.ceil(events.length / PART);
  const shown = useWindowed(box, parts, events.length, PART, `${lines} ${columns?.join(' ') ?? ''}`);
  const reveal = parts > 0 && at >= 0 && (Math.floor(at / PART) < shown.first || Math.floor(at / PART) > shown.last);
  useEffect(() => {
    if (reveal) shown.show(Math.floor(at / PART));
  }, [at]); // eslint-disable-line react-hooks/exhaustive-deps
  return (
    <div ref={box} role="grid" aria-label={t('search.what')} aria-busy={busy} aria-rowcount={events.length} style={columns && (still > 0 || columns.length > 6) ? { minWidth: 24 + 14 + 156 + GAP + columns.length * (WIDTH + GAP) } : undefined}>
      {columns && (
        <div className="hit headrow" role="row">
          <div className="line table" style={{ gridTemplateColumns: tracks(columns.length, still) }}>
            <span className={still > 0 ? 'pinnedcell' : undefined} style={stillAt(0, still)} />
            <span role="columnheader" className={still > 0 ? 'pinnedcell' : undefined} style={stillAt(1, still)}>
              {t('col.time')}
            </span>
            {columns.map((c, i) => (
              <span key={c} role="columnheader" className={i < still ? 'row pinnedcell' : 'row'} style={{ gap: 4, minWidth: 0, ...stillAt(i + 2, still) }}>
                <span className="ellipsis" title={c}>
                  {c}
                </span>
                <button className="plain do" aria-pressed={i < still} aria-label={t(i < still ? 'view.unpinOne' : 'view.pinOne', { x: c })} title={t(i < still ? 'view.unpinOne' : 'view.pinOne', { x: c })} onClick={() => desk?.pin(c)}>
                  <PushpinOutlined />
                </button>
                <button className="plain do" aria-label={t('do.remove', { x: c })} onClick={() => desk?.toggleColumn(c)}>
                  ✕
                </button>
              </span>
            ))}
          </div>
        </div>
      )}
      {events.length <= WHOLE ? (
        events.map(row)
      ) : (
        <>
          <div role="presentation" style={{ height: shown.above }} />
          {Array.from({ length: shown.last - shown.first + 1 }, (_, n) => {
            const part = shown.first + n;
            const begin = part * PART;
            return (
              <div key={part} role="rowgroup" className="part" data-part={part} ref={shown.part(part)}>
                {events.slice(begin, begin + PART).map((e, i) => row(e, begin + i))}
              </div>
            );
          })}
          <div role="presentation" style={{ height: shown.below }} />
        </>
      )}
    </div>
  );
}
