/**
 * The numbers on the pages: each is what known data, driven through the
 * sockets (known.mjs), makes it. A page's figures are looked for beside what
 * they are called, in the text that a person reads. Runs on a suite to which
 * nothing else was sent.
 *
 * First the known data alone, then what people do in known amounts
 * (numbers/deeds.mjs) and a second wave of data. A page that is not in one of the
 * two tables has to be in numbers/elsewhere.mjs: it shows no figure, or a test of
 * its own holds them. A page in none of them fails the test.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { BASE, PASSWORD, PATHS, faults, go, launch, missing, open, settled, signIn, steps, visit } from './desk.mjs';
import { drive } from './known.mjs';
import { ALERTS, FIRST, ORDERED, figures as ofData } from './numbers/datapages.mjs';
import { SECOND_WAVE, deeds, peers } from './numbers/deeds.mjs';
import { figures as ofDeeds } from './numbers/deedspages.mjs';
import { figures as ofBackups } from './numbers/backups.mjs';
import { keysOf } from './numbers/keys.mjs';
import { ALONE, walk } from './numbers/states.mjs';
import { ELSEWHERE, WITHOUT } from './numbers/elsewhere.mjs';

let browser;
let page;
let known;
/** The lines of the checklist that an empty suite shows. */
let begun;
let there;
/** What the first wave left. */
let first;
/** Events that the suite was sent so far. */
let sent = 0;
/** The pages whose figures were held. */
const held = [];
/** Where each of them is. */
const visited = new Map();

before(async () => {
  if (missing) return;
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
  await settled(page);
  await page.getByTestId('checklist').waitFor();
  begun = await ticks();
  known = await drive(page);
});
after(async () => {
  await browser?.close();
  there?.end();
});

const text = async () => (await page.locator('main').innerText()).replace(/\s+/g, ' ').trim();
/** What a page says, or does not say, of what it must. */
async function lacking(wants) {
  const shown = await text();
  const lack = [];
  for (const w of wants) if (!(typeof w === 'string' ? shown.includes(w) : typeof w === 'function' ? await w() : w.test(shown))) lack.push(w);
  return { shown, lack };
}

const get = async (path) => (await page.request.get(`${BASE}/api/v1${path}`)).json();
const until = async (what, f) => {
  for (const end = Date.now() + 45_000; ; await new Promise((r) => setTimeout(r, 300))) {
    const v = await f();
    if (v) return v;
    if (Date.now() > end) throw new Error(`${what} did not come`);
  }
};

/** Goes to each page of a table and holds what it says against what it must; all that is wrong is told at once. */
async function hold(table) {
  const wrong = [];
  for (const [path, at, wants] of table) {
    await visit(page, at);
    // What is summed up in the background comes a moment later.
    let seen = await lacking(wants);
    for (const end = Date.now() + 10_000; seen.lack.length > 0 && Date.now() < end; seen = await lacking(wants)) await page.waitForTimeout(300);
    for (const w of seen.lack) wrong.push(`${path} (${at}) does not say ${w}: ${seen.shown.slice(0, 700)}`);
    held.push(path);
    visited.set(path, at);
  }
  assert.deepEqual(wrong, [], wrong.join('\n\n'));
}

/** The lines of the checklist and whether each is ticked. */
const ticks = () => page.getByTestId('checklist').locator('li').evaluateAll((l) => Object.fromEntries(l.map((x) => [x.querySelector('span:last-child > :first-child').textContent, x.dataset.done === 'true'])));

steps('an empty suite says what to begin with, and each line ticks by itself', async () => {
  assert.deepEqual(begun, { 接入数据源: false, 导入资产: false, 启用检测规则: true, 邀请同事: false });
  await visit(page, '/me');
  await visit(page, '/');
  const after = { 接入数据源: true, 导入资产: true, 启用检测规则: true, 邀请同事: false };
  await until('the ticks', async () => JSON.stringify(await ticks()) === JSON.stringify(after));
});

steps('every number is what the known data makes it', async () => {
  const alerts = await until('the alerts', async () => {
    const { items, total } = await get('/alerts?status=open&limit=10');
    return total >= ALERTS && items.every((a) => a.incident_id) && items;
  });
  const probes = (await get('/search/histogram?since=1h&query=log.syslog.appname:%3Dprobe')).total;
  const group = (await known('POST', '/api/v1/log-groups', { kind: 'group', name: '已知数据', filter: 'log.syslog.appname:=numapp' })).id;
  const monitor = (await known('POST', '/api/v1/search-monitors', { name: '拒单', query: 'log.syslog.appname:=numapp "refused"', schedule: '0 4 * * *', time_zone: 'Asia/Shanghai', window: '1h', condition: { kind: 'rows', op: '>', value: 0 }, action: { kind: 'export', format: 'csv' }, enabled: true })).id;
  await known('POST', `/api/v1/search-monitors/${monitor}/run`, {});
  await known('POST', '/api/v1/exports', { query: 'log.syslog.appname:=numapp', since: '1h', format: 'ndjson', name: '订单' });
  // A table has the text of each line as it was sent, and nothing of it is left out.
  const made = await known('POST', '/api/v1/exports', { query: 'log.syslog.appname:=numapp', since: '1h', format: 'csv', name: '订单表' });
  const done = await until('the table', async () => (({ state, ...rest }) => state === 'done' && rest)(await get(`/exports/${made.id}`)));
  assert.deepEqual(done.notes ?? [], []);
  const csv = await (await page.request.get(`${BASE}/api/v1/exports/${made.id}/file`)).text();
  assert.equal(csv.match(/<38>1 \S+ num-db-1 numapp 77 - - order (paid|refused) no \d+/g)?.length, ORDERED, csv.slice(0, 600));
  const trace = (await get('/traces?since=1h')).items[0].trace_id;
  const host = (await get('/cmdb/items?q=num-web-1')).items[0].id;
  first = { incident: alerts[0].incident_id };
  sent = FIRST + probes;
  await hold(ofData({ probes, alert: alerts.find((a) => /8 次/.test(a.title.zh)).id, incident: first.incident, group, monitor, trace, host }, page, text));
});

steps('what people do and a second wave of data make every other number', async () => {
  there = await peers();
  const done = await deeds(known, get, until, there, first);
  const packs = (await get('/parsers')).items;
  const shipped = {
    systems: (await get('/cmdb/items?class=business_system&limit=1')).total,
    packs: packs.length,
    kinds: packs.reduce((n, p) => n + p.logs.length, 0),
    rules: (await get('/rules?limit=1')).total,
    roles: (await get('/roles')).items.length,
    dictionaries: (await get('/cmdb/model')).dictionaries.map((d) => ({ title: d.title.zh, values: d.values.length })),
  };
  sent += SECOND_WAVE;
  await hold(ofDeeds(done, page, shipped));
  await hold([await ofBackups(known, get, until, page, there.backups, sent)]);
  // A colleague has an account: all is begun.
  await visit(page, '/');
  await page.getByTestId('checklist').waitFor({ state: 'detached' });
});

steps('who sees parts of events masked is told so, and why there are no reports for him', async () => {
  const other = (await open(browser)).page;
  const [word, own] = ['Known-Numbers-2026', 'Own-Numbers-2026'];
  await signIn(other, word, 'num-sun');
  await other.getByText('先修改密码').waitFor();
  await other.locator('input[autocomplete=current-password]').fill(word);
  for (const i of [0, 1]) await other.locator('input[autocomplete=new-password]').nth(i).fill(own);
  await other.getByRole('button', { name: '修改密码' }).click();
  await other.locator('.rail').waitFor();
  await go(other, '/daily-reports');
  await other.getByRole('heading', { name: '日报不对你显示' }).waitFor();
  await go(other, '/search');
  await other.getByTestId('mask-hint').filter({ hasText: '工号' }).waitFor();
  await other.context().close();
});

steps('times are told by the clock or by how long ago, and in the zone, as the reader chose once', async () => {
  const choose = async (how, menu = '时间显示') => {
    await page.locator('.rail button.me').click();
    await page.getByRole('menuitem', { name: menu }).hover();
    await page.getByRole('menuitem', { name: how, exact: true }).click();
  };
  const first = () => page.locator('main tbody tr').first().locator('time').first().innerText();
  await visit(page, '/admin/sessions');
  assert.match(await first(), /^\d\d:\d\d:\d\d$/);
  await choose('距今多久');
  await until('how long ago', async () => /前|现在/.test(await first()));
  await page.reload();
  await settled(page);
  assert.match(await first(), /前|现在/);
  await choose('按页面');
  await until('the clock', async () => /^\d\d:\d\d:\d\d$/.test(await first()));
  // The desk stands in Harbin, eight hours before UTC.
  const told = await first();
  const hour = String((Number(told.slice(0, 2)) + 16) % 24).padStart(2, '0');
  await choose('协调世界时（UTC）', '时区');
  await until('the hour in UTC', async () => (await first()) === hour + told.slice(2));
  await choose('本机时区', '时区');
  await until('the hour of the desk', async () => (await first()) === told);
});

steps('j, k, enter and / work on every list, and ? tells what the page has', async () => {
  const wrong = [];
  let lists = 0;
  for (const at of visited.values()) {
    await visit(page, at);
    const keys = await keysOf(page, settled);
    if (keys.list) lists++;
    if (keys.wrong) wrong.push(`${at}: ${keys.wrong}`);
  }
  assert.ok(lists > 15, `only ${lists} pages had a list to walk`);
  assert.deepEqual(wrong, [], wrong.join('\n'));
});

for (const [kind, what] of [['forbidden', 'refuses'], ['failed', 'ails']]) {
  steps(`every page says so, with a way out, where the server ${what}`, async () => {
    const all = PATHS.filter((p) => !/^\/(login|welcome)$/.test(p)).map((p) => visited.get(p) ?? p.replace(/:\w+/g, 'none'));
    const wrong = await walk(page.context(), kind, all, ALONE);
    assert.deepEqual(wrong, [], wrong.join('\n'));
  });
}

steps('every page is held here, by a test of its own, or shows no figure', () => {
  const here = [...new Set(held)];
  const all = [...here, ...Object.keys(ELSEWHERE), ...Object.keys(WITHOUT)];
  for (const path of all) assert.ok(PATHS.includes(path), `${path} is no page`);
  const left = PATHS.filter((p) => !all.includes(p));
  assert.deepEqual(left, [], `nothing holds the numbers of ${left.join(' ')}`);
  for (const [path, [file, step, what]] of Object.entries(ELSEWHERE)) {
    const source = readFileSync(new URL(`./${file}`, import.meta.url), 'utf8');
    const body = source.split('\nsteps(').find((s) => s.includes(step, 1) && s.indexOf(step) < 3);
    assert.ok(body, `${file} has no step “${step}”, which was to hold ${path}`);
    assert.ok(body.includes(what), `the step “${step}” of ${file} no longer holds ${what} of ${path}`);
  }
  console.log(`figures of ${here.length} pages are held here, of ${Object.keys(ELSEWHERE).length} by tests of their own; ${Object.keys(WITHOUT).length} pages show none`);
  assert.deepEqual(faults, []);
});
