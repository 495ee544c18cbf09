/**
 * Detection rules in real Chromium: one is built from three nested conditions,
 * tried on stored events, saved, fires on an event that comes in by syslog, is
 * switched off and stays silent, is changed by its YAML, and put back. A
 * correlation is built of two shipped rules, saved, and in force.
 *
 * Environment: as for desk.mjs; SYSLOG is where the suite takes syslog over TCP.
 */
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

const [HOST, PORT] = (process.env.SYSLOG ?? '').split(':');
const TITLE = 'Badge reader tampered with';
const FOUND = 'badgectl: reader R7 of gate north reports tamper code 66 by visitor-9';

let browser;
let desk;
let page;
let ruleURL = '';

/** Sends lines as a device does; ends once they are handed over. */
const send = (...lines) =>
  new Promise((resolve, reject) => {
    const s = createConnection({ host: HOST, port: Number(PORT) }, () => {
      const now = new Date().toISOString();
      s.end(lines.map((l) => `<85>1 ${now} gate-01 badgectl 71 - - ${l}\n`).join(''), resolve);
    });
    s.on('error', reject);
  });

/** Asks again until something holds. */
async function until(what, f, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const v = await f();
    if (v) return v;
    if (Date.now() > end) throw new Error(`${typeof what === 'function' ? await what() : what} did not come within ${ms / 1000} s`);
    await new Promise((r) => setTimeout(r, 300));
  }
}

const api = (method, path, body) => desk.context.request.fetch(`${BASE}/api/v1${path}`, { method, data: body, headers: { 'X-Requested-With': 'icewatch' } }).then((r) => r.json());

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

/** Fills the condition at a place: field, operator by its words, value. */
async function condition(at, field, operator, value) {
  const row = page.getByTestId('condition').nth(at);
  await row.locator('input[aria-label="字段"]').fill(field);
  await page.keyboard.press('Escape');
  await row.locator('.ant-select').filter({ has: page.locator('input[aria-label="运算"]') }).click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').filter({ hasText: new RegExp(`^${operator}$`) }).click();
  if (value === undefined) return;
  const box = row.locator('input[aria-label="值"]');
  await box.fill(value);
  if (await row.locator('.bvalue .ant-select-multiple').count()) await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
}

steps('the list of rules shows, narrows and keeps its place in the address', async () => {
  await go(page, '/rules');
  await page.locator('table.data tbody tr').first().waitFor();
  await shot(page, 'rules-list');
  await page.getByLabel('按标题、标识、技术筛选').fill('ssh');
  await page.waitForURL(/q=ssh/);
  await page.getByRole('button', { name: /^已停用/ }).click();
  await page.waitForURL(/status=disabled/);
  await page.getByText('没有符合条件的规则').waitFor();
});

steps('a rule is built from nested conditions, with its YAML beside it', async () => {
  await send(FOUND, 'badgectl: reader R8 of gate north is well', 'badgectl: reader R7 of gate south reports tamper code 65 by guard-1');
  await go(page, '/rules');
  await page.keyboard.press('n');
  await page.waitForURL(/\/rules\/new/);
  await page.getByLabel('规则名称').fill(TITLE);
  await page.getByLabel('中文名称').fill('门禁读卡器被破坏');
  await condition(0, 'log.syslog.appname', '等于', 'badgectl');
  // Any of: a code, or something at the gate that is not well.
  await page.getByTestId('add-group').first().click();
  await condition(1, 'message', '包含', 'tamper code 66');
  await page.getByTestId('group').nth(1).getByTestId('add-group').click();
  await condition(2, 'message', '包含', 'gate north');
  await page.getByTestId('group').nth(2).getByTestId('add-condition').click();
  await condition(3, 'message', '不包含', 'is well');
  const yaml = page.getByTestId('yaml');
  await until(async () => `the YAML with all conditions, where ${JSON.stringify(await yaml.inputValue())} stood,`, async () => /gate north/.test(await yaml.inputValue()) && /is well/.test(await yaml.inputValue()));
  const text = await yaml.inputValue();
  assert.match(text, /log\.syslog\.appname: 'badgectl'/);
  assert.match(text, /condition: selection and \(selection_2 or \(selection_3 and not filter\)\)/);
  await page.locator('[data-testid=judgement][data-ok=true]').waitFor();
  await page.getByTestId('meaning').getByText('包含').waitFor();
  await shot(page, 'rule-builder');
});

steps('what is wrong is told at its line, and what cannot be shown as a tree says why', async () => {
  const yaml = page.getByTestId('yaml');
  const good = await yaml.inputValue();
  await yaml.fill(good.replace('|contains', '|containz'));
  await page.getByTestId('findings').getByText('containz').first().waitFor();
  assert.equal(await page.getByTestId('save-rule').isDisabled(), true);
  await yaml.fill(good.replace(/condition: .*/, 'condition: 2 of them'));
  await page.getByTestId('obstacle').waitFor();
  await yaml.fill(good);
  await page.getByTestId('condition').nth(3).waitFor();
  assert.equal(await page.getByTestId('condition').count(), 4);
});

steps('it is tried on stored events before it is kept', async () => {
  await until('the trial', async () => {
    await page.getByTestId('trial').getByRole('button', { name: '试跑' }).click();
    const n = await page.getByTestId('firings').innerText({ timeout: 10_000 });
    return n === '1';
  });
  assert.ok((await page.getByTestId('trial-result').innerText()).replace(/\s+/g, ' ').includes('触发 1 合并后告警 1'));
  await page.getByTestId('trial').locator('mark').first().waitFor();
  await page.getByTestId('trial').scrollIntoViewIfNeeded();
  await shot(page, 'rule-trial');
});

steps('saved, it is in force at once: an event raises its alert, with what matched marked', async () => {
  await page.getByTestId('save-rule').click();
  await page.waitForURL((u) => /\/rules\/[0-9a-f-]{36}$/.test(u.pathname));
  ruleURL = page.url();
  const id = new URL(ruleURL).pathname.split('/').at(-1);
  await until('the rule in force', async () => {
    const set = await api('GET', '/rule-set');
    return set.in_force && (await api('GET', `/rules/${id}`)).cost;
  });
  await send(FOUND);
  const row = page.getByTestId('rule-alerts').locator('a').first();
  await row.waitFor();
  await shot(page, 'rule-page');
  await row.click();
  await page.waitForURL(/\/alerts\//);
  await page.getByTestId('raw-event').locator('mark').first().waitFor();
  const marked = await page.locator('table.evidence').innerText();
  assert.match(marked, /log\.syslog\.appname/);
  assert.match(marked, /tamper code 66/);
  await shot(page, 'rule-alert');
});

steps('switched off it is silent, and switched on again it is not', async () => {
  await go(page, ruleURL);
  const id = new URL(ruleURL).pathname.split('/').at(-1);
  const count = async () => (await api('GET', `/alerts?rule=${id}&since=1h&status=open,acknowledged,closed`)).items.reduce((n, a) => n + a.count, 0);
  const before = await count();
  await page.getByRole('switch').click();
  await page.getByLabel('原因').fill('the gate is being repaired');
  await page.keyboard.press('Enter');
  await page.getByText('the gate is being repaired').first().waitFor();
  await until('the rule set without it', async () => (await api('GET', '/rule-set')).in_force);
  await send(FOUND, FOUND.replace('R7', 'R9'));
  // The events are stored, and still no alert more.
  await until('the events', async () => ((await api('GET', '/search?query=R9&since=15m')).items ?? []).length > 0);
  await new Promise((r) => setTimeout(r, 1500));
  assert.equal(await count(), before);
  await shot(page, 'rule-off');
  // Before it is on again, it is shown what it would have raised.
  await page.getByRole('switch').click();
  const dialog = page.locator('.ant-modal');
  await dialog.getByTestId('start-backtest').click();
  await until('the backtest', async () => Number(await dialog.getByTestId('backtest-alerts').innerText()) > 0);
  await shot(page, 'rule-on-preview');
  await dialog.getByRole('button', { name: '启用', exact: true }).click();
  await page.locator('[data-testid=rule-status] .dot.ok').waitFor();
  await until('the rule set with it', async () => (await api('GET', '/rule-set')).in_force);
  await send(FOUND);
  await until('its alert again', async () => (await count()) > before);
});

steps('a change is a version, the one before comes back, and what is deleted too', async () => {
  await go(page, `${ruleURL}/edit`);
  await page.getByTestId('condition').nth(3).waitFor();
  // By now it was sent once to try it, once and once again with the rule in force, and twice with the rule off.
  // The last of them raised its alert a moment before it is stored.
  let firings;
  await until('a trial on all five', async () => {
    await page.getByTestId('trial').getByRole('button', { name: '试跑' }).click();
    firings = await page.getByTestId('firings').innerText({ timeout: 10_000 });
    return Number(firings) >= 5;
  });
  assert.equal(firings, '5');
  await page.getByLabel('规则名称').fill(`${TITLE} again`);
  await page.getByLabel('修改说明').fill('a better name');
  await page.locator('[data-testid=judgement][data-ok=true]').waitFor();
  await page.getByTestId('save-rule').click();
  await page.waitForURL(ruleURL);
  await page.getByTestId('versions').getByText('a better name').waitFor();
  await page.getByTestId('versions').getByRole('button', { name: '恢复到版本 1' }).click();
  await page.getByTestId('versions').locator('b', { hasText: '版本 3' }).waitFor();
  await until('the source of before', async () => !/again/.test(await page.locator('pre.source').first().innerText()));
  await page.getByTestId('delete-rule').click();
  await page.locator('.ant-modal').getByRole('button', { name: '删除' }).click();
  await page.waitForURL(/\/rules$/);
  await page.getByRole('button', { name: '已删除', exact: true }).click();
  await page.locator('.ant-modal').getByText(TITLE).waitFor();
  await page.locator('.ant-modal').getByRole('button', { name: '恢复' }).click();
  await go(page, ruleURL);
  await page.getByText('门禁读卡器被破坏').first().waitFor();
});

/** Chooses a rule to count, found by what is typed, by its title. */
async function count(text, title) {
  await page.getByTestId('add-rule').click();
  await page.keyboard.type(text);
  await page.locator(`.ant-select-dropdown:visible .ant-select-item-option[title="${title}"]`).click();
  await page.getByTestId('counted').locator('li').filter({ hasText: title }).waitFor();
  await page.keyboard.press('Escape');
}

let chainURL = '';

steps('a correlation of two shipped rules is built, put in order by the keyboard, and follows its YAML', async () => {
  await go(page, '/rules/new');
  await page.getByTestId('begin-ordered').click();
  await page.getByTestId('fault-rules').waitFor();
  await page.getByLabel('规则名称').fill('Guessed, then scanning');
  await page.getByLabel('中文名称').fill('口令被猜中后扫描');
  await count('port_scan', '端口扫描');
  await count('ssh_guessed', 'SSH 口令被猜中');
  const items = page.getByTestId('counted').locator('li');
  const order = () => items.evaluateAll((all) => all.map((e) => e.dataset.ref));
  assert.deepEqual(await order(), ['port_scan', 'ssh_guessed']);
  // The second goes up, and stays where the hand is.
  await items.nth(1).focus();
  await page.keyboard.press('Alt+ArrowUp');
  await until('the other order', async () => (await order()).join() === 'ssh_guessed,port_scan');
  await until('the focus on what was moved', () => page.evaluate(() => document.activeElement?.dataset.ref === 'ssh_guessed'));
  const yaml = page.getByTestId('yaml');
  await until(async () => `the correlation's YAML, where ${JSON.stringify(await yaml.inputValue())} stood,`, async () => /type: temporal_ordered\n  rules:\n    - ssh_guessed\n    - port_scan\n/.test(await yaml.inputValue()));
  // From the YAML back: what only it can say stays, and is told.
  await yaml.fill((await yaml.inputValue()).replace('timespan: 1h', 'timespan: 2h').replace('level: high', 'level: high\nauthor: the desk'));
  await until('the window', async () => (await page.locator('input[aria-label="时间窗"]').inputValue()) === '2h');
  await page.getByTestId('kept').getByText('author').waitFor();
  await page.locator('[data-testid=judgement][data-ok=true]').waitFor();
  // What feeds them stands left of them: the guessing feeds the one that was guessed.
  await page.getByTestId('chain').locator('.chainnode.here').waitFor();
  assert.ok((await page.getByTestId('chain').locator('.chainnode').count()) >= 5);
  // A long chain scrolls within its panel.
  assert.ok(await page.getByTestId('chain').evaluate((e) => getComputedStyle(e).overflowX === 'auto'));
  await shot(page, 'correlation-builder');
});

steps('what is wrong with a correlation is told at its place', async () => {
  const yaml = page.getByTestId('yaml');
  const good = await yaml.inputValue();
  await yaml.fill(good.replace('- port_scan', '- port_scam'));
  await page.getByTestId('fault-rules').getByText('port_scam').waitFor();
  assert.equal(await page.getByTestId('save-rule').isDisabled(), true);
  await yaml.fill(good);
  await page.locator('[data-testid=judgement][data-ok=true]').waitFor();
});

steps('it is tried, saved and in force, with its chain on its page', async () => {
  await page.getByTestId('trial').getByRole('button', { name: '试跑' }).click();
  await page.getByTestId('trial-result').waitFor();
  await page.getByTestId('save-rule').click();
  await page.waitForURL((u) => /\/rules\/[0-9a-f-]{36}$/.test(u.pathname));
  chainURL = page.url();
  const id = new URL(chainURL).pathname.split('/').at(-1);
  await until('the correlation in force', async () => {
    const set = await api('GET', '/rule-set');
    return set.in_force && (await api('GET', `/rules/${id}`)).status === 'active';
  });
  const kept = await api('GET', `/rules/${id}`);
  assert.equal(kept.kind, 'correlation');
  assert.deepEqual(kept.counts, ['ssh_guessed', 'port_scan']);
  assert.match(kept.file, /timespan: 2h/);
  assert.match(kept.file, /author: the desk/);
  await page.locator('[data-testid=rule-status] .dot.ok').waitFor();
  await page.getByTestId('chain').getByText('SSH 口令被猜中', { exact: true }).waitFor();
  await page.getByTestId('closings').waitFor();
  await shot(page, 'correlation-page');
  await go(page, '/rules?show=windows');
  await page.getByTestId('windows').getByText('在存分组').waitFor();
  await shot(page, 'correlation-windows');
});

steps('in the dark and in English', async () => {
  const other = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(other.page, PASSWORD);
  await other.page.locator('.rail').waitFor();
  await go(other.page, `${ruleURL}/edit`);
  await other.page.getByText('Save and put in force').waitFor();
  await other.page.getByTestId('condition').nth(3).waitFor();
  await shot(other.page, 'rule-builder-dark-en');
  await go(other.page, `${chainURL}/edit`);
  await other.page.getByTestId('counted').locator('li').nth(1).waitFor();
  await other.page.getByTestId('chain').locator('.chainnode.here').waitFor();
  await shot(other.page, 'correlation-builder-dark-en');
  await other.context.close();
});
