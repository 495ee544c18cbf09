import { AutoComplete, Button, Input } from 'antd';
import { useT } from '../app/settings';
import { repeated, type Pair } from '../logic/dispatch';

/** Names and their values, a line each. */
export function PairsEditor({
  label,
  why,
  nameHint,
  valueHint,
  names = [],
  values = [],
  secret,
  pairs,
  set,
}: {
  label: string;
  why?: string;
  nameHint: string;
  valueHint: string;
  /** Names and values to choose from. */
  names?: readonly string[];
  values?: readonly { value: string; label?: string }[];
  /** Values are not shown. */
  secret?: boolean;
  pairs: readonly Pair[];
  set: (pairs: Pair[]) => void;
}) {
  const t = useT();
  const change = (i: number, p: Partial<Pair>) => set(pairs.map((x, k) => (k === i ? { ...x, ...p } : x)));
  const twice = repeated(pairs);
  return (
    <fieldset className="matchers pairs">
      <legend>
        {label} {why && <span className="faint">{why}</span>}
      </legend>
      {pairs.map((p, i) => (
        <div key={i} className="matcher two-fields">
          <AutoComplete aria-label={nameHint} placeholder={nameHint} status={twice.includes(p.name.trim()) ? 'warning' : undefined} value={p.name} options={names.filter((n) => n.toLowerCase().includes(p.name.toLowerCase())).map((value) => ({ value }))} onChange={(name: string) => change(i, { name })} />
          {secret ? (
            <Input.Password aria-label={valueHint} placeholder={valueHint} autoComplete="new-password" value={p.value} onChange={(e) => change(i, { value: e.target.value })} />
          ) : (
            <AutoComplete aria-label={valueHint} placeholder={valueHint} value={p.value} options={[...values]} filterOption={(text, o) => text === '' || String(o?.label ?? o?.value).toLowerCase().includes(text.toLowerCase())} onChange={(value: string) => change(i, { value })} />
          )}
          <button type="button" className="plain x" aria-label={t('do.remove', { x: p.name || nameHint })} onClick={() => set(pairs.filter((_, k) => k !== i))}>
            ✕
          </button>
        </div>
      ))}
      {twice.length > 0 && <div className="faint">{t('pairs.twice', { x: twice.join(', ') })}</div>}
      <Button size="small" type="dashed" onClick={() => set([...pairs, { name: '', value: '' }])}>
        + {t('pairs.add')}
      </Button>
    </fieldset>
  );
}
