import { expect, it } from 'vitest';
import { NO_OUTPUT, readOutput, writeOutput, type Output } from './output';

const RULE = `title: T # kept
logsource: { product: linux }
detection:
  s:
    user.name: x
  condition: s
level: high
`;

it('writes each part of the output and reads it again, leaving the rest', () => {
  const want: Output = { description: 'what it is', sentenceZh: '{user.name} 登录', sentenceEn: '{user.name} signed in', adviceZh: '核对', adviceEn: 'Check', groupBy: ['user.name', 'host.name'], fields: ['source.ip'] };
  let source = RULE;
  for (const key of Object.keys(want) as (keyof Output)[]) source = writeOutput(source, key, want[key]);
  expect(readOutput(source)).toEqual(want);
  expect(source).toContain('# kept');
  expect(source.indexOf('description')).toBeLessThan(source.indexOf('detection'));
  for (const key of Object.keys(want) as (keyof Output)[]) source = writeOutput(source, key, NO_OUTPUT[key]);
  expect(readOutput(source)).toEqual(NO_OUTPUT);
  expect(source).not.toContain('icewatch');
});

it('leaves alone what it cannot read', () => {
  expect(writeOutput('a: [', 'description', 'x')).toBe('a: [');
  expect(readOutput('')).toEqual(NO_OUTPUT);
});

it('changes the document that raises the alerts', () => {
  const two = `${RULE}---\ntitle: C\ncorrelation:\n  type: event_count\n  rules: [t]\n`;
  const out = writeOutput(two, 'sentenceEn', 'many');
  expect(out.indexOf('many')).toBeGreaterThan(out.indexOf('---'));
});
