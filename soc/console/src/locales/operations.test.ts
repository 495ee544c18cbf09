import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { en } from './en';
import { operationName, operationRooms, operations } from './operations';
import { zh, type Key } from './zh';

/** Every operation of the API with the scope it needs: the server's own test keeps the file true. */
const table = readFileSync(new URL('../../../../test/acceptance/testdata/permissions.tsv', import.meta.url), 'utf8');
const ids = [...new Set(table.trim().split('\n').map((line) => line.split('\t')[1] ?? ''))];

it('names every operation of the API in both languages', () => {
  expect(ids.length).toBeGreaterThan(100);
  expect(ids).not.toContain('');
  const missing = (locale: 'zh-CN' | 'en-US', texts: Record<Key, string>) => ids.filter((id) => !operationName(id, locale, (x) => (`setting.${x}` in texts ? texts[`setting.${x}` as Key] : undefined))?.trim());
  expect(missing('zh-CN', zh)).toEqual([]);
  expect(missing('en-US', en)).toEqual([]);
});

it('has neither language empty or in the place of the other', () => {
  for (const [id, [chinese, english]] of Object.entries(operations)) {
    expect(chinese, id).toMatch(/\p{Script=Han}/u);
    expect(english, id).toMatch(/^[ -~]+$/);
  }
});

it('has each operation in one room', () => {
  const all = Object.values(operationRooms).flatMap((room) => Object.keys(room));
  expect(all.filter((id, i) => all.indexOf(id) !== i)).toEqual([]);
});
