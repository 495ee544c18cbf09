import { Button } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { ApiError, request } from '../../api/client';
import type { LogEvent } from '../../api/types';
import { useSettings } from '../../app/settings';
import { sseReader } from '../../logic/sse';
import { EMPTY, arrive, show, type TailState } from '../../logic/tail';
import { Empty } from '../states';
import { Results } from './results';

const AGAIN_MS = 2000;
const DRAW_MS = 400;

type Link = { state: 'opening' | 'open' } | { state: 'lost' | 'ended'; why: string };

/** Follows the server's stream until told to stop; after a break it goes on after the last event it has. */
function follow(query: string, tenant: string, group: string, on: { rows: (r: LogEvent[]) => void; dropped: (n: number) => void; link: (l: Link) => void }): () => void {
  const abort = new AbortController();
  let last = '';
  let timer: ReturnType<typeof setTimeout>;
  const run = async (): Promise<void> => {
    on.link({ state: 'opening' });
    try {
      const res = await request('GET', '/search/tail', { query: { query, tenant, group }, accept: 'text/event-stream', signal: abort.signal, headers: last ? { 'Last-Event-ID': last } : undefined });
      const reader = (res.body as ReadableStream<Uint8Array>).getReader();
      const text = new TextDecoder();
      const read = sseReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const rows: LogEvent[] = [];
        for (const sent of read(text.decode(value, { stream: true }))) {
          const data = JSON.parse(sent.data) as LogEvent & { count?: number; detail?: string; code?: string };
          if (sent.event === 'open') on.link({ state: 'open' });
          else if (sent.event === 'event') {
            rows.push(data);
            last = sent.id;
          } else if (sent.event === 'dropped') on.dropped(data.count ?? 0);
          else if (sent.event === 'end') {
            on.link({ state: 'ended', why: data.detail ?? data.code ?? '' });
            return;
          }
        }
        on.rows(rows);
      }
      on.link({ state: 'lost', why: '' });
    } catch (e) {
      if (abort.signal.aborted) return;
      // A refusal will be refused again; a lost connection comes back.
      if (e instanceof ApiError && e.status >= 400 && e.status < 500 && e.status !== 429) return on.link({ state: 'ended', why: e.message });
      on.link({ state: 'lost', why: e instanceof Error ? e.message : String(e) });
    }
    if (!abort.signal.aborted) timer = setTimeout(() => void run(), AGAIN_MS);
  };
  void run();
  return () => {
    clearTimeout(timer);
    abort.abort();
  };
}

/** Events as they come in. The list moves only while it is at its top, nothing is marked or open in it, and it is not paused. */
export function Tail({ query, tenant, group, lines, table, stop }: { query: string; tenant: string; group: string; lines: number; table: boolean; stop: () => void }) {
  const { t } = useSettings();
  const [tail, setTail] = useState<TailState>(EMPTY);
  const [link, setLink] = useState<Link>({ state: 'opening' });
  const [paused, setPaused] = useState(false);
  const [round, setRound] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const news = useRef<LogEvent[]>([]);
  const held = useRef(paused);
  held.current = paused;

  useEffect(() => {
    setTail(EMPTY);
    news.current = [];
    return follow(query, tenant, group, {
      rows: (r) => news.current.push(...r),
      dropped: (n) => setTail((s) => ({ ...s, dropped: s.dropped + n })),
      link: setLink,
    });
  }, [query, tenant, group, round]);

  useEffect(() => {
    const id = setInterval(() => {
      const el = box.current;
      const still = held.current || !el || el.scrollTop > 4 || el.querySelector('.openrow') !== null || (window.getSelection()?.toString() ?? '') !== '';
      const fresh = news.current;
      news.current = [];
      setTail((s) => (still ? arrive(s, fresh, true) : show(arrive(s, fresh, false))));
    }, DRAW_MS);
    return () => clearInterval(id);
  }, []);

  const catchUp = () => {
    setPaused(false);
    setTail(show);
    box.current?.scrollTo({ top: 0 });
  };
  return (
    <div className="panel results tail" data-testid="tail" ref={box}>
      <div className="tailbar" role="status">
        <span className={`dot ${link.state === 'open' ? 'ok' : link.state === 'opening' ? 'open' : 'error'}`} />
        <b>{t(link.state === 'open' && paused ? 'tail.paused' : `tail.${link.state}`)}</b>
        {'why' in link && link.why && <span className="dim">{link.why}</span>}
        <span className="dim" data-testid="tail-received">
          {t('tail.received', { n: tail.received })}
        </span>
        {tail.dropped > 0 && (
          <span className="late" title={t('tail.droppedWhy')}>
            {t('tail.dropped', { n: tail.dropped })}
          </span>
        )}
        {tail.fallen > 0 && <span className="late">{t('tail.fallen', { n: tail.fallen })}</span>}
        <span className="grow" />
        {tail.waiting.length > 0 && (
          <Button size="small" type="primary" data-testid="tail-waiting" onClick={catchUp}>
            {t('tail.waiting', { n: tail.waiting.length })}
          </Button>
        )}
        <Button size="small" aria-pressed={paused} onClick={() => (paused ? catchUp() : setPaused(true))}>
          {t(paused ? 'tail.resume' : 'tail.pause')}
        </Button>
        {link.state === 'ended' && (
          <Button size="small" onClick={() => setRound((n) => n + 1)}>
            {t('do.retry')}
          </Button>
        )}
        <Button size="small" onClick={stop}>
          {t('tail.stop')}
        </Button>
      </div>
      {tail.rows.length === 0 ? <Empty title={t('tail.empty')} why={t('tail.emptyWhy')} /> : <Results events={tail.rows} table={table} lines={lines} busy={false} />}
    </div>
  );
}
