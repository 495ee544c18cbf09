import { useCallback } from 'react';
import { useSettings } from '../../app/settings';
import { zh, type Key } from '../../locales/zh';

/** What a kind of source is called; a kind that has no word yet keeps its own. */
export function useKindName(): (kind: string) => string {
  const { t } = useSettings();
  return useCallback((kind: string) => (`inputs.kind.${kind}` in zh ? t(`inputs.kind.${kind}` as Key) : kind), [t]);
}

export function useKindWhy(): (kind: string) => string {
  const { t } = useSettings();
  return useCallback((kind: string) => (`inputs.kindWhy.${kind}` in zh ? t(`inputs.kindWhy.${kind}` as Key) : ''), [t]);
}
