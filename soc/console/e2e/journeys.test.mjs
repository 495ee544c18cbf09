/**
 * What an analyst does in a shift, from end to end, in real Chromium against a
 * suite that took an attack in through its sockets: ten alerts triaged by
 * keyboard alone; from an alert over the attacker and the graph to the incident
 * and its report; a search that becomes a rule, backtested; the other language;
 * a colleague who opens the same address. Every page on the way is held against
 * WCAG 2.1 AA. desk.mjs tells the environment; PDFTOTEXT is poppler's program.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, judge, launch, missing, open, settled, shot, signIn, steps } from './desk.mjs';

const PDFTOTEXT = process.env.PDFTOTEXT ?? 'pdftotext';
let browser;
let page;
/** What axe found on the pages passed. */
const serious = [];

before(async () => {
  if (missing) return;
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(() => browser?.close());

const api = (path, p = page) => p.evaluate(async (path) => (await fetch(`/api/v1${path}`)).json(), path);
async function passed(name) {
  await settled(page);
  for (const fault of await judge(page)) serious.push(`${name}: ${fault}`);
  await shot(page, `journey-${name}`);
}
/** Asks again until something holds. */
async function until(what, f, ms = 30_000) {
  const end = Date.now() + ms;
  for (;;) {
    const v = await f();
    if (v) return v;
    if (Date.now() > end) throw new Error(`${what} did not come within ${ms / 1000} s`);
    await new Promise((r) => setTimeout(r, 250));
  }
}

steps('ten alerts are triaged by keyboard alone, and nothing moves under the hand', async () => {
  await until('ten alerts', async () => (await api('/alerts?status=open&limit=1')).total >= 10);
  await go(page, '/');
  // No hand touches the mouse from here on: it may not even stand on the page.
  await page.evaluate(() => {
    window.mice = 0;
    for (const kind of ['mousedown', 'pointerdown', 'touchstart']) document.addEventListener(kind, () => window.mice++, true);
  });
  await page.keyboard.press('g');
  await page.keyboard.press('a');
  await page.waitForURL(/\/alerts/);
  const rows = page.locator('[role=row][data-id]');
  await rows.first().waitFor();
  await settled(page);
  const ids = (await rows.evaluateAll((all) => all.map((r) => r.dataset.id))).slice(0, 10);
  assert.equal(ids.length, 10);
  const cursor = () => page.locator('.line.cursor').getAttribute('data-id');
  const stands = (id) => page.locator(`.line.cursor[data-id="${id}"]`).waitFor();
  await page.keyboard.press('j');
  await stands(ids[0]);
  await page.keyboard.press('Space');
  await page.locator('aside.preview h2').waitFor();
  await passed('alerts');
  const state = async (id) => (await api(`/alerts/${id}`)).status;
  // Five are taken, one after the other.
  for (let n = 0; n < 5; n++) {
    await stands(ids[n]);
    await page.keyboard.press('a');
    await page.locator(`[role=row][data-id="${ids[n]}"]`).getByText('已确认').waitFor();
    assert.equal(await cursor(), ids[n], 'the list moved under the hand');
    await page.keyboard.press('j');
  }
  // Three are marked and go together as false alarms.
  for (let n = 5; n < 8; n++) {
    await stands(ids[n]);
    await page.keyboard.press('x');
    await page.keyboard.press('j');
  }
  await page.getByText('已选 3 条').or(page.locator('.batch')).first().waitFor();
  await page.keyboard.press('f');
  await until('three false alarms', async () => (await Promise.all(ids.slice(5, 8).map(state))).every((s) => s === 'closed'));
  // One is closed with its reason; the last one is closed by mistake, and taken back.
  const at = async (id) => {
    for (let n = 0; n < 12 && (await cursor()) !== id; n++) {
      const all = await rows.evaluateAll((list) => list.map((r) => r.dataset.id));
      await page.keyboard.press(all.indexOf(id) < all.indexOf(await cursor()) ? 'k' : 'j');
      await page.waitForTimeout(60);
    }
    await stands(id);
  };
  await at(ids[8]);
  await page.keyboard.press('e');
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  await page.keyboard.press('Tab');
  for (let n = 0; n < 12 && !(await page.evaluate(() => document.activeElement?.id === 'close-comment')); n++) await page.keyboard.press('Tab');
  await page.keyboard.type('已与业务方核实');
  for (let n = 0; n < 8 && !(await page.evaluate(() => document.activeElement?.classList.contains('ant-btn-primary'))); n++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  await until('the ninth', async () => (await state(ids[8])) === 'closed');
  await at(ids[9]);
  await page.keyboard.press('f');
  await until('the mistake', async () => (await state(ids[9])) === 'closed');
  await page.keyboard.press('Control+z');
  await until('the undo', async () => (await state(ids[9])) === 'open');
  await page.keyboard.press('a');
  await until('the tenth', async () => (await state(ids[9])) === 'acknowledged').catch(async () => {
    await at(ids[9]);
    await page.keyboard.press('a');
    await until('the tenth', async () => (await state(ids[9])) === 'acknowledged');
  });
  assert.deepEqual(await Promise.all(ids.map(state)), [...Array(5).fill('acknowledged'), ...Array(4).fill('closed'), 'acknowledged']);
  assert.equal(await page.evaluate(() => window.mice), 0, 'the mouse was used');
  assert.equal((await api(`/alerts/${ids[6]}`)).resolution, 'false_positive');
});

steps('an alert leads over its attacker and the graph to the incident and a report that says what happened', async () => {
  const alert = await until('an alert of an incident', async () => {
    const { items } = await api('/alerts?status=open,acknowledged,closed&verdict=compromised&limit=100');
    return items.find((a) => a.incident_id && a.attacker?.ip && !a.attacker.item && a.victim?.name);
  });
  await go(page, `/alerts/${alert.id}`);
  await passed('alert');
  await page.getByTestId('attacker').getByText(alert.attacker.ip, { exact: true }).click();
  await page.waitForURL(new RegExp(`/entities/ip/${alert.attacker.ip.replaceAll('.', '\\.')}`));
  await page.getByTestId('entity-event-count').waitFor();
  await passed('entity');
  await page.locator('main').getByRole('link', { name: '关系图', exact: true }).click();
  await page.waitForURL(/\/graph/);
  await page.getByTestId('drawn').waitFor();
  await page.getByRole('tab', { name: '实体', exact: true }).or(page.getByText('实体', { exact: true })).last().click();
  const victim = page.getByTestId('node-list').getByRole('button').filter({ hasText: alert.victim.name }).first();
  await victim.click();
  await page.getByTestId('chosen').getByRole('link', { name: alert.victim.name }).waitFor();
  await passed('graph');
  await page.getByTestId('chosen').getByRole('link', { name: '看告警' }).click();
  await page.waitForURL(/\/alerts\?/);
  const row = page.locator(`[role=row][data-id="${alert.id}"]`);
  await row.waitFor();
  await row.click({ position: { x: 8, y: 12 } });
  await page.locator(`.line.cursor[data-id="${alert.id}"]`).waitFor();
  await page.keyboard.press('i');
  await page.waitForURL(new RegExp(`/incidents/${alert.incident_id}`));
  await passed('incident');
  const incident = await api(`/incidents/${alert.incident_id}`);
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByTestId('reports').getByRole('link', { name: 'PDF', exact: true }).click()]);
  assert.match(file.suggestedFilename(), /\.pdf$/);
  const text = execFileSync(PDFTOTEXT, ['-layout', await file.path(), '-'], { encoding: 'utf8' }).replace(/\s+/g, '');
  for (const part of [alert.incident_id, alert.attacker.ip, alert.victim.name, incident.title.zh, '告警', '时间线']) assert.ok(text.includes(part.replace(/\s+/g, '')), `the report does not say ${part}`);
  const { items } = await api(`/alerts?incident=${alert.incident_id}&status=open,acknowledged,closed&limit=100`);
  assert.ok(items.length > 1);
  for (const a of items) assert.ok(text.includes(a.title.zh.slice(0, 20).replace(/\s+/g, '')), `the report does not tell of the alert ${a.title.zh}`);
});

steps('a search that counts becomes a rule that counts, and the past is judged by it', async () => {
  await go(page, `/search?since=1h&query=${encodeURIComponent('"Failed password" event.dataset:=sshd.auth')}`);
  await page.getByTestId('hit').first().waitFor();
  await passed('search');
  const query = '"Failed password" event.dataset:=sshd.auth | stats by (source.ip) count() n | filter n:>5';
  await go(page, `/search?since=1h&view=chart&shape=table&query=${encodeURIComponent(query)}`);
  const rows = page.getByTestId('plot').locator('tbody tr');
  await rows.first().waitFor();
  const found = await rows.count();
  const sources = await rows.locator('td.mono').allInnerTexts();
  await page.getByRole('button', { name: '更多' }).first().click();
  await page.getByText('建检测规则', { exact: true }).click();
  await page.waitForURL(/\/rules\/new\?.*query=/);
  await page.getByTestId('from-search').waitFor();
  await page.getByLabel('规则名称').fill('Passwords that failed');
  await page.getByLabel('中文名称').fill('口令失败');
  await page.locator('[data-testid=judgement][data-ok=true]').waitFor();
  await passed('rule');
  await page.getByTestId('start-backtest').click();
  // Each address that the search found is an alert of the rule's, no more and no less.
  const alerts = page.getByTestId('backtest-alerts');
  await alerts.waitFor();
  assert.equal(Number(await alerts.innerText()), found);
  const groups = await page.getByRole('table', { name: '告警列表' }).or(page.getByTestId('backtest-result').locator('table.data').first()).first().locator('tbody tr td:first-child').allInnerTexts();
  assert.deepEqual(groups.map((g) => /source\.ip=(\S+)/.exec(g)?.[1]).sort(), sources.map((x) => x.trim()).sort());
  await passed('backtest');
  await page.getByTestId('save-rule').click();
  await page.waitForURL((u) => /\/rules\/(?!new)/.test(u.pathname));
  await page.getByText('口令失败').first().waitFor();
});

steps('the language is changed, and the place is kept', async () => {
  await go(page, `/search?since=1h&view=chart&by=event.dataset&query=${encodeURIComponent('event.dataset:*')}`);
  await page.getByTestId('plot').waitFor();
  const address = page.url();
  await page.getByTitle('账户菜单').click();
  await page.getByRole('menuitem', { name: '语言' }).hover();
  await page.getByRole('menuitem', { name: 'English' }).click();
  await page.getByRole('heading', { name: 'Log search' }).waitFor();
  assert.equal(page.url(), address);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en-US');
  assert.doesNotMatch(await page.locator('.viewbar').innerText(), /[\u4e00-\u9fff]/);
  await passed('english');
  await page.getByTitle('Account menu').click();
  await page.getByRole('menuitem', { name: 'Language' }).hover();
  await page.getByRole('menuitem', { name: '中文' }).click();
  await page.getByTestId('plot').waitFor();
});

steps('a colleague at another desk opens a shared address and sees the same', async () => {
  const end = new Date().toISOString();
  const start = new Date(Date.parse(end) - 3_600_000).toISOString();
  const address = `${BASE}/search?${new URLSearchParams({ start, end, query: 'event.outcome:=failure', view: 'compare', vs: 'prev', fields: 'source.ip,user.name', stat: 'source.ip' })}`;
  await page.goto(address);
  const differences = (p) => p.getByTestId('compare').locator('tbody tr').evaluateAll((rows) => rows.map((r) => `${r.dataset.value} ${[...r.querySelectorAll('td.num')].slice(0, 2).map((c) => c.textContent).join(' ')}`));
  const seen = async (p) => {
    await p.getByTestId('compare').locator('tbody tr').nth(1).waitFor();
    await p.waitForFunction(() => document.querySelectorAll('[data-testid=compare] table').length === 2);
    await p.getByTestId('versus-total').waitFor();
    await p.getByTestId('field-stats').waitFor();
    return { total: (await p.getByTestId('total').innerText()).replace(/\D/g, ''), rows: await differences(p), fields: await p.locator('[data-testid=field-stats] .val .only').allInnerTexts() };
  };
  const mine = await seen(page);
  assert.ok(mine.rows.length > 2 && mine.fields.length > 0, JSON.stringify(mine));

  const created = await page.evaluate(
    async (password) =>
      (await fetch('/api/v1/users', { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Requested-With': 'icewatch' }, body: JSON.stringify({ username: 'colleague', password, display_name: '同事', roles: ['analyst'], tenants: ['*'] }) })).status,
    'First-2026-password',
  );
  assert.equal(created, 201);
  const desk = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(desk.page, 'First-2026-password', 'colleague');
  // The password that was handed over has to go.
  await desk.page.locator('input[autocomplete=current-password]').last().waitFor();
  const fresh = desk.page.locator('input[autocomplete=new-password]');
  await fresh.first().waitFor();
  await desk.page.locator('input[autocomplete=current-password]').fill('First-2026-password');
  for (const field of await fresh.all()) await field.fill('Second-2026-words');
  await desk.page.getByRole('button', { name: 'Change password' }).click();
  await desk.page.locator('.rail').waitFor();
  await desk.page.goto(address);
  assert.deepEqual(await seen(desk.page), mine);
  await shot(desk.page, 'journey-colleague-dark-en');
  for (const fault of await judge(desk.page)) serious.push(`colleague: ${fault}`);
});

steps('no page passed has a serious fault by WCAG 2.1 AA, and none failed or broke the content policy', () => {
  assert.deepEqual(serious, [], serious.join('\n'));
  assert.deepEqual(faults, []);
});
