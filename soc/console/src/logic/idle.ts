/** When an idle page warns and when it signs out. Times in milliseconds. */
export const WARN_MS = 60_000;

export type IdleState = { kind: 'active' } | { kind: 'warn'; left: number } | { kind: 'over' };

/** `timeout` 0 never ends. The warning takes at most half of a short timeout. */
export function idleState(last: number, now: number, timeout: number): IdleState {
  if (timeout <= 0) return { kind: 'active' };
  const left = last + timeout - now;
  if (left <= 0) return { kind: 'over' };
  return left <= Math.min(WARN_MS, timeout / 2) ? { kind: 'warn', left } : { kind: 'active' };
}
