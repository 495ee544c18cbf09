import type { FindingOrder, FindingState } from '../../api/findings';
import type { RunState, ScanRange } from '../../api/scans';
import { useSettings } from '../../app/settings';
import { When } from '../time';

/** A deadline; one that has passed is filled, as deadlines of incidents are. */
export function Due({ at, overdue }: { at?: string; overdue?: boolean }) {
  const { t } = useSettings();
  return (
    <span className="nowrap">
      <When time={at} /> {overdue && <span className="sla breached">{t('finding.overdue')}</span>}
    </span>
  );
}

function Mark({ dot, text, why }: { dot: string; text: string; why?: string }) {
  return (
    <span className="status" title={why || undefined}>
      <i className={`dot ${dot}`} aria-hidden="true" />
      {text}
    </span>
  );
}

const FINDING: Record<FindingState, string> = { open: 'open', verified: 'acknowledged', repair: 'warn', fixed: 'ok', closed: 'closed', exception: 'off', false_positive: 'off' };
/** How far a finding is: shape and word. */
export function FindingStateMark({ state }: { state: FindingState }) {
  const { t } = useSettings();
  return <Mark dot={FINDING[state]} text={t(`finding.state.${state}`)} />;
}

const ORDER: Record<FindingOrder['state'], string> = { open: 'warn', done: 'ok', withdrawn: 'off' };
/** How far a work order of findings is. */
export function OrderStateMark({ state }: { state: FindingOrder['state'] }) {
  const { t } = useSettings();
  return <Mark dot={ORDER[state]} text={t(`forder.state.${state}`)} />;
}

const RUN: Record<RunState, string> = { waiting: 'open', running: 'acknowledged', paused: 'warn', cancelling: 'warn', judging: 'acknowledged', done: 'ok', cancelled: 'off', expired: 'bad', failed: 'bad' };
/** How far a scan is, and why where that is said. */
export function RunStateMark({ state, why }: { state: RunState; why?: string }) {
  const { t } = useSettings();
  return <Mark dot={RUN[state]} text={t(`scan.state.${state}`)} why={why} />;
}

const RANGE: Record<ScanRange['state'], string> = { asked: 'warn', approved: 'ok', rejected: 'off', withdrawn: 'off', expired: 'off' };
/** Whether a range may be scanned. */
export function RangeStateMark({ state, why }: { state: ScanRange['state']; why?: string }) {
  const { t } = useSettings();
  return <Mark dot={RANGE[state]} text={t(`range.state.${state}`)} why={why} />;
}
