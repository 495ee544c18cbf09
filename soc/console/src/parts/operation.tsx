import type { Operation } from '../api/access';
import { useSettings } from '../app/settings';
import { operationName } from '../locales/operations';
import { zh, type Key } from '../locales/zh';

/** What an operation does, in the reader's language where it is known; in English as the API says it, where it does. */
export function useOperationText(): (o: Pick<Operation, 'id' | 'summary'>) => string {
  const { t, locale } = useSettings();
  const name = (id: string) => operationName(id, locale, (setting) => (`setting.${setting}` in zh ? t(`setting.${setting}` as Key) : undefined));
  return (o) => (locale === 'en-US' && o.summary) || name(o.id) || o.summary || o.id;
}

/** The part of the API an operation belongs to. */
export function useTagText(): (tag: string) => string {
  const { t } = useSettings();
  return (tag) => (`tag.${tag}` in zh ? t(`tag.${tag}` as Key) : tag);
}
