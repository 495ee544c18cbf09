/**
 * The archives of units and systems, assets by risk and portraits in real
 * Chromium: found by labels and marks together, sorted by a click, a mark set
 * and taken back, reasons and words in both languages.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

let browser;
let page;

before(async () => {
  browser = await launch();
  page = (await open(browser)).page;
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(faults, []);
});


steps('a unit is a card with its type in words, and leads to its portrait', async () => {
  await go(page, '/units?q=医保局');
  await page.getByRole('link', { name: '医保局' }).click();
  await page.getByRole('heading', { name: '医保局' }).waitFor();
  await page.getByRole('table', { name: '下属资产风险' }).getByRole('link', { name: '医保结算系统' }).waitFor();
  await shot(page, 'portrait-unit');
});

steps('a mark is set by one click on the portrait, found by one click on the list, and taken back', async () => {
  await go(page, '/portraits/yb-sys');
  await page.getByText('防护缺口').waitFor();
  await page.getByRole('button', { name: /关基/ }).click();
  await page.getByRole('button', { name: /关基/, pressed: true }).waitFor();
  await page.getByTestId('portraittimeline').getByText('关键信息基础设施').first().waitFor();
  await shot(page, 'portrait-system');
  await go(page, '/systems');
  await page.getByRole('button', { name: '关基', exact: true }).click();
  await page.waitForURL(/mark=cii/);
  await page.getByRole('link', { name: '医保结算系统' }).waitFor();
  await page.getByText('已显示 1 项').waitFor();
  await shot(page, 'systems-cii');
  await go(page, '/cmdb/yb-sys');
  await page.getByRole('button', { name: /关基/, pressed: true }).click();
  await page.getByRole('button', { name: /关基/, pressed: false }).waitFor();
});

steps('a card expands to what happens, and cards become tiles', async () => {
  await go(page, '/systems');
  await page.getByRole('button', { name: /近期安全事件与告警/ }).first().click();
  await page.waitForURL(/open=/);
  await page.locator('.threats, .archivecards .dim').first().waitFor();
  await go(page, '/systems?view=tiles');
  await page.locator('.archivetiles').getByText('医保结算系统').waitFor();
  await shot(page, 'systems-tiles');
});

steps('key assets are counted, and a rule names some', async () => {
  await go(page, '/cmdb/key');
  await page.getByRole('button', { name: '新建规则' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('名称').fill('核心主机');
  await dialog.getByLabel('筛选条件').fill('class = host and criticality >= 5');
  await dialog.getByRole('button', { name: /保\s*存/ }).click();
  const row = page.getByRole('table', { name: '规则' }).getByRole('row', { name: /核心主机/ });
  await row.getByRole('link', { name: /^[1-9]/ }).waitFor();
  await shot(page, 'key-assets');
  await row.getByRole('button', { name: /删\s*除/ }).click();
  await page.getByText('还没有规则').waitFor();
});

steps('who talks to whom says what to do where nobody does yet', async () => {
  await go(page, '/cmdb/traffic');
  await page.getByRole('button', { name: /累\s*计/ }).click();
  await page.getByText('还没有资产之间的通信').waitFor();
  await shot(page, 'traffic-none');
});

steps('lists are sorted by a click on a column, by the server', async () => {
  await go(page, '/risk?q=yb-');
  const table = page.getByRole('table', { name: '资产风险' });
  await table.getByRole('button', { name: /重要性/ }).click();
  await page.waitForURL(/sort=criticality/);
  await page.waitForFunction(() => document.querySelector('table[aria-label=资产风险] tbody tr a')?.textContent === 'yb-db-1');
  await go(page, '/cmdb/items?class=host&q=yb-');
  await page.getByRole('button', { name: /^名称/ }).click();
  await page.getByRole('button', { name: /^名称/ }).click();
  await page.waitForURL(/sort=-name/);
  await page.getByRole('columnheader', { name: /名称/ }).and(page.locator('[aria-sort=descending]')).waitFor();
  await page.waitForFunction(() => document.querySelector('table[aria-label=资产台账] tbody tr')?.getAttribute('data-id') === 'yb-db-1');
});

steps('English and dark', async () => {
  const { page: p } = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(p, PASSWORD);
  await p.locator('.rail').waitFor();
  await go(p, '/portraits/yb-app-1');
  await p.getByText('Missing protection').waitFor();
  await p.getByText('Operating system').waitFor();
  await shot(p, 'portrait-dark');
  await go(p, '/systems?view=rows');
  await p.getByRole('table', { name: 'Systems' }).getByRole('link', { name: '医保结算系统' }).waitFor();
  await shot(p, 'systems-dark');
});
