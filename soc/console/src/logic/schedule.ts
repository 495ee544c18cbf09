/** Schedules that are usual, each with its cron expression: most rules need no other. */
export const SCHEDULES: readonly (readonly [id: string, cron: string, window: string])[] = [
  ['1m', '* * * * *', '1m'],
  ['5m', '*/5 * * * *', '5m'],
  ['15m', '*/15 * * * *', '15m'],
  ['1h', '0 * * * *', '1h'],
  ['day', '0 8 * * *', '24h'],
  ['week', '0 8 * * 1', '168h'],
];

/** The name of a usual schedule, or '' of any other. */
export function scheduleId(cron: string): string {
  return SCHEDULES.find(([, c]) => c === cron.trim().replace(/\s+/g, ' '))?.[0] ?? '';
}
