import { createContext, useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { useCan } from '../api/queries';
import { copyText, useFeedback } from '../app/feedback';
import { useT } from '../app/settings';
import { entityOf, entityPath, graphPath, type EntityRef } from '../logic/entity';
import { fieldIs, phrase } from '../logic/logsql';
import { traceId, traceLink } from '../logic/trace';
import { EntityCard } from './entitycard';

interface Open {
  field: string;
  value: string;
  anchor: HTMLElement;
  filter?: (field: string, value: string, out: boolean) => void;
  entity?: EntityRef;
}
interface Hover {
  entity: EntityRef;
  anchor: HTMLElement;
}
/** How long the hand must rest on a value before its card shows, and how long it may be off the card. */
const REST_MS = 350;
const LEAVE_MS = 200;
const HoverContext = createContext<(h: Hover | null, at?: 'now') => void>(() => undefined);
/** Shows the card of an entity beside something that is no token, once the hand has rested there; null takes it away. */
export const useEntityCard = () => useContext(HoverContext);
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
  const [hover, setHover] = useState<Hover | null>(null);
  const rest = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const point = useCallback((h: Hover | null, at?: 'now') => {
    clearTimeout(rest.current);
    if (at === 'now') setHover(h);
    else rest.current = setTimeout(() => setHover(h), h ? REST_MS : LEAVE_MS);
  }, []);
  useEffect(() => () => clearTimeout(rest.current), []);
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
    <HoverContext.Provider value={point}>
    <MenuContext.Provider value={setOpen}>
      {children}
      {hover && !open && <EntityCard entity={hover.entity} anchor={hover.anchor} keep={() => clearTimeout(rest.current)} leave={() => point(null)} close={() => point(null, 'now')} />}
      {open && (
        <div className="menu" role="menu" ref={box}>
          <div className="title">
            {open.field && `${open.field}: `}
            {open.value}
          </div>
          {open.entity && item(t('entity.open'), () => navigate(entityPath(open.entity as EntityRef)))}
          {open.entity && graphPath(open.entity) && item(t('entity.graph'), () => navigate(graphPath(open.entity as EntityRef) as string))}
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
    </HoverContext.Provider>
  );
}

/**
 * A value that can be acted on. Where its field names an entity it is a link to
 * the entity's page with a card on hover, and the menu stands beside it; any
 * other value opens the menu.
 */
export function Token({ field = '', value, zone, entity, children }: { field?: string; value: string; zone?: string; entity?: EntityRef; children?: ReactNode }) {
  const t = useT();
  const can = useCan();
  const open = useContext(MenuContext);
  const point = useContext(HoverContext);
  const filter = useContext(FilterContext);
  const label = useMemo(() => t('token.menu', { f: field, v: value.slice(0, 80) }), [t, field, value]);
  const known = entity ?? entityOf(field, value);
  const of = known && can('get-entity') ? (zone && known.type === 'ip' ? { ...known, zone } : known) : undefined;
  if (!of) {
    return (
      <button className="plain token" aria-haspopup="menu" aria-label={label} onClick={(e) => open({ field, value, anchor: e.currentTarget, filter })}>
        {children ?? value}
      </button>
    );
  }
  return (
    <span className="entity">
      <Link
        className="token"
        to={entityPath(of)}
        data-entity={of.type}
        onMouseEnter={(e) => point({ entity: of, anchor: e.currentTarget })}
        onMouseLeave={() => point(null)}
        onBlur={() => point(null)}
        onClick={() => point(null, 'now')}
      >
        {children ?? value}
      </Link>
      <button
        className="plain entity-more"
        aria-haspopup="menu"
        aria-label={label}
        onClick={(e) => {
          point(null, 'now');
          open({ field, value, anchor: e.currentTarget, filter, entity: of });
        }}
      />
    </span>
  );
}

/** An entity by its type and value, as Token shows one. */
export function Entity({ type, value, zone, children }: EntityRef & { children?: ReactNode }) {
  return (
    <Token value={value} entity={{ type, value, ...(zone ? { zone } : {}) }}>
      {children}
    </Token>
  );
}
