import type { Key } from '../locales/zh';

/** Says a text of the catalogue. */
type Say = (key: Key, values?: Record<string, string | number>) => string;

const WORDS: Record<string, Key> = {
  found: 'finding.did.found',
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
