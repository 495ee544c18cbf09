import { Button, Input, Select } from 'antd';
import { useWords, type Attribute } from '../../api/cmdb';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { tableRows } from '../../logic/cmdb';
import { ItemPicker } from './itempicker';

interface Given {
  attribute: Attribute;
  label: string;
  id?: string;
  /** As the item has it: text, several joined by semicolons, a table as JSON. */
  value: string;
  onChange: (v: string) => void;
  status?: 'error';
}

/** The values that an enumeration offers. */
export function useChoices(a: Attribute | undefined): { value: string; label: string; search: string }[] {
  const { tx } = useSettings();
  const { model } = useWords();
  const dictionary = a?.dictionary ? list(model?.dictionaries).find((d) => d.name === a.dictionary) : undefined;
  return dictionary ? list(dictionary.values).map((v) => ({ value: v.value, label: tx(v) || v.value, search: `${v.value} ${v.zh ?? ''} ${v.en ?? ''}` })) : list(a?.values).map((v) => ({ value: v, label: v, search: v }));
}

/** One attribute's value, by its type. */
export function AttributeInput(g: Given) {
  const { t } = useSettings();
  const { attribute: a, label, id, value, onChange, status } = g;
  const choices = useChoices(a);
  const several = value.split(';').map((x) => x.trim()).filter(Boolean);
  switch (a.type) {
    case 'enum':
      return (
        <Select
          id={id}
          aria-label={label}
          status={status}
          showSearch
          allowClear
          optionFilterProp="search"
          mode={a.open ? 'tags' : a.multiple ? 'multiple' : undefined}
          maxCount={a.open && !a.multiple ? 1 : undefined}
          value={(a.multiple || a.open ? several : value || undefined) as string & string[]}
          onChange={(v?: string & string[]) => onChange(Array.isArray(v) ? v.join(';') : (v ?? ''))}
          options={choices}
          style={{ width: '100%' }}
        />
      );
    case 'boolean':
      return (
        <Select
          id={id}
          aria-label={label}
          status={status}
          allowClear
          placeholder={t('ci.unset')}
          value={value || undefined}
          onChange={(v?: string) => onChange(v ?? '')}
          options={[
            { value: 'true', label: t('ci.yes') },
            { value: 'false', label: t('ci.no') },
          ]}
          style={{ width: '100%' }}
        />
      );
    case 'reference':
      return <ItemPicker id={id} label={label} classes={[a.class ?? '', ...list(a.classes)].filter(Boolean)} multiple={a.multiple} value={a.multiple ? several : value} onChange={(v) => onChange(Array.isArray(v) ? v.join(';') : v)} />;
    case 'date':
      return <Input id={id} aria-label={label} status={status} type={a.multiple ? 'text' : 'date'} value={value} onChange={(e) => onChange(e.target.value)} />;
    case 'integer':
    case 'decimal':
      return <Input id={id} aria-label={label} status={status} inputMode={a.type === 'integer' ? 'numeric' : 'decimal'} value={value} onChange={(e) => onChange(e.target.value)} />;
    case 'table':
      return <TableInput {...g} />;
    default:
      return (a.max_length ?? 0) > 200 ? <Input.TextArea id={id} aria-label={label} status={status} rows={2} maxLength={a.max_length} value={value} onChange={(e) => onChange(e.target.value)} /> : <Input id={id} aria-label={label} status={status} maxLength={a.max_length || undefined} placeholder={a.multiple ? t('ci.listHint') : undefined} value={value} onChange={(e) => onChange(e.target.value)} />;
  }
}

/** Rows of a table attribute, a cell for each column. */
function TableInput({ attribute, label, value, onChange }: Given) {
  const { t, tx } = useSettings();
  const columns = list(attribute.columns);
  const rows = tableRows(value);
  const put = (next: Record<string, unknown>[]) => onChange(next.length === 0 ? '' : JSON.stringify(next));
  return (
    <div className="tablein" role="group" aria-label={label}>
      {rows.length > 0 && (
        <table className="data">
          <thead>
            <tr>
              {columns.map((c) => (
                <th key={c.name} scope="col">
                  {tx(c.title) || c.name}
                </th>
              ))}
              <th />
            </tr>
          </thead>
          <tbody>
            {rows.map((r, i) => (
              <tr key={i}>
                {columns.map((c) => (
                  <td key={c.name}>
                    <AttributeInput attribute={c} label={`${tx(c.title) || c.name} ${i + 1}`} value={r[c.name] === undefined || r[c.name] === null ? '' : String(r[c.name])} onChange={(v) => put(rows.map((x, j) => (j === i ? { ...x, [c.name]: v } : x)))} />
                  </td>
                ))}
                <td>
                  <button type="button" className="plain x" aria-label={t('do.delete')} onClick={() => put(rows.filter((_, j) => j !== i))}>
                    ✕
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Button size="small" onClick={() => put([...rows, {}])}>
        + {t('ci.addRow')}
      </Button>
    </div>
  );
}
