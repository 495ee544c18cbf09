/** Why something did not reach its receiver, in words. Pure. */

export type Why = 'refused' | 'timeout' | 'name' | 'certificate' | 'unreachable' | 'reset' | 'forbidden' | 'credentials' | 'missing' | 'busy' | 'theirs' | 'answer';

const SAID: readonly [RegExp, Why][] = [
  [/connection refused/i, 'refused'],
  [/i\/o timeout|deadline exceeded|timed? ?out/i, 'timeout'],
  [/no such host|server misbehaving|NXDOMAIN/i, 'name'],
  [/x509|certificate|tls: /i, 'certificate'],
  [/no route to host|network is unreachable|host is down/i, 'unreachable'],
  [/connection reset|broken pipe|unexpected EOF|: EOF/i, 'reset'],
  [/not allowed|is refused by|egress/i, 'forbidden'],
  [/the answer is no/i, 'answer'],
];

/** What an error of a connection means, by its text and the answer's status; undefined where only its own words can say. */
export function whyOf(error: string | undefined, status?: number): Why | undefined {
  const http = status || Number(/\b(?:HTTP|status|answered(?: with)?)\s*:?\s*([45]\d\d)\b/i.exec(error ?? '')?.[1] ?? 0);
  if (http === 401 || http === 403) return 'credentials';
  if (http === 404 || http === 405 || http === 410) return 'missing';
  if (http === 429 || http === 503) return 'busy';
  if (http >= 500) return 'theirs';
  return SAID.find(([text]) => text.test(error ?? ''))?.[1];
}
