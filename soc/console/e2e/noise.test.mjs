/**
 * What makes alerts fewer and who is told, in real Chromium: a rule of
 * inhibition is made, paused, deleted and brought back, a silence comes again
 * every week, a merge rule is tried and kept, a route is added and saved, a
 * calendar gets hours; both languages, light and dark.
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
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(faults, []);
});

/** Fills one condition of a group of them: its label and its value. */
async function condition(group, name, value) {
  await group.getByRole('combobox', { name: '标签' }).fill(name);
  await group.getByRole('combobox', { name: '取值' }).fill(value);
}

steps('a rule of inhibition is tried, kept, paused, deleted and brought back', async () => {
  await go(page, '/inhibitions');
  await page.getByText('没有抑制规则').waitFor();
  await page.getByRole('button', { name: '新建抑制规则' }).first().click();
  const form = page.getByRole('dialog');
  await form.getByLabel('名称').fill('交换机故障');
  await condition(form.getByRole('group', { name: /^源告警/ }), 'alertname', 'SwitchDown');
  await form.getByText('填好源和目标条件后').waitFor();
  await condition(form.getByRole('group', { name: /^目标告警/ }), 'alertname', 'HostDown');
  await form.getByTestId('silence-preview').getByText('现在没有符合条件的告警').waitFor();
  await shot(page, 'inhibition-form');
  await form.getByRole('button', { name: '保存' }).click();
  await form.waitFor({ state: 'detached' });
  const row = page.getByRole('row').filter({ hasText: '交换机故障' });
  await row.getByText('alertname=SwitchDown').waitFor();
  const force = row.getByRole('switch', { name: '“交换机故障”生效' });
  await force.click();
  await row.locator('[role=switch][aria-checked=false]').waitFor();
  await row.getByRole('button', { name: '删除 交换机故障' }).click();
  await row.waitFor({ state: 'detached' });
  await page.locator('.toast').filter({ hasText: '已删除' }).getByRole('button', { name: '撤销' }).click();
  await row.waitFor();
  await shot(page, 'inhibitions');
});

steps('a silence comes again every week, and shows when', async () => {
  await go(page, '/silences?new=1');
  const form = page.getByRole('dialog');
  await condition(form.getByRole('group', { name: /^条件/ }), 'alertname', 'Backup');
  await form.getByRole('button', { name: '每周', exact: true }).click();
  await form.getByRole('button', { name: '周三', exact: true }).click();
  await form.getByTestId('silence-times').getByRole('listitem').nth(4).waitFor();
  await form.getByLabel('说明').fill('备份窗口');
  await shot(page, 'silence-weekly');
  await form.getByRole('button', { name: '创建静默' }).click();
  await form.waitFor({ state: 'detached' });
  await page.getByRole('row').filter({ hasText: '备份窗口' }).getByText('周三 周六 周日').waitFor();
});

steps('a merge rule is tried on the last week and kept', async () => {
  await go(page, '/merge-rules');
  await page.getByText('攻击：同一资产或同一攻击者').waitFor();
  await page.getByRole('button', { name: '新建合并规则' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('名称').fill('同名告警');
  await form.getByTestId('merge-preview').getByText(/条告警/).waitFor();
  await shot(page, 'merge-form');
  await form.getByRole('button', { name: '保存' }).click();
  await form.waitFor({ state: 'detached' });
  await page.getByRole('row').filter({ hasText: '同名告警' }).getByText('alertname', { exact: true }).waitFor();
  await page.getByTestId('compression').getByText('压缩比').first().waitFor();
  await shot(page, 'merge-rules');
});

steps('a route is added to the tree, and the tree is saved', async () => {
  await go(page, '/notify/routes');
  await page.getByRole('button', { name: '加子路由' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('名称').fill('夜间');
  await form.getByRole('button', { name: '保存', exact: true }).click();
  await form.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: '保存路由' }).click();
  await page.getByRole('dialog').getByRole('button', { name: '保存', exact: true }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.reload();
  await page.locator('[data-route]').filter({ hasText: '夜间' }).first().waitFor();
  await shot(page, 'routes');
});

steps('a calendar gets hours, and a wrong one is told', async () => {
  await go(page, '/sla?tab=terms');
  const calendars = page.getByTestId('calendars');
  await calendars.getByRole('button', { name: /加一组时段/ }).click();
  const hours = calendars.getByLabel('时段', { exact: true }).last();
  await hours.fill('9-12');
  await calendars.getByText('例如 09:00-12:00').waitFor();
  await hours.fill('10:00-12:00');
  await calendars.getByText('例如 09:00-12:00').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByText('约定已生效').waitFor();
  await shot(page, 'sla-calendars');
});

steps('English and dark, without words of the other language', async () => {
  const other = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(other.page, PASSWORD);
  await other.page.locator('.rail').waitFor();
  for (const [path, text] of [
    ['/inhibitions', 'Equal labels'],
    ['/merge-rules', 'Attacks: by item and attacker'],
    ['/attackers', 'No attackers'],
    ['/statutory', 'Nothing has to be reported'],
  ]) {
    await go(other.page, path);
    await other.page.getByText(text).first().waitFor();
    await shot(other.page, `${path.slice(1)}-dark`);
  }
});
