import { describe, expect, it } from 'vitest';
import type { UnitProgress } from '../api/findings';
import { covered, engineName, happened, repairs } from './findings';

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

const unit = (id: string, weeks: [number, number][], known = 0, looked = 0): UnitProgress => ({
  unit: id,
  counting: 0,
  overdue: 0,
  closed: weeks.reduce((n, [closed]) => n + closed, 0),
  closed_late: 0,
  repair_days: 0,
  known,
  looked_at: { within_7_days: looked, within_30_days: 0, within_90_days: known - looked, older: 0, never: 0 },
  weeks: weeks.map(([closed, repair_days], i) => ({ week: `2026-11-${16 + 7 * i}`, new: 0, closed, repair_days })),
});

describe('repairs by week', () => {
  it('weighs units by what they closed, and leaves a gap where nothing was', () => {
    const { times, lines } = repairs([unit('a', [[1, 10], [0, 0]]), unit('b', [[3, 2], [0, 0]]), unit('c', [[0, 0], [0, 0]])], 5, 'all', (u) => u.unit);
    expect(times).toEqual([Date.UTC(2026, 10, 16), Date.UTC(2026, 10, 23)]);
    expect(lines).toEqual([
      { name: 'all', values: [4, null] },
      { name: 'b', values: [2, null] },
      { name: 'a', values: [10, null] },
    ]);
  });
  it('draws one line where one unit closed anything, and only the units that closed the most', () => {
    expect(repairs([unit('a', [[1, 10]]), unit('b', [[0, 0]])], 5, 'all', (u) => u.unit).lines.map((l) => l.name)).toEqual(['all']);
    expect(repairs([unit('a', [[1, 1]]), unit('b', [[2, 1]]), unit('c', [[3, 1]])], 2, 'all', (u) => u.unit).lines.map((l) => l.name)).toEqual(['all', 'c', 'b']);
    expect(repairs([], 5, 'all', (u) => u.unit).lines).toEqual([{ name: 'all', values: [] }]);
  });
});

describe('coverage', () => {
  it('is not whole before every asset was looked at', () => {
    expect(covered(unit('a', [], 1000, 999))).toBe(99);
    expect(covered(unit('a', [], 3, 3))).toBe(100);
    expect(covered(unit('a', []))).toBeUndefined();
  });
});
