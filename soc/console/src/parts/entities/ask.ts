import { useQuery } from '@tanstack/react-query';
import { buildPath, get } from '../../api/client';
import type { EntityRef } from '../../logic/entity';
import { rangeQuery, type Range } from '../../logic/urlstate';

/** What a part of an entity's page is about. */
export interface About {
  entity: EntityRef;
  range: Range;
}

const params = ({ entity, range }: About) => ({ value: entity.value, zone: entity.zone, ...rangeQuery(range) });

/** Asks for one part of an entity's page. */
export function usePart<T>(about: About, part: string, more: Record<string, string | number> = {}, refetchInterval: number | false = 60_000) {
  return useQuery({
    queryKey: ['entity', part, JSON.stringify([about, more])],
    queryFn: ({ signal }) => get<T>(`/entities/${about.entity.type}/${part}`, { ...params(about), ...more }, signal),
    refetchInterval,
  });
}

/** Where a list of the page is fetched as a file. */
export const fileOf = (about: About, list: string, format: 'csv' | 'xlsx', more: Record<string, string> = {}) => buildPath(`/entities/${about.entity.type}/export`, { ...params(about), list, format, ...more });

/** Where the page is fetched as a report. */
export const reportOf = (about: About, format: 'pdf' | 'docx', lang: string) => buildPath(`/entities/${about.entity.type}/report`, { ...params(about), format, lang });
