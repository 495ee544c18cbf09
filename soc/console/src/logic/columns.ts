/** Which columns a list shows, in what order and how wide: in its address and among a person's preferences. Pure. */

export interface Shown {
  key: string;
  /** Pixels; as wide as the list has it where nobody chose. */
  width?: number;
}
export interface Spec {
  key: string;
  /** A track of CSS grid. */
  track: string;
  /** Shown unless somebody chose otherwise. */
  usual: boolean;
  /** Left out of the usual ones where there is little room (1), or even less (2). */
  roomy?: 1 | 2;
  /** It cannot be left out: it says what a row is. */
  fixed?: boolean;
}

export const NARROWEST = 36;
export const WIDEST = 900;

/** Reads "key" and "key:120". What is not known is left out, what is said twice counts once, what cannot be left out is put first. */
export function readColumns(list: readonly string[], specs: readonly Spec[]): Shown[] {
  const out: Shown[] = [];
  for (const text of list) {
    const [key = '', width = ''] = text.split(':');
    if (!specs.some((s) => s.key === key) || out.some((c) => c.key === key)) continue;
    const n = Number(width);
    out.push(width !== '' && n >= NARROWEST && n <= WIDEST ? { key, width: Math.round(n) } : { key });
  }
  if (out.length === 0) return [];
  const lost = specs.filter((s) => s.fixed && !out.some((c) => c.key === s.key)).map((s) => ({ key: s.key }));
  return [...lost, ...out];
}

export const writeColumns = (shown: readonly Shown[]): string[] => shown.map((c) => (c.width ? `${c.key}:${c.width}` : c.key));

/** What there is where nobody chose. */
export const usualColumns = (specs: readonly Spec[], scarce: 0 | 1 | 2 = 0): Shown[] => specs.filter((s) => s.usual && !(s.roomy && s.roomy <= scarce)).map((s) => ({ key: s.key }));

/** The tracks of the list's grid. */
export function tracks(shown: readonly Shown[], specs: readonly Spec[]): string {
  return shown.map((c) => (c.width ? `${c.width}px` : (specs.find((s) => s.key === c.key)?.track ?? '100px'))).join(' ');
}

/** The least width that the tracks need, as a length of CSS: a narrower list is scrolled. */
export function least(shown: readonly Shown[], specs: readonly Spec[], beside: number): string {
  const of = (c: Shown) => (c.width ? `${c.width}px` : (specs.find((s) => s.key === c.key)?.track ?? '100px').replace(/^minmax\(([^,]+),.*$/, '$1'));
  return `calc(${[...shown.map(of), `${beside}px`].join(' + ')})`;
}

export function toggled(shown: readonly Shown[], spec: Spec): Shown[] {
  if (spec.fixed) return [...shown];
  return shown.some((c) => c.key === spec.key) ? shown.filter((c) => c.key !== spec.key) : [...shown, { key: spec.key }];
}

export function movedColumn(shown: readonly Shown[], key: string, by: number): Shown[] {
  const at = shown.findIndex((c) => c.key === key);
  const to = at + by;
  if (at < 0 || to < 0 || to >= shown.length) return [...shown];
  const next = [...shown];
  const [c] = next.splice(at, 1);
  next.splice(to, 0, c as Shown);
  return next;
}

export function resized(shown: readonly Shown[], key: string, width: number | undefined): Shown[] {
  return shown.map((c) => (c.key === key ? (width === undefined ? { key } : { key, width: Math.round(Math.min(WIDEST, Math.max(NARROWEST, width))) }) : c));
}

/** The part of an address that is a view worth keeping: its filters and columns, not where the hand was. */
export function viewOf(params: URLSearchParams, columns?: readonly Shown[]): string {
  const q = new URLSearchParams(params);
  for (const k of ['sel', 'preview', 'new']) q.delete(k);
  if (columns && columns.length > 0) q.set('cols', writeColumns(columns).join(','));
  q.sort();
  return q.toString();
}
