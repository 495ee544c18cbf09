import type { Words } from '../../api/cmdb';
import type { useSettings } from '../../app/settings';
import { FIELDS } from '../../logic/cmdb';
import type { Key } from '../../locales/zh';

/** A field of an item, as history names it, in the reader's words. */
export function fieldName(field: string, words: Words, t: ReturnType<typeof useSettings>['t'], cls?: string): string {
  const m = /^(attr|relation|related)\.(.+)$/.exec(field);
  if (m?.[1] === 'attr') return words.attributeName(m[2] as string, cls);
  if (m) return words.typeName(m[2] as string, m[1] === 'relation');
  return (FIELDS as readonly string[]).includes(field) ? t(`ci.f.${field}` as Key) : field;
}
