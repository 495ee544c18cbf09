/**
 * The graph of relations in real Chromium: begin with an attacker, open what it
 * met, close, hide, pin and undo, narrow it, trace a victim with one click, and
 * hand the link to a colleague who sees the same.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, missing, open, shot, signIn, steps } from './desk.mjs';

let browser;
let desk;
let attacker = '';
let victim = '';

before(async () => {
  if (missing) return;
  browser = await launch();
  desk = await open(browser);
  await signIn(desk.page, PASSWORD);
  await desk.page.waitForURL((u) => !u.pathname.startsWith('/login'));
});
after(() => browser?.close());

const drawn = (p) => p.getByTestId('drawn').innerText();
const names = (p) => p.getByTestId('node-list').getByRole('button').allInnerTexts();
const tab = (p, name) => p.getByRole('tab', { name, exact: true }).click();
/** Waits until the picture holds what the lists say, and nothing is being asked. */
const still = async (p) => {
  await p.locator('.canvas[aria-busy=false] [data-drawn]').waitFor();
  await p.waitForFunction(() => {
    const n = /(\d+)/.exec(document.querySelector('[data-testid=drawn]')?.textContent ?? '')?.[1];
    return document.querySelector('[data-drawn]')?.getAttribute('data-drawn')?.split(' ')[0] === n;
  });
};

steps('an empty graph says where to begin', async () => {
  const p = desk.page;
  const { items } = await (await p.request.get(`${BASE}/api/v1/alerts?limit=200&status=open,acknowledged,closed`)).json();
  const a = items.find((x) => x.attacker?.ip && x.victim?.user && !x.attacker.item);
  assert.ok(a, 'the simulated city has an attack from outside');
  attacker = a.attacker.ip;
  victim = a.victim.name;
  await go(p, '/graph');
  await p.getByLabel('实体', { exact: true }).fill('300.1.2.3|');
  await p.keyboard.press('Enter');
  await p.getByRole('alert').waitFor();
  await p.getByRole('button', { name: attacker, exact: true }).click();
  await still(p);
  await tab(p, '实体');
  assert.match((await names(p)).join('\n'), new RegExp(victim));
  await shot(p, 'graph-attacker');
});

steps('what it met is opened by keyboard, closed, hidden and undone', async () => {
  const p = desk.page;
  const first = await drawn(p);
  await p.getByTestId('node-list').getByRole('button').filter({ hasText: victim }).first().click();
  await p.getByTestId('chosen').getByRole('link', { name: victim }).waitFor();
  await p.locator('main h1').click();
  await p.keyboard.press('e');
  await p.waitForFunction((x) => document.querySelector('[data-testid=drawn]')?.textContent !== x, first);
  await still(p);
  const opened = await drawn(p);
  assert.ok(/[2-9] 跳/.test(opened), opened);
  assert.match(p.url(), /open=/);
  await shot(p, 'graph-opened');
  await p.keyboard.press('c');
  await p.waitForFunction((x) => document.querySelector('[data-testid=drawn]')?.textContent === x, first);
  await p.keyboard.press('Control+z');
  await p.waitForFunction((x) => document.querySelector('[data-testid=drawn]')?.textContent === x, opened);
  await p.keyboard.press('p');
  await p.waitForURL(/pin=/);
  await p.keyboard.press('h');
  await p.getByRole('button', { name: '已隐藏 1 个，全部恢复' }).click();
  await p.waitForFunction((x) => document.querySelector('[data-testid=drawn]')?.textContent === x, opened);
});

steps('a filter leaves alerts alone, and says what they are', async () => {
  const p = desk.page;
  await go(p, `${p.url()}&kinds=alert`);
  await still(p);
  await tab(p, '关系');
  const edges = await p.getByTestId('edge-list').getByRole('button').allInnerTexts();
  assert.ok(edges.length > 0 && edges.every((e) => e.startsWith('告警')), edges.join('\n'));
  await p.getByTestId('edge-list').getByRole('button').first().click();
  await p.getByTestId('chosen').getByRole('link').first().waitFor();
  await p.getByRole('button', { name: '清除筛选' }).click();
  await p.waitForURL((u) => !u.searchParams.has('kinds'));
});

steps('one click traces the victim back to the attacker, and says why', async () => {
  const p = desk.page;
  await still(p);
  await tab(p, '实体');
  await p.getByTestId('node-list').getByRole('button').filter({ hasText: victim }).first().click();
  await p.getByRole('button', { name: /^一键溯源/ }).click();
  const paths = p.getByTestId('paths');
  await paths.waitFor();
  const said = await paths.innerText();
  assert.match(said, new RegExp(`来源 ${attacker.replaceAll('.', '\\.')}`), said);
  assert.match(said, /有告警指向/);
  await still(p);
  await shot(p, 'graph-trace');
});

steps('a colleague opens the link and sees the same', async () => {
  const p = desk.page;
  await tab(p, '实体');
  const mine = await names(p);
  const other = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(other.page, PASSWORD);
  await other.page.waitForURL((u) => !u.pathname.startsWith('/login'));
  await other.page.goto(p.url());
  await other.page.getByTestId('paths').waitFor();
  await still(other.page);
  await shot(other.page, 'graph-trace-dark-en');
  await tab(other.page, 'Entities');
  const theirs = await names(other.page);
  const values = (list) => list.map((x) => x.split('\n')[1]).sort();
  assert.deepEqual(values(theirs), values(mine));
  assert.deepEqual(faults, []);
});
