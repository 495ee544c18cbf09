import { useSettings } from '../../app/settings';
import { TEMPLATES, type Template } from '../../logic/sigma/correlation';
import { Panel } from '../page';

export type Beginning = 'conditions' | Template;

/** What a new rule begins with: conditions on events, or one of the correlations. */
export function Templates({ value, choose }: { value: Beginning; choose: (b: Beginning) => void }) {
  const { t } = useSettings();
  return (
    <Panel title={t('corr.start')} id="templates">
      <div className="beginnings">
        {(['conditions', ...TEMPLATES] as const).map((b) => (
          <button key={b} type="button" className="plain beginning" aria-pressed={value === b} onClick={() => choose(b)} data-testid={`begin-${b}`}>
            <b>{t(`corr.${b}`)}</b>
            <span className="dim">{t(`corr.${b}Why`)}</span>
          </button>
        ))}
      </div>
    </Panel>
  );
}
