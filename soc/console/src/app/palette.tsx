import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { useCan } from '../api/queries';
import { entityPath, guessEntities } from '../logic/entity';
import { phrase } from '../logic/logsql';
import { everyItem, navFor } from './nav';
import { useT } from './settings';

interface Choice {
  id: string;
  label: string;
  hint: string;
  to: string;
}

/** ⌘K: a page by its name, or a thing wherever it may be. */
export function Palette({ close, here }: { close: () => void; here: string }) {
  const t = useT();
  const can = useCan();
  const navigate = useNavigate();
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const [start] = useState(here);
  useEffect(() => {
    if (here !== start) close();
  }, [here, start, close]);

  const q = text.trim();
  const choices = useMemo<Choice[]>(() => {
    const pages = [...everyItem(navFor(can)), { to: '/me', title: 'page.me' as const, letter: 'm' }]
      .map((i) => ({ id: i.to, label: t(i.title), hint: i.letter ? `g ${i.letter}` : '', to: i.to }))
      .filter((c) => !q || c.label.toLowerCase().includes(q.toLowerCase()) || c.to.includes(q.toLowerCase()));
    if (!q || !can('read')) return pages;
    const find: Choice[] = [
      { id: 'logs', label: t('palette.logs'), hint: q, to: `/search?${new URLSearchParams({ query: /[:|"*]/.test(q) ? q : phrase(q), since: '24h' })}` },
      { id: 'alerts', label: t('palette.alerts'), hint: q, to: `/alerts?${new URLSearchParams({ q, since: '30d' })}` },
      { id: 'incidents', label: t('palette.incidents'), hint: q, to: `/incidents?${new URLSearchParams({ q })}` },
      { id: 'assets', label: t('palette.assets'), hint: q, to: `/cmdb?${new URLSearchParams({ q })}` },
    ];
    if (/^inc-/i.test(q)) find.unshift({ id: 'inc', label: t('palette.incident', { x: q.toUpperCase() }), hint: '', to: `/incidents/${encodeURIComponent(q.toUpperCase())}` });
    // A value that was typed is most likely looked up.
    const things: Choice[] = can('get-entity') ? guessEntities(q).map((e) => ({ id: `entity-${e.type}`, label: t('entity.openAs', { type: t(`entity.type.${e.type}`), value: q }), hint: t('page.entities'), to: entityPath(e) })) : [];
    return pages.length > 0 && things[0]?.id === 'entity-device' ? [...pages, ...things, ...find] : [...things, ...pages, ...find];
  }, [q, t, can]);
  useEffect(() => setAt(0), [q]);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    input.current?.focus();
    return () => before?.focus();
  }, []);
  const go = (c: Choice | undefined) => {
    if (!c) return;
    close();
    navigate(c.to);
  };
  return (
    <div className="overlay" onMouseDown={(e) => e.target === e.currentTarget && close()}>
      <div className="palette" role="dialog" aria-modal="true" aria-label={t('palette.open')}>
        <input
          ref={input}
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={choices[at] ? `palette-${at}` : undefined}
          aria-label={t('palette.open')}
          placeholder={t('palette.hint')}
          value={text}
          onChange={(e) => setText(e.target.value)}
          onKeyDown={(e) => {
            if (e.nativeEvent.isComposing) return;
            if (e.key === 'ArrowDown') setAt((i) => Math.min(i + 1, choices.length - 1));
            else if (e.key === 'ArrowUp') setAt((i) => Math.max(i - 1, 0));
            else if (e.key === 'Enter') go(choices[at]);
            else if (e.key === 'Escape') close();
            else if (e.key === 'Tab') input.current?.focus();
            else return;
            e.preventDefault();
          }}
        />
        <ul id="palette-list" role="listbox" aria-label={t('palette.open')}>
          {choices.map((c, i) => (
            <li key={c.id} id={`palette-${i}`} role="option" aria-selected={i === at} onMouseMove={() => setAt(i)} onClick={() => go(c)}>
              <span>{c.label}</span>
              <span className="end faint ellipsis">{c.hint}</span>
            </li>
          ))}
        </ul>
        <div className="foot">{t('palette.keys')}</div>
      </div>
    </div>
  );
}
