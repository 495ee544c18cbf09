import { useEffect, useState } from 'react';
import { useLocation } from 'react-router-dom';

/** What is kept for the way back, by history entry; the oldest goes first. */
const kept = new Map<string, unknown>();
const MOST = 500;

function keep(key: string, value: unknown) {
  kept.delete(key);
  kept.set(key, value);
  for (const oldest of kept.keys()) {
    if (kept.size <= MOST) break;
    kept.delete(oldest);
  }
}

/** A state that a page finds again when somebody comes back to it, and that no link brings: where a cursor stands. */
export function useKept<T>(name: string, first: T): [T, (value: T) => void] {
  const { key } = useLocation();
  const [value, setValue] = useState<T>(() => (kept.get(`${key} ${name}`) as T | undefined) ?? first);
  useEffect(() => keep(`${key} ${name}`, value), [key, name, value]);
  return [value, setValue];
}
