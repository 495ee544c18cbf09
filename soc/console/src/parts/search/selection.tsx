import { useEffect, useRef, useState, type RefObject } from 'react';
import { useNavigate } from 'react-router-dom';
import { copyText, useFeedback } from '../../app/feedback';
import { useT } from '../../app/settings';
import { phrase } from '../../logic/logsql';
import { useDesk } from './desk';

const LONGEST = 300;

/** What may be done with words marked in the raw text: they need no field to be searched for, excluded or copied (划词). */
export function SelectionMenu({ within }: { within: RefObject<HTMLElement> }) {
  const t = useT();
  const desk = useDesk();
  const navigate = useNavigate();
  const { done, failed } = useFeedback();
  const [at, setAt] = useState<{ text: string; x: number; y: number } | null>(null);
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
      setAt({ text, x: Math.max(8, Math.min(r.left, window.innerWidth - 420)), y: r.top > 56 ? r.top - 40 : r.bottom + 6 });
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

  if (!at || !desk) return null;
  const act = (f: () => void) => () => {
    window.getSelection()?.removeAllRanges();
    setAt(null);
    f();
  };
  return (
    <div ref={box} className="wordmenu" role="toolbar" aria-label={t('words.label', { x: at.text })} style={{ left: at.x, top: at.y }} data-testid="word-menu">
      <button className="plain" onClick={act(() => desk.phrase(at.text, false))}>
        {t('words.in')}
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
  );
}
