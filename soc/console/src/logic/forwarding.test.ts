import { expect, it } from 'vitest';
import { TARGET_KINDS, type Target } from '../api/forwarding';
import { BLOCK, blank, bodyOf, formOf, labelsOf, linesOf, needsPassword, speaksTLS } from './forwarding';

it('sends exactly the block of its kind', () => {
  for (const kind of TARGET_KINDS) {
    const body = bodyOf(kind, { ...blank(kind), name: ' a ' }, true, []) as unknown as Record<string, unknown>;
    expect(Object.values(BLOCK).filter((b) => body[b] !== undefined), kind).toEqual([BLOCK[kind]]);
    expect([body.name, body.secrets, body.tls], kind).toEqual(['a', {}, undefined]);
  }
});
it('keeps a stored secret that is not typed anew, and takes one away that no longer serves', () => {
  const f = { ...blank('elasticsearch'), block: { ...blank('elasticsearch').block, auth: 'basic' } };
  expect(bodyOf('elasticsearch', f, true, ['password']).secrets).toEqual({});
  expect(bodyOf('elasticsearch', { ...f, password: 'x' }, true, ['password']).secrets).toEqual({ password: 'x' });
  expect(bodyOf('elasticsearch', blank('elasticsearch'), true, ['password', 'client_key']).secrets).toEqual({ password: '', client_key: '' });
});
it('knows who signs in and who speaks TLS', () => {
  expect([needsPassword('kafka', { mechanism: 'PLAIN' }), needsPassword('kafka', { mechanism: '' }), needsPassword('syslog', {}), needsPassword('loki', { auth: 'bearer' })]).toEqual([true, false, false, true]);
  expect([speaksTLS('elasticsearch', { urls: ['http://a', 'https://b'] }), speaksTLS('loki', { url: 'http://a' }), speaksTLS('syslog', { transport: 'tls' }), speaksTLS('kafka', { tls: false })]).toEqual([true, false, true, false]);
});
it('reads a target back as it was written', () => {
  const stored = { ...bodyOf('loki', { ...blank('loki'), name: 'l', tenants: ['a', 'b'], tls: { ca: 'PEM', server_name: '', client_certificate: '' }, block: { ...blank('loki').block, url: 'https://l' } }, true, []), id: '1', revision: 1, secrets_set: [] } as unknown as Target;
  const form = formOf(stored);
  expect([form.tenants, form.tls.ca, form.block.labels, form.block.url]).toEqual([['a', 'b'], 'PEM', 'service_name=event.dataset\nhost=host.name', 'https://l']);
  expect(labelsOf('a=b\n\n bad line \n c = d.e ')).toEqual({ a: 'b', c: 'd.e' });
  expect(linesOf({ a: 'b' })).toBe('a=b');
});
