import { useQuery } from '@tanstack/react-query';
import { get } from '../../api/client';
import { list, type CMDBClass, type Page } from '../../api/types';

/** The classes that items can be of. */
export function useClasses() {
  return useQuery({
    queryKey: ['cmdb', 'classes'],
    queryFn: async ({ signal }) => list((await get<Page<CMDBClass>>('/cmdb/classes', {}, signal)).items),
    staleTime: 300_000,
  });
}
