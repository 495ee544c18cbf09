import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { detailZh, fieldZh, objectZh, type Named } from '../logic/audittext';

const ROOM: Record<Parameters<Named>[0], string> = { setting: 'setting', finding: 'finding', act: 'choice.abnormal' };

/** An audit record's object, detail and field names, in the reader's language as far as their words are known. */
export function useAuditText(): { object: (text?: string) => string; detail: (text?: string) => string; field: (text: string) => string } {
  const { t, locale } = useSettings();
  if (locale === 'en-US') return { object: (x = '') => x, detail: (x = '') => x, field: (x) => x };
  const named: Named = (group, name) => (`${ROOM[group]}.${name}` in zh ? t(`${ROOM[group]}.${name}` as Key) : undefined);
  return { object: (x = '') => objectZh(x, named), detail: (x = '') => detailZh(x, named), field: fieldZh };
}
