import { useCallback, useLayoutEffect, useMemo, useRef, useState, type RefObject } from 'react';
import { Heights } from '../../logic/heights';

/** What is drawn beyond the window, in pixels on each side. */
const AHEAD = 500;

/** The parts of a long list that are drawn, and the room that is kept above and below them. */
export interface Windowed {
  first: number;
  last: number;
  above: number;
  below: number;
  /** For the element of each part that is drawn: its height is taken from there. */
  part: (i: number) => (el: HTMLElement | null) => void;
  /** Brings a part into the window. */
  show: (i: number) => void;
}

/**
 * Of very many rows draws those near the window alone. `parts` is how many parts
 * of `size` rows there are; a change of `shape` forgets heights that were taken.
 */
export function useWindowed(box: RefObject<HTMLElement | null>, parts: number, rows: number, size: number, shape: string): Windowed {
  const heights = useMemo(() => new Heights(parts, rows, size), [parts, rows, size, shape]); // eslint-disable-line react-hooks/exhaustive-deps
  const [range, setRange] = useState<[number, number]>([0, 1]);
  const elements = useRef(new Map<number, HTMLElement>());
  const look = useCallback(() => {
    const scroller = box.current?.closest('.results');
    if (!box.current || !scroller || parts === 0) return;
    for (const [i, el] of elements.current) heights.take(i, el.offsetHeight);
    const top = scroller.getBoundingClientRect().top - box.current.getBoundingClientRect().top;
    const next = heights.between(top - AHEAD, top + scroller.clientHeight + AHEAD);
    setRange((r) => (r[0] === next[0] && r[1] === next[1] ? r : next));
  }, [box, heights, parts]);
  useLayoutEffect(() => {
    const scroller = box.current?.closest('.results');
    if (!scroller || parts === 0) return undefined;
    let frame = 0;
    // Once a frame is enough, and what moves the list anew waits for the next.
    const ask = () => {
      if (frame === 0)
        frame = requestAnimationFrame(() => {
          frame = 0;
          look();
        });
    };
    look();
    scroller.addEventListener('scroll', ask, { passive: true });
    const watch = new ResizeObserver(ask);
    watch.observe(scroller);
    return () => {
      cancelAnimationFrame(frame);
      scroller.removeEventListener('scroll', ask);
      watch.disconnect();
    };
  }, [box, look, parts]);
  const part = useCallback(
    (i: number) => (el: HTMLElement | null) => {
      if (el) elements.current.set(i, el);
      else elements.current.delete(i);
    },
    [],
  );
  const show = (i: number) => {
    const scroller = box.current?.closest('.results');
    if (!box.current || !scroller) return;
    scroller.scrollTop += box.current.getBoundingClientRect().top - scroller.getBoundingClientRect().top + heights.upTo(i) - scroller.clientHeight / 2;
    look();
  };
  const first = Math.min(range[0], Math.max(0, parts - 1));
  const last = Math.min(range[1], parts - 1);
  return { first, last, above: heights.upTo(first), below: heights.upTo(parts) - heights.upTo(last + 1), part, show };
}
