import { describe, expect, it } from 'vitest';
import type { Operation, Role } from '../api/access';
import { bound, dayRuns, generatePassword, keeperOf, localInput, localTime, scopeWanted, userState } from './access';
import { parseCSV } from './csv';
import { differences, wordsGone } from './diff';
import { idleState } from './idle';
import { protocolBody } from './providers';
import { changeOf, compare, effective, grantable, heldBy } from './roles';
import { fieldsOf, valueAt, withValue } from './settingform';
import { forest, prune, withBelow } from './tree';
import { ofServer, safeReturn } from './urlstate';
import { tiles } from './watermark';
import { creationOptions, fromBytes, toBytes } from './webauthn';

describe('users and grants', () => {
  const now = Date.parse('2026-11-25T12:00:00Z');
  const user = { id: 'u', username: 'li', display_name: '', roles: [], scopes: [], all_tenants: true, tenants: [] };
  it('tells the strongest reason against signing in', () => {
    expect(userState(user, now)).toBe('ok');
    expect(userState({ ...user, valid_until: '2026-11-25T12:00:00Z' }, now)).toBe('expired');
    expect(userState({ ...user, valid_from: '2026-11-26T00:00:00Z' }, now)).toBe('early');
    expect(userState({ ...user, locked_until: '2026-11-25T12:00:01Z' }, now)).toBe('locked');
    expect(userState({ ...user, locked_until: '2026-11-25T11:59:59Z' }, now)).toBe('ok');
    expect(userState({ ...user, disabled: true, locked: true }, now)).toBe('disabled');
  });
  it('makes first passwords of all four classes, without look-alikes', () => {
    for (let seed = 0; seed < 50; seed++) {
      let x = seed * 7919 + 1;
      const p = generatePassword((n) => (x = (x * 48271) % 0x7fffffff) % n);
      expect(p).toHaveLength(16);
      for (const set of [/[a-z]/, /[A-Z]/, /\d/, /[-_.+=%]/]) expect(p).toMatch(set);
      expect(p).not.toMatch(/[l1I0O]/);
    }
  });
  it('groups days into runs', () => {
    expect(dayRuns([5, 1, 2, 3, 4])).toEqual([[1, 5]]);
    expect(dayRuns([1, 3, 3, 4, 7])).toEqual([[1, 1], [3, 4], [7, 7]]);
  });
  it('knows whether a grant is bound', () => {
    expect(bound({ id: 'g', role: 'viewer', weekdays: [], networks: null })).toEqual({ time: false, place: false });
    expect(bound({ id: 'g', role: 'viewer', from: '08:00', to: '18:00', networks: ['10.0.0.0/8'] })).toEqual({ time: true, place: true });
  });
  it('takes a moment to its field and back', () => {
    expect(localTime(localInput('2026-11-25T04:30:00Z'))).toBe('2026-11-25T04:30:00.000Z');
    expect(localInput(null)).toBe('');
    expect(localTime('')).toBeNull();
  });
  it('reads from a refusal what is missing and whom to ask', () => {
    expect(scopeWanted('you may not do this: it needs a role or token with the scope security, or with the operation create-role')).toBe('security');
    expect(scopeWanted('the tenant is not within your reach')).toBe('');
    expect(keeperOf('security')).toBe('security');
    expect(keeperOf('read')).toBe('other');
  });
});

describe('roles', () => {
  const op = (id: string, scope: string, ...also: string[]): Operation => ({ id, scope, also, method: 'GET', path: `/${id}` });
  const ops = [op('me', 'any'), op('list-alerts', 'read'), op('close-alert', 'respond'), op('list-users', 'system', 'security')];
  const role = (scopes: string[], operations: string[] = []): Role => ({ id: 'r', name: {}, scopes, operations });
  it('leaves out what everybody may', () => expect(grantable(ops).map((o) => o.id)).toEqual(['list-alerts', 'close-alert', 'list-users']));
  it('tells why a role allows', () => {
    expect(heldBy(role(['read']), ops[1] as Operation)).toBe('scope');
    expect(heldBy(role([], ['close-alert']), ops[2] as Operation)).toBe('operation');
    expect(heldBy(role(['security']), ops[3] as Operation)).toBe('scope');
    expect(heldBy(role([]), ops[1] as Operation)).toBe('');
  });
  it('makes admin the system administrator while the powers are apart', () => {
    expect(heldBy(effective(role(['admin']), true), ops[1] as Operation)).toBe('');
    expect(heldBy(effective(role(['admin']), false), ops[1] as Operation)).toBe('scope');
  });
  it('compares two', () => {
    const c = compare(ops, role(['read']), role([], ['close-alert', 'list-alerts']));
    expect([c.onlyA, c.onlyB, c.both].map((l) => l.map((o) => o.id))).toEqual([[], ['close-alert'], ['list-alerts']]);
    expect(changeOf(['a', 'b'], ['b', 'c', 'd'])).toEqual({ added: 2, removed: 1 });
  });
});

describe('trees', () => {
  const units = [
    { id: 'a' },
    { id: 'b', parent: 'a' },
    { id: 'c', parent: 'b' },
    { id: 'x', parent: 'hidden' },
    { id: 'l1', parent: 'l2' },
    { id: 'l2', parent: 'l1' },
  ];
  it('shows every unit once: those whose parent is out of sight at the top, loops cut', () => {
    const seen: string[] = [];
    const walk = (bs: ReturnType<typeof forest<{ id: string; parent?: string }>>) => bs.forEach((b) => (seen.push(b.item.id), walk(b.below)));
    const top = forest(units, (p, q) => p.id.localeCompare(q.id));
    walk(top);
    expect([...seen].sort()).toEqual(['a', 'b', 'c', 'l1', 'l2', 'x']);
    expect(top.map((b) => b.item.id).slice(0, 2)).toEqual(['a', 'x']);
    expect(prune(top, (u) => u.id === 'c')[0]?.below[0]?.item.id).toBe('b');
  });
  it('knows what lies below', () => expect([...withBelow(units, 'a')].sort()).toEqual(['a', 'b', 'c']));
});

it('reads CSV with quotes, commas and both line ends', () => {
  expect(parseCSV('\ufeffa,b\r\n"x, ""y""",2\n\nlast')).toEqual([['a', 'b'], ['x, "y"', '2'], ['last']]);
  expect(parseCSV('a\nb\nc', 2)).toEqual([['a'], ['b']]);
});

it('finds the fields in which two documents differ', () => {
  expect(differences({ a: 1, n: { x: [1], y: 2 } }, { a: 1, n: { x: [1, 2], y: 2 }, z: true })).toEqual([
    { field: 'n.x', before: [1], after: [1, 2] },
    { field: 'z', before: undefined, after: true },
  ]);
  expect(wordsGone(['viewer', 'analyst'], ['analyst'])).toEqual(['viewer']);
});

it('makes a form of a setting, and writes back by path', () => {
  const doc = { factors: 'optional', factor_roles: ['admin'], tries: 10, passwordless: true, name: {}, limits: { burst: 5 }, targets: [{ a: 1 }] };
  expect(fieldsOf('sign-in', doc).map((f) => f.kind)).toEqual(['choice', 'roles', 'number', 'switch', 'both', 'group', 'json']);
  const next = withValue(doc, ['limits', 'burst'], 9);
  expect(valueAt(next, ['limits', 'burst'])).toBe(9);
  expect(doc.limits.burst).toBe(5);
});

it('leaves an untouched secret of a provider alone', () => {
  expect(protocolBody('oidc', { issuer: ' https://sso ', client_id: 'x', client_secret: '' })).toEqual({ issuer: 'https://sso', client_id: 'x' });
});

it('warns an idle page before it signs out', () => {
  expect(idleState(0, 1e9, 0).kind).toBe('active');
  expect(idleState(0, 539_000, 600_000).kind).toBe('active');
  expect(idleState(0, 540_000, 600_000)).toEqual({ kind: 'warn', left: 60_000 });
  expect(idleState(0, 600_000, 600_000).kind).toBe('over');
  // A short timeout is not one long warning.
  expect(idleState(0, 29_000, 60_000).kind).toBe('active');
});

it('returns after sign-in to this origin alone', () => {
  for (const bad of [null, '', 'https://evil', '//evil', '/\\evil', '/\nevil', 'javascript:alert(1)', '/login?to=/']) expect(safeReturn(bad)).toBe('/');
  expect(safeReturn('/oidc/authorize?x=1')).toBe('/oidc/authorize?x=1');
  expect(ofServer('/oidc/authorize')).toBe(true);
  expect(ofServer('/oidcx')).toBe(false);
});

it('covers the page with tiles, rows shifted by half', () => {
  const t = tiles(400, 300, 200, 100);
  expect(t.length).toBeGreaterThan(8);
  expect(new Set(t.map((x) => x.x)).size).toBeGreaterThan(3);
});

it('carries WebAuthn between JSON and buffers', () => {
  const text = fromBytes(new Uint8Array([0, 255, 62, 63]).buffer);
  expect(text).not.toMatch(/[+/=]/);
  expect([...new Uint8Array(toBytes(text))]).toEqual([0, 255, 62, 63]);
  const o = creationOptions({ challenge: text, user: { id: text, name: 'n', displayName: 'd' }, excludeCredentials: [{ id: text, type: 'public-key' }] });
  expect(new Uint8Array(o.challenge as ArrayBuffer)[1]).toBe(255);
  expect(o.excludeCredentials?.[0]?.type).toBe('public-key');
});
