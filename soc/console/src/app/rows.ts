import { useEffect } from 'react';
import { useKept } from './kept';
import { useKeys } from './keys';

/** A cursor over a list: j and k move it, enter opens its row. Answers where it stands, and sets it. Who comes back finds it where it was. */
export function useRowKeys(ids: readonly string[], open: (id: string) => void, enabled = true): [string, (id: string) => void] {
  const [at, setAt] = useKept('row', '');
  const move = (by: number) => {
    const i = ids.indexOf(at);
    const next = ids[i < 0 ? (by > 0 ? 0 : ids.length - 1) : Math.max(0, Math.min(ids.length - 1, i + by))];
    if (next) setAt(next);
  };
  useKeys({ j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => ids.includes(at) && open(at) }, enabled);
  useEffect(() => {
    if (at) document.querySelector(`[data-id="${CSS.escape(at)}"]`)?.scrollIntoView({ block: 'nearest' });
  }, [at, ids.length > 0]); // eslint-disable-line react-hooks/exhaustive-deps
  return [at, setAt];
}
