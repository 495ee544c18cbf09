/** Places in a text: the server counts characters, the browser UTF-16 units. */

/** The browser's place as the server's. */
export function place(text: string, unit: number): number {
  return Array.from(text.slice(0, unit)).length;
}

/** The text with the characters from–to replaced, and the caret's place after it, in UTF-16 units. */
export function replaced(text: string, from: number, to: number, by: string): [text: string, caret: number] {
  const chars = Array.from(text);
  const before = chars.slice(0, from).join('') + by;
  return [before + chars.slice(to).join(''), before.length];
}

/**
 * The stretch of a query that a fault is about, in UTF-16 units. The server
 * names the byte (UTF-8) where reading stopped: the word there, or the one
 * that ends there.
 */
export function faultAt(text: string, byte: number): [from: number, to: number] {
  const at = new TextDecoder().decode(new TextEncoder().encode(text).slice(0, byte)).length;
  const word = /\S+/g;
  let last: [number, number] = [text.length, text.length];
  for (let m = word.exec(text); m; m = word.exec(text)) {
    if (m.index > at) return last[0] <= at ? last : [m.index, m.index + m[0].length];
    last = [m.index, m.index + m[0].length];
    if (at < last[1]) return last;
  }
  return last;
}
