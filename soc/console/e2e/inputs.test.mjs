/**
 * Sources and parsers in real Chromium: an input is tested, added, receives,
 * is paused and deleted with a way back; a line is explained, a pack is made of
 * samples, judged, kept, and reads the line from then on.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { after, before } from 'node:test';
import { PASSWORD, faults, go, launch, missing, open, shot, signIn, steps } from './desk.mjs';

let browser;
let page;
const taken = createServer();
let busy = 0;
let port = 0;
const listen = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));

before(async () => {
  if (missing) return;
  busy = await listen(taken);
  const other = createServer();
  port = await listen(other);
  await new Promise((done) => other.close(done));
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  taken.close();
  await browser?.close();
  assert.deepEqual(faults, []);
});

steps('an input is tested, added and receives', async () => {
  await go(page, '/sources');
  await page.getByRole('button', { name: '添加接入源' }).first().click();
  await page.locator('[data-kind=kafka]').waitFor();
  await shot(page, 'inputs-kinds');
  await page.locator('[data-kind=syslog_tcp]').click();
  const form = page.getByRole('dialog');
  await form.getByLabel('监听地址').fill(`127.0.0.1:${busy}`);
  await form.getByRole('button', { name: /^测\s*试$/ }).click();
  await form.getByTestId('input-trial').getByText('cannot be opened').waitFor();
  await form.getByLabel('监听地址').fill('nowhere');
  await form.getByRole('button', { name: /^测\s*试$/ }).click();
  await form.locator('.fault').first().waitFor(); // beside the field
  await form.getByLabel('监听地址').fill(`127.0.0.1:${port}`);
  await form.getByRole('button', { name: /^测\s*试$/ }).click();
  await form.getByText('is free and can be opened').waitFor();
  await form.getByLabel('名称').fill('打印机');
  await form.getByLabel('网络区域').fill('office');
  await shot(page, 'inputs-form');
  await form.getByRole('button', { name: '保存并启动' }).click();
  const row = page.locator('tr', { hasText: '打印机' });
  await row.waitFor();
  await new Promise((done) => {
    const c = connect(port, '127.0.0.1', () => c.end('<13>Nov 26 21:00:00 printer lpd: out of paper\n', done));
  });
  await page.getByTestId('source').getByText('127.0.0.1:', { exact: false }).first().waitFor();
  await page.waitForFunction(() => /接收\s*1\b/.test(document.querySelector('[data-testid=source]')?.innerText ?? ''));
  await shot(page, 'inputs-list');
});

steps('it is paused, resumed, and deleted with a way back', async () => {
  const row = page.locator('tr', { hasText: '打印机' });
  await row.getByRole('button', { name: /^暂\s*停$/ }).click();
  await row.getByText('已暂停').waitFor();
  await row.getByRole('button', { name: /^启\s*动$/ }).click();
  await row.getByRole('button', { name: /^暂\s*停$/ }).waitFor();
  await row.getByRole('button', { name: '打印机' }).last().click();
  await page.getByRole('menuitem', { name: /^删\s*除$/ }).click();
  await page.locator('.toast', { hasText: '已删除 打印机' }).getByRole('button').click();
  await page.getByText('已恢复 打印机').waitFor();
  await row.waitFor();
});

const line = 'GATE deny 10.1.1.3 -> 10.2.2.2 by rule seven';
steps('a line that nothing reads gets a pack of its own', async () => {
  await go(page, '/parsers');
  await page.getByRole('table', { name: '解析包' }).locator('tbody tr').first().waitFor();
  await page.getByLabel('按厂商、产品、日志类型查找').fill('nginx');
  await page.getByRole('button', { name: /nginx/i }).first().click();
  await page.getByTestId('pack').getByText('厂商的格式说明').waitFor();
  await shot(page, 'parsers-pack');
  await go(page, '/parsers?tab=explain');
  await page.getByLabel('粘贴日志，每行一条').fill(line);
  await page.getByRole('button', { name: /^解\s*析$/ }).click();
  await page.getByTestId('explained').getByText('没有解析包认得').waitFor();

  await page.getByRole('button', { name: '新建解析包' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('名称（厂商/产品）').fill('example/gate');
  await form.getByLabel('样例').fill(`${line}\nGATE permit 10.1.1.4 -> 10.2.2.2 by rule two\n`);
  await form.getByRole('button', { name: '按样例草拟' }).click();
  await page.waitForFunction(() => document.querySelector('[data-testid=yaml]')?.value.includes('vendor: example'));
  await form.getByTestId('yaml').fill('vendor: Example\nproduct: Gate\nmodule: example_gate\nclass: magic\n');
  await form.getByRole('button', { name: /^检\s*查$/ }).click();
  await form.getByTestId('judgement').getByText('class "magic"', { exact: false }).waitFor();
  await form
    .getByTestId('yaml')
    .fill("vendor: Example\nproduct: Gate\nmodule: example_gate\nclass: security\nreference: https://example.com/gate\nlogs:\n  - name: session\n    pattern: 'GATE {action=permit|deny} {source.ip:ip} -> {destination.ip:ip} by rule {rule.name}'\n    set: {event.category: network}\n");
  await form.getByRole('button', { name: /^检\s*查$/ }).click();
  await form.getByTestId('judgement').getByText('可以保存').waitFor();
  await shot(page, 'parsers-editor');
  await form.getByRole('button', { name: '保存并生效' }).click();
  await page.getByTestId('own-pack').waitFor();
  await shot(page, 'parsers-own');
  await go(page, '/parsers?tab=explain');
  await page.getByLabel('粘贴日志，每行一条').fill(line);
  await page.getByRole('button', { name: /^解\s*析$/ }).click();
  await page.getByTestId('explained').getByText('example/gate/session').first().waitFor();
  assert.match(await page.getByTestId('explained').locator('mark', { hasText: '10.1.1.3' }).getAttribute('title'), /source\.ip/);
  await shot(page, 'parsers-explain');
});
