/**
 * Alert sources in real Chromium: a source is made with a preview beside it, its
 * token is shown once, a message that cannot be mapped waits and is replayed
 * once the mapping is right; both languages' page opens.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

let browser;
let page;
let path;

before(async () => {
  browser = await launch();
  const desk = await open(browser);
  page = desk.page;
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(faults, []);
});

steps('a source is made, with what becomes of a message beside it', async () => {
  await go(page, '/alert-sources?kind=webhook');
  await page.getByRole('button', { name: '新建告警源' }).first().click();
  const form = page.getByRole('dialog');
  await form.getByLabel('名称', { exact: true }).fill('Zabbix-1');
  await form.getByRole('combobox', { name: '模板' }).fill('Zabbix');
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').first().click();
  await form.getByTestId('mapped').getByText('High CPU utilization').first().waitFor();
  await form.getByLabel('字段映射与修正（YAML）').fill('corrections:\n  - {field: severity, op: set, with: critical}');
  await form.getByTestId('mapped').getByText('紧急').waitFor();
  await form.getByLabel('字段映射与修正（YAML）').fill('corrections:\n  - {field: colour, op: trim}');
  await form.getByText('is no field of an alert').first().waitFor();
  await form.getByLabel('字段映射与修正（YAML）').fill('');
  await form.getByTestId('mapped').first().waitFor();
  await shot(page, 'alertsource-form');
  await form.getByRole('button', { name: '保存', exact: true }).click();
  path = new URL((await page.getByTestId('source-address').innerText()).trim()).pathname;
  await shot(page, 'alertsource-token');
  await page.getByRole('button', { name: '已抄写，完成' }).click();
  await page.getByTestId('alert-source').getByText('等待首条消息').waitFor();
});

steps('a message that cannot be mapped waits with its reason, and is replayed', async () => {
  const send = async (body) => (await fetch(BASE + path, { method: 'POST', body: JSON.stringify(body) })).status;
  assert.equal(await send({ event_id: '1', event_value: '1', event_name: 'Disk', event_nseverity: '4' }), 200);
  assert.equal(await send({ event_id: '2', problem: 'Fan' }), 202);
  const source = page.getByTestId('alert-source');
  await source.getByText('neither a name nor a title').first().waitFor();
  await shot(page, 'alertsource-dead');
  await source.getByRole('button', { name: '编辑' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('字段映射与修正（YAML）').fill('fields:\n  name: .problem // .event_name');
  await form.getByTestId('mapped').getByText('Fan').first().waitFor();
  await form.getByRole('button', { name: '保存', exact: true }).click();
  await form.waitFor({ state: 'hidden' });
  await source.getByRole('button', { name: '全部重放' }).click();
  await source.getByText('没有待处理的消息').waitFor();
  await shot(page, 'alertsource-detail');
});
