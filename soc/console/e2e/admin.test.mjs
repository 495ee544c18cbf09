/**
 * The administrators' way through the console, in real Chromium on a fresh
 * suite: the first steps, an organisation and a user with a data scope, second
 * factors, a forced sign-out, the audit log and the watermark. desk.mjs tells
 * the environment; BASE_URL must name a host by name, as security keys refuse
 * bare addresses.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, missing, open, settled, shot, signIn, steps, visit } from './desk.mjs';

let browser;
/** One desk for each person. */
const desks = {};
const passwords = {};
const NEW = 'Amber-Kestrel-58-Lantern';

before(async () => {
  if (missing) return;
  browser = await launch();
});
after(async () => {
  await browser?.close();
});

async function desk(who, o = {}) {
  desks[who] ??= (await open(browser, o)).page;
  return desks[who];
}

/** RFC 6238 with SHA-1, 30 seconds, 6 digits: what an authenticator shows. */
function totp(secret, at = Date.now()) {
  let bits = '';
  for (const c of secret.replace(/[\s=]/g, '').toUpperCase()) bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac('sha1', key).update(counter).digest();
  const o = mac[mac.length - 1] & 15;
  return String((mac.readUInt32BE(o) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** Signs in for the first time: the password that was handed over has to go. */
async function firstSignIn(who) {
  const p = await desk(who);
  await signIn(p, passwords[who], who);
  await p.getByText('先修改密码').waitFor();
  await p.locator('input[autocomplete=current-password]').fill(passwords[who]);
  const fresh = p.locator('input[autocomplete=new-password]');
  await fresh.nth(0).fill(`${NEW}-${who}`);
  await fresh.nth(1).fill(`${NEW}-${who}`);
  await p.getByRole('button', { name: '修改密码' }).click();
  await p.locator('.rail').waitFor();
  passwords[who] = `${NEW}-${who}`;
  return p;
}

/** Chooses in an Ant Design select by typing. */
async function choose(p, label, text, option = text) {
  const box = p.getByLabel(label, { exact: true }).last();
  await box.click();
  await box.fill(text);
  await p.locator('.ant-select-dropdown:not(.ant-select-dropdown-hidden)').locator('.ant-select-item-option, .ant-select-tree-node-content-wrapper').filter({ hasText: option }).first().click();
  // A choice of many stays open.
  await p.keyboard.press('Escape');
}

steps('the first steps name three administrators and set the basics', async () => {
  const p = await desk('admin', { later: false });
  await signIn(p, PASSWORD);
  await p.waitForURL(/\/welcome/);
  await p.getByTestId('welcome-password').getByRole('button', { name: '下一步' }).click();
  const powers = p.getByTestId('welcome-powers');
  await powers.waitFor();
  assert.equal(await powers.getByRole('radio', { name: /开启三权分立/ }).isChecked(), true);
  // Left off, the consequence is stated.
  await powers.getByRole('radio', { name: '暂不开启' }).click();
  assert.match(await powers.getByRole('alert').innerText(), /一个人拥有全部权限/);
  await powers.getByRole('radio', { name: /开启三权分立/ }).click();
  assert.equal(await powers.getByRole('button', { name: '下一步' }).isDisabled(), true);
  for (const [key, username, name] of [
    ['security', 'sec.lin', '林安'],
    ['audit', 'aud.he', '何审'],
  ]) {
    const inputs = p.getByTestId(`admin-${key}`).locator('input');
    await inputs.nth(0).fill(username);
    await inputs.nth(1).fill(name);
  }
  await shot(p, 'welcome');
  await powers.getByRole('button', { name: '下一步' }).click();
  const basics = p.getByTestId('welcome-security');
  await basics.getByRole('switch', { name: '页面水印' }).click();
  await basics.getByRole('button', { name: '下一步' }).click();
  await p.getByTestId('welcome-brand').getByRole('button', { name: '确定三位管理员' }).click();
  await p.getByTestId('first-password').nth(1).waitFor();
  for (const row of await p.getByRole('dialog').locator('tbody tr').all()) {
    passwords[await row.locator('b').innerText()] = await row.getByTestId('first-password').innerText();
  }
  assert.deepEqual(Object.keys(passwords).sort(), ['aud.he', 'sec.lin']);
  await p.getByRole('button', { name: '我已保存' }).click();
  await p.getByTestId('welcome-done').waitFor();
  await p.getByRole('button', { name: '进入平台' }).click();
  await p.locator('.rail').waitFor();
  // The powers are apart: what the other two do is not even offered.
  const rail = await p.locator('.rail nav').innerText();
  assert.match(rail, /用户/);
  assert.doesNotMatch(rail, /审计/);
});

steps('the system administrator makes an organisation and a user in it', async () => {
  const p = await desk('admin');
  await go(p, '/admin/units');
  await p.getByRole('button', { name: '新建单位' }).first().click();
  const form = p.locator('.ant-modal:visible');
  await form.getByLabel('中文名称').fill('市大数据局');
  await form.getByLabel('单位代码').fill('A01');
  await form.getByLabel('地区').fill('440300');
  await form.getByRole('button', { name: '新建单位' }).click();
  await p.getByRole('treeitem', { name: '市大数据局' }).first().waitFor();
  await p.getByRole('button', { name: '新建下级' }).click();
  await form.getByLabel('中文名称').fill('政务云管理中心');
  await form.getByLabel('单位代码').fill('A0101');
  await form.getByRole('button', { name: '新建单位' }).click();
  await p.getByRole('treeitem', { name: '政务云管理中心' }).first().waitFor();

  await go(p, '/admin/users');
  await p.getByRole('tree').getByRole('button', { name: '政务云管理中心' }).click();
  await p.waitForURL(/unit=/);
  await p.getByRole('button', { name: '新建用户' }).first().click();
  await form.getByLabel('用户名').fill('li.na');
  await form.getByLabel('姓名').fill('李娜');
  await form.getByLabel('邮箱').fill('li.na@example.gov.cn');
  await form.getByRole('button', { name: '新建用户' }).click();
  passwords['li.na'] = await p.getByTestId('first-password').innerText();
  await p.getByRole('button', { name: '我已保存' }).click();
  await p.waitForURL(/\/admin\/users\/usr_/);
  await p.getByRole('heading', { name: '李娜' }).waitFor();
  await p.getByRole('link', { name: '政务云管理中心' }).waitFor();
});

steps('the security administrator gives a role and a data scope, checked while it is typed', async () => {
  const p = await firstSignIn('sec.lin');
  await go(p, '/admin/users');
  await p.getByRole('link', { name: /李娜/ }).click();
  await p.getByRole('link', { name: '角色与授权' }).click();
  await choose(p, '角色', 'analyst', '分析员');
  await choose(p, '租户范围', '全部租户');
  await p.getByRole('button', { name: '保存' }).click();
  await p.getByText('已保存', { exact: true }).waitFor();

  await p.getByRole('link', { name: '数据范围' }).click();
  const expression = p.getByLabel('范围表达式');
  await expression.fill('region in ("440304"');
  await p.getByTestId('reach-check').getByRole('alert').waitFor();
  await expression.fill('organisation under "A01" or region = "440300"');
  await p.getByTestId('reach-check').getByText('表达式正确').waitFor();
  await p.getByRole('button', { name: '保存' }).click();
  await p.getByText(/已保存 李娜 的数据范围/).waitFor();

  await go(p, `${p.url().split('?')[0]}?tab=explain&operation=close-alert`);
  const why = p.getByTestId('explanation');
  await why.waitFor();
  assert.equal(await why.getAttribute('data-allow'), 'true');
  await go(p, `${p.url().split('?')[0]}?tab=explain&operation=create-user`);
  await p.locator('[data-testid=explanation][data-allow=false]').waitFor();

  // A role of one's own, permission by permission.
  await go(p, '/admin/roles');
  await p.getByRole('button', { name: '新建角色' }).click();
  const form = p.getByRole('dialog');
  await form.getByLabel('中文名称').fill('报表员');
  await form.getByLabel('标识').fill('report-reader');
  await form.getByRole('button', { name: '新建角色' }).click();
  await p.waitForURL(/role=report-reader/);
  await p.getByTestId('role').getByPlaceholder(/查找权限/).fill('close-alert');
  await p.locator('[data-operation=close-alert] input').check();
  await p.getByRole('toolbar').getByRole('button', { name: '保存' }).click();
  await p.getByText('已保存角色 报表员').waitFor();
});

steps('a user enrols an authenticator and signs in with its code', async () => {
  const p = await firstSignIn('li.na');
  await go(p, '/me?tab=security');
  await p.getByTestId('factor-totp').getByRole('button', { name: '绑定验证器' }).click();
  const secret = (await p.getByTestId('totp-secret').innerText()).replace(/\s/g, '');
  await p.getByRole('dialog').locator('svg').first().waitFor();
  const enrolledAt = Date.now();
  await p.getByRole('dialog').locator('input').fill(totp(secret));
  await p.getByRole('dialog').getByRole('button', { name: '验证' }).click();
  await p.getByTestId('recovery-codes').locator('code').first().waitFor();
  assert.equal(await p.getByTestId('recovery-codes').locator('code').count(), 10);
  passwords.recovery = await p.getByTestId('recovery-codes').locator('code').first().innerText();
  await p.getByRole('button', { name: '我已保存' }).click();
  await p.getByTestId('factor-totp').getByText('已绑定').waitFor();

  await p.getByTitle('账户菜单').click();
  await p.getByRole('menuitem', { name: '退出登录' }).click();
  await p.waitForURL(/\/login/);
  await signIn(p, passwords['li.na'], 'li.na');
  await p.getByTestId('second-factor').waitFor();
  await shot(p, 'second-factor');
  await p.locator('#code').fill('000000');
  await p.getByRole('alert').waitFor();
  // A code works once: the next one comes with the next half minute.
  const next = (Math.floor(enrolledAt / 30_000) + 1) * 30_000 + 500;
  if (Date.now() < next) await p.waitForTimeout(next - Date.now());
  await p.locator('#code').fill('');
  await p.locator('#code').fill(totp(secret));
  await p.locator('.rail').waitFor();
});

steps('a security key is added, and signs in alone', async () => {
  const p = await desk('li.na');
  const cdp = await p.context().newCDPSession(p);
  await cdp.send('WebAuthn.enable');
  await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'usb', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  await go(p, '/me?tab=security');
  await p.getByTestId('factor-keys').getByRole('button', { name: '添加安全密钥' }).click();
  await p.getByRole('dialog').locator('input').fill('测试密钥');
  await p.getByRole('dialog').getByRole('button', { name: '下一步' }).click();
  await p.getByTestId('factor-keys').getByText('测试密钥').waitFor();
  await p.getByTitle('账户菜单').click();
  await p.getByRole('menuitem', { name: '退出登录' }).click();
  await p.waitForURL(/\/login/);
  await p.getByRole('button', { name: '用安全密钥登录' }).click();
  await p.locator('.rail').waitFor();
  await go(p, '/me?tab=devices');
  await p.getByText('安全密钥', { exact: true }).first().waitFor();
});

steps('a session is ended by the security administrator, and its page leads to sign-in', async () => {
  const p = await desk('sec.lin');
  await go(p, '/admin/sessions?q=li.na');
  await p.getByRole('button', { name: '强制下线 li.na' }).first().click();
  await p.getByRole('dialog').getByRole('button', { name: '强制下线' }).click();
  await p.getByText('没有活动会话').waitFor();
  const other = await desk('li.na');
  await other.goto(`${BASE}/alerts`);
  await other.waitForURL(/\/login/);
});

steps('the audit log shows what changed, verifies, and replays a user', async () => {
  const p = await firstSignIn('aud.he');
  await go(p, '/admin/audit?action=set-user-access');
  await p.locator('tbody tr').first().waitFor();
  await p.locator('tbody tr').last().locator('td').nth(3).click();
  const diff = p.getByTestId('diff');
  await diff.waitFor();
  assert.match(await diff.innerText(), /analyst/);
  await go(p, '/admin/audit');
  await p.locator('tbody tr').first().waitFor();
  await p.getByRole('button', { name: '校验完整性' }).click();
  await p.locator('[data-testid=verify][data-ok=true]').waitFor();
  await p.locator('tbody tr', { has: p.locator('[title=set-user-access]') }).last().locator('td').nth(3).click();
  await diff.waitFor();
  await settled(p);
  await p.locator('.page').evaluate((e) => e.scrollTo(0, 0));
  await shot(p, 'admin-audit');
  await go(p, '/admin/audit?tab=track&user=li.na');
  await p.getByTestId('track-session').first().waitFor();
  await p.locator('[data-kind=sign-in]').first().waitFor();
  await shot(p, 'admin-track');
});

steps('the watermark lies over the page and comes back', async () => {
  const p = await desk('sec.lin');
  await go(p, '/admin/settings?setting=watermark');
  const mark = p.getByTestId('watermark');
  await mark.waitFor({ state: 'attached' });
  // Each setting is called by what it means, none by its key.
  assert.deepEqual((await p.locator('.rolelist b').allInnerTexts()).filter((x) => /^[a-z]+(-[a-z]+)*$/.test(x)), []);
  // It holds drawn pixels, and lets clicks through.
  assert.equal(await mark.evaluate((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)), true);
  assert.equal(await mark.evaluate((c) => getComputedStyle(c).pointerEvents), 'none');
  await mark.evaluate((c) => c.remove());
  await mark.waitFor({ state: 'attached' });
  await mark.evaluate((c) => c.style.setProperty('display', 'none', 'important'));
  await p.waitForFunction(() => getComputedStyle(document.querySelector('[data-testid=watermark]')).display === 'block');

  // It goes with the setting, and the history puts it back.
  const form = p.locator('[data-field=enabled]');
  await form.getByRole('switch').click();
  await p.getByRole('button', { name: '保存' }).click();
  await mark.waitFor({ state: 'detached' });
  await p.getByRole('button', { name: '恢复到这一版' }).first().click();
  await mark.waitFor({ state: 'attached' });
});

steps('every administration page shows its content in both themes and languages', async () => {
  const rooms = {
    'sec.lin': { users: '/admin/users', roles: '/admin/roles?role=report-reader', groups: '/admin/groups', grants: '/admin/groups?tab=grants', sessions: '/admin/sessions', locks: '/admin/sessions?tab=locks', tokens: '/admin/tokens', providers: '/admin/identity-providers', settings: '/admin/settings?setting=sessions', me: '/me', 'me-security': '/me?tab=security', 'me-devices': '/me?tab=devices', 'me-tokens': '/me?tab=tokens', 'me-access': '/me?tab=access' },
    admin: { units: '/admin/units', applications: '/admin/applications', portal: '/portal', 'settings-system': '/admin/settings' },
    'aud.he': { 'audit-list': '/admin/audit', forward: '/admin/audit?tab=forward' },
  };
  for (const [theme, locale, suffix] of [
    ['light', 'zh-CN', ''],
    ['dark', 'en-US', '-dark-en'],
  ]) {
    for (const [who, pages] of Object.entries(rooms)) {
      const p = await desk(who);
      await p.emulateMedia({ colorScheme: theme });
      await p.evaluate((l) => localStorage.setItem('icewatch.locale', l), locale);
      await p.goto(`${BASE}/me`); // a start, for the language
      await settled(p);
      for (const [name, path] of Object.entries(pages)) {
        await visit(p, path);
        assert.equal(await p.locator('main .state[role=alert]').count(), 0, `${path} shows a failure: ${await p.locator('main').innerText()}`);
        assert.doesNotMatch(await p.locator('main').innerText(), /没有这项功能|does not offer this|没有权限看|may not see/, `${path} is not there for ${who}`);
        // A few for the documents; all of them for who looks at every page.
        if (process.env.SHOT_ALL || (suffix === '' && /^(users|roles)$/.test(name))) await shot(p, `admin-${name}${suffix}`);
      }
      await p.evaluate(() => localStorage.setItem('icewatch.locale', 'zh-CN'));
    }
  }
});

steps('no page failed, broke the content policy or asked another host', () => {
  assert.deepEqual(faults, []);
});
