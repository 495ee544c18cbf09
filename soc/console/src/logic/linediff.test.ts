import { describe, expect, it } from 'vitest';
import { lineDiff } from './linediff';

const shown = (a: string, b: string) => lineDiff(a, b).map((l) => l.sign + l.text);

describe('lineDiff', () => {
  it('keeps what is common and marks the rest', () => {
    expect(shown('a\nb\nc\nd\n', 'a\nx\nc\ny\nd\n')).toEqual([' a', '-b', '+x', ' c', '+y', ' d']);
  });
  it('takes an empty text as no lines', () => {
    expect(shown('', 'a\nb\n')).toEqual(['+a', '+b']);
    expect(shown('a\n', '')).toEqual(['-a']);
    expect(shown('', '')).toEqual([]);
  });
  it('gives both texts back', () => {
    const a = Array.from({ length: 300 }, (_, i) => `l${i % 7}`).join('\n');
    const b = Array.from({ length: 280 }, (_, i) => `l${(i * 3) % 11}`).join('\n');
    const lines = lineDiff(a, b);
    expect(lines.filter((l) => l.sign !== '+').map((l) => l.text).join('\n')).toBe(a);
    expect(lines.filter((l) => l.sign !== '-').map((l) => l.text).join('\n')).toBe(b);
  });
  it('shows texts that are too long whole', () => {
    const long = (word: string) => Array.from({ length: 3000 }, (_, i) => word + i).join('\n');
    expect(lineDiff(long('a'), long('b'))).toHaveLength(6000);
  });
});
