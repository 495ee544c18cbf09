import { useEffect, useRef } from 'react';

/** What a key does. The key is KeyboardEvent.key, "mod+k" with Ctrl or Command, or "g a" for two in a row. */
export type KeyMap = Record<string, (e: KeyboardEvent) => void>;

function typing(target: EventTarget | null): boolean {
  const el = target as HTMLElement | null;
  return !!el && (el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)) && !/^(checkbox|radio)$/.test((el as HTMLInputElement).type);
}

const LEADER_MS = 1500;

/**
 * Binds keys while the component is mounted. Keys are left alone while
 * somebody types or a dialog is open; enter and space are left to a focused
 * button or link, which they press.
 */
export function useKeys(map: KeyMap, enabled = true): void {
  const current = useRef(map);
  current.current = map;
  useEffect(() => {
    if (!enabled) return undefined;
    let leader = '';
    let at = 0;
    const f = (e: KeyboardEvent) => {
      if (e.defaultPrevented || e.isComposing) return;
      const mod = e.ctrlKey || e.metaKey;
      if (mod || e.altKey) {
        const action = mod && !e.altKey ? current.current[`mod+${e.key.toLowerCase()}`] : undefined;
        if (action && !(e.key === 'z' && typing(e.target))) {
          e.preventDefault();
          action(e);
        }
        return;
      }
      if (typing(e.target) || document.querySelector('.overlay, .ant-modal-wrap:not([style*="display: none"])')) return;
      const focused = (e.target as HTMLElement | null)?.closest?.('button, a[href], [role="menuitem"], [role="option"]');
      if (focused && (e.key === 'Enter' || e.key === ' ')) return;
      const sequence = leader && Date.now() - at < LEADER_MS ? `${leader} ${e.key}` : '';
      leader = '';
      const action = (sequence && current.current[sequence]) || current.current[e.key];
      if (action) {
        e.preventDefault();
        action(e);
      } else if (e.key === 'g') {
        leader = 'g';
        at = Date.now();
      }
    };
    window.addEventListener('keydown', f);
    return () => window.removeEventListener('keydown', f);
  }, [enabled]);
}
