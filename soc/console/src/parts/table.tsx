import type { ReactNode } from 'react';

export interface Column<T> {
  key: string;
  title: ReactNode;
  num?: boolean;
  width?: number | string;
  render: (row: T) => ReactNode;
}

/** A plain, dense table for pages whose rows are few. */
export function DataTable<T>({ label, columns, rows, rowKey, onRow }: { label: string; columns: Column<T>[]; rows: readonly T[]; rowKey: (row: T) => string; onRow?: (row: T) => void }) {
  return (
    <table className="data" aria-label={label}>
      <thead>
        <tr>
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
            className={onRow ? 'go' : ''}
            onClick={
              onRow &&
              ((e) => {
                // A row leads where its link leads; a link, button or a marked text in it keeps its own meaning.
                if ((e.target as HTMLElement).closest('a, button, input') || window.getSelection()?.toString()) return;
                onRow(r);
              })
            }
          >
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
