/** A value as one line of text. */
export function shown(v: unknown): string {
  return typeof v === 'string' ? v : (JSON.stringify(v) ?? '');
}

/** The items of a list that the other one lacks. */
export function wordsGone(value: readonly unknown[], other: unknown): string[] {
  const kept = new Set(Array.isArray(other) ? other.map(shown) : []);
  return value.map(shown).filter((x) => !kept.has(x));
}

/** The fields in which two documents differ, by path; lists count whole. */
export function differences(before: unknown, after: unknown, path = ''): { field: string; before: unknown; after: unknown }[] {
  const plain = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
  if (plain(before) && plain(after)) {
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((k) => differences(before[k], after[k], path ? `${path}.${k}` : k));
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ field: path, before, after }];
}
