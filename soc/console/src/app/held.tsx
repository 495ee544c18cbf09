import { useEffect, useState, type ReactNode } from 'react';
import { holdStill } from '../logic/live';
import { useT } from './settings';

interface Held<T> {
  rows: readonly T[];
  /** A bar that lets in what is new; nothing where nothing is. */
  news: ReactNode;
}

/** A list that does not move under the hand: what is new waits until the reader lets it in. key is what was asked for; undefined while nothing has come of it. */
export function useHeld<T extends { id: string }>(key: string, fresh: readonly T[] | undefined, complete = true): Held<T> {
  const t = useT();
  const [held, setHeld] = useState<{ key: string; rows: readonly T[] } | null>(null);
  useEffect(() => {
    if (fresh && held?.key !== key) setHeld({ key, rows: fresh });
  }, [fresh, key, held]);
  const still = held?.key === key && fresh ? holdStill(held.rows, fresh, complete) : { rows: fresh ?? [], waiting: 0 };
  return {
    rows: still.rows,
    news: still.waiting > 0 && (
      <button className="plain newrows" onClick={() => fresh && setHeld({ key, rows: fresh })}>
        ↑ {t('list.new', { n: still.waiting })}
      </button>
    ),
  };
}
