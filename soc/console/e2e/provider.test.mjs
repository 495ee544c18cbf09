/**
 * Signs in, in real Chromium, to an application of another site (the suite's
 * acceptance test runs it): by the console's sign-in page and the consent page
 * at first; afterwards the session serves, although its cookie is not sent
 * along from there; and signing out of the one ends the other.
 *
 * Environment: START and LOGOUT, addresses of the application; WANT, what it
 * shows to who is signed in; ICEWATCH_USERNAME, ICEWATCH_PASSWORD, CHROMIUM,
 * WAIT_MS as in console.test.mjs.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const { START, LOGOUT, WANT } = process.env;
let browser;
let page;
const faults = [];

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const context = await browser.newContext({ locale: 'zh-CN', reducedMotion: 'reduce' });
  context.setDefaultTimeout(Number(process.env.WAIT_MS ?? 60_000));
  page = await context.newPage();
  page.on('console', (m) => {
    if (/Content Security Policy|TrustedHTML/.test(m.text())) faults.push(`${page.url()}: ${m.text()}`);
  });
});
after(async () => browser?.close());

const shown = () => page.getByText(WANT, { exact: true }).waitFor();

test('the first sign-in asks who it is, and whether the application may know', async () => {
  await page.goto(START);
  await page.locator('#username').fill(process.env.ICEWATCH_USERNAME ?? 'admin');
  await page.locator('#password').fill(process.env.ICEWATCH_PASSWORD ?? '');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: '同意' }).click();
  await shown();
});

test('the next asks nothing', async () => {
  let asked = false;
  page.on('request', (r) => (asked ||= r.url().includes('/auth/login')));
  await page.goto(START);
  await shown();
  assert.equal(asked, false);
});

test('signing out of the application signs out of the suite', async () => {
  await page.goto(LOGOUT);
  await page.getByText('signed out', { exact: true }).waitFor();
  await page.goto(START);
  await page.locator('#password').waitFor();
});

test('no page broke its content security policy', () => assert.deepEqual(faults, []));
