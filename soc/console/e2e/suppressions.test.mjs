/**
 * A false positive in real Chromium: a suppression is drafted from an alert,
 * previewed, saved with a reason, switched off and deleted.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

let browser;
let page;

before(async () => {
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(faults, []);
});

steps('a false positive drafts a suppression, whose impact is shown before it is saved', async () => {
  await go(page, '/suppressions');
  await page.getByText('还没有加白规则').waitFor();
  await shot(page, 'suppressions-empty');
  const answer = await page.request.get(`${BASE}/api/v1/alerts?limit=1`);
  const alert = (await answer.json()).items[0];
  await go(page, `/alerts/${alert.id}`);
  await page.getByTestId('suppress').click();
  const form = page.getByRole('dialog');
  await form.getByText(/次触发会被加白/).waitFor();
  await shot(page, 'suppression-draft');
  await form.getByLabel('名称').fill('演练主机');
  assert.equal(await form.getByRole('button', { name: '保存' }).isDisabled(), true, 'without a reason it cannot be saved');
  await form.getByLabel('为什么无害').fill('每周演练');
  await form.getByRole('button', { name: '保存' }).click();
  await form.waitFor({ state: 'detached' });
});

steps('it is switched off, on and deleted, and each can be undone', async () => {
  const row = page.getByRole('row').filter({ hasText: '演练主机' });
  await row.getByText('每周演练').waitFor();
  await shot(page, 'suppressions');
  await row.getByRole('switch').click();
  await row.locator('[role=switch][aria-checked=false]').waitFor();
  await row.getByRole('switch').click();
  await row.locator('[role=switch][aria-checked=true]').waitFor();
  await row.getByRole('button', { name: '历史版本' }).click();
  const history = page.getByRole('dialog');
  await history.getByText('停用').waitFor();
  await page.keyboard.press('Escape');
  await history.waitFor({ state: 'detached' });
  await row.getByRole('button', { name: '删除 演练主机' }).click();
  await row.waitFor({ state: 'detached' });
  await page.locator('.toast').filter({ hasText: '已删除' }).getByRole('button', { name: '撤销' }).click();
  await row.waitFor();
});
