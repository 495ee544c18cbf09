/**
 * Policies in real Chromium: what is in force is shown with what it decided, a
 * weekly maintenance window is declared, switched off and removed, and an
 * analyst sets an incident's priority and takes that back.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

let browser;
let desk;
let page;

before(async () => {
  browser = await launch();
  desk = await open(browser);
  page = desk.page;
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(faults, []);
});

steps('the policies in force are shown with their decisions', async () => {
  await go(page, '/policies');
  await page.getByText('icewatch.priority', { exact: false }).first().waitFor();
  await page.getByText('icewatch/priority/decision').first().waitFor();
  await page.locator('summary').first().click();
  await shot(page, 'policies');
});

steps('a weekly maintenance window is declared, switched off and removed', async () => {
  await go(page, '/maintenance');
  await page.getByRole('button', { name: '新建维护窗口' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('名称').fill('周末补丁');
  await dialog.getByText('每周', { exact: true }).click();
  await dialog.getByLabel('资产').fill('quokka-host');
  await dialog.getByLabel('资产').press('Enter');
  await shot(page, 'maintenance-form');
  await dialog.getByRole('button', { name: /保\s*存/ }).click();
  const row = page.getByRole('row').filter({ hasText: '周末补丁' });
  await row.getByText('22:00–02:00').waitFor();
  const [made] = (await desk.context.request.get(`${BASE}/api/v1/maintenance-windows`).then((r) => r.json())).items;
  assert.deepEqual([made.start, made.end, made.weekly.days], [undefined, undefined, ['saturday']], 'a weekly window goes on week after week');
  await shot(page, 'maintenance');
  await row.getByRole('button', { name: /停\s*用/ }).click();
  await row.getByRole('button', { name: /启\s*用/ }).waitFor();
  await row.getByRole('button', { name: /删\s*除/ }).click();
  await row.waitFor({ state: 'detached' });
});

steps('an incident has an analyst’s priority until it is undone', async () => {
  await go(page, '/incidents');
  await page.locator('a[href^="/incidents/INC-"]').first().click();
  await page.getByRole('button', { name: '改优先级' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.locator('input[type=radio][value=P4]').check();
  await dialog.getByLabel('理由').fill('演练');
  await dialog.getByRole('button', { name: '改优先级' }).click();
  await page.getByTestId('override').getByText('admin：演练').waitFor();
  await shot(page, 'incident-override');
  await page.getByRole('button', { name: '撤销人工优先级' }).click();
  await page.getByTestId('override').waitFor({ state: 'detached' });
});
