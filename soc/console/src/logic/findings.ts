import type { UnitProgress } from '../api/findings';
import { list } from '../api/types';
import type { Key } from '../locales/zh';
import type { Lines } from './plot';

/** Says a text of the catalogue. */
type Say = (key: Key, values?: Record<string, string | number>) => string;

const WORDS: Record<string, Key> = {
  found: 'finding.did.found',
  seen: 'finding.did.seen',
  'came back': 'finding.did.cameBack',
  'no longer reported': 'finding.did.notReported',
  're-tested: gone': 'finding.did.retested',
  gone: 'finding.did.gone',
  'exception ended': 'finding.did.exceptionEnded',
  undone: 'finding.did.undone',
  'attack seen': 'finding.did.attacked',
  comment: 'finding.did.comment',
};

/** What happened to a finding, as the history keeps it, in the reader's language. What it does not know it leaves as it is. */
export function happened(action: string, t: Say): string {
  return action
    .split(', ')
    .map((part) => {
      const word = WORDS[part];
      if (word) return t(word);
      const [, what = '', rest = ''] = /^(state|owner|level|exception until|work order) (.*)$/.exec(part) ?? [];
      switch (what) {
        case 'state':
          return t('finding.did.state', { x: t(`finding.state.${rest}` as Key) });
        case 'owner':
          return rest === 'nobody' ? t('finding.did.noOwner') : t('finding.did.owner', { x: rest });
        case 'level':
          return t('finding.did.level', { x: t(`sev.${rest}` as Key) });
        case 'work order':
          return t('finding.did.order', { x: rest });
        case 'exception until':
          return t('finding.did.until', { x: rest });
        default:
          return part;
      }
    })
    .join(t('finding.did.sep'));
}

const ENGINES: Record<string, Key> = { 'icewatch-inventory': 'finding.engine.icewatch-inventory', 'icewatch-baseline': 'finding.engine.icewatch-baseline', csv: 'finding.engine.csv', xlsx: 'finding.engine.xlsx' };
const NAMES: Record<string, string> = { nessus: 'Nessus', openvas: 'OpenVAS', nuclei: 'nuclei', nmap: 'Nmap', sarif: 'SARIF' };

/** A scanner as people call it. */
export function engineName(engine: string, t: Say): string {
  const own = ENGINES[engine];
  return own ? t(own) : (NAMES[engine] ?? engine);
}

/** Percent of a unit's assets that were looked at within 30 days; nothing where it has none with an address. Never 100 before all were. */
export function covered(u: UnitProgress): number | undefined {
  return u.known > 0 ? Math.min(100, Math.floor((100 * (u.looked_at.within_7_days + u.looked_at.within_30_days)) / u.known)) : undefined;
}

/** Mean days to repair by week: of all units, each finding counted once, then of the `most` units that closed the most. A week in which nothing was closed is a gap. */
export function repairs(units: readonly UnitProgress[], most: number, all: string, name: (u: UnitProgress) => string): Lines {
  const weeks = list(units[0]?.weeks).map((w) => w.week);
  const whole = weeks.map((_, i) => {
    let n = 0;
    let sum = 0;
    for (const u of units) {
      const w = list(u.weeks)[i];
      if (!w) continue;
      n += w.closed;
      sum += w.closed * w.repair_days;
    }
    return n > 0 ? sum / n : null;
  });
  const some = units.filter((u) => u.closed > 0).sort((a, b) => b.closed - a.closed).slice(0, most);
  return {
    times: weeks.map((w) => Date.parse(`${w}T00:00:00Z`)),
    lines: [{ name: all, values: whole }, ...(some.length > 1 ? some.map((u) => ({ name: name(u), values: list(u.weeks).map((w) => (w.closed > 0 ? w.repair_days : null)) })) : [])],
  };
}
