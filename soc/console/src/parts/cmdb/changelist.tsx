import { useWords, type Change } from '../../api/cmdb';
import { useSettings } from '../../app/settings';
import { fieldName } from './fieldname';
import { OneValue } from './value';

/** What changed, field by field: lists by what came and went. */
export function ChangeTable({ changes, cls }: { changes: readonly Change[]; cls?: string }) {
  const { t } = useSettings();
  const words = useWords();
  if (changes.length === 0) return <span className="faint">–</span>;
  return (
    <table className="diff">
      <thead className="visually-hidden">
        <tr>
          <th scope="col">{t('ci.field')}</th>
          <th scope="col">{t('ci.before')}</th>
          <th scope="col">{t('ci.after')}</th>
        </tr>
      </thead>
      <tbody>
        {changes.map((c) => {
          const split = /;/.test(`${c.before ?? ''}${c.after ?? ''}`);
          const side = (text: string | undefined, other: string | undefined, As: 'del' | 'ins') => {
            if (!text) return <span className="faint">–</span>;
            if (!split)
              return (
                <As>
                  <OneValue field={c.field} value={text} cls={cls} />
                </As>
              );
            const kept = new Set((other ?? '').split(';'));
            return (
              <span className="tags">
                {text.split(';').map((x) => {
                  const one = <OneValue field={c.field} value={x} cls={cls} />;
                  return kept.has(x) ? <span key={x}>{one}</span> : <As key={x}>{one}</As>;
                })}
              </span>
            );
          };
          return (
            <tr key={c.field}>
              <td title={c.field}>{fieldName(c.field, words, t, cls)}</td>
              <td>{side(c.before, c.after, 'del')}</td>
              <td>{side(c.after, c.before, 'ins')}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
