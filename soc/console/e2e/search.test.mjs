/**
 * The analyst's search, in real Chromium against a running suite with events:
 * text and click mode, facets and statistics, context, marked words, charts,
 * the live tail, saved searches, exports, log groups. desk.mjs tells the
 * environment; SYSLOG is where the suite takes syslog over TCP.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { after, before } from 'node:test';
import { PASSWORD, faults, go, launch, missing, open, settled, shot, signIn, steps } from './desk.mjs';

let browser;
let page;
const [HOST, PORT] = (process.env.SYSLOG ?? '').split(':');

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

/** Sends lines of syslog. */
function write(text) {
  return new Promise((resolve, reject) => {
    const c = connect(Number(PORT), HOST, () => c.end(text, resolve));
    c.on('error', reject);
  });
}

/** Sends lines as a host would. */
function send(host, ...texts) {
  const time = new Date().toISOString();
  return write(texts.map((x) => `<38>1 ${time} ${host} tailer 1 - - ${x}\n`).join(''));
}

const input = () => page.getByRole('combobox', { name: 'LogsQL' });
const found = async () => Number((await page.getByTestId('total').innerText()).replace(/\D/g, ''));
/** The page answers for the query that its address names. */
async function searched() {
  await settled(page);
  await page.locator('[role=grid][aria-busy=false], .state').first().waitFor();
}
async function search(query, rest = 'since=1h') {
  await go(page, `/search?${rest}&query=${encodeURIComponent(query)}`);
  await searched();
}

steps('suggests fields and values as one types, and finds', async () => {
  await go(page, '/search?since=1h');
  await page.getByTestId('hit').first().waitFor();
  const all = await found();
  await input().pressSequentially('event.datas');
  await page.getByTestId('suggestions').getByRole('option').filter({ hasText: 'event.dataset' }).first().waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await input().inputValue(), 'event.dataset:');
  await input().fill('event.dataset:=sshd.auth');
  await page.keyboard.press('Enter');
  await page.waitForURL(/query=event\.dataset/);
  await page.waitForFunction((n) => Number(document.querySelector('[data-testid=total]').innerText.replace(/\D/g, '')) < n, all);
  assert.ok((await found()) > 0);
});

steps('shows where a query is wrong', async () => {
  await search('Failed | stats byy x');
  const fault = page.getByTestId('fault');
  await fault.waitFor();
  assert.equal(await fault.locator('mark').innerText(), 'byy');
  await fault.getByRole('button').click();
  assert.equal(await input().evaluate((e) => e.value.slice(e.selectionStart, e.selectionEnd)), 'byy');
});

steps('text becomes conditions, conditions become text, and what is no condition stays', async () => {
  await search('Failed !user.name:=root event.dataset:sshd.*');
  await page.getByText('点选', { exact: true }).click();
  const mode = page.getByTestId('click-mode');
  await mode.getByTestId('clause').first().waitFor();
  const before = await mode.getByTestId('clause').count();
  assert.ok(before >= 2, `${before} conditions`);
  await mode.getByText('添加条件').click();
  const editor = page.getByTestId('clause-editor');
  await editor.getByRole('combobox', { name: '字段' }).fill('source.ip');
  await editor.getByRole('combobox', { name: '关系' }).fill('exists');
  await page.locator('.ant-select-dropdown:visible').getByText('存在', { exact: true }).click();
  await editor.getByRole('button', { name: '应用' }).click();
  await page.waitForURL(/source\.ip/);
  await page.waitForFunction((n) => document.querySelectorAll('[data-testid=clause]').length === n + 1, before);
  await searched();
  await shot(page, 'search-click');
  await page.getByText('语句', { exact: true }).click();
  const text = await input().inputValue();
  for (const part of ['Failed', 'root', 'sshd.', 'source.ip:*']) assert.ok(text.includes(part), `“${part}” is not in ${text}`);
  assert.ok((await found()) > 0);
});

steps('a field tells its statistics, is followed, and its values filter', async () => {
  await go(page, '/search?since=1h');
  await page.getByTestId('hit').first().waitFor();
  const box = page.locator('.fieldlist');
  await box.getByLabel('找字段').fill('event.outcome');
  await box.locator('.f').first().click();
  await box.getByTestId('field-stats').getByText('不同的值').waitFor();
  await box.getByRole('button', { name: '关注字段: event.outcome' }).click();
  await box.getByText('关注的字段').waitFor();
  await page.reload();
  await box.getByText('关注的字段').waitFor();
  await box.locator('.val .only', { hasText: 'failure' }).first().click();
  await page.waitForURL(/event\.outcome/);
  await searched();
  assert.equal(await input().inputValue(), 'event.outcome:="failure"');
  await box.getByRole('button', { name: '取消关注: event.outcome' }).click();
});

steps('an event opens to its fields and to what came around it', async () => {
  await search('"Failed password"');
  const hit = page.getByTestId('hit').first();
  await hit.locator('mark').first().waitFor();
  await hit.locator('.twist').click();
  await hit.locator('.fields').waitFor();
  const field = hit.locator('.fields tr', { hasText: 'event.dataset' });
  await field.hover();
  await field.getByRole('button', { name: /^排除/ }).click();
  await page.waitForURL(/%21event\.dataset|!event\.dataset/);
  await page.goBack();
  await page.waitForFunction(() => document.querySelector('textarea[role=combobox]').value === '"Failed password"');
  await searched();
  // The list of before may stand for a moment yet, and takes its mark along.
  const context = page.getByTestId('context');
  while (!(await context.isVisible())) {
    if (!(await page.locator('[data-testid=hit].cursor').count())) await page.keyboard.press('j');
    await page.keyboard.press('c');
    await page.waitForTimeout(100);
  }
  await context.locator('.hit.anchor').waitFor();
  assert.ok((await context.locator('.hit').count()) > 1, 'the context holds the event alone');
  await shot(page, 'search-context');
  await page.locator('.ant-drawer-close').click();
});

steps('words marked in a raw log are searched for and excluded', async () => {
  await search('"Failed password"');
  const hit = page.getByTestId('hit').first();
  await hit.locator('.twist').click();
  await hit.getByTestId('raw-line').evaluate((el) => {
    const at = el.firstChild.data.indexOf('password');
    const r = document.createRange();
    r.setStart(el.firstChild, at);
    r.setEnd(el.firstChild, at + 'password'.length);
    getSelection().removeAllRanges();
    getSelection().addRange(r);
    el.dispatchEvent(new MouseEvent('mouseup', { bubbles: true }));
  });
  const menu = page.getByTestId('word-menu');
  await menu.waitFor();
  // The server has counted them: there are more passwords than failed ones.
  const counted = menu.getByRole('button', { name: /^检索 [\d,]+$/ });
  await counted.waitFor();
  assert.ok(Number((await counted.innerText()).replace(/\D/g, '')) >= (await found()));
  await shot(page, 'search-words');
  await menu.getByRole('button', { name: '排除' }).click();
  await page.waitForURL(/%21%22password%22/);
  await searched();
  assert.equal(await input().inputValue(), '"Failed password" !"password"');
  await page.locator('.results .state').waitFor();
});

steps('results become a table, a chart and shares, computed by the store', async () => {
  await go(page, '/search?since=1h&view=table&cols=host.name,source.ip');
  await page.getByRole('columnheader', { name: 'source.ip' }).waitFor();
  await go(page, '/search?since=1h&view=chart&by=event.dataset');
  await page.getByTestId('plot').locator('canvas').waitFor();
  await shot(page, 'search-chart');
  await page.getByText('表格', { exact: true }).last().click();
  const rows = page.getByTestId('plot').locator('tbody tr');
  await rows.first().waitFor();
  const sum = (await rows.locator('td.num').allInnerTexts()).reduce((n, x) => n + Number(x.replace(/\D/g, '')), 0);
  assert.equal(sum, await found(), 'the parts do not make the whole');
});

steps('dragging in the histogram zooms, and there is a way back', async () => {
  await search('*');
  const canvas = page.locator('.histo canvas').first();
  await canvas.waitFor();
  const b = await canvas.boundingBox();
  await page.mouse.move(b.x + b.width * 0.6, b.y + b.height / 2);
  await page.mouse.down();
  await page.mouse.move(b.x + b.width * 0.98, b.y + b.height / 2, { steps: 8 });
  await page.mouse.up();
  await page.waitForURL(/start=.*end=/);
  await page.getByRole('button', { name: '回到放大前的时间范围' }).click();
  await page.waitForURL((u) => !u.searchParams.has('start'));
});

steps('the live tail shows what comes in, and stands still while it is paused', async () => {
  await go(page, `/search?live=1&query=${encodeURIComponent('"tail probe"')}`);
  const tail = page.getByTestId('tail');
  await tail.getByText('实时', { exact: true }).waitFor();
  await send('tail-01', 'tail probe one');
  await tail.getByTestId('hit').filter({ hasText: 'tail probe one' }).waitFor();
  await tail.getByRole('button', { name: '暂停' }).click();
  await send('tail-01', 'tail probe two', 'tail probe three');
  await page.getByTestId('tail-waiting').filter({ hasText: '2' }).waitFor();
  assert.equal(await tail.getByTestId('hit').count(), 1, 'the paused list moved');
  await shot(page, 'search-tail');
  await page.getByTestId('tail-waiting').click();
  await tail.getByTestId('hit').filter({ hasText: 'tail probe three' }).waitFor();
  assert.equal(await tail.getByTestId('hit').count(), 3);
});

steps('a search is saved, found again, and in the history', async () => {
  await search('"Failed password"', 'since=4h&view=table&cols=source.ip');
  await page.getByRole('button', { name: '更多' }).first().click();
  await page.getByText('保存检索', { exact: true }).click();
  const form = page.locator('.ant-modal:visible');
  await form.getByLabel('名称').fill('登录失败');
  await form.getByLabel('分类').fill('登录');
  await form.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByText('已保存 登录失败').waitFor();
  await go(page, '/search');
  await page.getByRole('button', { name: '常用检索' }).click();
  await page.getByTestId('saved').getByText('登录失败').waitFor();
  await shot(page, 'search-saved');
  await page.getByRole('button', { name: '登录失败 的操作' }).click();
  await page.getByRole('menuitem', { name: '编辑' }).click();
  await form.getByLabel('说明').fill('按来源看口令失败');
  await form.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByTestId('saved').getByText('按来源看口令失败').waitFor();
  const [file] = await Promise.all([page.waitForEvent('download'), page.locator('.ant-drawer').getByRole('button', { name: '导出' }).click()]);
  assert.match(await readFile(await file.path(), 'utf8'), /登录失败/);
  await page.getByTestId('saved').getByText('登录失败', { exact: true }).click();
  await page.waitForURL((u) => u.searchParams.get('query') === '"Failed password"' && u.searchParams.get('since') === '4h' && u.searchParams.get('view') === 'table');
  await page.getByRole('button', { name: '更多' }).first().click();
  await page.getByText('检索历史', { exact: true }).first().click();
  await page.getByTestId('history').getByText('"Failed password"').first().waitFor();
});

steps('results are exported in the background and the file holds them', async () => {
  await search('"Failed password"');
  const n = await found();
  await page.getByRole('button', { name: '更多' }).first().click();
  await page.getByText('导出结果', { exact: true }).click();
  const form = page.locator('.ant-modal:visible');
  await form.getByText('NDJSON', { exact: true }).click();
  await form.getByRole('button', { name: '开始导出' }).click();
  await page.locator('[data-testid=export-state][data-state=done]').waitFor();
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: '下载' }).or(page.getByRole('button', { name: '下载' })).first().click()]);
  const lines = (await readFile(await file.path(), 'utf8')).trim().split('\n');
  assert.equal(lines.length, n);
  assert.ok(lines.every((l) => l.includes('Failed password')));
  await go(page, '/search/exports');
  await page.locator('[data-testid=export-state][data-state=done]').first().waitFor();
  await shot(page, 'exports');
});

steps('a time is held against an earlier one: a line over the bars, and the values that changed, counted in both', async () => {
  const tag = `compare-${Date.now() % 1e6}`;
  const at = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();
  const line = (minutes, user) => `<38>1 ${at(minutes)} compare-01 ${tag} 1 - - compared ${user}\n`;
  await write(line(12, 'a') + line(12, 'a') + line(12, 'gone') + line(2, 'a') + line(2, 'fresh') + line(2, 'fresh') + line(2, 'fresh'));
  const query = encodeURIComponent(`log.syslog.appname:=${tag}`);
  for (let n = 0; n !== 7; n = await found()) await search(`log.syslog.appname:=${tag}`, 'since=15m');
  await go(page, `/search?start=${at(5)}&end=${at(-1)}&query=${query}`);
  await page.getByRole('button', { name: /对比时段/ }).click();
  await page.getByTestId('versus').getByLabel('对比时段的开始').fill(await page.evaluate((t) => new Date(Date.parse(t) + 8 * 3_600_000).toISOString().slice(0, 19), at(15)));
  await page.getByTestId('versus').getByRole('button', { name: '应用' }).click();
  await page.waitForURL(/vs=.*view=compare|view=compare.*vs=/);
  await go(page, `${page.url()}&fields=message`);
  await page.getByTestId('versus-total').filter({ hasText: '对比时段 3 条' }).waitFor();
  assert.equal(await found(), 4);
  assert.match(await page.getByTestId('versus-total').innerText(), /▲ 1 \+33%/);
  const row = (value) => page.getByTestId('compare').locator(`tr[data-value="compared ${value}"]`);
  await row('fresh').waitFor();
  const cells = async (value) => (await row(value).locator('td').allInnerTexts()).slice(1).map((x) => x.trim().replace(/\s+/g, ' '));
  assert.deepEqual(await cells('fresh'), ['3', '0', '▲ 3 新出现']);
  assert.deepEqual(await cells('a'), ['1', '2', '▼ 1 −50%']);
  assert.deepEqual(await cells('gone'), ['0', '1', '▼ 1 消失']);
  await shot(page, 'search-compare');
});

steps('flows are a tab of the same search, with its time and conditions', async () => {
  await search('source.ip:ipv4_range("10.0.0.0/8")');
  await page.getByRole('link', { name: '流量', exact: true }).click();
  await page.waitForURL((u) => u.searchParams.get('tab') === 'flows' && u.searchParams.get('since') === '1h' && u.searchParams.get('query').startsWith('source.ip'));
  const table = page.getByTestId('signal-flows').locator('tbody tr');
  await table.first().waitFor();
  const rows = await table.count();
  assert.equal(Number((await page.getByTestId('signal-count').innerText()).replace(/\D/g, '')), rows);
  assert.ok((await table.locator('td:first-child').allInnerTexts()).every((x) => x.trim().startsWith('10.')), 'a flow is from elsewhere');
  const flows = (await table.locator('td:nth-child(6)').allInnerTexts()).reduce((n, x) => n + Number(x.replace(/\D/g, '')), 0);
  if (rows < 500) assert.equal(flows, await found(), 'the conversations do not make the records found');
  await shot(page, 'search-flows');
  await page.getByRole('link', { name: '日志', exact: true }).click();
  await page.waitForURL((u) => !u.searchParams.has('tab') && u.searchParams.get('query').startsWith('source.ip'));
});

steps('columns are chosen among more than seventy fields, pinned, and kept', async () => {
  await go(page, '/search?since=1h&view=table');
  await searched();
  const known = await page.evaluate(async () => (await (await fetch('/api/v1/fields/catalogue')).json()).items.map((f) => f.name));
  assert.ok(known.length >= 70, `${known.length} fields`);
  // One that no event has yet is there to be chosen all the same.
  await page.getByTestId('column-picker').locator('input').fill('observer.serial_number');
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').filter({ hasText: 'observer.serial_number' }).click();
  await page.keyboard.press('Escape');
  await page.getByRole('columnheader', { name: 'observer.serial_number' }).waitFor();
  await page.getByRole('button', { name: '固定列 source.ip' }).click();
  await page.waitForURL(/pin=source\.ip/);
  await go(page, '/search?since=1h&view=table');
  await page.getByRole('button', { name: '取消固定列 source.ip' }).waitFor();
  const first = page.getByRole('columnheader').nth(1);
  assert.match(await first.innerText(), /source\.ip/);
  const before = (await first.boundingBox()).x;
  await page.locator('.results').evaluate((el) => el.scrollTo(400, 0));
  assert.ok(Math.abs((await first.boundingBox()).x - before) < 60, 'the pinned column was scrolled away');
  await shot(page, 'search-pinned');
  await page.getByRole('button', { name: '取消固定列 source.ip' }).click();
  await page.getByRole('button', { name: '移除 observer.serial_number' }).click();
});

steps('a search becomes a monitoring rule and a detection rule', async () => {
  await search('"Failed password" event.dataset:=sshd.auth', 'since=4h');
  await page.getByRole('button', { name: '更多' }).first().click();
  await page.getByText('建日志监控规则', { exact: true }).click();
  await page.waitForURL(/\/search\/monitors/);
  const form = page.locator('.ant-modal:visible');
  assert.equal(await form.getByLabel('查询语句').inputValue(), '"Failed password" event.dataset:=sshd.auth');
  await form.getByLabel('名称').fill('来自检索的监控');
  await form.getByLabel('检索窗口').fill('4h');
  await form.getByRole('button', { name: '创建' }).click();
  await page.getByText('已保存 来自检索的监控').waitFor();
  await page.getByRole('button', { name: '来自检索的监控', exact: true }).click();
  await page.getByRole('button', { name: '立即执行' }).click();
  await page.getByTestId('runs').locator('tr', { hasText: '满足条件' }).first().waitFor();

  await search('"Failed password" event.dataset:=sshd.auth user.name:len_range(1, 50)', 'since=4h');
  await page.getByRole('button', { name: '更多' }).first().click();
  await page.getByText('建检测规则', { exact: true }).click();
  await page.waitForURL(/\/rules\/new/);
  await page.getByTestId('from-search').getByText('user.name length 1, 50').waitFor();
  assert.match(await page.getByTestId('yaml').inputValue(), /event\.dataset: 'sshd\.auth'/);
  await page.locator('[data-testid=judgement][data-ok=true]').waitFor();
  await shot(page, 'rule-from-search');
});

steps('a log group parts the logs, and is searched in', async () => {
  await go(page, '/search/groups');
  await page.getByRole('button', { name: '新建日志组' }).first().click();
  const form = page.locator('.ant-modal:visible');
  await form.getByLabel('名称').fill('登录日志');
  await form.getByLabel('条件').fill('event.dataset:sshd.*');
  await form.getByRole('button', { name: '创建' }).click();
  await page.getByRole('treeitem', { name: '登录日志' }).waitFor();
  await settled(page);
  await shot(page, 'log-groups');
  await page.getByRole('link', { name: '在组内检索' }).click();
  await page.waitForURL(/group=/);
  await page.getByTestId('hit').first().waitFor();
  await page.locator('.fieldlist .val .only', { hasText: 'sshd.auth' }).first().waitFor();
  assert.equal(await page.locator('.fieldlist .val .only', { hasText: 'nginx.access' }).count(), 0, 'the group lets other logs through');
});

steps('no page failed, broke the content policy or asked another host', () => {
  assert.deepEqual(faults, []);
});
