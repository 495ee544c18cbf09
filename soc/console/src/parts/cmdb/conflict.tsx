import { Radio } from 'antd';
import { useWords } from '../../api/cmdb';
import { useSettings } from '../../app/settings';
import type { Clash } from '../../logic/cmdb';
import { When } from '../time';
import { fieldName } from './fieldname';

/** Two edited one item: what both began with, what is there now and by whom, what is typed here; one decides for each field. */
export function ConflictTable({ rows, cls, values, choose }: { rows: readonly Clash[]; cls: string; values: Record<string, string>; choose: (field: string, mine: string | undefined) => void }) {
  const { t } = useSettings();
  const words = useWords();
  const text = (v: string) => v || <span className="faint">–</span>;
  return (
    <section className="panel conflict" role="alert" data-testid="conflict">
      <header>
        <h2>{t('ci.conflict')}</h2>
        <span className="dim">{t('ci.conflictWhy')}</span>
      </header>
      <table className="data">
        <thead>
          <tr>
            <th scope="col">{t('ci.field')}</th>
            <th scope="col">{t('ci.base')}</th>
            <th scope="col">{t('ci.theirs', { x: [...new Set(rows.map((r) => r.by).filter(Boolean))].join(t('ci.comma')) })}</th>
            <th scope="col">{t('ci.mine')}</th>
            <th scope="col" />
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => {
            const mine = values[r.field] !== undefined && values[r.field] !== r.theirs;
            return (
              <tr key={r.field} className={r.clashes ? 'clash' : ''}>
                <th scope="row">
                  {fieldName(r.field, words, t, cls)} {r.clashes && <span className="tag warn">{t('ci.clash')}</span>}
                </th>
                <td>{text(r.base)}</td>
                <td>
                  {r.theirs === r.base ? <span className="faint">{text(r.theirs)}</span> : <ins>{text(r.theirs)}</ins>} {r.at && <When time={r.at} />}
                </td>
                <td>{r.mine === r.base ? <span className="faint">{text(r.mine)}</span> : <ins>{text(r.mine)}</ins>}</td>
                <td>
                  {r.mine !== r.theirs && r.mine !== r.base && (
                    <Radio.Group size="small" optionType="button" aria-label={fieldName(r.field, words, t, cls)} value={mine ? 'mine' : 'theirs'} onChange={(e) => choose(r.field, e.target.value === 'mine' ? r.mine : undefined)} options={[{ value: 'mine', label: t('ci.keepMine') }, { value: 'theirs', label: t('ci.keepTheirs') }]} />
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
