import type { ReactNode } from 'react';
import { useT } from '../app/settings';

export interface Column<T> {
  key: string;
  title: ReactNode;
  num?: boolean;
  width?: number | string;
  render: (row: T) => ReactNode;
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
}: {
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  onRow?: (row: T) => void;
  choice?: Choice<T>;
  /** The key of the row that stands open beside the table. */
  marked?: string;
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
            <th key={c.key} scope="col" className={c.num ? 'num' : ''} style={{ width: c.width }}>
              {c.title}
            </th>
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
