import { useQuery } from '@tanstack/react-query';
import { get } from '../../api/client';
import { scenarioPath, type ScenarioState } from '../../api/scenarios';
import { useSettings } from '../../app/settings';

/** What a scenario is called; its id until that is known. */
export function useScenarioName(id: string): (id: string) => string {
  const { tx } = useSettings();
  const found = useQuery({ queryKey: ['scenario', id, 'name'], queryFn: ({ signal }) => get<ScenarioState>(scenarioPath(id), { days: 1 }, signal), enabled: id !== '', staleTime: 300_000 }).data;
  return (x) => (found?.id === x ? tx(found.name) || x : x);
}
