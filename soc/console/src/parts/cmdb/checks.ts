import { useCallback } from 'react';
import { useWords, type Attribute } from '../../api/cmdb';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';

/** The range that a number has to lie in, in words; empty where there is none. */
export function range(t: ReturnType<typeof useSettings>['t'], a: Attribute): string {
  if (a.min !== undefined && a.max !== undefined) return t('ci.check.range', { a: a.min, b: a.max });
  if (a.min !== undefined) return t('ci.check.atLeast', { n: a.min });
  return a.max !== undefined ? t('ci.check.atMost', { n: a.max }) : '';
}

/** What makes a value of an attribute a good one, in words. */
export function useChecks(): (a: Attribute) => string[] {
  const { t, tx } = useSettings();
  const words = useWords();
  return useCallback(
    (a) => {
      const out: string[] = [];
      if (a.required) out.push(t('ci.check.required'));
      const bounds = range(t, a);
      if (bounds) out.push(bounds);
      if (a.max_length) out.push(t('ci.check.length', { n: a.max_length }));
      if (a.pattern) out.push(t('ci.check.pattern', { x: a.pattern }));
      if (a.dictionary) out.push(t('ci.check.oneOf', { x: tx(list(words.model?.dictionaries).find((d) => d.name === a.dictionary)?.title) || a.dictionary }));
      else if (list(a.values).length > 0) out.push(t('ci.check.oneOf', { x: list(a.values).join(' / ') }));
      const to = [a.class ?? '', ...list(a.classes)].filter(Boolean);
      if (to.length > 0) out.push(t('ci.check.refers', { x: to.map(words.className).join(' / ') }));
      return out;
    },
    [t, tx, words],
  );
}
