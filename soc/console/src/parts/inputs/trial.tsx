import type { InputTrial } from '../../api/inputs';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { Reading } from '../parsers/reading';

/** What a test found: the steps, what failed, and how the first records would be read. */
export function TrialResult({ trial, reaches }: { trial: InputTrial; reaches: boolean }) {
  const { t } = useSettings();
  const records = list(trial.read);
  return (
    <div className={`notice ${trial.ok ? 'good' : 'warn'}`} role="status" data-testid="input-trial">
      <b>{trial.ok ? t('inputs.testOk', { n: trial.seconds.toFixed(1) }) : t('inputs.testBad')}</b>
      <ol className="trialsteps">
        {list(trial.steps).map((s, i) => (
          <li key={i}>✓ {s}</li>
        ))}
        {trial.error && <li style={{ overflowWrap: 'anywhere' }}>✕ {trial.error}</li>}
      </ol>
      {trial.ok && reaches && records.length === 0 && <div>{t('inputs.noRecords')}</div>}
      {records.length > 0 && (
        <>
          <h3>{t('inputs.records')}</h3>
          {records.map((r, i) => (
            <Reading key={i} line={r.text} read={r.read} small />
          ))}
        </>
      )}
    </div>
  );
}
