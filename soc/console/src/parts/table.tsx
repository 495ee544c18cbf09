import type { ReactNode } from 'react';
import { useT } from '../app/settings';

export interface Column<T> {
  key: string;
  title: ReactNode;
  num?: boolean;
  width?: number | string;
  /** What the server calls the field that a click on the title sorts by. */
  sort?: string;
  /** The largest first is what a first click asks for. */
  most?: boolean;
  render: (row: T) => ReactNode;
}

/** The order that follows a click on a column: its own way first, then the other, then the list's usual one. */
export function nextSort(sort: string, column: { sort?: string; most?: boolean }, oneWay = false): string {
  const field = column.sort ?? '';
  if (oneWay) return sort === field ? '' : field;
  const [first, second] = column.most ? [`-${field}`, field] : [field, `-${field}`];
  return sort === first ? second : sort === second ? '' : first;
}

/** Rows that are marked for something done to many at once. */
export interface Choice<T> {
  ids: ReadonlySet<string>;
  set: (ids: Set<string>) => void;
  name: (row: T) => string;
}

/** A plain, dense table for pages whose rows are few. */
export function DataTable<T>({
  label,
  columns,
  rows,
  rowKey,
  onRow,
  choice,
  marked,
  sort = '',
  onSort,
  oneWay,
}: {
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  onRow?: (row: T) => void;
  choice?: Choice<T>;
  /** The key of the row that stands open beside the table. */
  marked?: string;
  /** The order there is: a column's field, a minus before it where the largest come first. */
  sort?: string;
  onSort?: (sort: string) => void;
  /** The server sorts each field in one way only, the most first. */
  oneWay?: boolean;
}) {
  const t = useT();
  const every = choice !== undefined && rows.length > 0 && rows.every((r) => choice.ids.has(rowKey(r)));
  const toggle = (id: string) => {
    if (!choice) return;
    const ids = new Set(choice.ids);
    if (!ids.delete(id)) ids.add(id);
    choice.set(ids);
  };
  return (
    <table className={choice ? 'data choosing' : 'data'} aria-label={label}>
      <thead>
        <tr>
          {choice && (
            <th scope="col" className="check">
              <input type="checkbox" aria-label={t('do.selectAll')} checked={every} onChange={() => choice.set(every ? new Set() : new Set(rows.map(rowKey)))} />
            </th>
          )}
          {columns.map((c) => (
            <Heading key={c.key} column={c} sort={sort} onSort={c.sort ? onSort : undefined} oneWay={oneWay} />
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((r) => (
          <tr
            key={rowKey(r)}
            data-id={rowKey(r)}
            className={`${onRow ? 'go' : ''}${marked === rowKey(r) ? ' on' : ''}`}
            onClick={
              onRow &&
              ((e) => {
                // A row leads where its link leads; a link, button or a marked text in it keeps its own meaning.
                if ((e.target as HTMLElement).closest('a, button, input, label') || window.getSelection()?.toString()) return;
                onRow(r);
              })
            }
          >
            {choice && (
              <td className="check">
                <input type="checkbox" aria-label={t('do.selectOne', { x: choice.name(r) })} checked={choice.ids.has(rowKey(r))} onChange={() => toggle(rowKey(r))} />
              </td>
            )}
            {columns.map((c) => (
              <td key={c.key} className={c.num ? 'num' : ''}>
                {c.render(r)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A column's title; where the list can be sorted by it, a button that says how it is. */
function Heading<T>({ column: c, sort, onSort, oneWay }: { column: Column<T>; sort: string; onSort?: (sort: string) => void; oneWay?: boolean }) {
  const down = sort === `-${c.sort}` || (oneWay === true && sort === c.sort);
  const up = !down && sort === c.sort;
  return (
    <th scope="col" className={c.num ? 'num' : ''} style={{ width: c.width }} aria-sort={onSort ? (down ? 'descending' : up ? 'ascending' : 'none') : undefined}>
      {onSort ? (
        <button type="button" className="plain sorter" onClick={() => onSort(nextSort(sort, c, oneWay))}>
          {c.title}
          <span aria-hidden="true">{down ? '▼' : up ? '▲' : '↕'}</span>
        </button>
      ) : (
        c.title
      )}
    </th>
  );
}
