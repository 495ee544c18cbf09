import { describe, expect, it } from 'vitest';
import { arrivals } from './arrivals';
import { CLIENTS, authority, curlSpan, portOf, type Place } from './connect';

const place: Place = { base: 'https://soc.example.gov.cn', tenant: 'e-seal', token: 'iw_abc', syslog: '6514' };
const textOf = (id: string, p = place) => CLIENTS.find((c) => c.id === id)?.snippets(p).map((s) => s.text).join('\n') ?? '';

describe('settings for others', () => {
  it('name the server with its port, since shippers have defaults of their own', () => {
    expect(authority('https://soc.example.gov.cn')).toEqual({ scheme: 'https', host: 'soc.example.gov.cn', port: '443' });
    expect(authority('http://10.0.0.5:8080')).toEqual({ scheme: 'http', host: '10.0.0.5', port: '8080' });
    expect(textOf('filebeat')).toContain('hosts: ["https://soc.example.gov.cn:443"]');
    expect(textOf('grafana-prometheus')).toContain('url: https://soc.example.gov.cn:443/prometheus');
  });
  it('carry the tenant and the token in every product that signs in', () => {
    for (const c of CLIENTS) {
      const all = c.snippets(place).map((s) => s.text).join('\n');
      if (c.anonymous) expect(all, c.id).not.toContain('iw_abc');
      else expect([all.includes('e-seal'), all.includes('iw_abc')], c.id).toEqual([true, true]);
      expect(all, c.id).not.toContain('undefined');
    }
  });
  it('write headers for OpenTelemetry, encoded as it wants them', () => {
    expect(textOf('otel-sdk')).toContain('OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20iw_abc,x-scope-orgid=e-seal"');
    expect(textOf('otel-collector', { ...place, tenant: '' })).not.toContain('X-Scope-OrgID');
  });
  it('name no tenant where none is chosen', () => {
    expect(textOf('promtail', { ...place, tenant: '' })).toContain('username: icewatch');
  });
  it('use the listener’s port', () => {
    expect(textOf('rsyslog')).toContain('port="6514"');
    expect(textOf('rsyslog', { ...place, syslog: '' })).toContain('port="5514"');
    expect([portOf(':5514'), portOf('[::]:514'), portOf('/loki/api/v1/push'), portOf(undefined)]).toEqual(['5514', '514', '', '']);
  });
  it('offer a span that the shell fills in', () => {
    expect(curlSpan(place)).toMatch(/^curl -u 'e-seal:iw_abc' .*https:\/\/soc\.example\.gov\.cn:443\/otlp\/v1\/traces/);
  });
});

describe('what arrived', () => {
  const way = { id: 'loki-push', kind: 'loki_push', state: 'ok' as const, received: 1, rejected: 0, dropped: 0, bytes: 1 };
  const sender = { id: '1', collector: 'loki-push', peer: 'x', tenant: 'a', events_per_second: 0, events_today: 0, events_total: 0, bytes_total: 0, first_seen: '', last_seen: '2026-11-26T03:00:00Z' };
  it('is told of all, newest first', () => {
    expect(arrivals([{ ...way, last_seen: '2026-11-26T01:00:00Z' }, { ...way, last_seen: '2026-11-26T02:00:00Z' }], undefined, '')({ collectors: ['loki_push'] })).toEqual({ kind: 'seen', at: '2026-11-26T02:00:00Z' });
    expect(arrivals([{ ...way, last_seen: '0001-01-01T00:00:00Z' }], undefined, '')({ collectors: ['loki-push'] })).toEqual({ kind: 'none' });
    expect(arrivals([{ ...way, state: 'off' }], undefined, '')({ collectors: ['loki_push'] })).toEqual({ kind: 'off' });
    expect(arrivals([way], undefined, '')({ collectors: ['otlp'] })).toEqual({ kind: 'none' });
  });
  it('is told of one tenant by his senders', () => {
    expect(arrivals([way], [sender], 'a')({ collectors: ['loki_push'] })).toEqual({ kind: 'seen', at: sender.last_seen });
    expect(arrivals([way], [sender], 'b')({ collectors: ['loki_push'] })).toEqual({ kind: 'none' });
    expect(arrivals([way], undefined, 'a')({ collectors: ['loki_push'] })).toEqual({ kind: 'unknown' });
  });
  it('is not told where it is not counted', () => {
    expect(arrivals([way], undefined, '')({ collectors: [] })).toEqual({ kind: 'untold' });
    expect(arrivals([way], [sender], 'a')({ collectors: ['loki_push'], whole: true })).toEqual({ kind: 'untold' });
  });
  it('is unknown to who may not see it', () => {
    expect(arrivals([], undefined, '')({ collectors: ['loki_push'] })).toEqual({ kind: 'unknown' });
    expect(arrivals(undefined, undefined, '')({ collectors: ['loki_push'] })).toEqual({ kind: 'unknown' });
  });
});
