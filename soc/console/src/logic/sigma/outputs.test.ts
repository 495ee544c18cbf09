import { expect, it } from 'vitest';
import { readKnowledge, readOutputs, shadowed, unready, writeKnowledge, writeOutputs, freshOutput } from './outputs';
import { group, leaf, typed } from './tree';

const RULE = `title: T # kept
logsource: { product: linux }
detection:
  s:
    user.name: x
  condition: s
level: high
icewatch:
  owner: us
  outputs:
    - when:
        admin:
          user.name: root
        night:
          event.hour|gte: 22
        condition: admin and not night
      level: critical
      fields:
        grade: A {user.name}
      then:
        - knowledge: mining
    - level: low
`;

it('reads outputs and writes them as they were', () => {
  const outputs = readOutputs(RULE);
  expect(outputs).toHaveLength(2);
  const [first, second] = outputs ?? [];
  expect(first?.level).toBe('critical');
  expect(first?.when?.items).toHaveLength(2);
  expect(first?.fields).toEqual([{ name: 'grade', value: 'A {user.name}' }]);
  expect(first?.then[0]?.knowledge).toBe('mining');
  expect(second?.when).toBeUndefined();
  const again = readOutputs(writeOutputs(RULE, outputs ?? []));
  expect(again).toEqual(outputs);
  expect(writeOutputs(RULE, outputs ?? [])).toContain('# kept');
});

it('takes away what there is no more of', () => {
  const none = writeOutputs(RULE, []);
  expect(none).not.toContain('outputs');
  expect(none).toContain('owner: us');
  expect(readOutputs(none)).toEqual([]);
});

it('names an article', () => {
  const named = writeKnowledge(RULE, 'web-shell');
  expect(readKnowledge(named)).toBe('web-shell');
  expect(readKnowledge(writeKnowledge(named, ''))).toBe('');
});

it('knows what is not ready', () => {
  expect(unready(freshOutput())).toBe(true);
  const ready = { ...freshOutput(), when: group('and', [{ ...leaf('user.name', 'equals'), values: [typed('root', false)] }]), level: 'high' };
  expect(unready(ready)).toBe(false);
  expect(unready({ ...ready, fields: [{ name: 'A b', value: 'x' }] })).toBe(true);
  expect(shadowed([{ ...ready, when: undefined }, ready])).toBe(true);
  expect(shadowed([ready, { ...ready, when: undefined }])).toBe(false);
});
