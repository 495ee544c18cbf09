/**
 * The pages of entities in real Chromium: from a value to its card and page, by
 * Ctrl-K, the parts of the page by keyboard with the numbers that the suite's own
 * test has sent (test/acceptance/entities_test.go), a judgement that is watched,
 * files and reports, both languages, dark.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

const ATTACKER = '203.0.113.88';
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

const at = (path) => go(page, path);
const api = (path) => page.evaluate(async (p) => (await fetch(`/api/v1${p}`)).json(), path);

steps('a value that is typed opens its page', async () => {
  await at('/');
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill(ATTACKER);
  await page.getByRole('option').first().waitFor();
  assert.match(await page.getByRole('option').first().innerText(), /IP 地址：203\.0\.113\.88/);
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/entities\/ip\/203\.0\.113\.88/);
  await page.getByTestId('entity-event-count').waitFor();
});

steps('its behaviour shows the events that were sent', async () => {
  await at(`/entities/ip/${ATTACKER}?since=7d`);
  await page.getByTestId('entity-event-count').waitFor();
  assert.equal((await page.getByTestId('entity-event-count').innerText()).trim(), '20');
  const figures = await page.getByTestId('entity-events').innerText();
  assert.match(figures, /12\s*登录 · 失败/);
  assert.match(figures, /1\s*登录 · 成功/);
  const port = page.locator('[data-facet="destination.port"] .hitrow').first();
  assert.match((await port.innerText()).replace(/\s+/g, ' '), /^443 .*7$|^443 7$/);
  await page.getByText('外部', { exact: true }).first().waitFor();
  await shot(page, 'entity-behaviour');
});

steps('keys lead through the parts, each with an address of its own', async () => {
  await page.keyboard.press('2');
  await page.waitForURL(/tab=portrait/);
  const truth = await api(`/alerts?attacker=${ATTACKER}&since=168h&limit=1000`);
  const figure = (key) => page.locator(`[data-figure="${key}"] .v`);
  await page.getByRole('radiogroup', { name: '角色' }).getByText('作为攻击者').click();
  await page.waitForURL(/role=attacker/);
  await figure('entity.alerts').waitFor();
  await page.waitForFunction(([n]) => document.querySelector('[data-figure="entity.alerts"] .v')?.textContent === n, [String(truth.total)]);
  assert.equal(await figure('entity.attacks').innerText(), String(truth.items.reduce((n, a) => n + a.count, 0)));
  assert.equal(await page.getByTestId('entity-chain').locator('> li').count(), truth.total);
  assert.match(await page.getByTestId('entity-suspicion').innerText(), /ent-ssh-1/);
  await shot(page, 'entity-portrait');

  await page.keyboard.press('3');
  await page.waitForURL(/tab=alerts/);
  await page.getByTestId('entity-alerts').locator('tbody tr').first().waitFor();
  assert.equal(await page.getByTestId('entity-alerts').locator('tbody tr').count(), truth.total);

  await page.keyboard.press('4');
  await page.waitForURL(/tab=peers/);
  const peer = page.getByTestId('entity-peers').locator('tbody tr[data-id="10.88.1.5"]');
  await peer.waitFor();
  assert.match(await peer.innerText(), /7\s+0\s/);
  assert.match(await peer.innerText(), /tcp\/443/);
  await shot(page, 'entity-peers');

  await page.keyboard.press('5');
  await page.waitForURL(/tab=history/);
  await page.getByTestId('entity-names').waitFor();
});

steps('a value shows its card on hover, leads to its page, and its menu is beside it', async () => {
  await at(`/entities/ip/10.88.1.5?since=7d&tab=peers`);
  const row = page.getByTestId('entity-peers').locator(`tbody tr[data-id="${ATTACKER}"]`);
  await row.locator('a.token').first().hover();
  const card = page.getByTestId('entity-card');
  await card.getByText('未关闭告警').waitFor();
  await shot(page, 'entity-card');
  await page.mouse.move(5, 5);
  await card.waitFor({ state: 'detached' });
  await row.locator('.entity-more').first().click();
  await page.getByRole('menuitem', { name: '打开安全百科' }).waitFor();
  await page.getByRole('menuitem', { name: '复制' }).waitFor();
  await page.keyboard.press('Escape');
  await row.locator('a.token').first().click();
  await page.waitForURL(new RegExp(`/entities/ip/${ATTACKER.replaceAll('.', '\\.')}`));
});

steps('the page of a host says who it is', async () => {
  await at('/entities/ip/10.88.1.5?since=7d');
  const who = page.getByTestId('entity-who');
  await who.getByRole('link', { name: 'ent-ssh-1' }).first().waitFor();
  await who.getByText('周敏').waitFor();
  await page.getByText('内部', { exact: true }).first().waitFor();
});

steps('a judgement is written down and watched, and stands in the list', async () => {
  await at(`/entities/ip/${ATTACKER}`);
  await page.keyboard.press('v');
  const form = page.getByRole('dialog');
  await form.getByLabel('结论').press('Enter');
  await page.locator('.ant-select-item-option[title="攻击者"]').click();
  await form.getByRole('switch', { name: '重点关注' }).click();
  await form.getByLabel('依据与说明').fill('口令爆破后登录');
  await form.getByRole('button', { name: '记录研判' }).click();
  await form.waitFor({ state: 'hidden' });
  await page.getByTestId('conclusion').first().waitFor();
  assert.match(await page.getByTestId('conclusion').first().innerText(), /攻击者/);
  await at('/entities?watched=1');
  const line = page.getByRole('table', { name: '内部情报与重点关注' }).locator('tr', { hasText: ATTACKER });
  await line.waitFor();
  assert.match(await line.innerText(), /攻击者/);
  await shot(page, 'entity-intelligence');
});

steps('it is taken along as a report and as tables', async () => {
  await at(`/entities/ip/${ATTACKER}?since=7d&tab=alerts`);
  await page.getByRole('button', { name: /导出报告/ }).click();
  const [pdf] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'PDF 报告' }).click()]);
  assert.match(pdf.suggestedFilename(), /^icewatch-entity-ip-.*\.pdf$/);
  const [csv] = await Promise.all([page.waitForEvent('download'), page.getByTestId('entity-alerts').getByRole('link', { name: '导出 CSV' }).click()]);
  assert.match(csv.suggestedFilename(), /entity-alerts/);
});

steps('nothing known is said plainly, and a wrong address is refused with what is right', async () => {
  await at('/entities/ip/192.0.2.99');
  await page.getByText('这段时间没有它的日志').waitFor();
  await at('/entities/file/%2Ftmp%2Fentity.bin?since=7d');
  await page.getByTestId('entity-event-count').waitFor();
  assert.equal((await page.getByTestId('entity-event-count').innerText()).trim(), '2');
  await go(page, '/entities/ip/not-an-address');
  await page.getByRole('alert').getByText(/want an address/).waitFor();
  await go(page, '/entities/planet/mars');
  await page.getByRole('link', { name: '安全百科' }).first().waitFor();
});

steps('English and dark show the same', async () => {
  const { page: dark, context } = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(dark, PASSWORD);
  await dark.locator('.rail').waitFor();
  await go(dark, `/entities/ip/${ATTACKER}?since=7d`);
  await dark.getByTestId('entity-event-count').waitFor();
  assert.equal((await dark.getByTestId('entity-event-count').innerText()).trim(), '20');
  await dark.getByRole('button', { name: 'Judge' }).waitFor();
  await shot(dark, 'entity-dark-en');
  await context.close();
});
