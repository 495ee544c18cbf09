import { useQuery } from '@tanstack/react-query';
import { Fragment } from 'react';
import { Link } from 'react-router-dom';
import { itemPath, useWords, type Item, type Words } from '../../api/cmdb';
import { get } from '../../api/client';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { fieldText } from '../../logic/cmdb';
import { TenantName } from '../names';

/** The attribute that a field such as attr.exposure names. */
function attributeOf(words: Words, field: string, cls?: string) {
  const name = /^attr\.(.+)$/.exec(field)?.[1];
  if (!name) return undefined;
  return list(words.classOf(cls ?? '')?.attributes).find((a) => a.name === name) ?? words.attributeOf(name);
}

/** Says the values of fields as people read them: standard values by their names, yes and no in words. */
export function useSayValue(): (field: string, value: string, cls?: string) => string {
  const { t, tx } = useSettings();
  const words = useWords();
  return (field, value, cls) => {
    const a = attributeOf(words, field, cls);
    if (a?.type === 'boolean') return t(value === 'true' ? 'ci.yes' : 'ci.no');
    if (a?.dictionary) return tx(list(list(words.model?.dictionaries).find((d) => d.name === a.dictionary)?.values).find((x) => x.value === value)) || value;
    return value;
  };
}

/** Another item by its name, as a link. */
export function ItemName({ id, to = itemPath }: { id: string; to?: (id: string) => string }) {
  const query = useQuery({ queryKey: ['cmdb', 'names', id], queryFn: async ({ signal }) => [await get<Item>(`/cmdb/items/${encodeURIComponent(id)}`, {}, signal)], staleTime: 60_000, retry: false });
  return <Link to={to(id)}>{query.data?.[0]?.name || id}</Link>;
}

/** One of a field's values: what refers to another item leads to it. */
export function OneValue({ field, value, cls }: { field: string; value: string; cls?: string }) {
  const say = useSayValue();
  const words = useWords();
  const a = attributeOf(words, field, cls);
  if (field === 'tenant') return <TenantName slug={value} />;
  // Histories name relations by the id of the other item.
  if (field === 'system' || field === 'organisation' || a?.type === 'reference' || /^(relation|related)\./.test(field)) return <ItemName id={value} />;
  const text = say(field, value, cls);
  return <span className={a?.type === 'ip' || field === 'addresses' ? 'mono' : undefined}>{text.length > 120 ? `${text.slice(0, 120)}…` : text}</span>;
}

/** All values of an item's field. */
export function ValueOf({ item, field }: { item: Item; field: string }) {
  const { t } = useSettings();
  const words = useWords();
  const text = fieldText(item, field);
  if (!text) return <span className="faint">–</span>;
  const a = attributeOf(words, field, item.class);
  // A text may hold semicolons of its own: only what has several values is split.
  const values = a?.multiple ? text.split(';') : [text];
  return (
    <>
      {values.map((v, n) => (
        <Fragment key={v}>
          {n > 0 && t('ci.comma')}
          <OneValue field={field} value={v} cls={item.class} />
        </Fragment>
      ))}
    </>
  );
}
