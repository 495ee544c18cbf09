/** The zone in which moments are told and entered: the desk's own, unless its reader chose another one. */

/** What may be chosen beside the desk's own: the city's, and UTC. */
export const ZONES = ['desk', 'Asia/Shanghai', 'UTC'] as const;
export type Zone = (typeof ZONES)[number];

let chosen: Zone = 'desk';
let offsets: Intl.DateTimeFormat | undefined;
const HOUR = 3_600_000;
/** Offsets by the hour: asking for one costs as much as writing ten lines. */
const known = new Map<number, number>();
const MOST_KNOWN = 2000;

export function setZone(z: Zone): void {
  chosen = z;
  known.clear();
  offsets = z === 'desk' || z === 'UTC' ? undefined : new Intl.DateTimeFormat('en-US', { timeZone: z, timeZoneName: 'longOffset' });
}

/** Its name in the time-zone database. */
export function zoneName(): string {
  return chosen === 'desk' ? Intl.DateTimeFormat().resolvedOptions().timeZone || 'Asia/Shanghai' : chosen;
}

/** How many minutes east of UTC it is at a moment. */
export function offsetAt(ms: number): number {
  if (chosen === 'desk') return -new Date(ms).getTimezoneOffset();
  if (!offsets) return 0;
  const hour = Math.floor(ms / HOUR);
  let n = known.get(hour);
  if (n === undefined) {
    const m = /GMT([+-])(\d{2}):(\d{2})/.exec(offsets.format(ms));
    n = m ? (m[1] === '-' ? -1 : 1) * (Number(m[2]) * 60 + Number(m[3])) : 0;
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(hour, n);
  }
  return n;
}

/** What calendar and clock say at a moment: to be read by getUTC… alone. */
export function wall(ms: number): Date {
  return new Date(ms + offsetAt(ms) * 60_000);
}

/** The moment at which calendar and clock say 2026-11-27T21:10, with seconds or without; NaN where the text is none. */
export function momentOf(text: string): number {
  const utc = Date.parse(`${text}Z`);
  if (Number.isNaN(utc)) return NaN;
  const near = utc - offsetAt(utc) * 60_000;
  return utc - offsetAt(near) * 60_000;
}
