/** Recurring silences as people choose them, and the rules of RFC 5545 (RRULE) that they mean. */

/** The days of the week as iCalendar names them, Monday first. */
export const WEEKDAYS = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'] as const;
export type Weekday = (typeof WEEKDAYS)[number];
export const REPEATS = ['once', 'daily', 'weekly', 'monthly', 'custom'] as const;

/** How often a silence comes again. */
export interface Repeat {
  kind: (typeof REPEATS)[number];
  /** Of weekly: at least one. */
  weekdays: Weekday[];
  /** Of monthly: 1 to 31, or -1 for the last day. */
  day: number;
  /** Of custom: an RRULE as it is written. */
  rule: string;
}

export const ONCE: Repeat = { kind: 'once', weekdays: ['SA', 'SU'], day: 1, rule: '' };

/** The rule that a choice means, '' for once. */
export function ruleOf(r: Repeat): string {
  switch (r.kind) {
    case 'once':
      return '';
    case 'daily':
      return 'FREQ=DAILY';
    case 'weekly':
      return `FREQ=WEEKLY;BYDAY=${WEEKDAYS.filter((d) => r.weekdays.includes(d)).join(',')}`;
    case 'monthly':
      return `FREQ=MONTHLY;BYMONTHDAY=${r.day}`;
    case 'custom':
      return r.rule.trim();
  }
}

/** The choice that a rule means: a rule that says more than the plain choices can stays as it is written. */
export function repeatOf(rule: string | undefined): Repeat {
  const text = (rule ?? '').trim().toUpperCase().replace(/^RRULE:/, '');
  if (!text) return ONCE;
  if (text === 'FREQ=DAILY') return { ...ONCE, kind: 'daily' };
  const days = /^FREQ=WEEKLY;BYDAY=((?:MO|TU|WE|TH|FR|SA|SU)(?:,(?:MO|TU|WE|TH|FR|SA|SU))*)$/.exec(text);
  if (days?.[1]) {
    const named = days[1].split(',');
    return { ...ONCE, kind: 'weekly', weekdays: WEEKDAYS.filter((d) => named.includes(d)) };
  }
  const day = /^FREQ=MONTHLY;BYMONTHDAY=(-1|[1-9]|[12]\d|3[01])$/.exec(text);
  if (day) return { ...ONCE, kind: 'monthly', day: Number(day[1]) };
  return { ...ONCE, kind: 'custom', rule: text };
}

/** Whether a choice is whole enough to be asked about. */
export function repeats(r: Repeat): boolean {
  return r.kind !== 'once' && (r.kind !== 'weekly' || r.weekdays.length > 0) && (r.kind !== 'custom' || r.rule.trim() !== '');
}
