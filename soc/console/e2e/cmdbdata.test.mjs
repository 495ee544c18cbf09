/**
 * How items come into the CMDB, in real Chromium: a file with a mistake is told
 * by its cell and changes nothing, the mended one is imported and taken back; an
 * unknown address becomes an item; a protected item changes by a request only,
 * which somebody else approves; a file is kept with an item.
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

const csv = (address) => ({ name: 'hosts.csv', mimeType: 'text/csv', buffer: Buffer.from(`class,id,name,zone,addresses\nhost,im-1,im-host-1,gov,10.8.0.1\nhost,im-2,im-host-2,gov,${address}\n`) });

steps('a file with a mistake names its place and changes nothing; the mended one is imported and taken back', async () => {
  await go(page, '/cmdb/import');
  const file = page.locator('input[type=file]');
  await file.setInputFiles(csv('10.8.0.300'));
  await page.getByText('1 处错误，没有导入任何内容').waitFor();
  await page.getByRole('cell', { name: /10\.8\.0\.300/ }).first().waitFor();
  await shot(page, 'cmdb-import-mistakes');
  await file.setInputFiles(csv('10.8.0.2'));
  await page.getByRole('button', { name: '导入 2 项' }).click();
  const row = page.getByRole('row', { name: /hosts\.csv/ });
  await row.getByRole('button', { name: '撤销导入' }).click();
  await page.locator('.ant-popconfirm').getByRole('button', { name: '撤销导入' }).click();
  await row.getByText('admin 已撤销').waitFor();
  await go(page, '/cmdb/items?q=im-host-1');
  await page.getByText('没有符合条件的资产').waitFor();
});

steps('an unknown address is found in the inbox and becomes an item of a system', async () => {
  await go(page, '/cmdb/inbox?q=10.67.0.2');
  const row = page.getByRole('row', { name: /10\.67\.0\.2/ });
  while (!(await row.isVisible())) {
    const looked = page.waitForResponse((r) => r.url().includes('/cmdb/inbox?') && r.ok());
    await page.getByRole('button', { name: '立即查看' }).first().click();
    await looked;
  }
  await row.getByRole('checkbox').check();
  await page.getByRole('button', { name: '将 1 项入库' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('combobox', { name: '业务系统' }).fill('签章');
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').filter({ hasText: '电子签章系统' }).click();
  await shot(page, 'cmdb-inbox');
  await dialog.getByRole('button', { name: '入库' }).click();
  await dialog.waitFor({ state: 'detached' });
  await go(page, '/cmdb/inbox?state=approved&q=10.67.0.2');
  await page.getByRole('link', { name: '10.67.0.2' }).click();
  await page.getByRole('link', { name: '电子签章系统' }).first().waitFor();
});

steps('a protected item changes by a request, which its author cannot approve', async () => {
  await go(page, '/cmdb/items/new?class=supplier');
  await page.locator('#f-name').fill('东方软件');
  await page.getByRole('button', { name: '保存', exact: true }).click();
  const asking = page.getByTestId('approval');
  await asking.getByRole('textbox').fill('新签合同');
  await asking.getByRole('button', { name: '提交变更申请' }).click();
  await page.waitForURL(/\/cmdb\/items\?class=supplier/);
  await go(page, '/cmdb/requests');
  await page.getByText('受保护：供应商').waitFor();
  await page.getByRole('link', { name: '新签合同' }).click();
  const drawer = page.getByRole('dialog');
  await drawer.getByText('自己的申请须由他人审批。').waitFor();
  await drawer.getByRole('button', { name: '撤回' }).click();
  await drawer.waitFor({ state: 'detached' });
});

steps('somebody else’s request is read field by field, and approved', async () => {
  await go(page, '/cmdb/requests');
  await page.getByRole('link', { name: '换了联系人' }).click();
  const drawer = page.getByRole('dialog');
  await drawer.getByRole('cell', { name: '负责人' }).waitFor();
  await drawer.getByText('李强').waitFor();
  await shot(page, 'cmdb-request');
  await drawer.getByRole('button', { name: '批准并生效' }).click();
  await drawer.waitFor({ state: 'detached' });
  await go(page, '/cmdb/sup-1');
  await page.getByText('李强').first().waitFor();
});

steps('a file is kept with an item, taken away and brought back', async () => {
  await go(page, '/cmdb/yb-sys?tab=files');
  await page.locator('input[type=file]').setInputFiles({ name: '测评报告.txt', mimeType: 'text/plain', buffer: Buffer.from('等保三级测评报告') });
  await page.getByRole('link', { name: '测评报告.txt' }).waitFor();
  await page.getByRole('button', { name: '移除 测评报告.txt' }).click();
  await page.getByRole('button', { name: '恢复 测评报告.txt' }).click();
  await page.getByRole('link', { name: '测评报告.txt' }).waitFor();
  await shot(page, 'cmdb-files');
});
