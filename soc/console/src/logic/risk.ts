import type { RiskClass } from '../api/judgement';
import { list, type Text } from '../api/types';

/** The names of a risk's tiers, from its codes; a code that the tree does not have stands for itself. */
export function riskNames(tree: readonly RiskClass[], codes: readonly (string | undefined)[]): Text[] {
  const names: Text[] = [];
  let level = tree;
  for (const code of codes) {
    if (!code) break;
    const found = level.find((c) => c.code === code);
    names.push(found?.name ?? { zh: code, en: code });
    level = list(found?.below);
  }
  return names;
}

/** The name of a technique: its own, else with its number that of the technique that it belongs to. */
export function techniqueName(names: Record<string, Text> | null | undefined, id: string): Text | undefined {
  return names?.[id] ?? names?.[id.split('.')[0] as string];
}
