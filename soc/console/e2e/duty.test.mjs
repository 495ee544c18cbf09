/**
 * Duty and service levels in real Chromium: a team is made, its roster shows
 * with a gap, somebody else is put on duty and taken back, a note is left and
 * done, the terms are changed and their outcome shows, the report and the
 * holidays show; both languages, light and dark.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { PASSWORD, USERNAME, faults, go, launch, open, settled, shot, signIn, steps } from './desk.mjs';

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

steps('without teams the pages say what to do next', async () => {
  await go(page, '/duty');
  await page.getByText('您不在任何班组').waitFor();
  await go(page, '/duty/calendar');
  await page.getByText('还没有班组').waitFor();
  await shot(page, 'duty-empty');
});

steps('a team is made, and its roster stands beside what is written', async () => {
  await go(page, '/duty/teams/new');
  await page.getByLabel('中文名').first().fill('安全运营组');
  await page.getByLabel('英文名').first().fill('Security operations');
  await page.getByLabel(/^轮班次序/).fill(USERNAME);
  await page.getByLabel(/^时段/).fill('09:00-18:00');
  await page.getByTestId('preview').getByText(USERNAME).first().waitFor();
  await page.getByTestId('preview').getByText('无人').first().waitFor();
  await page.getByRole('button', { name: /加一条策略/ }).click();
  await page.getByRole('button', { name: /加一级/ }).click();
  await page.getByRole('button', { name: '✕' }).or(page.getByRole('button', { name: '删除' })).last().waitFor();
  await shot(page, 'duty-team');
  // The second step calls the head, whom the team does not have: the server says where.
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByRole('alert').filter({ hasText: 'head' }).first().waitFor();
  await page.getByRole('checkbox', { name: '呼叫负责人' }).last().uncheck();
  await page.getByLabel('分钟后', { exact: true }).last().fill('5');
  await page.locator('.ant-select').filter({ has: page.getByLabel('呼叫哪些线') }).last().click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').first().click();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.waitForURL(/\/duty\/calendar\?team=/);
});

steps('the calendar shows gaps, and an override by keyboard closes one', async () => {
  await settled(page);
  await page.getByRole('grid', { name: '安全运营组' }).waitFor();
  await page.getByText(/段无人当班/).waitFor();
  await shot(page, 'duty-month');
  await page.getByRole('button', { name: '周', exact: true }).click();
  await page.waitForURL(/mode=week/);
  await settled(page);
  const gap = page.locator('button.shift.gap').first();
  await gap.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  await dialog.getByLabel('人员').fill(USERNAME);
  await page.keyboard.press('Enter');
  await dialog.getByLabel('说明').fill('替班');
  await dialog.getByRole('button', { name: '保存' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.locator('button.shift.swapped').first().waitFor();
  await shot(page, 'duty-week');
  await page.getByRole('button', { name: '删除', exact: true }).first().click();
  await page.locator('button.shift.swapped').first().waitFor({ state: 'detached' });
});

steps('a note is left for the next shift and done', async () => {
  await go(page, '/duty');
  await page.getByRole('button', { name: '记一笔' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('记事').fill('核心交换机正在更换电源');
  await dialog.getByRole('button', { name: '保存' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('核心交换机正在更换电源').waitFor();
  await shot(page, 'duty-mine');
  await page.getByRole('button', { name: '办结' }).click();
  await page.getByText('核心交换机正在更换电源').waitFor({ state: 'detached' });
});

steps('terms are tried before they are kept', async () => {
  await go(page, '/sla?tab=terms');
  const minutes = page.getByLabel('P1 响应（分钟）');
  await minutes.fill('5000');
  await page.getByRole('alert').filter({ hasText: 'is less than ack_minutes' }).waitFor();
  await minutes.fill('10');
  await page.getByRole('alert').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByText('约定已生效').waitFor();
  await shot(page, 'sla-terms');
  await page.getByRole('tab', { name: '节假日' }).click();
  await page.getByText('国庆节 2026-10-01').waitFor();
  await shot(page, 'sla-holidays');
  await page.getByRole('tab', { name: '达成报告' }).click();
  await page.getByRole('table', { name: '值班统计' }).waitFor();
  await shot(page, 'sla-report');
});

steps('English and dark, without words of the other language', async () => {
  const other = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(other.page, PASSWORD);
  await other.page.locator('.rail').waitFor();
  await go(other.page, '/duty/calendar');
  await other.page.getByRole('grid', { name: 'Security operations' }).waitFor();
  await shot(other.page, 'duty-month-dark');
  await go(other.page, '/sla');
  await other.page.getByRole('table', { name: 'Duty statistics' }).waitFor();
  await shot(other.page, 'sla-report-dark');
});
