/**
 * What hands alerts and incidents on, in real Chromium: a work-order system is
 * connected and tried, a disposal rule is made and put before another, a notice
 * is drafted and submitted, a daily report is made, the table of transitions
 * bars a move, and columns and views of a list are kept. The work-order system
 * is a real HTTP server of this process.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

let browser;
let page;
let system;
/** Requests that the work-order system got. */
const asked = [];

before(async () => {
  system = createServer((req, res) => {
    let body = '';
    req.on('data', (c) => (body += c));
    req.on('end', () => {
      asked.push({ method: req.method, auth: req.headers.authorization, body });
      res.setHeader('Content-Type', 'application/json');
      res.statusCode = req.method === 'POST' ? 201 : 200;
      res.end(JSON.stringify({ data: { no: 'ITSM-7' }, id: 'ITSM-7', state: '受理中', handler: '张伟' }));
    });
  });
  await new Promise((done) => system.listen(0, '127.0.0.1', done));
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  system?.close();
  assert.deepEqual(faults, []);
});

steps('a work-order system is connected, tried with its secret, and shown', async () => {
  await go(page, '/orders');
  await page.getByText('还没有对接工单系统').waitFor();
  await page.getByRole('button', { name: '对接工单系统' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('名称').fill('市 ITSM');
  await form.getByLabel('接口地址').fill(`http://127.0.0.1:${system.address().port}/orders`);
  await form.getByText('请求与字段', { exact: true }).click();
  await form.getByText('字段映射', { exact: true }).first().click();
  await form.getByRole('combobox', { name: '对方字段' }).fill('fields.summary');
  await form.getByRole('combobox', { name: '值或模板' }).last().fill('{{.Subject.Title}}');
  await form.getByText('密钥', { exact: true }).first().click();
  await form.getByLabel('访问令牌').fill('s3cret-token');
  await form.getByText('测试', { exact: true }).first().click();
  await form.getByRole('button', { name: '只看请求' }).click();
  const request = form.getByTestId('trial-request');
  await request.filter({ hasText: '"summary"' }).waitFor();
  assert.ok(!(await request.innerText()).includes('s3cret-token'), 'the secret is shown');
  assert.equal(asked.length, 0, 'looking at the request sent it');
  await form.getByRole('button', { name: '真实发送' }).click();
  await form.getByText('对方已接收：编号 ITSM-7').waitFor();
  assert.equal(asked[0].auth, 'Bearer s3cret-token');
  await shot(page, 'order-connection');
  await form.getByRole('button', { name: '保存' }).click();
  await page.getByText('令牌只显示这一次').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: '关闭' }).last().click();
  const row = page.getByRole('row').filter({ hasText: '市 ITSM' });
  await row.getByText('正常').waitFor();
  // What is kept is not shown again, and stays when it is left alone.
  await row.getByRole('button', { name: '编辑' }).click();
  await form.getByText('密钥', { exact: true }).first().click();
  assert.equal(await form.getByLabel('访问令牌').getAttribute('placeholder'), '已保存，留空则不变');
  await form.getByRole('button', { name: '保存' }).click();
  await form.waitFor({ state: 'detached' });
});

steps('disposal rules are made, put in order and taken back', async () => {
  await go(page, '/disposal-rules?new=1');
  const form = page.getByRole('dialog');
  for (const name of ['夜间转值班', '自动派单']) {
    await form.getByLabel('名称').fill(name);
    await form.getByText('至少选一个动作').waitFor();
    await form.getByRole('switch', { name: '派发工单' }).click();
    await form.getByTestId('disposal-preview').getByText(/一个也不会命中|^\d+ 个$/).first().waitFor();
    await shot(page, 'disposal-form');
    await form.getByRole('button', { name: '保存' }).click();
    await form.waitFor({ state: 'detached' });
    if (name === '夜间转值班') await page.getByRole('button', { name: '新建处置规则' }).first().click();
  }
  const names = () => page.locator('table.data tbody tr b').allInnerTexts();
  await page.getByRole('row').filter({ hasText: '派发工单到 市 ITSM' }).nth(1).waitFor();
  assert.deepEqual(await names(), ['夜间转值班', '自动派单']);
  await page.getByRole('button', { name: '上移“自动派单”' }).click();
  await page.waitForFunction(() => document.querySelector('table.data tbody tr b')?.textContent === '自动派单');
  await page.getByRole('button', { name: '删除 自动派单' }).click();
  await page.locator('.toast').filter({ hasText: '已删除' }).getByRole('button', { name: '撤销' }).click();
  await page.waitForFunction(() => document.querySelector('table.data tbody tr b')?.textContent === '自动派单');
  await shot(page, 'disposal-rules');
});

steps('a circular is drafted with a table and a picture, and submitted', async () => {
  await go(page, '/notices');
  await page.getByRole('button', { name: '起草通报预警' }).first().click();
  await page.getByRole('button', { name: '通报', exact: true }).click();
  await page.getByLabel('标题').fill('弱口令专项排查');
  await page.getByLabel('哪些租户').click();
  await page.locator('.ant-select-item-option').first().click();
  await page.keyboard.press('Escape');
  await page.getByTestId('body-editor').getByRole('textbox', { name: '文字' }).fill('请各单位立即排查。');
  await page.getByRole('button', { name: /添加内容/ }).click();
  await page.getByRole('menuitem', { name: '图片' }).click();
  const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
  await page.getByTestId('body-editor').locator('input[type=file]').setInputFiles({ name: '示意.png', mimeType: 'image/png', buffer: png });
  await page.getByTestId('body-editor').locator('canvas').waitFor();
  await shot(page, 'notice-editor');
  await page.getByRole('button', { name: '保存草稿' }).click();
  await page.getByRole('heading', { name: '弱口令专项排查' }).waitFor();
  await page.locator('.noticebody canvas').waitFor();
  await page.getByRole('button', { name: '提交审批' }).click();
  await page.getByRole('dialog').getByRole('button', { name: '提交审批' }).click();
  await page.locator('.way [aria-current=step]').filter({ hasText: '待审批' }).waitFor();
  await shot(page, 'notice');
});

steps('a daily report is made and read', async () => {
  await go(page, '/daily-reports');
  await page.getByRole('button', { name: '生成报告' }).first().click();
  await page.getByRole('dialog').getByRole('button', { name: '生成报告' }).click();
  const one = page.getByTestId('daily-report');
  await one.waitFor();
  const href = await one.getByRole('link', { name: 'PDF' }).getAttribute('href');
  const file = await page.request.get(`${BASE}${href}`);
  assert.equal((await file.body()).subarray(0, 5).toString(), '%PDF-');
});

steps('a move that is taken out of the table is only for administrators, and comes back', async () => {
  await go(page, '/admin/transitions');
  const may = page.getByRole('switch', { name: '允许从待处理到已关闭' });
  await may.click();
  await page.getByText('只有管理员').first().waitFor();
  await page.getByRole('button', { name: '保存' }).click();
  await page.locator('.toast').filter({ hasText: '已保存状态流转' }).waitFor();
  await page.reload();
  await page.locator('[role=switch][aria-checked=false][aria-label="允许从待处理到已关闭"]').waitFor();
  await page.getByRole('button', { name: '恢复默认' }).click();
  await page.getByRole('button', { name: '保存' }).click();
  await page.locator('[role=switch][aria-checked=true][aria-label="允许从待处理到已关闭"]').waitFor();
});

steps('columns and views of the alerts are kept, and go with a link', async () => {
  await go(page, '/alerts?severity=high,critical');
  await page.getByRole('button', { name: '列', exact: true }).click();
  await page.getByTestId('columns').getByText('检测规则').click();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /我的视图/ }).click();
  const views = page.getByTestId('views');
  await views.getByLabel('视图名称').fill('高危');
  await views.getByRole('button', { name: '保存' }).click();
  await views.getByRole('link', { name: '高危' }).waitFor();
  await go(page, '/alerts');
  await page.getByRole('button', { name: /我的视图/ }).click();
  await views.getByRole('link', { name: '高危' }).click();
  await page.waitForURL(/severity=/);
  assert.match(decodeURIComponent(page.url()), /cols=.*rule/);
});
