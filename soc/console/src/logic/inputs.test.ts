import { expect, it } from 'vitest';
import type { InputView, Schema } from '../api/inputs';
import { draftPack, faultAt, faultsByPath, groupOf, highlight, needed, rowMatches, sourceRows, trimmed, widgetOf } from './inputs';

const schema: Schema = {
  type: 'object',
  'x-order': ['brokers', 'start', 'password', 'tls', 'tls_ca_pem', 'max_bytes', 'sasl', 'people'],
  required: ['brokers'],
  properties: {
    brokers: { type: 'array', items: { type: 'string' }, minItems: 1 },
    start: { type: 'string', enum: ['beginning', 'end'], default: 'beginning' },
    password: { type: 'string', 'x-secret': true },
    tls: { type: 'boolean', default: false },
    tls_ca_pem: { type: 'string' },
    max_bytes: { type: 'integer', default: 1000 },
    sasl: { type: 'object', properties: { key: { type: 'string', 'x-secret': true } } },
    people: { type: 'array', items: { type: 'object', properties: { name: { type: 'string' }, pass: { type: 'string', 'x-secret': true } } } },
  },
};
const prop = (name: string) => schema.properties?.[name] as Schema;

it('sends what differs from the source’s own settings, and no empty secret', () => {
  expect(trimmed(schema, { brokers: [' a:1', ''], start: 'beginning', password: '', tls: false, tls_ca_pem: '', max_bytes: 1000, sasl: { key: '' }, people: [{ name: 'ann', pass: '' }] })).toEqual({ brokers: [' a:1'], people: [{ name: 'ann' }] });
  expect(trimmed(schema, { start: 'end', tls: true, max_bytes: 5, password: null, sasl: { key: 'k' } })).toEqual({ start: 'end', tls: true, max_bytes: 5, password: null, sasl: { key: 'k' } });
});

it('chooses how a setting is typed in, and where it stands', () => {
  expect(['brokers', 'start', 'password', 'tls', 'tls_ca_pem', 'max_bytes', 'sasl', 'people'].map((n) => widgetOf(n, prop(n)))).toEqual(['words', 'choice', 'password', 'check', 'longText', 'number', 'object', 'objects']);
  expect(['brokers', 'tls', 'tls_ca_pem', 'max_bytes'].map((n) => groupOf(n, prop(n)))).toEqual(['main', 'tls', 'tls', 'limits']);
  expect(widgetOf('users', { type: 'string', 'x-secret': true })).toBe('secretText');
  expect(needed('brokers', prop('brokers'), schema)).toBe(true);
  expect(needed('password', prop('password'), schema)).toBe(false);
});

it('finds the fault of a setting', () => {
  const f = faultsByPath([{ location: 'body.settings.brokers[1]', message: 'no port' }, { location: 'body.name', message: 'missing' }, { message: 'x' }]);
  expect(faultAt(f, 'settings.brokers')).toBe('no port');
  expect(faultAt(f, 'settings.broker')).toBeUndefined();
  expect(f.name).toBe('missing');
});

it('lists inputs that rest beside what runs', () => {
  const health = { id: 'udp', kind: 'syslog_udp', state: 'ok' as const, received: 1, rejected: 0, dropped: 0, bytes: 1 };
  const x = { id: 'input-a', name: 'core', kind: 'kafka', enabled: false, tags: ['ring'], health: { ...health, id: 'input-a', kind: 'kafka', state: 'off' as const } } as unknown as InputView;
  const rows = sourceRows([health, { ...health, id: 'loki', kind: 'loki_push' }], [x]);
  expect(rows.map((r) => [r.id, r.way])).toEqual([['udp', 'config'], ['loki', 'http'], ['input-a', 'input']]);
  expect(rowMatches(rows[2] as (typeof rows)[0], 'RING', 'input')).toBe(true);
  expect(rowMatches(rows[2] as (typeof rows)[0], '', 'http')).toBe(false);
});

it('marks in a line what became fields', () => {
  const line = 'GATE deny 10.1.1.3:22 -> 10.2.2.2 port 22';
  const marks = highlight(line, { 'source.ip': '10.1.1.3', 'source.port': 22, action: 'deny', 'related.ip': ['10.1.1.3', '10.2.2.2'], message: line, 'event.original': line, 'icewatch.x': 'GATE', n: 2 });
  expect(marks.map((m) => m.text).join('')).toBe(line);
  expect(marks.filter((m) => m.fields.length > 0).map((m) => [m.text, m.fields])).toEqual([
    ['deny', ['action']],
    ['10.1.1.3', ['source.ip', 'related.ip']],
    ['22', ['source.port']],
    ['10.2.2.2', ['related.ip']],
  ]);
  expect(highlight('', {})).toEqual([]);
});

it('drafts a pack whose quotes hold', () => {
  expect(draftPack('acme', 'g-1', [{ pattern: "it's {a}" }, { pattern: 'b' }])).toContain("module: acme_g_1\n");
  expect(draftPack('acme', 'g-1', [{ pattern: "it's {a}" }])).toContain("pattern: 'it''s {a}'");
});
