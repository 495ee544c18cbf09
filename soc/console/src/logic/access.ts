/** What the access pages decide without asking the server. */
import type { Account, Grant } from '../api/access';
import { list } from '../api/types';
import { absolute } from './format';
import { momentOf } from './zone';

export type UserState = 'ok' | 'disabled' | 'locked' | 'expired' | 'early';

/** Whether somebody can sign in now, and what stands against it; the strongest reason first. */
export function userState(u: Account, now: number): UserState {
  if (u.disabled) return 'disabled';
  if (u.locked || (u.locked_until && Date.parse(u.locked_until) > now)) return 'locked';
  if (u.valid_until && Date.parse(u.valid_until) <= now) return 'expired';
  if (u.valid_from && Date.parse(u.valid_from) > now) return 'early';
  return 'ok';
}

const LETTERS = ['abcdefghijkmnpqrstuvwxyz', 'ABCDEFGHJKLMNPQRSTUVWXYZ', '23456789', '-_.+=%'];

/**
 * A password to be read out and typed once: no letters that look alike, all
 * four classes, 16 characters (about 92 bits). `random` gives integers below n.
 */
export function generatePassword(random: (n: number) => number, length = 16): string {
  const all = LETTERS.join('');
  const chars = LETTERS.map((set) => set[random(set.length)] as string);
  while (chars.length < length) chars.push(all[random(all.length)] as string);
  for (let i = chars.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [chars[i], chars[j]] = [chars[j] as string, chars[i] as string];
  }
  return chars.join('');
}

/** A random integer below n from the browser's generator, without bias. */
export function secureRandom(n: number): number {
  const limit = Math.floor(0x1_0000_0000 / n) * n;
  const box = new Uint32Array(1);
  do crypto.getRandomValues(box);
  while ((box[0] as number) >= limit);
  return (box[0] as number) % n;
}

/** The scope a refusal asks for, from the server's words ("this needs the scope security"). */
export function scopeWanted(detail: string): string {
  return /\bscope "?(\w+)"?/.exec(detail)?.[1] ?? '';
}

/** Which administrator grants a scope: the three powers' own, or whoever looks after accounts. */
export function keeperOf(scope: string): 'system' | 'security' | 'audit' | 'other' {
  return scope === 'system' || scope === 'security' || scope === 'audit' ? scope : 'other';
}

/** The days of a grant in few words: 1-5 stays a run, 1,3 a list. */
export function dayRuns(days: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const d of [...new Set(days)].sort((a, b) => a - b)) {
    const last = runs[runs.length - 1];
    if (last && last[1] === d - 1) last[1] = d;
    else runs.push([d, d]);
  }
  return runs;
}

/** Whether a grant is bound to anything but its role and receiver. */
export function bound(g: Grant): { time: boolean; place: boolean } {
  return {
    time: !!(g.not_before || g.not_after || list(g.weekdays).length || g.from || g.to),
    place: list(g.networks).length > 0,
  };
}

/** A moment as <input type="datetime-local"> wants it, in the reader's zone; '' for none. */
export function localInput(time: string | null | undefined): string {
  const d = time ? new Date(time) : null;
  if (!d || Number.isNaN(d.getTime()) || d.getFullYear() < 1970) return '';
  return absolute(d.getTime()).slice(0, 16).replace(' ', 'T');
}

/** And back: RFC 3339 in UTC, or null, which takes the bound away. */
export function localTime(input: string | undefined): string | null {
  const ms = input ? momentOf(input) : NaN;
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
}
