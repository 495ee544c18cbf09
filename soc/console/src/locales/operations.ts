import { cmdb } from './operations/cmdb';
import { exposure } from './operations/exposure';
import { fleet } from './operations/fleet';
import { identity } from './operations/identity';
import { inputs } from './operations/inputs';
import { notification } from './operations/notification';
import { platform } from './operations/platform';
import { response } from './operations/response';
import { rules } from './operations/rules';
import { search } from './operations/search';
import type { Pairs } from './rooms/pairs';

/** The rooms of what operations are called, by subject. */
export const operationRooms = { platform, search, inputs, fleet, cmdb, exposure, rules, response, notification, identity };

/**
 * What each operation of the API does; the audit log's actions are these too,
 * and a few that the server does by itself. An operation that is not here yet
 * shows by the API's own English description.
 */
export const operations: Pairs = { ...platform, ...search, ...inputs, ...fleet, ...cmdb, ...exposure, ...rules, ...response, ...notification, ...identity };

/** Operations there is one of for each setting: their ids hold its name. */
export const settingOperations: readonly (readonly [prefix: string, zh: string, en: string])[] = [
  ['get-setting-', '看设置“{x}”', 'See the setting “{x}”'],
  ['history-of-setting-', '看设置“{x}”的修改历史', 'See the history of the setting “{x}”'],
  ['set-', '修改设置“{x}”', 'Change the setting “{x}”'],
];

/** The name of an operation in one language; undefined where none is known. */
export function operationName(id: string, locale: 'zh-CN' | 'en-US', settingName: (name: string) => string | undefined): string | undefined {
  const i = locale === 'en-US' ? 1 : 0;
  const known = operations[id]?.[i];
  if (known) return known;
  for (const [prefix, ...texts] of settingOperations) {
    const setting = id.startsWith(prefix) ? settingName(id.slice(prefix.length)) : undefined;
    if (setting) return texts[i]?.replace('{x}', () => setting);
  }
  return undefined;
}
