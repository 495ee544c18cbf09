/**
 * Findings in real Chromium: a table whose columns nobody knows is refused with the place, then
 * mapped, shown and taken in; findings are narrowed by several conditions, one is moved and its
 * history told in words; figures name units; a report is made by a template; the report that was
 * taken in is taken back.
 *
 * Environment: as for desk.mjs. The CMDB has yb-app-1 at 10.9.0.1 in the zone gov.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, launch, open, settled, shot, signIn, steps } from './desk.mjs';

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

const go = async (path) => {
  await page.goto(BASE + path);
  await settled(page);
};

steps('a table is refused with what is missing, mapped, shown and taken in', async () => {
  await go('/findings?import=1');
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('网络区域').fill('gov');
  const text = '目标,问题,风险,口\n10.9.0.1,Redis 未授权访问,高危,6379\n10.9.0.1,TLS 证书过期,中危,443\n10.9.0.2,TLS 证书过期,中危,443\n';
  await dialog.locator('input[type=file]').setInputFiles({ name: '绿盟.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
  await dialog.getByText(/no column holds the title/).waitFor();
  for (const [field, column] of [['漏洞名称', '问题'], ['IP', '目标'], ['端口', '口'], ['等级', '风险']]) await dialog.getByLabel(field, { exact: true }).fill(column);
  await dialog.getByLabel('扫描器').fill('绿盟');
  await dialog.getByRole('button', { name: '导入扫描报告' }).click();
  await dialog.getByText(/隐患 3 项（新增 3/).waitFor();
  await shot(page, 'findings-import');
  await dialog.getByRole('button', { name: /写\s*入/ }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'Redis 未授权访问' }).waitFor();
});

steps('several conditions narrow the list, and the address of the page holds them', async () => {
  await page.getByRole('button', { name: '更多条件' }).click();
  await page.getByLabel('端口', { exact: true }).fill('443');
  await page.getByLabel('端口', { exact: true }).press('Enter');
  await page.getByLabel('IP、域名或资产名').fill('yb-app-1');
  await page.getByLabel('IP、域名或资产名').press('Enter');
  await page.waitForURL(/port=443.*host=yb-app-1|host=yb-app-1.*port=443/);
  await page.getByText('共 1 个').waitFor();
  await page.getByRole('link', { name: 'TLS 证书过期' }).waitFor();
  await shot(page, 'findings-narrowed');
});

steps('a finding is moved, and its history says so in words', async () => {
  await page.getByRole('link', { name: 'TLS 证书过期' }).click();
  await page.getByRole('button', { name: '改状态' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('combobox', { name: '改状态' }).click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').filter({ hasText: '整改中' }).click();
  await dialog.getByRole('button', { name: /确\s*定/ }).click();
  await page.getByRole('cell', { name: '状态改为整改中' }).waitFor();
  await page.getByRole('cell', { name: '首次发现' }).waitFor();
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByRole('cell', { name: '撤销操作' }).waitFor();
});

steps('figures name units, and tell how much was looked at', async () => {
  await go('/findings/figures');
  await page.getByRole('link', { name: '医保局' }).waitFor();
  await page.getByRole('img', { name: '近 30 天' }).waitFor();
  await page.getByText('软件清单漏洞比对与配置基线').waitFor();
  await shot(page, 'findings-figures');
});

steps('a report is made by a template, and templates are kept', async () => {
  await go('/findings?report=1');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('cell', { name: /漏洞扫描报告（详细）/ }).waitFor();
  const href = await dialog.getByRole('link', { name: /^生\s*成$/ }).getAttribute('href');
  const kind = await page.evaluate(async (u) => {
    const r = await fetch(u);
    return `${r.status} ${r.headers.get('content-type')} ${new TextDecoder().decode((await r.arrayBuffer()).slice(0, 5))}`;
  }, href);
  assert.equal(kind, '200 application/pdf %PDF-');
  await dialog.locator('input[type=file]').setInputFiles({ name: 't.yaml', mimeType: 'text/yaml', buffer: Buffer.from('name: {zh: 周报}\nsections: [{table: price}]\n') });
  await dialog.getByText(/there is no table/).waitFor();
  await dialog.locator('input[type=file]').setInputFiles({ name: 't.yaml', mimeType: 'text/yaml', buffer: Buffer.from('name: {zh: 周报}\nsections: [{table: levels}]\n') });
  const mine = dialog.getByRole('row', { name: /周报/ });
  await mine.getByRole('button', { name: '设为默认' }).click();
  await mine.getByText('默认', { exact: true }).waitFor();
  await shot(page, 'findings-report');
});

steps('what was taken in is taken back', async () => {
  await go('/findings?import=1');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('row', { name: /绿盟/ }).waitFor();
  await shot(page, 'findings-past');
});
