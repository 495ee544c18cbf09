import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Drawer, Segmented } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { get } from '../../api/client';
import type { EventContext } from '../../api/search';
import { list, type LogEvent } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { keyOf, lineOf, textOf } from '../../logic/event';
import { absolute } from '../../logic/format';
import { Loaded } from '../states';
import { EventDetail } from './event';
import { Line, useWhere } from './results';

const MINUTES = [1, 5, 10, 30, 60];
const BY = ['host', 'stream', 'tenant', 'none'] as const;
const ROWS = 50;
const MOST = 1000;

/** What the same host (or stream, or tenant) said around an event, ten minutes to each side unless told. */
export function ContextDrawer({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const minutes = MINUTES.find((n) => String(n) === url.get('minutes')) ?? 10;
  const by = BY.find((b) => b === url.get('scope')) ?? 'host';
  const [[before, after], setRows] = useState([ROWS, ROWS]);
  const query = useQuery({
    queryKey: ['context', id, minutes, by, before, after],
    queryFn: ({ signal }) => get<EventContext>(`/events/${encodeURIComponent(id)}/context`, { minutes, by, before, after }, signal),
    placeholderData: keepPreviousData,
  });
  const c = query.data;
  const anchor = useRef<HTMLDivElement>(null);
  const shown = c ? textOf(c.anchor, 'event.id') : '';
  useEffect(() => {
    anchor.current?.scrollIntoView({ block: 'center' });
  }, [shown, minutes, by]);
  return (
    <Drawer
      open
      onClose={close}
      width={Math.min(1100, window.innerWidth - 80)}
      title={t('context.title')}
      styles={{ body: { padding: 0 } }}
      extra={
        <span className="row">
          <Segmented<number> aria-label={t('context.minutes')} size="small" value={minutes} onChange={(n) => setUrl({ minutes: n === 10 ? undefined : String(n) })} options={MINUTES.map((n) => ({ value: n, label: t('context.pm', { n }) }))} />
          <Segmented<(typeof BY)[number]> aria-label={t('context.by')} size="small" value={by} onChange={(b) => setUrl({ scope: b === 'host' ? undefined : b })} options={BY.map((b) => ({ value: b, label: t(`context.${b}`) }))} />
        </span>
      }
    >
      <Loaded query={query} what="context.what" lines={14}>
        {(d) => (
          <div data-testid="context">
            <div className="dim" style={{ padding: '8px 14px' }}>
              {t('context.shares', { by: t(`context.${d.by as 'host'}`), x: d.value || '–' })} · {absolute(d.anchor['@timestamp'] as string)}
            </div>
            {d.more_before && (
              <div style={{ textAlign: 'center', padding: 6 }}>
                <Button size="small" loading={query.isFetching} disabled={before >= MOST} onClick={() => setRows([Math.min(MOST, before * 2), after])}>
                  {t('context.moreBefore')}
                </Button>
              </div>
            )}
            {list(d.before).map((e, i) => (
              <ContextLine key={keyOf(e, i)} event={e} />
            ))}
            <div ref={anchor}>
              <ContextLine event={d.anchor} anchor />
            </div>
            {list(d.after).map((e, i) => (
              <ContextLine key={keyOf(e, i)} event={e} />
            ))}
            {d.more_after && (
              <div style={{ textAlign: 'center', padding: 6 }}>
                <Button size="small" loading={query.isFetching} disabled={after >= MOST} onClick={() => setRows([before, Math.min(MOST, after * 2)])}>
                  {t('context.moreAfter')}
                </Button>
              </div>
            )}
          </div>
        )}
      </Loaded>
    </Drawer>
  );
}

function ContextLine({ event, anchor = false }: { event: LogEvent; anchor?: boolean }) {
  const { t } = useSettings();
  const where = useWhere();
  const [open, setOpen] = useState(false);
  const text = lineOf(event);
  return (
    <div className={`hit${open ? ' openrow' : ''}${anchor ? ' anchor' : ''}`} aria-current={anchor || undefined}>
      <div className="line" onClick={(e) => !(e.target as HTMLElement).closest('button') && !window.getSelection()?.toString() && setOpen(!open)}>
        <button className="plain twist" aria-expanded={open} aria-label={`${t(open ? 'search.collapse' : 'search.expand')}: ${text.slice(0, 120)}`} onClick={() => setOpen(!open)}>
          ▶
        </button>
        <time className="dim nowrap">{absolute(textOf(event, '@timestamp'), true).slice(5)}</time>
        <span className="ellipsis dim">{where(event)}</span>
        <Line text={text} words={[]} lines={1} />
      </div>
      {open && <EventDetail event={event} />}
    </div>
  );
}
