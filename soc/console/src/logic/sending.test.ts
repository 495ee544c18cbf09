import { expect, it } from 'vitest';
import { whyOf } from './sending';

it('says what Go says of connections', () => {
  expect(whyOf('dial tcp 127.0.0.1:18598: connect: connection refused')).toBe('refused');
  expect(whyOf('Post "https://x": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')).toBe('timeout');
  expect(whyOf('dial tcp: lookup itsm.example: no such host')).toBe('name');
  expect(whyOf('tls: failed to verify certificate: x509: certificate signed by unknown authority')).toBe('certificate');
  expect(whyOf('read tcp: connection reset by peer')).toBe('reset');
});
it('goes by the status where there is an answer', () => {
  expect(whyOf('HTTP 401: bad token')).toBe('credentials');
  expect(whyOf('anything', 404)).toBe('missing');
  expect(whyOf('', 502)).toBe('theirs');
  expect(whyOf('', 503)).toBe('busy');
});
it('leaves to the receiver’s own words what it does not know', () => {
  expect(whyOf('the field summary is too long')).toBeUndefined();
  expect(whyOf(undefined)).toBeUndefined();
});
