/** A line of a comparison: in both texts, in the former alone, or in the latter alone. */
export interface DiffLine {
  sign: ' ' | '-' | '+';
  text: string;
}

/** Above so many pairs of lines texts are not compared line by line. */
const LIMIT = 4_000_000;

/**
 * Compares two texts line by line: the longest common subsequence stays, what is
 * left of the former goes, what is left of the latter comes. Texts that are too
 * long for that are shown whole, one after the other.
 */
export function lineDiff(before: string, after: string): DiffLine[] {
  const a = split(before);
  const b = split(after);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const left = a.slice(start, a.length - end);
  const right = b.slice(start, b.length - end);
  return [...a.slice(0, start).map(same), ...middle(left, right), ...a.slice(a.length - end).map(same)];
}

const same = (text: string): DiffLine => ({ sign: ' ', text });
const split = (text: string) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));

function middle(a: readonly string[], b: readonly string[]): DiffLine[] {
  const gone = (text: string): DiffLine => ({ sign: '-', text });
  const come = (text: string): DiffLine => ({ sign: '+', text });
  if (a.length === 0 || b.length === 0 || a.length * b.length > LIMIT) return [...a.map(gone), ...b.map(come)];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number) => longest[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const out: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const x = a[i];
    const y = b[j];
    if (x !== undefined && x === y) {
      out.push(same(x));
      i++;
      j++;
    } else if (x !== undefined && (y === undefined || at(i + 1, j) >= at(i, j + 1))) {
      out.push(gone(x));
      i++;
    } else {
      out.push(come(y ?? ''));
      j++;
    }
  }
  return out;
}
