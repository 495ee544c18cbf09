/** An incident on ATT&CK: its tactics in order, where alerts are missing between them, and one sequence of all that happened. */
import type { GraphEdge, GraphNode } from '../api/graph';
import type { Party } from '../api/judgement';
import { list, type Alert } from '../api/types';

export const TACTICS = ['reconnaissance', 'resource-development', 'initial-access', 'execution', 'persistence', 'privilege-escalation', 'defense-evasion', 'credential-access', 'discovery', 'lateral-movement', 'collection', 'command-and-control', 'exfiltration', 'impact'] as const;
export type Tactic = (typeof TACTICS)[number];

export interface Stage {
  tactic: Tactic;
  /** Earliest first. */
  alerts: Alert[];
  /** No alert, though the attack went on beyond it. */
  gap: boolean;
}

/** What happens outside of what we watch leaves no alert: it is no gap. */
const UNSEEN: readonly Tactic[] = ['resource-development'];

/** The stages from the first to the last that has an alert; nothing where no alert names a tactic. */
export function stages(alerts: readonly Alert[]): Stage[] {
  const sorted = [...alerts].sort((a, b) => Date.parse(a.first_seen) - Date.parse(b.first_seen));
  const all = TACTICS.map((tactic) => ({ tactic, alerts: sorted.filter((a) => list(a.tactics).includes(tactic)), gap: false }));
  const first = all.findIndex((s) => s.alerts.length > 0);
  if (first < 0) return [];
  const last = all.reduce((at, s, i) => (s.alerts.length > 0 ? i : at), first);
  return all.slice(first, last + 1).map((s) => ({ ...s, gap: s.alerts.length === 0 && !UNSEEN.includes(s.tactic) }));
}

export const unplaced = (alerts: readonly Alert[]): Alert[] => alerts.filter((a) => !list(a.tactics).some((x) => (TACTICS as readonly string[]).includes(x)));

/** The entity that a party is on the graph of relations; '' where nothing names it. */
export function partyEntity(p: Party | undefined | null): string {
  if (!p) return '';
  // A party's zone is the name of a network; the server finds the network zone.
  if (p.ip) return p.item ? `item:${p.item}` : `ip:${p.ip}`;
  if (p.item) return `item:${p.item}`;
  if (p.name) return `host:${p.name}`;
  return p.user ? `user:${p.user}` : '';
}

/** The entities of an incident, attackers first, each once. */
export function partiesOf(i: { attackers?: Party[] | null; victims?: Party[] | null }, most = 12): string[] {
  return [...new Set([...list(i.attackers), ...list(i.victims)].map(partyEntity).filter(Boolean))].slice(0, most);
}

/** One element of an incident's sequence: an alert, or what events, flows and sign-ins say of its entities. */
export interface Moment {
  id: string;
  at: string;
  until: string;
  alert?: Alert;
  edge?: GraphEdge;
  /** Who is part in it, by what people call it. */
  who: string[];
}

const name = (p: Party | undefined | null) => p?.name || p?.ip || p?.user || '';

/** All that is known of an incident in the order of time; of what counts often, when it began and ended. */
export function moments(alerts: readonly Alert[], edges: readonly GraphEdge[], nodes: readonly GraphNode[]): Moment[] {
  const called = new Map(nodes.map((n) => [n.id, n.name || n.value]));
  const out: Moment[] = alerts.map((a) => ({ id: a.id, at: a.first_seen, until: a.last_seen, alert: a, who: [...new Set([name(a.attacker), name(a.victim)].filter(Boolean))] }));
  for (const e of edges) {
    if (e.kind === 'alert' || e.kind === 'same' || e.kind === 'relation' || e.first_seen.startsWith('0001')) continue;
    out.push({ id: e.id, at: e.first_seen, until: e.last_seen, edge: e, who: [called.get(e.from) ?? e.from, called.get(e.to) ?? e.to] });
  }
  return out.sort((a, b) => Date.parse(a.at) - Date.parse(b.at) || Number(!!b.alert) - Number(!!a.alert) || a.id.localeCompare(b.id));
}

/** Who is part in a sequence, most often first. */
export function whoIn(list: readonly Moment[]): string[] {
  const n = new Map<string, number>();
  for (const m of list) for (const w of m.who) n.set(w, (n.get(w) ?? 0) + 1);
  return [...n].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([w]) => w);
}
