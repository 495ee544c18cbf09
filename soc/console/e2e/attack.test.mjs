/**
 * Looks, in real Chromium, at pages over data that holds markup (the suite's
 * acceptance test stores it): the markup shows as text, no element of it comes
 * to be, nothing of it runs, and the content security policy has nothing to
 * stop.
 *
 * Environment: BASE_URL, ICEWATCH_USERNAME, ICEWATCH_PASSWORD, CHROMIUM, WAIT_MS
 * as in console.test.mjs.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const BASE = (process.env.BASE_URL ?? 'http://127.0.0.1:8080').replace(/\/$/, '');
const WAIT = Number(process.env.WAIT_MS ?? 60_000);
const MARKUP = 'onerror=window.__xss=1';

let browser;
let page;
const faults = [];

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'zh-CN', timezoneId: 'Asia/Shanghai', reducedMotion: 'reduce' });
  context.setDefaultTimeout(WAIT);
  // The first steps are put off: these pages are others.
  await context.addInitScript(() => sessionStorage.setItem('icewatch.setup.later', '1'));
  page = await context.newPage();
  page.on('pageerror', (e) => faults.push(`${page.url()}: ${e}`));
  page.on('dialog', (d) => {
    faults.push(`${page.url()} opened a dialogue: ${d.message()}`);
    void d.dismiss();
  });
  page.on('console', (m) => {
    if (/Content Security Policy|TrustedHTML/.test(m.text())) faults.push(`${page.url()}: ${m.text()}`);
  });
  await page.goto(`${BASE}/login`);
  await page.locator('#username').fill(process.env.ICEWATCH_USERNAME ?? 'admin');
  await page.locator('#password').fill(process.env.ICEWATCH_PASSWORD ?? '');
  await page.locator('button[type=submit]').click();
  await page.locator('.rail').waitFor();
});

after(async () => {
  await browser?.close();
});

/** Fails where stored markup became more than text. */
async function inert() {
  const found = await page.evaluate(() => ({ ran: window.__xss, elements: document.querySelectorAll('img.xss, img[onerror], [src="x"]').length }));
  assert.deepEqual(found, { ran: undefined, elements: 0 }, `${page.url()} made elements of stored markup`);
}

/** Opens a page and waits until the markup shows in it, as text or in a field. */
async function shows(path) {
  await page.goto(BASE + path);
  await page.waitForFunction(
    (m) => document.body.innerText.includes(m) || [...document.querySelectorAll('input,textarea,[title]')].some((e) => (e.value ?? e.title ?? '').includes(m)),
    MARKUP,
  );
  await inert();
}

test('log lines', async () => {
  await shows('/search?since=1h&query=window.__xss');
  await page.getByTestId('hit').first().locator('button').first().click();
  await page.locator('.hit .fields').first().waitFor();
  await inert();
  // Hints and menus are built from values too.
  await page.locator('.hit .fields button.token, .hit .fields .entity-more').first().click();
  await inert();
});

test('items of the CMDB', async () => {
  await shows('/cmdb?class=host');
  await page.locator('main table a[href^="/cmdb/"]').first().click();
  await page.waitForURL(/\/cmdb\/.+/);
  await page.waitForFunction((m) => document.body.innerText.includes(m), MARKUP);
  await inert();
});

for (const [what, path] of [
  ['names of users', '/admin/users'],
  ['names of tokens', '/admin/tokens'],
  ['names of tenants', '/tenants'],
]) {
  test(what, async () => {
    await shows(path);
  });
}

test('alerts raised from such lines', async () => {
  await page.goto(`${BASE}/alerts`);
  await page.locator('[role=row][data-id]').first().waitFor();
  await inert();
  const id = await page.locator('[role=row][data-id]').first().getAttribute('data-id');
  await page.goto(`${BASE}/alerts/${id}`);
  await page.locator('h1.sentence').waitFor();
  await inert();
});

test('an address that holds markup', async () => {
  for (const path of ['/search?query=%3Cimg%20class%3Dxss%20src%3Dx%20onerror%3Dwindow.__xss%3D1%3E', '/cmdb?q=%22%3E%3Cimg%20class%3Dxss%20src%3Dx%20onerror%3Dwindow.__xss%3D1%3E', '/%3Cscript%3Ewindow.__xss=1%3C/script%3E', '/login?to=javascript:window.__xss=1']) {
    await page.goto(BASE + path);
    await page.locator('main, #username').first().waitFor();
    await inert();
  }
});

test('the policy had nothing to stop', () => {
  assert.deepEqual(faults, []);
});
