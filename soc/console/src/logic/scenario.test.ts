import { describe, expect, it } from 'vitest';
import { changeOf, conditionText, linesOf, readCondition } from './scenario';

describe('conditions of scenarios', () => {
  it('are read as they were written', () => {
    for (const text of ['attack="mining"', 'severity=~"high|critical"', 'rule!~"a\\\\.b"', 'tag!="x y"', 'attack=""']) expect(conditionText(readCondition(text))).toBe(text);
    expect(conditionText(readCondition('attack=mining'))).toBe('attack="mining"');
    expect(readCondition('what is this').name).toBe('what is this');
  });
  it('are lines without what is empty', () => {
    const empty = { name: '', value: '', isRegex: false, isEqual: true };
    expect(linesOf([[empty], [readCondition('attack="x"'), empty]])).toEqual([['attack="x"']]);
  });
  it('compare with the time before', () => {
    expect(changeOf(15, 10)).toBe(50);
    expect(changeOf(0, 10)).toBe(-100);
    expect(changeOf(5, 0)).toBeNull();
  });
});
