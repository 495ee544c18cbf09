import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Suspense, lazy, useMemo } from 'react';
import { get, serverNow } from '../api/client';
import type { Matrix } from '../api/storage';
import { list } from '../api/types';
import { useSettings } from '../app/settings';
import { matrixLines } from '../logic/metrics';
import { durationMs } from '../logic/urlstate';
import { Empty, Failed, Skeleton } from './states';

const Lines = lazy(() => import('./charts').then((m) => ({ default: m.Lines })));

/** A query of the metric lake over time, renewed every half minute. `name` says what a line is called. */
export function MetricChart({ query, since, label, name, say, binary, height = 150 }: { query: string; since: string; label: string; name?: (metric: Record<string, string>) => string; say?: (n: number) => string; binary?: boolean; height?: number }) {
  const { t } = useSettings();
  const answer = useQuery({
    queryKey: ['metric', query, since],
    queryFn: ({ signal }) => {
      const end = serverNow() / 1000;
      const span = durationMs(since) / 1000;
      return get<Matrix>('/metrics/query_range', { query, start: end - span, end, step: Math.max(15, Math.round(span / 120)) }, signal);
    },
    // What has just begun to be measured shows soon.
    refetchInterval: (q) => (list(q.state.data?.result).length === 0 ? 5_000 : 30_000),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const data = useMemo(() => answer.data && matrixLines(list(answer.data.result), name ?? (() => label)), [answer.data, name, label]);
  if (answer.error && !data) return <Failed small error={answer.error} what="storage.history" retry={() => void answer.refetch()} />;
  if (!data) return <Skeleton lines={3} />;
  if (data.times.length === 0) return <Empty small title={t('storage.noHistory')} why={t('storage.noHistoryWhy')} />;
  return (
    <Suspense fallback={<Skeleton lines={3} />}>
      <Lines data={data} label={label} say={say} binary={binary} height={height} bounds={[answer.dataUpdatedAt - durationMs(since), answer.dataUpdatedAt]} />
    </Suspense>
  );
}
