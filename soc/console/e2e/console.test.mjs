/**
 * The analyst's way through the console, in real Chromium against a running
 * suite that has at least one open incident (`icewatch simulate` makes one).
 * desk.mjs tells the environment.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, USERNAME, faults, go, launch, missing, open, settled, shot, signIn, steps, visit } from './desk.mjs';

let browser;
let page;
let incident = '';

before(async () => {
  if (missing) return;
  browser = await launch();
  ({ page } = await open(browser));
});

after(async () => {
  await browser?.close();
});

steps('a wrong password is refused, and said so', async () => {
  await page.goto(`${BASE}/`);
  // Without a session every page leads to sign-in.
  await page.waitForURL(/\/login/);
  await page.locator('#username').waitFor();
  await shot(page, 'login');
  await signIn(page, `${PASSWORD}-wrong`);
  const alert = page.getByRole('alert');
  await alert.waitFor();
  assert.match(await alert.innerText(), /用户名或密码不对/);
  assert.match(page.url(), /\/login/);
});

steps('the right one leads to my shift', async () => {
  await signIn(page, PASSWORD);
  await page.getByRole('heading', { name: '我的班次' }).waitFor();
  await settled(page);
});

steps('sign-in returns to the page that was asked for', async () => {
  const desk = await open(browser, { theme: 'light', locale: 'zh-CN' });
  await desk.page.goto(`${BASE}/rules?status=active`);
  await desk.page.waitForURL(/\/login\?.*to=/);
  await desk.page.locator('#username').fill(USERNAME);
  await desk.page.locator('#password').fill(PASSWORD);
  await desk.page.keyboard.press('Enter');
  await desk.page.waitForURL(/\/rules\?status=active/);
  await desk.context.close();
});

steps('an incident is found, acknowledged, and its timeline tells', async () => {
  // The keyboard leads: g, then i.
  await page.keyboard.press('g');
  await page.keyboard.press('i');
  await page.waitForURL(/\/incidents/);
  await page.locator('.toggle', { hasText: '待处理' }).click();
  const row = page.locator('[role=row][data-id]').first();
  await row.waitFor();
  incident = await row.getAttribute('data-id');
  const title = (await row.locator('a.what').innerText()).trim();
  assert.ok(title.length > 0, 'the incident has no title');
  await row.locator('a.what').click();
  await page.waitForURL(new RegExp(`/incidents/${incident}`));
  await page.getByRole('heading', { level: 1, name: title }).waitFor();
  await settled(page);
  assert.equal(await page.locator('[data-testid=timeline] [data-kind=acknowledged]').count(), 0);

  await page.getByRole('button', { name: '确认' }).first().click();
  const entry = page.locator('[data-testid=timeline] [data-kind=acknowledged]').first();
  await entry.waitFor();
  assert.match(await entry.innerText(), new RegExp(`确认[\\s\\S]*${USERNAME}`));
  await page.locator('.meta .status', { hasText: '已确认' }).waitFor();

  // It is the server that remembers.
  await page.reload();
  await page.locator('[data-testid=timeline] [data-kind=acknowledged]').first().waitFor();

  const said = `核对完毕 ${Date.now()}`;
  await page.getByRole('textbox', { name: '备注' }).fill(said);
  await page.getByRole('button', { name: '添加备注' }).click();
  await page.locator('[data-testid=timeline] [data-kind=comment]', { hasText: said }).waitFor();
  await page.mouse.move(0, 0);
});

steps('its alert shows why: the raw event with the matching values marked', async () => {
  await go(page, `/incidents/${incident}`);
  await page.getByRole('table', { name: '关联告警' }).locator('a.what').first().click();
  await page.waitForURL(/\/alerts\//);
  const raw = page.getByTestId('raw-event');
  await raw.waitFor();
  await settled(page);
  const marks = await raw.locator('mark').allInnerTexts();
  const evidence = await page.locator('table.evidence td:last-child').allInnerTexts();
  assert.ok(evidence.length > 0, 'the alert names no evidence');
  for (const m of marks) {
    assert.ok(evidence.some((e) => e.trim().toLowerCase() === m.trim().toLowerCase()), `“${m}” is marked and is no evidence`);
  }
  assert.ok(await page.getByTestId('asset').isVisible());
  await shot(page, 'alert');

  // Every value is a token: its menu leads to the logs that hold it.
  await page.locator('table.evidence button.token, table.evidence .entity-more').first().click();
  await page.getByRole('menuitem', { name: '在日志里检索' }).click();
  await page.waitForURL(/\/search\?query=/);
  await page.getByTestId('hit').first().waitFor();
});

steps('an alert tells how far the attack got and who attacks whom, and the list filters by that', async () => {
  const find = async () => {
    const { items } = await (await fetch('/api/v1/alerts?verdict=compromised&limit=100')).json();
    const a = (items ?? []).find((x) => x.attacker?.ip && x.victim?.name && x.phases?.length && x.risk?.class && x.techniques?.length);
    return a && { id: a.id, attacker: a.attacker.ip, victim: a.victim.name, phases: a.phases.length, techniques: a.techniques };
  };
  // The call home is the story's last step: its alert may come after the incident.
  const told = await (await page.waitForFunction(find)).jsonValue();

  await go(page, '/alerts?verdict=compromised');
  const rows = page.locator('[role=row][data-id]');
  await rows.first().waitFor();
  const marks = await rows.getByTestId('verdict').allInnerTexts();
  assert.equal(marks.length, await rows.count(), 'an alert in the list has no verdict');
  assert.deepEqual([...new Set(marks.map((m) => m.trim()))], ['失陷']);
  const toggle = page.getByRole('group', { name: '按判定筛选' }).getByRole('button', { name: '失陷' });
  assert.equal(await toggle.getAttribute('aria-pressed'), 'true');

  await page.locator(`[role=row][data-id="${told.id}"] a.what`).click();
  await page.waitForURL(new RegExp(`/alerts/${told.id}`));
  await page.locator('.meta').getByTestId('verdict').filter({ hasText: '失陷' }).waitFor();
  const panel = page.getByTestId('judgement');
  await panel.getByTestId('verdict').filter({ hasText: '失陷' }).waitFor();
  assert.notEqual((await panel.getByTestId('verdict-reason').innerText()).trim(), '');
  await panel.getByTestId('attacker').getByText(told.attacker, { exact: true }).waitFor();
  await panel.getByTestId('victim').getByText(told.victim, { exact: true }).waitFor();
  assert.equal(await panel.getByTestId('phases').locator('li.on').count(), told.phases);
  // Names come with the taxonomy, a moment after the codes.
  await panel.getByTestId('risk').filter({ hasText: /事件/ }).waitFor();
  assert.match(await panel.getByTestId('risk').innerText(), /GB\/Z 20986-2007/);
  for (const code of told.techniques) await page.getByTestId('technique').filter({ hasText: code }).locator('.ellipsis').first().waitFor();

  // Back to the list with its filter, and out of it.
  await page.goBack();
  await page.waitForURL(/verdict=compromised/);
  await toggle.click();
  await page.waitForURL((u) => !u.searchParams.has('verdict'));
});

steps('search finds, counts, filters by click and expands', async () => {
  await go(page, '/search?since=1h');
  await page.getByTestId('hit').first().waitFor();
  await page.locator('.histo canvas').waitFor();
  await page.locator('.fieldlist .f', { hasText: 'event.dataset' }).first().click();
  const value = page.locator('.fieldlist .val').first();
  const only = value.locator('button.do').first(); // shown under the pointer and to the keyboard
  await value.hover();
  await only.waitFor();
  await page.getByTestId('hit').first().locator('button').first().click();
  await page.locator('.hit .fields').first().waitFor();
  await settled(page);
  await shot(page, 'search');
  await value.hover();
  await only.click();
  await page.waitForURL(/[?&]query=[^&]/);
  await page.getByTestId('hit').first().waitFor();
});

steps('the list of alerts is worked by keyboard alone', async () => {
  await go(page, '/alerts');
  await page.locator('[role=row][data-id]').first().waitFor();
  await settled(page);
  await page.keyboard.press('j');
  await page.locator('.line.cursor').waitFor();
  await page.keyboard.press('Space');
  await page.locator('aside.preview h2').waitFor();
  await page.waitForURL(/preview=1/);
  await settled(page);
  await shot(page, 'alerts');
  const id = await page.locator('.line.cursor').getAttribute('data-id');
  await page.keyboard.press('Enter');
  await page.waitForURL(new RegExp(`/alerts/${id}`));
  await page.locator('h1.sentence').waitFor();
  await page.goBack();
  // Nothing is lost on back: the place and the preview are still there.
  await page.locator(`.line.cursor[data-id="${id}"]`).waitFor();
  await page.locator('aside.preview').waitFor();
});

steps('every page shows its content, some in the dark and in English, too', async () => {
  const pages = {
    shift: '/',
    incidents: '/incidents',
    incident: `/incidents/${incident}`,
    cmdb: '/cmdb?class=host',
    tenants: '/tenants',
    sources: '/sources',
    rules: '/rules',
    users: '/admin/users',
    tokens: '/admin/tokens',
    audit: '/admin/audit',
  };
  for (const [name, path] of Object.entries(pages)) {
    await visit(page, path);
    assert.equal(await page.locator('main .state[role=alert]').count(), 0, `${path} shows a failure: ${await page.locator('main').innerText()}`);
    await shot(page, name);
  }
  await go(page, '/rules?status=active');
  await page.locator('table.data a').first().click();
  await page.locator('pre.source').waitFor();
  await shot(page, 'rule');

  const desk = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(desk.page, PASSWORD);
  await desk.page.locator('.rail').waitFor();
  for (const [name, path] of Object.entries({ alerts: '/alerts?preview=1', incident: `/incidents/${incident}`, search: '/search?since=1h', shift: '/' })) {
    await visit(desk.page, path);
    if (name === 'search') {
      await desk.page.getByTestId('hit').first().waitFor();
      await desk.page.locator('.histo canvas').waitFor();
    }
    if (name === 'alerts') {
      await desk.page.locator('[role=row][data-id]').first().click({ position: { x: 300, y: 10 } });
      await desk.page.locator('aside.preview h2').waitFor();
    }
    assert.equal(await desk.page.evaluate(() => document.documentElement.dataset.theme), 'dark');
    if (name !== 'search') assert.match(await desk.page.locator('.rail nav').innerText(), /My shift/);
    await shot(desk.page, `${name}-dark-en`);
  }
  await desk.context.close();
});

steps('the language is switched in place, and signing out ends the session', async () => {
  await page.goto(`${BASE}/`);
  await settled(page);
  await page.getByTitle('账户菜单').click();
  await page.getByRole('menuitem', { name: '语言' }).hover();
  await page.getByRole('menuitem', { name: 'English' }).click();
  await page.getByRole('heading', { name: 'My shift' }).waitFor();
  await page.getByTitle('Account menu').click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.waitForURL(/\/login/);
  await page.goto(`${BASE}/alerts`);
  await page.waitForURL(/\/login/);
});

steps('no page failed, broke the content policy or asked another host', () => {
  assert.deepEqual(faults, []);
});
