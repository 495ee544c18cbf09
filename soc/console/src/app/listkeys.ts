import { useEffect, useRef } from 'react';
import { useLocation, useNavigationType } from 'react-router-dom';
import { useKeys } from './keys';

const visible = (e: Element) => (e as HTMLElement).offsetParent !== null;

/** Every row of the page that leads somewhere. */
const every = () => [...document.querySelectorAll<HTMLElement>('main table.data > tbody > tr, main .list .line[role=row]:not(.head-line)')].filter((r) => visible(r) && leads(r) !== undefined);
const target = (r: HTMLElement) => r.querySelector('a[href]:not([download])')?.getAttribute('href') ?? r.dataset.id ?? '';

/** The rows of the list that is walked: the one that has the focus, else the first of the page. */
function rows(): HTMLElement[] {
  const lists = [...document.querySelectorAll('main table.data > tbody, main .list')].filter(visible);
  const all = lists.map((l) => [...l.querySelectorAll<HTMLElement>(':scope > tr, :scope .line[role=row]:not(.head-line)')].filter((r) => visible(r) && leads(r) !== undefined));
  return all.find((r) => r.includes(document.activeElement as HTMLElement)) ?? all.find((r) => r.length > 0) ?? [];
}

/** What opens a row: itself where it is made for a click, else its first link, else the button that looks like one. */
function leads(row: HTMLElement): HTMLElement | undefined {
  return row.classList.contains('go') ? row : (row.querySelector<HTMLElement>('a[href]:not([download]), button.link') ?? row.querySelector<HTMLElement>('button:not(:disabled)') ?? undefined);
}

/** The field that narrows the page's list. */
export const filterField = () => [...document.querySelectorAll<HTMLInputElement>('main .filters input, main [role=search] input, main input[type=search], main .ant-input-search input')].find((e) => visible(e) && /^(text|search)$/.test(e.type) && !e.readOnly && !e.closest('.ant-select, table'));

function move(by: number) {
  const all = rows();
  const at = all.indexOf(document.activeElement as HTMLElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + by))];
  if (!next) return;
  next.tabIndex = -1;
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}

/** Keys of every list whose page has none of its own: j and k walk its rows, enter opens one, / goes to the filter. */
export function useListKeys(): void {
  useKeys(
    {
      j: () => move(1),
      k: () => move(-1),
      Enter: () => {
        const row = rows().find((r) => r === document.activeElement);
        if (row) leads(row)?.click();
      },
      '/': () => filterField()?.focus(),
    },
    true,
    true,
  );
}

/** From which row a page was left, and how far it was scrolled. */
interface Place {
  row: number;
  to: string;
  scrolled: number;
}
const places = new Map<string, Place>();
const PLACES = 200;
const WAIT_MS = 4000;
/** A dialog that is open. */
const DIALOG = '.overlay, .ant-drawer-open, .ant-modal-wrap:not([style*="display: none"])';

/** What scrolls a row. */
function scroller(e: HTMLElement): HTMLElement | undefined {
  for (let p = e.parentElement; p; p = p.parentElement) if (p.scrollHeight > p.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(p).overflowY)) return p;
  return undefined;
}

/** Who comes back to a list stands on the row by which it was left. Nothing is taken from somebody who went on meanwhile. */
export function usePlace(): void {
  const { key } = useLocation();
  const how = useNavigationType();
  const current = useRef(key);
  useEffect(() => {
    let opened: HTMLElement | undefined;
    // A dialog that a row opened takes the focus with it where it goes.
    const closed = new MutationObserver((changes) => {
      if (!opened?.isConnected || document.activeElement !== document.body || document.querySelector(DIALOG)) return;
      if (changes.some((c) => c.removedNodes.length > 0)) {
        opened.tabIndex = -1;
        opened.focus({ preventScroll: true });
      }
    });
    closed.observe(document.body, { childList: true });
    const left = (e: MouseEvent) => {
      const all = every();
      const row = all.findIndex((r) => r.contains(e.target as Node));
      const at = all[row];
      if (!at) return;
      opened = at;
      places.delete(current.current);
      places.set(current.current, { row, to: target(at), scrolled: scroller(at)?.scrollTop ?? 0 });
      for (const oldest of places.keys()) {
        if (places.size <= PLACES) break;
        places.delete(oldest);
      }
    };
    document.addEventListener('click', left, true);
    return () => {
      document.removeEventListener('click', left, true);
      closed.disconnect();
    };
  }, []);
  useEffect(() => {
    const before = places.get(current.current);
    if (how === 'REPLACE' && before) places.set(key, before);
    current.current = key;
    const place = how === 'POP' ? places.get(key) : undefined;
    if (!place) return undefined;
    let timer: ReturnType<typeof setTimeout>;
    const end = Date.now() + WAIT_MS;
    const seek = () => {
      const on = document.activeElement;
      if (on && on !== document.body && on.id !== 'content') return;
      const all = every();
      const same = all[place.row];
      const row = same && target(same) === place.to ? same : all.find((r) => place.to !== '' && target(r) === place.to);
      if (row) {
        const box = scroller(row);
        if (box) box.scrollTop = place.scrolled;
        row.tabIndex = -1;
        row.focus({ preventScroll: true });
        row.scrollIntoView({ block: 'nearest' });
      } else if (Date.now() < end) timer = setTimeout(seek, 60);
    };
    timer = setTimeout(seek, 0);
    return () => clearTimeout(timer);
  }, [key, how]);
}

/** Whether those keys have something to do on the page as it stands. */
export const walkable = () => rows().length > 0;
