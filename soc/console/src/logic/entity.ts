/** Entities: what values of fields are things with a page of their own (安全百科). The server has the same table; a test there compares them. */
import { momentOf, wall } from './zone';

export const ENTITY_TYPES = ['ip', 'asset', 'device', 'website', 'domain', 'file', 'mail', 'app-user', 'system-user', 'organisation'] as const;
export type EntityType = (typeof ENTITY_TYPES)[number];

export interface EntityRef {
  type: EntityType;
  value: string;
  zone?: string;
}

/** Fields of events and what a link from their values leads to. */
export const ENTITY_FIELDS: Readonly<Record<string, EntityType>> = {
  'source.ip': 'ip',
  'client.ip': 'ip',
  'source.nat.ip': 'ip',
  'destination.ip': 'ip',
  'server.ip': 'ip',
  'destination.nat.ip': 'ip',
  'host.ip': 'ip',
  'observer.ip': 'ip',
  'dns.resolved_ip': 'ip',
  'threat.indicator.ip': 'ip',
  'icewatch.ci.id': 'asset',
  'icewatch.source.ci.id': 'asset',
  'icewatch.destination.ci.id': 'asset',
  'icewatch.ci.system.id': 'asset',
  'host.name': 'device',
  'host.hostname': 'device',
  'observer.name': 'device',
  'observer.hostname': 'device',
  'device.id': 'device',
  'url.domain': 'website',
  'tls.client.server_name': 'website',
  'dns.question.name': 'domain',
  'dns.question.registered_domain': 'domain',
  'url.registered_domain': 'domain',
  'destination.domain': 'domain',
  'server.domain': 'domain',
  'source.domain': 'domain',
  'client.domain': 'domain',
  'threat.indicator.url.domain': 'domain',
  'file.hash.md5': 'file',
  'file.hash.sha1': 'file',
  'file.hash.sha256': 'file',
  'file.hash.sha512': 'file',
  'process.hash.md5': 'file',
  'process.hash.sha1': 'file',
  'process.hash.sha256': 'file',
  'dll.hash.md5': 'file',
  'dll.hash.sha1': 'file',
  'dll.hash.sha256': 'file',
  'email.attachments.file.hash.sha256': 'file',
  'file.path': 'file',
  'file.name': 'file',
  'file.target_path': 'file',
  'process.executable': 'file',
  'dll.path': 'file',
  'email.attachments.file.name': 'file',
  'email.from.address': 'mail',
  'email.sender.address': 'mail',
  'email.to.address': 'mail',
  'email.cc.address': 'mail',
  'email.bcc.address': 'mail',
  'email.reply_to.address': 'mail',
  'user.email': 'mail',
  'user.id': 'app-user',
  'user.target.id': 'app-user',
  'url.username': 'app-user',
  'user.name': 'system-user',
  'user.effective.name': 'system-user',
  'source.user.name': 'system-user',
  'process.user.name': 'system-user',
  'user.target.name': 'system-user',
  'destination.user.name': 'system-user',
  'user.changes.name': 'system-user',
  'organization.id': 'organisation',
  'icewatch.reach.unit': 'organisation',
};

const IPV4 = /^(?:\d{1,3}\.){3}\d{1,3}$/;
const IPV6 = /^(?=.*:.*:)[0-9a-f:.]+$/i;
const HASH = /^(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/i;
const NAME = /^(?=.{1,253}$)(?:[\p{L}\p{N}_](?:[\p{L}\p{N}_-]{0,61}[\p{L}\p{N}_])?\.)+[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.?$/u;
const MAIL = /^[^\s@<>"]+@[^\s@]+$/;

const isAddress = (v: string) => (IPV4.test(v) && v.split('.').every((n) => Number(n) < 256)) || IPV6.test(v);

/** The entity that a value of a field is; undefined where it is none. Without a field, addresses and hashes are known by their form. */
export function entityOf(field: string, value: string): EntityRef | undefined {
  const v = value.trim();
  if (!v || v === '-' || v.length > 2048 || v.includes('***')) return undefined;
  const type = ENTITY_FIELDS[field];
  if (type === 'ip' || (!field && isAddress(v))) return isAddress(v) ? { type: 'ip', value: v } : undefined;
  if (!field) return HASH.test(v) ? { type: 'file', value: v } : undefined;
  if (type === 'website' || type === 'domain') return isAddress(v) ? { type: 'ip', value: v } : { type, value: v };
  return type && { type, value: v };
}

/** What a text that somebody typed may be, the likeliest first. */
export function guessEntities(text: string): EntityRef[] {
  const v = text.trim();
  if (!v || v.length > 2048 || /["*\n]/.test(v)) return [];
  const of = (...types: EntityType[]): EntityRef[] => types.map((type) => ({ type, value: v }));
  if (isAddress(v)) return of('ip');
  if (HASH.test(v)) return of('file');
  if (/^[a-z]+:\/\/[^/\s]+/i.test(v)) return of('website');
  if (MAIL.test(v)) return of('mail', 'system-user');
  if (/^[^\\/:\s]+\\[^\\/:\s]+$/.test(v)) return of('system-user');
  if (/[\\/]/.test(v)) return /\s{2}/.test(v) ? [] : of('file');
  if (/\s/.test(v)) return [];
  if (NAME.test(v)) return of('domain', 'website', 'device');
  return /^[\p{L}\p{N}._$-]{2,255}$/u.test(v) ? of('device', 'system-user', 'app-user') : [];
}

/** Where an entity's page is. */
export function entityPath(e: EntityRef, more: Record<string, string | undefined> = {}): string {
  const params = new URLSearchParams();
  if (e.zone) params.set('zone', e.zone);
  for (const [k, x] of Object.entries(more)) if (x) params.set(k, x);
  const query = params.toString();
  return `/entities/${e.type}/${encodeURIComponent(e.value)}${query ? `?${query}` : ''}`;
}

/** How the graph of relations calls the types; it knows no others. */
const SEEDS: Partial<Record<EntityType, string>> = { ip: 'ip', asset: 'item', organisation: 'item', device: 'host', website: 'domain', domain: 'domain', 'app-user': 'user', 'system-user': 'user' };

/** Where the entity's relations are drawn; undefined where the graph does not know its type. */
export function graphPath(e: EntityRef): string | undefined {
  const type = SEEDS[e.type];
  return type && `/graph?${new URLSearchParams({ seed: `${type}:${e.zone ? `${e.zone}|` : ''}${e.value}` })}`;
}

/** Whole days, weeks (from Monday) and months in the reader's zone, `back` of them ago: from–to. */
export function wholePeriod(unit: 'day' | 'week' | 'month', back: number, now: Date): { start: string; end: string } {
  const here = wall(now.getTime());
  // By the calendar, which is no zone's: days of 23 or 25 hours come out right.
  const from = new Date(Date.UTC(here.getUTCFullYear(), here.getUTCMonth(), here.getUTCDate()));
  if (unit === 'day') from.setUTCDate(from.getUTCDate() - back);
  else if (unit === 'week') from.setUTCDate(from.getUTCDate() - ((from.getUTCDay() + 6) % 7) - 7 * back);
  else from.setUTCMonth(from.getUTCMonth() - back, 1);
  const to = new Date(from);
  if (unit === 'month') to.setUTCMonth(to.getUTCMonth() + 1);
  else to.setUTCDate(to.getUTCDate() + (unit === 'day' ? 1 : 7));
  const at = (d: Date) => new Date(momentOf(d.toISOString().slice(0, 19))).toISOString();
  return { start: at(from), end: at(to) };
}
