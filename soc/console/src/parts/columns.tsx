import { Button, Popover } from 'antd';
import { useLayoutEffect, useRef, useState, type ReactNode } from 'react';
import type { Columns } from '../app/preferences';
import { useT } from '../app/settings';
import { NARROWEST, WIDEST, type Spec } from '../logic/columns';

/** A column of a list as a page has it: how it is called, and what it shows of a row. */
export interface ListColumn<R> extends Spec {
  title: string;
  /** The title is told to readers of the page alone, where the content speaks for itself. */
  mute?: boolean;
  num?: boolean;
  render: (row: R) => ReactNode;
}

/** Chooses columns, their order and widths. */
export function ColumnChooser<R>({ columns, all }: { columns: Columns; all: readonly ListColumn<R>[] }) {
  const t = useT();
  const shown = columns.shown.flatMap((c) => all.filter((s) => s.key === c.key));
  const rest = all.filter((s) => !shown.includes(s));
  return (
    <Popover
      trigger="click"
      placement="bottomRight"
      content={
        <div className="columnlist" data-testid="columns">
          {columns.linked && (
            <div className="notice" style={{ margin: '0 0 8px' }}>
              {t('columns.linked')}
              <div className="row" style={{ marginTop: 4 }}>
                <Button size="small" onClick={columns.adopt}>
                  {t('columns.adopt')}
                </Button>
                <Button size="small" type="text" onClick={columns.reset}>
                  {t('columns.mine')}
                </Button>
              </div>
            </div>
          )}
          {shown.map((s, i) => (
            <div className="row" key={s.key}>
              <label className="row grow">
                <input type="checkbox" className="opcheck" checked disabled={s.fixed} onChange={() => columns.toggle(s)} /> {s.title}
              </label>
              <button className="plain x" disabled={i === 0} aria-label={t('columns.up', { x: s.title })} onClick={() => columns.move(s.key, -1)}>
                ↑
              </button>
              <button className="plain x" disabled={i === shown.length - 1} aria-label={t('columns.down', { x: s.title })} onClick={() => columns.move(s.key, 1)}>
                ↓
              </button>
            </div>
          ))}
          {rest.map((s) => (
            <label className="row" key={s.key}>
              <input type="checkbox" className="opcheck" checked={false} onChange={() => columns.toggle(s)} /> <span className="dim">{s.title}</span>
            </label>
          ))}
          {columns.chosen && !columns.linked && (
            <Button size="small" type="link" style={{ padding: 0 }} onClick={columns.reset}>
              {t('columns.reset')}
            </Button>
          )}
          <div className="faint">{t('columns.why')}</div>
        </div>
      }
    >
      <Button>{t('columns.title')}</Button>
    </Popover>
  );
}

/** A column's title, with an edge that draws its width: by the mouse, or by the arrow keys. A double click gives it back. */
export function ColumnHead<R>({ column: c, columns }: { column: ListColumn<R>; columns: Columns }) {
  const t = useT();
  const head = useRef<HTMLSpanElement>(null);
  const from = useRef<{ x: number; width: number } | null>(null);
  const now = () => head.current?.getBoundingClientRect().width ?? 100;
  const width = columns.shown.find((x) => x.key === c.key)?.width;
  const [drawn, setDrawn] = useState(NARROWEST); // a column without a width of its own has what is left
  useLayoutEffect(() => setDrawn(Math.round(now())), [width]);
  return (
    <span role="columnheader" ref={head} className={`colhead${c.num ? ' num' : ''}`}>
      <span className={c.mute ? 'visually-hidden' : 'ellipsis'}>{c.title}</span>
      <span
        role="separator"
        aria-orientation="vertical"
        tabIndex={0}
        aria-label={t('columns.size', { x: c.title })}
        aria-valuenow={drawn}
        aria-valuemin={NARROWEST}
        aria-valuemax={Math.max(WIDEST, drawn)}
        className="edge"
        onDoubleClick={() => columns.size(c.key, undefined, true)}
        onKeyDown={(e) => {
          const by = e.key === 'ArrowRight' ? 10 : e.key === 'ArrowLeft' ? -10 : 0;
          if (!by) return;
          e.preventDefault();
          e.stopPropagation();
          columns.size(c.key, now() + by, true);
        }}
        onPointerDown={(e) => {
          if (e.button !== 0) return;
          e.preventDefault();
          e.currentTarget.setPointerCapture(e.pointerId);
          from.current = { x: e.clientX, width: now() };
        }}
        onPointerMove={(e) => from.current && Math.abs(e.clientX - from.current.x) > 2 && columns.size(c.key, from.current.width + e.clientX - from.current.x, false)}
        onPointerUp={(e) => {
          const f = from.current;
          from.current = null;
          if (f && Math.abs(e.clientX - f.x) > 2) columns.size(c.key, f.width + e.clientX - f.x, true);
        }}
      />
    </span>
  );
}
