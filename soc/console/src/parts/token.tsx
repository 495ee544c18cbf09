import { createContext, useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { useNavigate } from 'react-router-dom';
import { copyText, useFeedback } from '../app/feedback';
import { useT } from '../app/settings';
import { fieldIs, phrase } from '../logic/logsql';
import { traceId, traceLink } from '../logic/trace';

interface Open {
  field: string;
  value: string;
  anchor: HTMLElement;
  filter?: (field: string, value: string, out: boolean) => void;
}
const MenuContext = createContext<(o: Open) => void>(() => undefined);
/** On the search page, clicking a value can narrow the query; elsewhere there is nothing to narrow. */
export const FilterContext = createContext<Open['filter']>(undefined);

/** One menu for every token on the page: a thousand values need no thousand menus. */
export function TokenMenuProvider({ children }: { children: ReactNode }) {
  const t = useT();
  const navigate = useNavigate();
  const { done, failed } = useFeedback();
  const [open, setOpen] = useState<Open | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const close = useCallback(() => {
    setOpen((o) => {
      o?.anchor.focus();
      return null;
    });
  }, []);

  useLayoutEffect(() => {
    const el = box.current;
    if (!open || !el) return;
    const a = open.anchor.getBoundingClientRect();
    const m = el.getBoundingClientRect();
    el.style.left = `${Math.max(8, Math.min(a.left, window.innerWidth - m.width - 8))}px`;
    el.style.top = `${a.bottom + m.height + 8 > window.innerHeight ? Math.max(8, a.top - m.height - 4) : a.bottom + 4}px`;
    el.querySelector('button')?.focus();
  }, [open]);

  useEffect(() => {
    if (!open) return undefined;
    const outside = (e: Event) => {
      if (!box.current?.contains(e.target as Node)) setOpen(null);
    };
    const key = (e: KeyboardEvent) => {
      const items = [...(box.current?.querySelectorAll('button') ?? [])];
      const at = items.indexOf(document.activeElement as HTMLButtonElement);
      if (e.key === 'Escape') close();
      else if (e.key === 'ArrowDown') items[(at + 1) % items.length]?.focus();
      else if (e.key === 'ArrowUp') items[(at - 1 + items.length) % items.length]?.focus();
      else return;
      e.preventDefault();
      e.stopPropagation();
    };
    document.addEventListener('mousedown', outside);
    document.addEventListener('scroll', outside, true);
    document.addEventListener('keydown', key, true);
    return () => {
      document.removeEventListener('mousedown', outside);
      document.removeEventListener('scroll', outside, true);
      document.removeEventListener('keydown', key, true);
    };
  }, [open, close]);

  const item = (label: string, act: () => void) => (
    <button
      className="plain"
      role="menuitem"
      onClick={() => {
        close();
        act();
      }}
    >
      {label}
    </button>
  );
  return (
    <MenuContext.Provider value={setOpen}>
      {children}
      {open && (
        <div className="menu" role="menu" ref={box}>
          <div className="title">
            {open.field && `${open.field}: `}
            {open.value}
          </div>
          {item(t('token.copy'), () => void copyText(open.value).then(() => done(t('do.copied')), failed))}
          {open.filter && open.field && item(t('token.in'), () => open.filter?.(open.field, open.value, false))}
          {open.filter && open.field && item(t('token.out'), () => open.filter?.(open.field, open.value, true))}
          {item(t('token.pivot'), () =>
            navigate(`/search?${new URLSearchParams({ query: open.field && !open.filter ? fieldIs(open.field, open.value) : phrase(open.value), since: '24h' })}`),
          )}
          {/^(trace\.id|TraceID|trace_id|traceId)$/.test(open.field) && traceId(open.value) && item(t('trace.of'), () => navigate(traceLink(traceId(open.value))))}
          {item(t('token.alerts'), () => navigate(`/alerts?${new URLSearchParams({ q: open.value, since: '30d' })}`))}
          {item(t('token.asset'), () => navigate(`/cmdb?${new URLSearchParams({ q: open.value })}`))}
        </div>
      )}
    </MenuContext.Provider>
  );
}

/** A value that can be acted on. */
export function Token({ field = '', value, children }: { field?: string; value: string; children?: ReactNode }) {
  const t = useT();
  const open = useContext(MenuContext);
  const filter = useContext(FilterContext);
  const label = useMemo(() => t('token.menu', { f: field, v: value.slice(0, 80) }), [t, field, value]);
  return (
    <button className="plain token" aria-haspopup="menu" aria-label={label} onClick={(e) => open({ field, value, anchor: e.currentTarget, filter })}>
      {children ?? value}
    </button>
  );
}
