/**
 * What the console's tests in real Chromium share: a desk to sit at, and what
 * to do when content is slow.
 *
 * Environment: BASE_URL (http://127.0.0.1:8080), ICEWATCH_USERNAME (admin),
 * ICEWATCH_PASSWORD (needed), CHROMIUM (/usr/bin/chromium), MOTION (on: what moves
 * on the pages moves), SHOT_DIR (where screenshots go; none are taken without it),
 * WAIT_MS (how long content may take to appear, 60000).
 *
 * These tests are most of what a whole run of the tests takes, and both cores are
 * busy all the while, so only less work makes it shorter. In CPU seconds: a start of
 * the console (p.goto, reload) 0.9, a page by go() 0.35, by visit() 0.25; a desk with
 * its sign-in 1.5 (3 in Chromium with windows); a script with a browser of its own 3.
 * So: go() unless the start is what is tested; one desk for a walk of many pages;
 * steps of an existing script before a new script, and a script on a suite that runs
 * before a suite of its own; no polling faster than 100 ms of what makes the page
 * lay itself out (innerText, boxes), and waits at the first moment it can be true.
 * What a test takes: perf stat -e task-clock acceptance.test -test.run '^TestX$'.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { chromium } from 'playwright-core';

export const BASE = (process.env.BASE_URL ?? 'http://127.0.0.1:8080').replace(/\/$/, '');
export const USERNAME = process.env.ICEWATCH_USERNAME ?? 'admin';
export const PASSWORD = process.env.ICEWATCH_PASSWORD ?? process.env.ICEWATCH_ADMIN_PASSWORD ?? '';
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SHOTS = process.env.SHOT_DIR ?? '';
const WAIT = Number(process.env.WAIT_MS ?? 60_000);

export const missing = !PASSWORD ? 'ICEWATCH_PASSWORD is not set' : !existsSync(CHROMIUM) ? `${CHROMIUM} is not installed` : false;

/** Every page that was opened. */
const pages = [];

/** One step of a journey. Where it fails, what each page shows is told beside what was waited for. */
export const steps = (name, f) =>
  test(name, { skip: missing }, async () => {
    try {
      await f();
    } catch (e) {
      for (const p of pages.filter((p) => !p.isClosed())) {
        const text = await p.locator('body').innerText({ timeout: 2000 }).catch((e) => String(e));
        e.message += `\n${p.url()} shows: ${text.replace(/\s+/g, ' ').slice(0, 500)}`;
      }
      throw e;
    }
  });

/** Faults of the pages themselves: each fails the run at its end. */
export const faults = [];

export async function launch() {
  if (SHOTS) mkdirSync(SHOTS, { recursive: true });
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/** A new desk: its own cookies and storage. `later` puts the first steps off, for tests of other pages. */
export async function open(browser, { theme = 'light', locale = 'zh-CN', later = true } = {}) {
  const ctx = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    colorScheme: theme,
    locale,
    timezoneId: 'Asia/Shanghai',
    reducedMotion: process.env.MOTION === 'on' ? 'no-preference' : 'reduce',
  });
  ctx.setDefaultTimeout(WAIT);
  await ctx.addInitScript(
    ([l, off]) => {
      if (!localStorage.getItem('icewatch.locale')) localStorage.setItem('icewatch.locale', l);
      if (off) sessionStorage.setItem('icewatch.setup.later', '1');
    },
    [locale, later],
  );
  const p = await ctx.newPage();
  pages.push(p);
  p.on('pageerror', (e) => faults.push(`${p.url()}: ${e.stack ?? e}`));
  p.on('console', (m) => {
    if (m.type() === 'error' && /Content Security Policy|Minified React|Uncaught/.test(m.text())) faults.push(`${p.url()}: ${m.text()}`);
  });
  p.on('request', (r) => {
    if (!r.url().startsWith(BASE) && !/^(blob|data|about|chrome-extension):/.test(r.url())) faults.push(`${p.url()} asked for ${r.url()}`);
  });
  return { context: ctx, page: p };
}

export async function signIn(p, password, username = USERNAME) {
  await p.goto(`${BASE}/login`);
  await p.locator('#username').fill(username);
  await p.locator('#password').fill(password);
  await p.locator('button[type=submit]').click();
}

/** Goes to an address within the console, as a link of it does: a start of the console for each page would cost more than the test. */
export async function visit(p, at) {
  const before = await p.locator('main').innerText();
  await p.evaluate((at) => {
    history.pushState(null, '', at);
    dispatchEvent(new PopStateEvent('popstate'));
  }, at);
  await p.waitForFunction((before) => document.querySelector('main')?.innerText !== before, before, { polling: 50 });
  await settled(p);
}

/** An address of no page. */
const NOWHERE = '/nowhere';

/**
 * Opens an address as if it were typed in, for a quarter of the work: the page that stands there is left altogether, what
 * it fetched is forgotten and what the frame shows is fetched anew, messages are put away; but the program that runs is
 * kept. Where a page may not be left so (a dialogue, changes that are not saved), or the console does not run yet, it is
 * started. Tests of what a start does say p.goto.
 */
export async function go(p, at) {
  at = at.startsWith(BASE) ? at.slice(BASE.length) : at;
  const there = p.url().startsWith(`${BASE}/`) && (await p.evaluate(leave, [at, NOWHERE]).catch(unlessLeft));
  if (!there) await p.goto(BASE + at);
  await settled(p);
}

/** A page that is on its way elsewhere is started anew. */
const unlessLeft = (e) => {
  if (!/context was destroyed|navigation/.test(e.message)) throw e;
  return false;
};

/** Runs in the page. */
async function leave([at, nowhere]) {
  const open = '.ant-drawer-open, .ant-modal-wrap:not([style*="display: none"])';
  const root = document.getElementById('root');
  const key = root && Object.keys(root).find((k) => k.startsWith('__reactContainer$'));
  if (!key || !document.querySelector('main') || document.querySelector(open)) return false;
  // The router and what was fetched, as React has them from its root.
  let router, client;
  const look = (fiber) => {
    for (let f = fiber; f && !(router && client); f = f.sibling) {
      const props = f.memoizedProps;
      if (props?.router?.navigate) router = props.router;
      if (props?.client?.removeQueries) client = props.client;
      look(f.child);
    }
  };
  look(root[key].stateNode.current);
  if (!router || !client) throw new Error('the console has its router or its queries elsewhere than desk.mjs looks');
  const gone = () => [...document.querySelectorAll('main .state code')].some((c) => c.textContent === nowhere);
  const until = async (f) => {
    for (const end = Date.now() + 2000; !f(); await new Promise((r) => setTimeout(r, 4))) if (Date.now() > end) return false;
    return true;
  };
  await router.navigate(nowhere);
  if (!(await until(gone))) return false;
  for (const toast of document.querySelectorAll('.toast')) {
    toast.replaceChildren();
    toast.style.display = 'none';
  }
  client.removeQueries({ type: 'inactive' });
  void client.invalidateQueries();
  await router.navigate(at, { replace: true });
  return until(() => !gone());
}

/** Waits for the page's content: its heading, and no skeleton left. */
export async function settled(p) {
  await p.locator('main h1').first().waitFor();
  await p.waitForFunction(() => !document.querySelector('[role=status] .skel-line'), undefined, { polling: 30 });
  await p.evaluate(() => document.fonts.ready);
}

/** Every page that app.tsx has, by its path. */
export const PATHS = [...readFileSync(new URL('../src/app/app.tsx', import.meta.url), 'utf8').matchAll(/(?:route\(|path: )'(\/[^']*)'/g)].map((m) => m[1]);

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** What axe-core calls serious or critical by WCAG 2.1 A and AA on the page as it is, one line a rule: what is wrong, where, how often. */
export async function judge(p) {
  if (!(await p.evaluate(() => 'axe' in window))) await p.evaluate(readFileSync(AXE, 'utf8'));
  return p.evaluate(async () => {
    const found = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations'] });
    return found.violations
      .filter((v) => v.impact === 'serious' || v.impact === 'critical')
      .map((v) => `${v.id} (${v.impact}, ${v.nodes.length}): ${v.help}; ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ''}`).join(' | ')}`);
  });
}

export async function shot(p, name) {
  if (!SHOTS) return;
  await p.screenshot({ path: join(SHOTS, `${name}.png`), animations: 'disabled' });
}
