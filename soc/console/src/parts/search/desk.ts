import { createContext, useContext } from 'react';
import type { LogEvent } from '../../api/types';

/** What the parts of the search page do to the search. */
export interface Desk {
  /** Narrows to a field's value, or takes it out. */
  filter: (field: string, value: string, out: boolean) => void;
  /** Narrows to events that hold a text, or takes them out. */
  phrase: (text: string, out: boolean) => void;
  /** Narrows by a filter of LogsQL. */
  narrow: (filter: string) => void;
  /** The table's columns, in order. */
  columns: readonly string[];
  toggleColumn: (field: string) => void;
  /** The columns that stand still, before the others. */
  pinned: readonly string[];
  pin: (field: string) => void;
  followed: readonly string[];
  follow: (field: string) => void;
  /** Shows what came before and after an event. */
  context: (event: LogEvent) => void;
  /** Draws the values of a field. */
  plot: (field: string) => void;
  /** The words the query looks for, to be marked. */
  words: readonly string[];
}

export const DeskContext = createContext<Desk | null>(null);

/** null outside the search page (the context drawer of an alert, for one): nothing there is to be narrowed. */
export function useDesk(): Desk | null {
  return useContext(DeskContext);
}
