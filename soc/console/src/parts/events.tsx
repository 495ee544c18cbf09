import type { Evidence, LogEvent, Pair } from '../api/types';
import { useT } from '../app/settings';
import { evidenceFields, fieldValues, markEvidence } from '../logic/evidence';
import { Token } from './token';

/** The raw event with the values that met the rule marked. */
export function RawEvent({ raw, evidence }: { raw: string; evidence: readonly Pair[] }) {
  return (
    <pre className="raw" data-testid="raw-event">
      {markEvidence(raw, evidence).map((s, i) =>
        s.fields.length ? (
          <mark key={i} title={s.fields.join(', ')}>
            {s.text}
          </mark>
        ) : (
          s.text
        ),
      )}
    </pre>
  );
}

/** Every field of an event, the matched ones first and marked; every value a token. */
export function FieldTable({ event, evidence = [] }: { event: LogEvent; evidence?: readonly Evidence[] }) {
  const t = useT();
  const hits = evidenceFields(event, evidence);
  const names = Object.keys(event).sort((a, b) => Number(hits.has(b)) - Number(hits.has(a)) || a.localeCompare(b));
  return (
    <table className="fields" aria-label={t('alert.fields')}>
      <colgroup>
        <col />
        <col />
      </colgroup>
      <tbody>
        {names.map((name) => (
          <tr key={name} className={hits.has(name) ? 'hit' : ''}>
            <td>{name}</td>
            <td>
              {fieldValues(event[name]).map((v, i) => (
                <div key={i}>
                  <Token field={name} value={v} />
                </div>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
