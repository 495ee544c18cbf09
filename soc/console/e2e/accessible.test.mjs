/**
 * Every page of the console against WCAG 2.1 A and AA, by axe-core in real
 * Chromium: none may have a fault that axe calls serious or critical. The pages
 * are read from app.tsx, so that a new one cannot be forgotten; what a page
 * with an id in its path shows is the first of its kind. desk.mjs tells the
 * environment; THEMES (light) may name dark too.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, PATHS, go, judge, launch, missing, open, signIn, steps } from './desk.mjs';

const THEMES = (process.env.THEMES ?? 'light').split(',');
/** Where the first of a kind is listed by the API, for pages with an id in their path. */
const FIRST = {
  '/alerts/:id': '/api/v1/alerts',
  '/incidents/:id': '/api/v1/incidents',
  '/duty/teams/:id': '/api/v1/duty/teams',
  '/portraits/:id': '/api/v1/cmdb/items',
  '/cmdb/:id': '/api/v1/cmdb/items',
  '/cmdb/:id/edit': '/api/v1/cmdb/items',
  '/rules/:id': '/api/v1/rules',
  '/rules/:id/edit': '/api/v1/rules',
  '/admin/users/:id': '/api/v1/users',
};

let browser;
const desks = {};

before(async () => {
  if (missing) return;
  browser = await launch();
  for (const theme of THEMES) {
    const { page } = await open(browser, { theme });
    await signIn(page, PASSWORD);
    await page.locator('.rail').waitFor();
    desks[theme] = page;
  }
});
after(() => browser?.close());

/** The address of a page with an id in its path, or nothing where the suite has none of its kind. */
async function resolve(page, path) {
  if (!path.includes(':')) return path;
  if (path.startsWith('/entities/')) return '/entities/ip/203.0.113.7';
  const list = FIRST[path];
  if (!list) return undefined;
  const id = await page.evaluate(async (list) => {
    const answer = await fetch(list);
    const body = await answer.json();
    const rows = Array.isArray(body) ? body : Object.values(body).find(Array.isArray);
    return rows?.[0]?.id;
  }, list);
  return id === undefined ? undefined : path.replace(':id', encodeURIComponent(id));
}

steps('no page has a serious fault by WCAG 2.1 AA', async () => {
  const wrong = [];
  let seen = 0;
  for (const theme of THEMES) {
    const page = desks[theme];
    for (const path of PATHS) {
      const at = await resolve(page, path);
      if (!at) continue;
      // Whoever types the address gets the console.
      const typed = await page.request.get(BASE + at);
      if (!typed.ok() || !(await typed.text()).includes('<div id="root">')) wrong.push(`${path}: the address answers ${typed.status()} and no console`);
      if (at === '/login') {
        await page.goto(BASE + at);
        await page.locator('main, #root > *').first().waitFor();
      } else await go(page, at);
      seen++;
      for (const fault of await judge(page)) wrong.push(`${theme} ${path}: ${fault}`);
    }
  }
  assert.ok(seen > 70 * THEMES.length, `only ${seen} pages were looked at`);
  assert.deepEqual(wrong, [], wrong.join('\n'));
});
