import { describe, expect, it } from 'vitest';
import { engineName, happened } from './findings';

const t = (key: string, values?: Record<string, string | number>) => (key === 'finding.did.sep' ? ', ' : `<${key}${values ? ` ${values['x']}` : ''}>`);

describe('the history of a finding', () => {
  it('says each action in words, and several of them one after the other', () => {
    expect(happened('came back', t)).toBe('<finding.did.cameBack>');
    expect(happened('state exception, owner Li Si, level high', t)).toBe('<finding.did.state <finding.state.exception>>, <finding.did.owner Li Si>, <finding.did.level <sev.high>>');
    expect(happened('owner nobody', t)).toBe('<finding.did.noOwner>');
    expect(happened('exception until 2026-12-01', t)).toBe('<finding.did.until 2026-12-01>');
    expect(happened('something new', t)).toBe('something new');
  });
  it('calls scanners by their names', () => {
    expect(engineName('nessus', t)).toBe('Nessus');
    expect(engineName('icewatch-inventory', t)).toBe('<finding.engine.icewatch-inventory>');
    expect(engineName('绿盟', t)).toBe('绿盟');
  });
});
