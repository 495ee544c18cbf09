import type { Change } from '../api/audit';
import { useT } from '../app/settings';
import { useAuditText } from './audittext';
import { shown, wordsGone } from '../logic/diff';

/** What changed, field by field: lists by the items that came and went, all else whole. */
export function Diff({ changes }: { changes: readonly Change[] }) {
  const t = useT();
  const { field } = useAuditText();
  return (
    <table className="diff" data-testid="diff">
      <thead>
        <tr>
          <th scope="col">{t('audit.field')}</th>
          <th scope="col">{t('audit.before')}</th>
          <th scope="col">{t('audit.after')}</th>
        </tr>
      </thead>
      <tbody>
        {changes.map((c) => (
          <tr key={c.field}>
            <td className={field(c.field) === c.field ? 'mono' : ''} title={c.field}>
              {field(c.field)}
            </td>
            <td>
              <Side value={c.before} other={c.after} as="del" />
            </td>
            <td>
              <Side value={c.after} other={c.before} as="ins" />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Side({ value, other, as: As }: { value: unknown; other: unknown; as: 'del' | 'ins' }) {
  if (value === undefined || value === null || value === '') return <span className="faint">–</span>;
  if (Array.isArray(value)) {
    const changed = new Set(wordsGone(value, other));
    return (
      <span className="tags">
        {value.length === 0 && <span className="faint">[ ]</span>}
        {value.map((v, i) => (changed.has(shown(v)) ? <As key={i}>{shown(v)}</As> : <span key={i}>{shown(v)}</span>))}
      </span>
    );
  }
  return <As>{shown(value)}</As>;
}
