import { put } from '../../api/client';
import { useWords, type Item } from '../../api/cmdb';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';

/** What one click says of an asset: that it is critical information infrastructure, or a key asset. */
export const MARKS = ['cii', 'key_asset'] as const;
export type Mark = (typeof MARKS)[number];

/** The filter for what is marked itself or belongs to a system that is. */
export const ofMark = (mark: Mark) => `${mark} = true or system.${mark} = true`;

type Marked = Pick<Item, 'attributes'>;
const has = (i: Marked, mark: Mark) => i.attributes?.[mark] === 'true';

export function MarkTags({ of }: { of: Marked }) {
  const { t } = useSettings();
  return (
    <>
      {MARKS.filter((m) => has(of, m)).map((m) => (
        <span key={m} className="tag strong nowrap">
          {t(`ci.mark.${m}`)}
        </span>
      ))}
    </>
  );
}

/** Marks an item of a class that can be marked, and takes marks away, by one click. */
export function MarkButtons({ item }: { item: Item }) {
  const { t } = useSettings();
  const can = useCan();
  const words = useWords();
  const { act, busy } = useAct();
  const known = list(words.classOf(item.class)?.attributes).map((a) => a.name);
  if (!can('mark-cmdb-item')) return <MarkTags of={item} />;
  const mark = (m: Mark, on: boolean) => {
    const send = (v: boolean) => put(`/cmdb/items/${encodeURIComponent(item.id)}/marks`, { [m]: v });
    void act(() => send(on), { said: t('portrait.marked'), undo: () => void act(() => send(!on), { said: t('ci.undone'), renew: ['cmdb'] }), renew: ['cmdb'] });
  };
  return (
    <>
      {MARKS.filter((m) => known.includes(m)).map((m) => (
        <button key={m} type="button" className="plain toggle" disabled={busy} aria-pressed={has(item, m)} title={t(has(item, m) ? `ci.unmark.${m}` : `ci.domark.${m}`)} onClick={() => mark(m, !has(item, m))}>
          {has(item, m) ? '★' : '☆'} {t(`ci.mark.${m}`)}
        </button>
      ))}
    </>
  );
}
