/**
 * Flows, log monitoring rules, masking, storage, usage and backups, in real
 * Chromium against a running suite that `icewatch simulate` has sent flows and
 * events to. desk.mjs tells the environment.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { PASSWORD, faults, go, launch, missing, open, settled, shot, signIn, steps, visit } from './desk.mjs';

let browser;
let page;

before(async () => {
  if (missing) return;
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
});

steps('top talkers lead to the raw flows', async () => {
  await go(page, '/flows?by=service&metric=flows');
  const row = page.getByRole('table', { name: '流量排行' }).locator('tbody tr').first();
  await row.waitFor();
  await page.locator('.panel canvas').first().waitFor();
  await shot(page, 'flows');
  await row.getByRole('link', { name: '原始流' }).click();
  await page.waitForURL(/\/search\?query=event\.dataset/);
  await page.getByTestId('hit').first().waitFor();
});

steps('a conversation leads to the map of who talks to whom', async () => {
  await go(page, '/flows?tab=conversations');
  const first = page.getByRole('table', { name: '会话' }).locator('tbody tr').first();
  const address = (await first.locator('.token').first().innerText()).trim();
  await first.getByRole('link', { name: `看 ${address} 的通信关系图` }).click();
  await page.waitForURL(/tab=map/);
  await page.getByTestId('flow-map').locator('canvas').waitFor();
  await page.getByRole('table', { name: '通信关系' }).locator('tbody tr').first().waitFor();
  await page.getByRole('heading', { name: '地址画像' }).waitFor();
  await settled(page);
  await shot(page, 'flow-map');
});

steps('a log monitoring rule is made, run by hand, and switched off', async () => {
  await go(page, '/search/monitors');
  await page.getByRole('button', { name: '新建监控规则' }).first().click();
  const form = page.locator('.ant-modal:visible');
  await form.getByLabel('名称').fill('登录失败过多');
  await form.getByLabel('查询语句').fill('"Failed password"');
  await form.getByText(/接下来：/).waitFor();
  await form.getByLabel('检索窗口').fill('1h');
  await form.getByRole('button', { name: '创建' }).click();
  await page.getByText('已保存 登录失败过多').waitFor();
  await page.getByRole('button', { name: '登录失败过多', exact: true }).click();
  await page.getByRole('button', { name: '立即执行' }).click();
  const run = page.getByTestId('runs').locator('tr', { hasText: '满足条件' });
  await run.first().waitFor();
  assert.ok(Number((await run.first().locator('td').last().innerText()).replace(/\D/g, '')) > 0);
  await shot(page, 'monitors');
  await page.getByRole('switch', { name: '启用: 登录失败过多' }).click();
  await page.getByText('已停用 1 条').waitFor();
});

steps('a masking rule shows what it hides before it counts', async () => {
  await go(page, '/admin/masking');
  await page.getByRole('button', { name: '新建脱敏规则' }).click();
  const form = page.locator('.ant-modal:visible');
  await form.getByLabel('中文名称').fill('来源端口');
  await form.getByLabel('正则表达式').fill('1\\d{10}');
  await form.getByTestId('mask-preview').locator('mark').first().waitFor();
  assert.match(await form.getByTestId('mask-preview').locator('mark').first().innerText(), /^138.*5678$/);
  await shot(page, 'masking');
  await form.getByRole('button', { name: '保存' }).click();
  await page.getByText('已保存 来源端口').waitFor();
  await page.getByRole('switch', { name: '启用: 来源端口' }).click();
  await page.getByText('已启用 来源端口').waitFor();
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByRole('switch', { name: '启用: 来源端口', checked: false }).waitFor();
});

steps('storage tells how long the disk will do, who fills it, and what was lost', async () => {
  await go(page, '/admin/storage');
  await page.getByTestId('days-left').waitFor();
  await page.getByTestId('conditions').waitFor();
  await page.getByRole('table', { name: '保存等级' }).getByText('standard').waitFor();
  await shot(page, 'storage');
  await page.getByRole('link', { name: '接入与处理' }).click();
  await page.getByText('丢弃，按原因').waitFor();
  await page.getByRole('link', { name: '数据来源' }).click();
  await page.getByRole('table', { name: '数据来源' }).locator('tbody tr').first().waitFor();
  await page.getByRole('link', { name: '慢查询' }).click();
  await settled(page);
});

steps('a tenant has a quota of its own, and its usage shows', async () => {
  await go(page, '/tenants?q=e-seal&usage=e-seal');
  const panel = page.getByTestId('tenant-usage');
  await panel.getByText('今日').waitFor();
  await panel.getByRole('button', { name: '修改配额' }).click();
  const form = page.locator('.ant-modal:visible');
  await form.getByLabel('每日原文（MiB）').fill('64');
  await form.getByText('拒收', { exact: true }).click();
  await form.getByRole('button', { name: '保存' }).click();
  await page.getByText('配额已保存').waitFor();
  await panel.getByText('/ 64 MiB').waitFor();
  await panel.getByText(/超限后拒收/).waitFor();
  await shot(page, 'tenant-usage');
});

steps('a removed tenant comes back by undo', async () => {
  await go(page, '/tenants?q=e-seal');
  await page.getByRole('button', { name: /^移除租户 电子印章/ }).click();
  const ask = page.locator('.ant-modal:visible');
  await ask.getByLabel('原因').fill('演练');
  await ask.getByLabel(/e-seal/).fill('e-seal');
  await ask.getByRole('button', { name: '移除租户' }).click();
  await page.getByText(/已移除 电子印章/).waitFor();
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByText(/已恢复 电子印章/).waitFor();
  await page.getByRole('button', { name: /^移除租户 电子印章/ }).waitFor();
});

steps('backups say what is missing where no folder is named', async () => {
  await go(page, '/admin/backups');
  await page.getByText('没有设置备份目录').waitFor();
});

steps('every page of it shows its content in the dark and in English, too', async () => {
  const pages = { search: '/search?since=1h', monitors: '/search/monitors', groups: '/search/groups', exports: '/search/exports', flows: '/flows', map: '/flows?tab=conversations', storage: '/admin/storage', intake: '/admin/storage?tab=intake', masking: '/admin/masking', backups: '/admin/backups' };
  const desk = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(desk.page, PASSWORD);
  await desk.page.locator('.rail').waitFor();
  for (const [name, path] of Object.entries(pages)) {
    await visit(desk.page, path);
    const main = desk.page.locator('main');
    assert.equal(await main.locator('.state[role=alert]').count(), 0, `${path} shows a failure: ${await main.innerText()}`);
    assert.doesNotMatch(await main.innerText(), /没有这项功能|does not offer this|没有权限看|may not see/, `${path} is not there`);
    assert.doesNotMatch(await main.locator('h1').innerText(), /\p{Script=Han}/u);
    if (process.env.SHOT_ALL) await shot(desk.page, `lake-${name}-dark-en`);
  }
  await desk.context.close();
});

steps('no page failed, broke the content policy or asked another host', () => {
  assert.deepEqual(faults, []);
});
