import type { Explained } from '../../api/inputs';
import { useSettings } from '../../app/settings';
import { highlight } from '../../logic/inputs';

/** A line of log as it is read: by which pack, its parts marked with the fields that they became. */
export function Reading({ line, read, small }: { line: string; read?: Explained; small?: boolean }) {
  const { t } = useSettings();
  const event = read?.event ?? {};
  const fields = Object.entries(event).filter(([k]) => k !== 'event.original' && k !== 'message');
  return (
    <div className="reading">
      <div className="dim">{read?.recognised ? t('inputs.readAs', { x: read.log_type || read.dataset }) : t('inputs.unread')}</div>
      <pre className="line">
        {highlight(line, event).map((m, i) =>
          m.fields.length > 0 ? (
            <mark key={i} title={m.fields.join(', ')}>
              {m.text}
            </mark>
          ) : (
            <span key={i}>{m.text}</span>
          ),
        )}
      </pre>
      <details open={!small}>
        <summary className="dim">{t('parsers.fields', { n: fields.length })}</summary>
        <table className="data fieldlist">
          <tbody>
            {fields.map(([k, v]) => (
              <tr key={k}>
                <th scope="row" className="mono">
                  {k}
                </th>
                <td className="mono">{typeof v === 'string' ? v : JSON.stringify(v)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </div>
  );
}
