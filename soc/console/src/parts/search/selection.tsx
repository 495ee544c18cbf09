import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState, type RefObject } from 'react';
import { useNavigate } from 'react-router-dom';
import { post } from '../../api/client';
import type { Asked, WordOptions } from '../../api/search';
import { list } from '../../api/types';
import { copyText, useFeedback } from '../../app/feedback';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { phrase } from '../../logic/logsql';
import { useDesk } from './desk';

const LONGEST = 300;

interface Marked {
  text: string;
  /** The event they stand in, where its row says so. */
  event: string;
  x: number;
  y: number;
}

/**
 * What may be done with words marked in the raw text (划词): they need no field
 * to be searched for, excluded or copied. The server tells how often they
 * occur, and offers the fields of the event that hold them.
 */
export function SelectionMenu({ within, asked }: { within: RefObject<HTMLElement>; asked: Asked }) {
  const { t, tx, locale } = useSettings();
  const desk = useDesk();
  const navigate = useNavigate();
  const { done, failed } = useFeedback();
  const [at, setAt] = useState<Marked | null>(null);
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const look = (e: Event) => {
      if (box.current?.contains(e.target as Node)) return;
      const s = window.getSelection();
      const text = s?.toString().trim() ?? '';
      const node = s?.anchorNode;
      const el = node instanceof Element ? node : node?.parentElement;
      if (!s || s.isCollapsed || text === '' || text.length > LONGEST || /\n/.test(text) || !el?.closest('.msg, [data-words]') || !within.current?.contains(el)) return setAt(null);
      const r = s.getRangeAt(0).getBoundingClientRect();
      setAt({ text, event: el.closest<HTMLElement>('[data-event]')?.dataset.event ?? '', x: Math.max(8, Math.min(r.left, window.innerWidth - 420)), y: r.bottom + 6 });
    };
    const close = () => setAt(null);
    const key = (e: KeyboardEvent) => (e.key === 'Escape' ? setAt(null) : e.shiftKey && look(e));
    document.addEventListener('mouseup', look);
    document.addEventListener('keyup', key);
    document.addEventListener('scroll', close, true);
    return () => {
      document.removeEventListener('mouseup', look);
      document.removeEventListener('keyup', key);
      document.removeEventListener('scroll', close, true);
    };
  }, [within]);

  const known = useQuery({
    queryKey: ['words', at?.text, at?.event, asked],
    enabled: at !== null,
    queryFn: () => post<WordOptions>(`/search/selection?${new URLSearchParams({ start: asked.start, end: asked.end, tenant: asked.tenant, group: asked.group })}`, { text: at?.text, event_id: at?.event || undefined }),
    staleTime: 60_000,
    retry: false,
  }).data;
  if (!at || !desk) return null;
  const hits = list(known?.options).find((o) => o.id === 'contains')?.hits;
  const more = list(known?.options).filter((o) => o.id !== 'contains' && o.id !== 'exclude');
  const act = (f: () => void) => () => {
    window.getSelection()?.removeAllRanges();
    setAt(null);
    f();
  };
  return (
    <div ref={box} className="wordmenu" role="toolbar" aria-label={t('words.label', { x: at.text })} style={{ left: at.x, top: at.y }} data-testid="word-menu">
      <div className="row" style={{ gap: 2 }}>
        <button className="plain" onClick={act(() => desk.phrase(at.text, false))}>
          {t('words.in')} {typeof hits === 'number' && <span className="faint">{number(hits, locale)}</span>}
        </button>
        <button className="plain" onClick={act(() => desk.phrase(at.text, true))}>
          {t('words.out')}
        </button>
        <button className="plain" onClick={act(() => navigate(`/search?${new URLSearchParams({ query: phrase(at.text) })}`))}>
          {t('words.only')}
        </button>
        <button className="plain" onClick={act(() => void copyText(at.text).then(() => done(t('do.copied')), failed))}>
          {t('token.copy')}
        </button>
        <button className="plain" onClick={act(() => navigate(`/cmdb?${new URLSearchParams({ q: at.text })}`))}>
          {t('token.asset')}
        </button>
      </div>
      {more.map((o) => (
        <button key={`${o.id}${o.query}`} className="plain" onClick={act(() => desk.narrow(o.query))}>
          {tx(o.label)} <code>{o.query}</code> {typeof o.hits === 'number' && <span className="faint">{number(o.hits, locale)}</span>}
        </button>
      ))}
    </div>
  );
}
