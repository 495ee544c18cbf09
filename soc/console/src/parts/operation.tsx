import type { Operation } from '../api/access';
import { useSettings } from '../app/settings';
import { operationsZh, settingOperationsZh } from '../locales/operations';
import { zh, type Key } from '../locales/zh';

/** What an operation does, in the reader's language where it is known. */
export function useOperationText(): (o: Pick<Operation, 'id' | 'summary'>) => string {
  const { t, locale } = useSettings();
  return (o) => {
    if (locale === 'en-US') return o.summary || o.id;
    const known = operationsZh[o.id];
    if (known) return known;
    for (const [prefix, text] of settingOperationsZh) {
      const key = `setting.${o.id.slice(prefix.length)}`;
      if (o.id.startsWith(prefix) && key in zh) return text.replace('{x}', t(key as Key));
    }
    return o.summary || o.id;
  };
}

/** The part of the API an operation belongs to. */
export function useTagText(): (tag: string) => string {
  const { t } = useSettings();
  return (tag) => (`tag.${tag}` in zh ? t(`tag.${tag}` as Key) : tag);
}
