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
