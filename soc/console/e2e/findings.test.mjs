/**
 * Findings in real Chromium, and the numbers of their pages: a table whose columns nobody knows
 * is refused with the place, then mapped, shown and taken in; findings are narrowed by several
 * conditions, one is moved and its history told in words; the reports of the field's tools and
 * of a table with known times make numbers that are known; a report is made by a template; the
 * report that was taken in is taken back; a work order is made and follows repairs; published
 * vulnerabilities are taken in and lead to the assets that have them; a range is asked for,
 * approved by another person and scanned by the scanner's own program, twice.
 *
 * Environment: as for desk.mjs; SCANNER (the program icewatch-scanner) and COLLEAGUE
 * (username:password of another administrator of e-seal). The CMDB has yb-app-1 at 10.9.0.1
 * and yb-app-2 at 10.9.0.2 in the zone gov, and there are no findings.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

let browser;
let page;
let scanner;
const home = mkdtempSync(join(tmpdir(), 'icewatch-e2e-scanner-'));
const sites = [];

/** A unit with a system on the two hosts that the samples of reports are about, and with the host that is scanned. */
const INVENTORY = `
- {id: fin-org, class: organisation, name: 市税务局, tenant: e-seal}
- {id: fin-sys, class: business_system, name: 税务申报系统, tenant: e-seal, organisation: fin-org, criticality: 5}
- {id: fin-web, class: host, name: fin-web, tenant: e-seal, zone: gov, addresses: [10.0.0.1], hostnames: [web-1.city.example], system: fin-sys, criticality: 5, owner: 赵敏}
- {id: fin-db, class: host, name: fin-db, tenant: e-seal, zone: gov, addresses: [10.0.0.2], system: fin-sys, criticality: 5, owner: 赵敏}
- {id: fin-desk, class: host, name: fin-desk, tenant: e-seal, zone: default, addresses: [127.0.0.1], organisation: fin-org}
`;
/** The tools' samples: what each is told beside its bytes, and how many findings it makes that no earlier one made. */
const SAMPLES = [
  ['scan.nessus', {}, 1],
  ['openvas.xml', {}, 1],
  ['nuclei.jsonl', { tenant: 'e-seal' }, 1],
  ['nmap.xml', {}, 1],
  ['scan.sarif', { item: 'yb-app-1' }, 1],
  ['table.csv', { format: 'csv' }, 1],
];
/** Days ago at which two findings were first seen that are closed at once: 15 on average. */
const REPAIRED = [10, 20];
const LOG4J = 'CVE-2021-44228';

before(async () => {
  browser = await launch();
  page = (await open(browser)).page;
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  for (const s of sites) s.close();
  if (scanner) {
    const ended = new Promise((done) => scanner.once('exit', done));
    scanner.kill();
    await ended;
  }
  rmSync(home, { recursive: true, force: true });
  assert.deepEqual(faults, []);
});

const call = async (method, path, data, type = 'application/json') => {
  const r = await page.request.fetch(`${BASE}/api/v1${path}`, { method, data, headers: { 'X-Requested-With': 'icewatch', 'Content-Type': type } });
  if (!r.ok()) throw new Error(`${method} ${path}: ${r.status()} ${await r.text()}`);
  return r.json();
};
const get = async (path) => (await page.request.get(`${BASE}/api/v1${path}`)).json();

const text = async () => (await page.locator('main').innerText()).replace(/\s+/g, ' ').trim();

/** Goes to each page within the console, as a link does, and holds that its text says all it must, within what pages take to ask again. */
async function hold(...pages) {
  const wrong = [];
  for (const [at, ...wants] of pages) {
    await page.evaluate((at) => {
      history.pushState(null, '', at);
      dispatchEvent(new PopStateEvent('popstate'));
    }, at);
    let shown;
    let lack = wants;
    for (const end = Date.now() + 15_000; lack.length > 0 && Date.now() < end; await page.waitForTimeout(100)) {
      shown = await text();
      lack = wants.filter((w) => !(typeof w === 'string' ? shown.includes(w) : w.test(shown)));
    }
    for (const w of lack) wrong.push(`${at} does not say ${w}: ${shown}`);
  }
  if (wrong.length > 0) throw new Error(wrong.join('\n\n'));
}

steps('a table is refused with what is missing, mapped, shown and taken in', async () => {
  await go(page, '/findings?import=1');
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('网络区域').fill('gov');
  const text = '目标,问题,风险,口\n10.9.0.1,Redis 未授权访问,高危,6379\n10.9.0.1,TLS 证书过期,中危,443\n10.9.0.2,TLS 证书过期,中危,443\n';
  await dialog.locator('input[type=file]').setInputFiles({ name: '绿盟.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
  await dialog.getByText('没有标题列：请把 title 映射到 目标, 问题, 风险, 口 之一').waitFor();
  for (const [field, column] of [['漏洞名称', '问题'], ['IP', '目标'], ['端口', '口'], ['等级', '风险']]) await dialog.getByLabel(field, { exact: true }).fill(column);
  await dialog.getByLabel('扫描器').fill('绿盟');
  await dialog.getByRole('button', { name: '导入扫描报告' }).click();
  await dialog.getByText(/隐患 3 项（新增 3/).waitFor();
  await shot(page, 'findings-import');
  await dialog.getByRole('button', { name: /写\s*入/ }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'Redis 未授权访问' }).waitFor();
});

steps('several conditions narrow the list, and the address of the page holds them', async () => {
  await page.getByRole('button', { name: '更多条件' }).click();
  await page.getByLabel('端口', { exact: true }).fill('443');
  await page.getByLabel('端口', { exact: true }).press('Enter');
  await page.getByLabel('IP、域名或资产名').fill('yb-app-1');
  await page.getByLabel('IP、域名或资产名').press('Enter');
  await page.waitForURL(/port=443.*host=yb-app-1|host=yb-app-1.*port=443/);
  await page.getByText('共 1 个').waitFor();
  await page.getByRole('link', { name: 'TLS 证书过期' }).waitFor();
  await shot(page, 'findings-narrowed');
});

steps('a finding is moved, and its history says so in words', async () => {
  await page.getByRole('link', { name: 'TLS 证书过期' }).click();
  await page.getByRole('button', { name: '改状态' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('combobox', { name: '改状态' }).click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').filter({ hasText: '整改中' }).click();
  await dialog.getByRole('button', { name: /确\s*定/ }).click();
  await page.getByRole('cell', { name: '状态改为整改中' }).waitFor();
  await page.getByRole('cell', { name: '首次发现' }).waitFor();
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByRole('cell', { name: '撤销操作' }).waitFor();
});

steps("the field's tools' reports make the numbers that they are known to", async () => {
  const known = (await get('/finding-figures')).known;
  await call('POST', '/cmdb/import?format=yaml', INVENTORY, 'application/octet-stream');
  for (const [name, more, fresh] of SAMPLES) {
    const report = readFileSync(new URL(`../../exposure/report/testdata/${name}`, import.meta.url));
    const done = await call('POST', `/finding-imports?${new URLSearchParams({ zone: 'gov', name, ...more })}`, report, 'application/octet-stream');
    assert.equal(done.new, fresh, `${name}: ${JSON.stringify(done)}`);
  }
  // Two that were seen at known times, and are repaired now.
  const table = `IP,端口,漏洞名称,等级,发现时间\n${REPAIRED.map((days, i) => `10.0.0.2,${8000 + i},已修复的隐患 ${i},低,${new Date(Date.now() - days * 86_400_000).toISOString()}`).join('\n')}\n`;
  assert.equal((await call('POST', '/finding-imports?zone=gov&format=csv&name=repaired.csv', Buffer.from(table), 'application/octet-stream')).new, REPAIRED.length);
  const repaired = (await get('/findings?level=low')).items.map((f) => f.id);
  await call('POST', '/findings/change', { ids: repaired, state: 'closed', comment: '已修复' });
  await hold(
    ['/findings', '共 9 个'],
    ['/findings?state=closed', '共 2 个'],
    ['/findings?state=*', '共 11 个'],
    ['/findings?level=critical', '共 1 个', `Apache Log4j 远程代码执行 ${LOG4J}`],
    ['/findings?level=high', '共 5 个'],
    ['/findings?level=medium', '共 3 个'],
    ['/findings?overdue=1', '共 5 个'],
    ['/findings?unit=fin-org', '共 5 个'],
    ['/findings?engine=nuclei', '共 2 个'],
    ['/findings/figures', '9 未关闭 5 已超期 0 已遭攻击 4 涉及资产', `30 天检查覆盖率 4 / ${known + 3}`, '紧急 1 – ', '高 5 – ', '中 3 – ', '低 0 15.0', '提示 0 – ', /市税务局 5 5 66 % [\d:]+ 2 0 15\.0/, /未登记单位 4 0 \d+ % [\d:]+ 0 0 –/],
  );
  // What charts draw, they say.
  for (const name of ['未关闭隐患（30 天，按等级）: 紧急 1; 高 5; 中 3; 低 0; 提示 0', `近 30 天: 新增 ${4 + REPAIRED.length}; 关闭 ${REPAIRED.length}`, '各单位平均修复天数: 市税务局 15.0 天', '每周平均修复天数: 全部单位 15.0 天', '按发现方: 绿盟 3; CSV 表格 2; nuclei 2; codeql 1; Nessus 1; Nmap 1; OpenVAS 1']) await page.getByRole('img', { name, exact: true }).waitFor();
  await page.getByRole('img', { name: /^各单位检查覆盖率: .*市税务局 66% · 2\/3/ }).waitFor();
  await page.getByText('软件清单漏洞比对与配置基线').waitFor();
  await shot(page, 'findings-figures');
});

steps('a report is made by a template, and templates are kept', async () => {
  await go(page, '/findings?report=1');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('cell', { name: /漏洞扫描报告（详细）/ }).waitFor();
  const href = await dialog.getByRole('link', { name: /^生\s*成$/ }).getAttribute('href');
  const kind = await page.evaluate(async (u) => {
    const r = await fetch(u);
    return `${r.status} ${r.headers.get('content-type')} ${new TextDecoder().decode((await r.arrayBuffer()).slice(0, 5))}`;
  }, href);
  assert.equal(kind, '200 application/pdf %PDF-');
  await dialog.locator('input[type=file]').setInputFiles({ name: 't.yaml', mimeType: 'text/yaml', buffer: Buffer.from('name: {zh: 周报}\nsections: [{table: price}]\n') });
  await dialog.getByText(/没有表“price”：应为 \S+/).waitFor();
  await dialog.locator('input[type=file]').setInputFiles({ name: 't.yaml', mimeType: 'text/yaml', buffer: Buffer.from('name: {zh: 周报}\nsections: [{table: levels}]\n') });
  const mine = dialog.getByRole('row', { name: /周报/ });
  await mine.getByRole('button', { name: '设为默认' }).click();
  await mine.getByText('默认', { exact: true }).waitFor();
  await shot(page, 'findings-report');
});

steps('what was taken in is taken back, unless something happened to it since', async () => {
  await go(page, '/findings?import=1');
  const row = (name) => page.getByRole('dialog').getByRole('row', { name });
  const back = (name) => row(name).getByRole('button', { name: /撤\s*销/ }).click();
  await row(/绿盟/).getByText('3 / 0 / 0').waitFor();
  await back(/绿盟/);
  await page.getByText(/之后又有变化，不能整体撤销/).waitFor();
  await row(/table\.csv/).getByText('1 / 1 / 0').waitFor();
  await back(/table\.csv/);
  await row(/table\.csv/).getByText('已撤销').waitFor();
  await shot(page, 'findings-past');
  await hold(['/findings', '共 8 个'], ['/findings?engine=csv', '共 0 个']);
});

steps('a work order is made of findings, and says how many are left', async () => {
  await go(page, '/findings?unit=fin-org&level=high');
  await page.getByText('共 2 个').waitFor();
  await page.getByRole('checkbox', { name: '全选' }).check();
  await page.getByRole('button', { name: /生成工单/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: '负责人' }).fill('李强');
  await dialog.getByRole('button', { name: /生成工单/ }).click();
  await page.waitForURL(/\/finding-orders\//);
  const order = new URL(page.url()).pathname;
  await hold([order, '整改中', '负责人 李强', /整改期限 2024-03-17( [\d:]+)? 已超期/, '待整改 2 / 2', '生成工单，共 2 项隐患'], ['/finding-orders', '共 1 个', '2 / 2', '李强']);
  const [{ id }] = (await get('/findings?unit=fin-org&level=high')).items;
  await call('POST', '/findings/change', { ids: [id], state: 'closed', comment: '已修复' });
  await go(page, order);
  await hold([order, '待整改 1 / 2'], ['/finding-orders', '1 / 2'], ['/findings?unit=fin-org&level=high', '共 1 个'], [`/findings/${id}`, '已关闭', '状态改为已关闭']);
});

steps('published vulnerabilities are taken in, and lead to the assets that have them', async () => {
  const file = (name) => ({ name, mimeType: 'application/octet-stream', buffer: readFileSync(new URL(`../../exposure/library/testdata/${name}`, import.meta.url)) });
  await go(page, '/vulnerabilities?imports=1');
  for (const name of ['nvd.json', 'cnnvd.xml', 'kev.json', 'epss.csv']) {
    await page.getByRole('dialog').locator('input[type=file]').setInputFiles(file(name));
    await page.getByRole('dialog').getByRole('row', { name }).getByText('已完成').waitFor();
  }
  await shot(page, 'vulnerability-imports');
  await go(page, '/vulnerabilities');
  const [finding] = (await get('/findings?level=critical')).items;
  await hold(
    ['/vulnerabilities', '收录 2 个，其中 1 个已被利用', '共 2 个', `${LOG4J} CNNVD-202112-799 紧急`, '10.0 97.6 %'],
    ['/vulnerabilities?level=critical', '共 1 个'],
    [`/vulnerabilities/${LOG4J}`, 'CVSS 10.0', 'EPSS 97.6 %', '已被利用', '2021-12-10 起已知被利用', '受影响的资产 全部 1 项未关闭', /fin-web 10\.0\.0\.1 · 8080\/tcp www 待处理 赵敏 2024-\d\d-\d\d( [\d:]+)? 已超期/],
    // Ten points times the root of 0.45 (not known to be exploited when it was taken in) or 1 (known), of 0.55 (who reaches it is not recorded) and of 1 (criticality 5).
    [`/findings/${finding.id}`, finding.exploited ? '优先级 74' : '优先级 50', 'CVSS 10.0', '资产重要性 5/5', 'Nessus，nuclei'],
  );
});

/** A web site that publishes its repository and lists its directory, on a port of its own. */
const site = (port = 0) =>
  new Promise((resolve) => {
    const server = createServer((q, r) => {
      const page = { '/': '<html><head><title>Directory listing for /</title></head><body><h1>Directory listing for /</h1><hr><ul><li><a href="a.txt">a.txt</a></li></ul></body></html>', '/.git/config': '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n' }[q.url];
      r.writeHead(page ? 200 : 404, { 'Content-Type': q.url === '/' ? 'text/html' : 'application/octet-stream', Server: 'SimpleHTTP/0.6 Python/3.11.2' }).end(page ?? 'nothing');
    });
    sites.push(server.listen(port, '127.0.0.1', () => resolve(server.address().port)));
  });

steps('a range is asked for by one person and approved by another', async () => {
  await go(page, '/scans?tab=ranges&ask=1');
  const form = page.getByRole('dialog');
  await form.getByLabel('租户', { exact: true }).fill('电子印章');
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option', { hasText: '电子印章' }).first().click();
  await form.getByLabel('地址或网段').fill('127.0.0.1');
  await form.getByLabel('用途').fill('验收');
  await form.getByRole('button', { name: '申请范围' }).click();
  await page.getByRole('row', { name: /127\.0\.0\.1.*待批准/ }).waitFor();
  const [name, password] = process.env.COLLEAGUE.split(':');
  const other = (await open(browser)).page;
  await signIn(other, password, name);
  await other.locator('.rail').waitFor();
  await go(other, '/scans?tab=ranges');
  await other.getByRole('row', { name: /127\.0\.0\.1/ }).getByRole('button', { name: /批\s*准/ }).click();
  await other.getByRole('dialog').getByRole('button', { name: /批\s*准/ }).click();
  await other.getByRole('row', { name: /127\.0\.0\.1.*已批准/ }).waitFor();
  await other.close();
});

/** Starts the scan from its row and waits for its end; answers the address of its page. */
const scan = async () => {
  await go(page, '/scans?tab=tasks');
  await page.getByRole('row', { name: /网站检查/ }).getByRole('button', { name: '立即扫描' }).click();
  await page.waitForURL(/\/scans\/[^?]/);
  await page.getByRole('heading', { name: '已完成' }).waitFor();
  return new URL(page.url()).pathname;
};

steps('the scanner finds what is published, and the second scan what changed', async () => {
  await go(page, '/scans?tab=scanners&ask=1');
  const form = page.getByRole('dialog');
  await form.getByLabel('租户', { exact: true }).fill('电子印章');
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option', { hasText: '电子印章' }).first().click();
  await form.getByRole('button', { name: '生成令牌' }).click();
  const line = await page.getByText(/icewatch-scanner enrol --token=/).innerText();
  execFileSync(process.env.SCANNER, ['enrol', '--dir', home, '--token', /--token=(\S+)/.exec(line)[1]]);
  scanner = spawn(process.env.SCANNER, ['run', '--dir', home], { stdio: 'ignore' });
  await page.getByRole('dialog').getByRole('button', { name: /关\s*闭/ }).last().click();
  await page.getByRole('row', { name: /在线/ }).waitFor();
  const port = await site();
  const later = await site();
  await new Promise((done) => sites.pop().close(done));
  const task = await call('POST', '/scan-tasks', { tenant: 'e-seal', name: '网站检查', kind: 'check', targets: ['127.0.0.1'], tcp: [String(port), String(later)], unknown: 'create' });
  const first = await scan();
  await shot(page, 'scan-run');
  await hold(
    [first, '主机 1/1', '存活 1 · 服务 1 · 隐患 2', '新增隐患 2，已知 0，复测关闭 0', '已登记 1，新建 0', `高 127.0.0.1:${port} · Git 仓库信息泄露`],
    ['/scans', '网站检查', '100% 主机 1/1 存活 1 · 服务 1 · 隐患 2'],
    ['/scans?tab=tasks', '网站检查', '空闲'],
    ['/scans?tab=ranges', '127.0.0.1', '已批准', process.env.COLLEAGUE.split(':')[0]],
    ['/scans?tab=engines', '还没有第三方引擎'],
    ['/findings?engine=icewatch-scanner', '共 2 个'],
    ['/surface', '1 台主机，0 台未登记，0 项变更未确认', '没有变更'],
    ['/surface?tab=hosts', '127.0.0.1', `tcp/${port} SimpleHTTP 0.6`, '已登记', '在线'],
    ['/surface?tab=duplicates', '共 0 个'],
  );
  await site(later);
  const second = await scan();
  await hold(
    [second, '存活 1 · 服务 2 · 隐患 4', '新增隐患 2，已知 2，复测关闭 0', '暴露面变更 2'],
    ['/surface', '1 台主机，0 台未登记，2 项变更未确认', new RegExp(`端口开放 127\\.0\\.0\\.1 tcp/${later}`)],
    ['/findings?engine=icewatch-scanner', '共 4 个'],
    [`/surface?tab=compare&before=${first.split('/').pop()}&after=${second.split('/').pop()}`, `tcp/${later}`],
  );
  await go(page, '/surface');
  await page.getByRole('checkbox', { name: /端口开放/ }).check();
  await page.getByRole('button', { name: /确认 · 1 项/ }).click();
  await page.getByText('1 台主机，0 台未登记，1 项变更未确认').waitFor();
  await shot(page, 'surface');
  assert.equal((await get(`/scan-runs?task=${task.id}`)).items.length, 2);
});

steps('two assets that a scan holds to be one are looked at, merged and parted again', async () => {
  const twin = (id, more) => `- {id: ${id}, class: host, name: ${id}, tenant: e-seal, attributes: {serial_number: SN-4711}${more}}\n`;
  await call('POST', '/cmdb/import?format=yaml', twin('fin-desk', ', zone: default, addresses: [127.0.0.1], organisation: fin-org') + twin('fin-desk-old', ', zone: default, addresses: [10.9.0.99], owner: 赵敏, criticality: 4'), 'application/octet-stream');
  await scan();
  await hold(['/surface?tab=duplicates', '共 1 个', /fin-desk(-old)? .* fin-desk(-old)? 序列号 /]);
  const [{ keep, gone }] = (await get('/surface/duplicates')).items;
  const item = async (id) => {
    const r = await page.request.get(`${BASE}/api/v1/cmdb/items/${id}`);
    const { revision, updated_at, updated_by, ...rest } = await r.json();
    return { there: r.ok(), ...rest };
  };
  const before = [await item(keep.id), await item(gone.id)];
  assert.ok(before[0].there && before[1].there);
  await page.getByRole('row', { name: /序列号/ }).getByRole('button', { name: /^合\s*并…$/ }).click();
  const dialog = page.getByRole('dialog');
  const after = (field) => dialog.getByRole('row', { name: field }).locator('b').last();
  await after(/^负责人/).filter({ hasText: '赵敏' }).waitFor();
  await shot(page, 'surface-merge');
  await dialog.getByRole('button', { name: /^合\s*并$/ }).click();
  await dialog.waitFor({ state: 'detached' });
  await hold(['/surface?tab=duplicates', '共 0 个'], ['/surface?tab=duplicates&state=merged', '共 1 个', `${keep.name} `]);
  const one = await item(keep.id);
  assert.equal(one.owner, '赵敏');
  assert.deepEqual([...one.addresses].sort(), ['10.9.0.99', '127.0.0.1']);
  assert.notDeepEqual(await item(gone.id), before[1]);
  await page.getByRole('button', { name: '撤销合并' }).click();
  await page.getByText('已撤销合并，两项资产已恢复').waitFor();
  await hold(['/surface?tab=duplicates&state=undone', '共 1 个', '序列号']);
  assert.deepEqual([await item(keep.id), await item(gone.id)], before);
});
