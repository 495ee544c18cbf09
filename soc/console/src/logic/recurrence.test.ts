import { describe, expect, it } from 'vitest';
import { ONCE, repeatOf, repeats, ruleOf, type Repeat } from './recurrence';

describe('recurrence', () => {
  const choices: [Repeat, string][] = [
    [ONCE, ''],
    [{ ...ONCE, kind: 'daily' }, 'FREQ=DAILY'],
    [{ ...ONCE, kind: 'weekly', weekdays: ['MO', 'SU'] }, 'FREQ=WEEKLY;BYDAY=MO,SU'],
    [{ ...ONCE, kind: 'monthly', day: 31 }, 'FREQ=MONTHLY;BYMONTHDAY=31'],
    [{ ...ONCE, kind: 'monthly', day: -1 }, 'FREQ=MONTHLY;BYMONTHDAY=-1'],
    [{ ...ONCE, kind: 'custom', rule: 'FREQ=MONTHLY;BYDAY=1SU' }, 'FREQ=MONTHLY;BYDAY=1SU'],
  ];
  it.each(choices)('reads back what it writes: %o', (choice, rule) => {
    expect(ruleOf(choice)).toBe(rule);
    expect(repeatOf(rule)).toEqual(choice);
  });
  it('writes the days of the week in their order, whatever the order of clicks', () => {
    expect(ruleOf({ ...ONCE, kind: 'weekly', weekdays: ['SU', 'WE', 'MO'] })).toBe('FREQ=WEEKLY;BYDAY=MO,WE,SU');
  });
  it.each(['FREQ=WEEKLY;INTERVAL=2;BYDAY=MO', 'FREQ=MONTHLY;BYMONTHDAY=32', 'FREQ=DAILY;COUNT=3'])('keeps what it has no choice for: %s', (rule) => {
    expect(repeatOf(rule)).toEqual({ ...ONCE, kind: 'custom', rule });
    expect(ruleOf(repeatOf(rule))).toBe(rule);
  });
  it('reads the prefix and small letters', () => {
    expect(repeatOf('rrule:freq=daily').kind).toBe('daily');
  });
  it('does not ask about half a choice', () => {
    expect(repeats(ONCE)).toBe(false);
    expect(repeats({ ...ONCE, kind: 'weekly', weekdays: [] })).toBe(false);
    expect(repeats({ ...ONCE, kind: 'custom', rule: ' ' })).toBe(false);
    expect(repeats({ ...ONCE, kind: 'monthly' })).toBe(true);
  });
});
