import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('holds rules that a browser reads to the end', () => {
  const css = readFileSync(fileURLToPath(new URL('styles.css', import.meta.url)), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  // Marks of a merge that was left half done: what stands after them is skipped.
  expect(css.match(/^(<{7}|={7}|>{7}).*$/m)).toBeNull();
  let depth = 0;
  for (const c of css) {
    if (c === '{') depth++;
    if (c === '}') depth--;
    expect(depth).toBeGreaterThanOrEqual(0);
  }
  expect(depth).toBe(0);
});
