import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { useSearchParams } from 'react-router-dom';
import { serverNow } from '../api/client';
import { withParams } from '../logic/urlstate';

/** One clock for the whole page, so that a hundred ages do not make a hundred timers. */
const listeners = new Set<() => void>();
let tick = Math.floor(serverNow() / 1000);
setInterval(() => {
  tick = Math.floor(serverNow() / 1000);
  for (const l of listeners) l();
}, 1000);
function subscribe(f: () => void): () => void {
  listeners.add(f);
  return () => listeners.delete(f);
}

/** The server's time in milliseconds, renewed every `everySeconds`. */
export function useNow(everySeconds = 1): number {
  return useSyncExternalStore(subscribe, () => Math.floor(tick / everySeconds) * everySeconds) * 1000;
}

/** URL parameters and a setter that keeps the others. Replaces the history entry unless told to push. */
export function useUrl(): [URLSearchParams, (change: Record<string, string | readonly string[] | undefined>, push?: boolean) => void] {
  const [params, setParams] = useSearchParams();
  const set = useCallback(
    (change: Record<string, string | readonly string[] | undefined>, push = false) =>
      setParams((p) => withParams(p, change), { replace: !push }),
    [setParams],
  );
  return [params, set];
}

/** The value, once it has stood still for ms. */
export function useSettled<T>(value: T, ms: number): T {
  const [v, setV] = useState(value);
  useEffect(() => {
    const id = setTimeout(() => setV(value), ms);
    return () => clearTimeout(id);
  }, [value, ms]);
  return v;
}

/** Whether the page is at most so many pixels wide, as it is now. */
export function useNarrow(px: number): boolean {
  const media = useMemo(() => window.matchMedia(`(max-width: ${px}px)`), [px]);
  return useSyncExternalStore(
    useCallback(
      (f) => {
        media.addEventListener('change', f);
        return () => media.removeEventListener('change', f);
      },
      [media],
    ),
    () => media.matches,
  );
}

export function usePageTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · icewatch` : 'icewatch';
  }, [title]);
}
