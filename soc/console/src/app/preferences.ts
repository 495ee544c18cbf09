import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useState } from 'react';
import { ApiError, get, put } from '../api/client';
import { list, type List } from '../api/types';
import { movedColumn, readColumns, resized, toggled, usualColumns, writeColumns, type Shown, type Spec } from '../logic/columns';
import { useFeedback } from './feedback';
import { useUrl } from './hooks';

/** How somebody wants to see a page. It is his own, and follows him from desk to desk. */
export interface PagePreferences {
  refresh_seconds: number;
  search_items: List<string>;
  columns: List<string>;
  saved: List<{ name: string; query: string }>;
}

/** The reader's preferences of a page, and what keeps a change of them. Who is no person (a shared token) has none: what he changes holds until he leaves. */
export function usePagePreferences(page: string): { value: PagePreferences | undefined; change: (part: Partial<PagePreferences>) => Promise<boolean> } {
  const client = useQueryClient();
  const { failed } = useFeedback();
  const key = ['preferences', page];
  const query = useQuery({ queryKey: key, queryFn: ({ signal }) => get<PagePreferences>(`/me/preferences/${page}`, {}, signal), staleTime: 300_000, retry: false });
  const change = useCallback(
    async (part: Partial<PagePreferences>) => {
      const now = client.getQueryData<PagePreferences>(key) ?? { refresh_seconds: 60, search_items: [], columns: [], saved: [] };
      const next = { ...now, ...part };
      client.setQueryData(key, next);
      try {
        // The server names other pages' fields too; only what belongs to one is sent.
        await put(`/me/preferences/${page}`, { refresh_seconds: next.refresh_seconds, search_items: list(next.search_items), columns: list(next.columns), saved: list(next.saved) });
        return true;
      } catch (e) {
        if (e instanceof ApiError && e.status === 403) return true;
        client.setQueryData(key, now);
        failed(e);
        return false;
      }
    },
    [client, page, failed], // eslint-disable-line react-hooks/exhaustive-deps
  );
  return { value: query.data, change };
}

export interface Columns {
  shown: readonly Shown[];
  /** They are the reader's or a link's choice, not the list's own. */
  chosen: boolean;
  /** They come with the address: somebody sent them, or a view that was kept holds them. */
  linked: boolean;
  set: (shown: readonly Shown[]) => void;
  toggle: (spec: Spec) => void;
  move: (key: string, by: number) => void;
  /** Shows a width while it is being drawn; keeps it once it stands. */
  size: (key: string, width: number | undefined, keep: boolean) => void;
  reset: () => void;
  /** Makes what the address says one's own. */
  adopt: () => void;
}

/** The columns of a list: those of the address (?cols=), else the reader's own, else the usual ones. */
export function useColumns(page: string, specs: readonly Spec[], scarce: 0 | 1 | 2): Columns {
  const { value, change } = usePagePreferences(page);
  const [url, setUrl] = useUrl();
  const [drawn, setDrawn] = useState<readonly Shown[] | null>(null);
  const link = readColumns((url.get('cols') ?? '').split(','), specs);
  const own = readColumns(list(value?.columns), specs);
  const linked = link.length > 0;
  const kept = linked ? link : own.length > 0 ? own : usualColumns(specs, scarce);
  const shown = drawn ?? kept;
  const set = (next: readonly Shown[]) => {
    setDrawn(null);
    if (linked) setUrl({ cols: writeColumns(next).join(',') });
    else void change({ columns: writeColumns(next) });
  };
  return {
    shown,
    chosen: linked || own.length > 0,
    linked,
    set,
    toggle: (spec) => set(toggled(shown, spec)),
    move: (key, by) => set(movedColumn(shown, key, by)),
    size: (key, width, keep) => (keep ? set(resized(shown, key, width)) : setDrawn(resized(shown, key, width))),
    reset: () => {
      setDrawn(null);
      if (linked) setUrl({ cols: undefined });
      else void change({ columns: [] });
    },
    adopt: () => void change({ columns: writeColumns(link) }).then((ok) => ok && setUrl({ cols: undefined })),
  };
}
