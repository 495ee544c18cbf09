import { useEffect, useRef } from 'react';

/** What a key does. The key is KeyboardEvent.key, "mod+k" with Ctrl or Command, or "g a" for two in a row. */
export type KeyMap = Record<string, (e: KeyboardEvent) => void>;

function typing(target: EventTarget | null): boolean {
  const el = target as HTMLElement | null;
  return !!el && (el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)) && !/^(checkbox|radio)$/.test((el as HTMLInputElement).type);
}

const LEADER_MS = 1500;

/** What is bound now, in the order in which it is asked; what serves any list comes after what a page binds itself. */
const own: { current: KeyMap }[] = [];
const common: { current: KeyMap }[] = [];
let leader = '';
let leaderAt = 0;

const find = (key: string) => [...own, ...common].find((m) => m.current[key])?.current[key];

/** Whether the page that is open binds a key itself. */
export const isBound = (key: string): boolean => own.some((m) => m.current[key] !== undefined);

function pressed(e: KeyboardEvent) {
  if (e.defaultPrevented || e.isComposing) return;
  const mod = e.ctrlKey || e.metaKey;
  if (mod || e.altKey) {
    const action = mod && !e.altKey ? find(`mod+${e.key.toLowerCase()}`) : undefined;
    if (action && !(e.key === 'z' && typing(e.target))) {
      e.preventDefault();
      action(e);
    }
    return;
  }
  if (typing(e.target) || document.querySelector('.overlay, .ant-modal-wrap:not([style*="display: none"])')) return;
  const focused = (e.target as HTMLElement | null)?.closest?.('button, a[href], [role="menuitem"], [role="option"]');
  if (focused && (e.key === 'Enter' || e.key === ' ')) return;
  const sequence = leader && Date.now() - leaderAt < LEADER_MS ? `${leader} ${e.key}` : '';
  leader = '';
  const action = (sequence && find(sequence)) || find(e.key);
  if (action) {
    e.preventDefault();
    action(e);
  } else if (e.key === 'g') {
    leader = 'g';
    leaderAt = Date.now();
  }
}

/**
 * Binds keys while the component is mounted. Keys are left alone while
 * somebody types or a dialog is open; enter and space are left to a focused
 * button or link, which they press. Of those bound by several the first counts;
 * what is bound for any page comes last.
 */
export function useKeys(map: KeyMap, enabled = true, anyPage = false): void {
  const current = useRef(map);
  current.current = map;
  useEffect(() => {
    if (!enabled) return undefined;
    const all = anyPage ? common : own;
    if (own.length + common.length === 0) window.addEventListener('keydown', pressed);
    all.push(current);
    return () => {
      all.splice(all.indexOf(current), 1);
      if (own.length + common.length === 0) window.removeEventListener('keydown', pressed);
    };
  }, [enabled, anyPage]);
}
