/** A text of a room: Chinese, then English. Both stand on one line, so that neither is changed alone. */
export type Pairs = Record<string, readonly [zh: string, en: string]>;

/** One language of the pairs. */
export function side<P extends Pairs>(pairs: P, i: 0 | 1): Record<keyof P, string> {
  return Object.fromEntries(Object.entries(pairs).map(([k, v]) => [k, v[i]])) as Record<keyof P, string>;
}
