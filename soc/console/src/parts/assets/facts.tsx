import { Fragment } from 'react';
import { useWords, type Item } from '../../api/cmdb';
import { useSettings } from '../../app/settings';
import { fieldText, tableRows } from '../../logic/cmdb';
import { fieldName } from '../cmdb/fieldname';
import { ValueOf } from '../cmdb/value';

/** Fields of an item that have a value, by their names; says so where none has. */
export function Facts({ item, fields, none }: { item: Item; fields: readonly string[]; none?: boolean }) {
  const { t } = useSettings();
  const words = useWords();
  const shown = fields.filter((f) => fieldText(item, f) !== '');
  if (shown.length === 0) return none ? <span className="dim">{t('portrait.none')}</span> : null;
  return (
    <dl className="facts">
      {shown.map((f) => {
        const name = fieldName(f, words, t, item.class);
        const table = /^attr\.(.+)$/.exec(f)?.[1];
        const rows = words.attributeOf(table ?? '')?.type === 'table' ? tableRows(fieldText(item, f)) : null;
        return (
          <Fragment key={f}>
            <dt className="ellipsis" title={name}>
              {name}
            </dt>
            <dd>{rows ? rows.map((r, n) => <div key={n}>{Object.values(r).join(' · ')}</div>) : <ValueOf item={item} field={f} />}</dd>
          </Fragment>
        );
      })}
    </dl>
  );
}
