/** The table of who may move what from state to state, as a form holds it. Pure. */
import type { Move } from '../api/dispatch';
import { list } from '../api/types';

export type Kind = Move['of'];
/** The states of each kind of thing, in the order of its life. */
export const STATES: Record<Kind, readonly string[]> = {
  incident: ['open', 'acknowledged', 'closed'],
  alert: ['open', 'acknowledged', 'closed'],
  notice: ['draft', 'review', 'approved', 'published', 'closed'],
};

/** Every move there could be of a kind: from each state to each other. */
export function pairs(of: Kind): { from: string; to: string }[] {
  return STATES[of].flatMap((from) => STATES[of].filter((to) => to !== from).map((to) => ({ from, to })));
}

export const find = (moves: readonly Move[], of: Kind, from: string, to: string) => moves.find((m) => m.of === of && m.from === from && m.to === to);

/** The table with one move changed, added in its place, or taken out. */
export function withMove(moves: readonly Move[], of: Kind, from: string, to: string, change: Partial<Move> | null): Move[] {
  const at = moves.findIndex((m) => m.of === of && m.from === from && m.to === to);
  if (change === null) return moves.filter((_, i) => i !== at);
  if (at >= 0) return moves.map((m, i) => (i === at ? { ...m, ...change } : m));
  return [...moves, { of, from, to, roles: [], ...change }];
}

/** A text that is the same for tables that say the same, whatever their order. */
export function said(moves: readonly Move[]): string {
  return JSON.stringify(moves.map((m) => [m.of, m.from, m.to, [...list(m.roles)].sort(), !!m.apart]).sort((a, b) => (String(a) < String(b) ? -1 : 1)));
}

/** States of a kind that nothing leads out of: what comes there stays, save for an administrator. */
export function deadEnds(moves: readonly Move[], of: Kind): string[] {
  return STATES[of].filter((s) => !moves.some((m) => m.of === of && m.from === s));
}

/** What the server says to who may not make a move, taken apart; undefined where a text says something else. */
export function refusedMove(text: string): { of: Kind; from: string; to: string; roles: string[] } | undefined {
  const m = /you may not move an? (incident|alert|notice) from (\w+) to (\w+): (?:that is for the roles (.+)|nobody but an administrator)/.exec(text);
  return m ? { of: m[1] as Kind, from: m[2] as string, to: m[3] as string, roles: m[4] ? m[4].split(', ') : [] } : undefined;
}
