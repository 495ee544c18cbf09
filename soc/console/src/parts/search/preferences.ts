import { useQueryClient } from '@tanstack/react-query';
import { useMemo } from 'react';
import { savePreferences, useSearchPreferences, type SearchPreferences } from '../../api/search';
import { list } from '../../api/types';
import { useAct } from '../../app/act';

/** The fields one follows, the columns of one's table and those that stand still: kept by the server, so that they are there at every desk. */
export function usePreferences() {
  const client = useQueryClient();
  const { act } = useAct();
  const data = useSearchPreferences().data;
  const followed = useMemo(() => list(data?.followed_fields), [data]);
  const columns = useMemo(() => list(data?.columns), [data]);
  const pinned = useMemo(() => list(data?.pinned_columns), [data]);
  const save = (change: Partial<SearchPreferences>) => {
    // Left out they are none.
    const still = change.pinned_columns ?? pinned;
    const next: SearchPreferences = { followed_fields: followed, columns, ...change, pinned_columns: list(still).length > 0 ? still : undefined };
    client.setQueryData(['search-preferences'], next);
    void act(() => savePreferences(next));
  };
  return { followed, columns, pinned, save };
}
