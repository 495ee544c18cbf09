import { Popover, Select } from 'antd';
import { useMemo } from 'react';
import { useSettings } from '../../app/settings';
import { useCatalogue } from '../rules/fields';

/** Chooses the table's columns among all fields there are, described and seen, and those that stand still at its left. */
export function ColumnPicker({ columns, seen, pinned, pin, change }: { columns: readonly string[]; seen: readonly string[]; pinned: readonly string[]; pin: (field: string) => void; change: (columns: string[]) => void }) {
  const { t, tx } = useSettings();
  const catalogue = useCatalogue();
  // Those of the events found stand first.
  const options = useMemo(() => {
    const names = [...new Set([...seen, ...catalogue.keys()])];
    const known = new Set(seen);
    return names.map((name) => {
      const title = tx(catalogue.get(name)?.title);
      return {
        value: name,
        title: [name, title].filter(Boolean).join(' '),
        label: (
          <span className="row" style={{ gap: 8 }}>
            <span className={`mono ellipsis${known.has(name) ? '' : ' dim'}`}>{name}</span>
            {title && title !== name && <span className="faint ellipsis">{title}</span>}
          </span>
        ),
      };
    });
  }, [seen, catalogue, tx]);
  return (
    <>
      <Select
        aria-label={t('view.columns')}
        data-testid="column-picker"
        size="small"
        mode="tags"
        value={[...columns]}
        maxTagCount="responsive"
        optionFilterProp="title"
        optionLabelProp="value"
        popupMatchSelectWidth={420}
        onChange={change}
        options={options}
        style={{ minWidth: 240, maxWidth: 620, flex: 1 }}
      />
      <Popover
        trigger="click"
        placement="bottomLeft"
        content={
          <div className="columnlist" data-testid="pins">
            {columns.map((c) => (
              <label className="row" key={c}>
                <input type="checkbox" className="opcheck" checked={pinned.includes(c)} onChange={() => pin(c)} /> <span className="mono">{c}</span>
              </label>
            ))}
            <div className="faint">{t('view.pinWhy')}</div>
          </div>
        }
      >
        <button className="plain toggle" aria-pressed={pinned.length > 0}>
          {t('view.pin')}
        </button>
      </Popover>
    </>
  );
}
