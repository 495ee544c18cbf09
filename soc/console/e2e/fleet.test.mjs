/**
 * Hosts and agents in real Chromium: a host is added by its line and shows up, its page
 * tells what it is and how it fares, a rule on what it takes is made, and a host is
 * reached over SSH once somebody trusted its key. A second host, which speaks the agents'
 * protocol, has containers and a version whose performance is reported.
 *
 * Environment: as for desk.mjs; AGENT (the program icewatch-agent), SSH_ADDRESS,
 * SSH_USER and SSH_KEY (a file) of an SSH server without an agent; SIMULATED_HOST (an
 * address: a token posted there enrols a host of the version 1.0.0 with containers).
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { PASSWORD, faults, go, judge, launch, missing, open, settled, shot, signIn, steps } from './desk.mjs';

let browser;
let page;
let agent;
const home = mkdtempSync(join(tmpdir(), 'icewatch-e2e-agent-'));

before(async () => {
  if (missing) return;
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  if (agent) {
    const ended = new Promise((done) => agent.once('exit', done));
    agent.kill();
    await ended;
  }
  rmSync(home, { recursive: true, force: true });
  assert.deepEqual(faults, []);
});

/** Chooses in one of antd's selects. */
const choose = async (form, label, option) => {
  await form.getByLabel(label, { exact: true }).click({ force: true });
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option', { hasText: option }).first().click();
};

steps('a host is added by its line', async () => {
  await go(page, '/agents');
  await shot(page, 'fleet-empty');
  await page.getByRole('button', { name: '添加主机' }).first().click();
  const form = page.getByRole('dialog');
  await form.getByLabel('租户', { exact: true }).click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').first().click();
  await form.getByRole('button', { name: '生成' }).click();
  const line = await page.getByTestId('install-linux').innerText();
  const token = /--token (\S+)/.exec(line)[1];
  await shot(page, 'fleet-token');
  execFileSync(process.env.AGENT, ['enrol', '--dir', home], { env: { ...process.env, ICEWATCH_AGENT_TOKEN: token } });
  agent = spawn(process.env.AGENT, ['run', '--dir', home], { stdio: 'ignore' });
  await page.getByRole('button', { name: /^关\s*闭$/ }).last().click();
  const row = page.locator('.panel tbody tr').first();
  await row.getByText('在线').waitFor();
  await page.getByText('主机 1 · 有效 Agent 1').waitFor();
  assert.equal(await page.locator('.panel tbody tr').count(), 1);
  await shot(page, 'fleet-hosts');
});

steps("a host's page tells what it is and how it fares", async () => {
  await page.locator('.panel tbody tr a').first().click();
  await settled(page);
  await page.getByText('内核').first().waitFor();
  // What it is made of is what this very machine says of itself.
  const made = (await page.locator('main').innerText()).match(/(\d+) 核 · ([\d.,]+) GiB 内存/);
  assert.equal(Number(made?.[1]), cpus().length);
  assert.ok(Math.abs(Number(made?.[2]) - totalmem() / 2 ** 30) < 0.1, made?.[0]);
  await shot(page, 'fleet-host');
  await page.getByRole('link', { name: '指标' }).click();
  await page.getByText('内存使用率').first().waitFor();
  await page.locator('.panel svg, .panel canvas').first().waitFor();
  await shot(page, 'fleet-host-metrics');
  await page.getByRole('link', { name: '采集插件' }).click();
  await page.locator('td', { hasText: 'cpu' }).first().waitFor();
  await page.getByRole('link', { name: '清单' }).click();
  await page.locator('h2, h3', { hasText: '进程' }).first().waitFor();
  await shot(page, 'fleet-host-inventory');
  assert.deepEqual(await judge(page), []);
});

steps('a rule on what hosts take is made', async () => {
  await go(page, '/agents?tab=thresholds');
  await page.getByRole('button', { name: '新建规则' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('租户', { exact: true }).click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').first().click();
  await form.getByLabel('名称').fill('内存过高');
  await choose(form, '指标', '内存使用率');
  await shot(page, 'fleet-rule-form');
  await form.getByRole('button', { name: /^保\s*存$/ }).click();
  await page.locator('tr', { hasText: '内存过高' }).getByText('内存使用率 超过 90 %').waitFor();
  await shot(page, 'fleet-rules');
});

steps('a plug-in is uploaded, installed on all hosts and told of', async () => {
  const made = join(home, 'made');
  mkdirSync(join(made, 'bin'), { recursive: true });
  writeFileSync(join(made, 'plugin.yaml'), 'name: queue-depth\nversion: 1.0.0\ntitle: 消息队列深度\nformat: influx\ninterval: 1s\nprograms: {linux: bin/run}\noptions: [{name: queue, default: orders}]\n');
  writeFileSync(join(made, 'bin', 'run'), '#!/bin/sh\necho "queue_depth,queue=$OPTION_QUEUE value=42"\n');
  const archive = join(home, 'queue-depth.tar.gz');
  execFileSync('tar', ['-czf', archive, '-C', made, 'plugin.yaml', 'bin']);
  const bad = join(home, 'bad.tar.gz');
  writeFileSync(bad, 'no archive');
  await go(page, '/agents?tab=plugins');
  await page.locator('tr', { hasText: '预置插件' }).first().waitFor();
  await page.getByRole('button', { name: '上传插件' }).first().click();
  await page.getByLabel('插件包', { exact: true }).setInputFiles([archive, bad]);
  await page.getByRole('dialog').getByText('queue-depth 1.0.0').waitFor();
  // The other one is refused, and says what it is, what would be right, and why, in the reader's language.
  assert.equal((await page.getByRole('dialog').getByRole('alert').innerText()).trim(), '文件包有误：不是 gzip：应为 gzip 压缩的 tar 包（.tar.gz）：gzip 文件头无效');
  await shot(page, 'fleet-plugin-upload');
  await page.getByRole('button', { name: /^关\s*闭$/ }).last().click();
  await page.getByRole('button', { name: 'queue-depth', exact: true }).click();
  await page.getByText('还没有主机安装它').waitFor();
  await page.getByRole('button', { name: '安装扩展插件' }).click();
  const form = page.getByRole('dialog');
  await form.getByRole('button', { name: /选择全部 1 台主机/ }).click();
  await shot(page, 'fleet-plugin-install');
  await form.getByRole('button', { name: '安装扩展插件' }).click();
  await page.locator('tr', { hasText: 'version 1.0.0 is installed' }).getByText('成功').waitFor();
  await shot(page, 'fleet-plugin-job');
  await go(page, '/agents?tab=plugins&plugin=queue-depth');
  const hosts = page.locator('.panel', { hasText: '运行它的主机' }).first();
  await hosts.locator('tbody tr', { hasText: '1.0.0' }).getByText('运行中').waitFor();
  await page.locator('tr', { hasText: '消息队列深度' }).first().getByText('上传的插件').waitFor();
  await shot(page, 'fleet-plugin');
  assert.deepEqual(await judge(page), []);
});

steps('a host is reached over SSH once its key is trusted', async () => {
  await go(page, '/agents?tab=deployments');
  await page.getByRole('button', { name: 'SSH 远程部署' }).first().click();
  const form = page.getByRole('dialog');
  await form.getByText('卸载', { exact: true }).click();
  await form.getByLabel('租户', { exact: true }).click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').first().click();
  await form.getByLabel('目标主机').fill(process.env.SSH_ADDRESS);
  await form.getByLabel('SSH 用户').fill(process.env.SSH_USER);
  await form.getByLabel('私钥', { exact: true }).last().fill(readFileSync(process.env.SSH_KEY, 'utf8'));
  await shot(page, 'fleet-deploy-form');
  await form.getByRole('button', { name: /^开\s*始$/ }).click();
  await page.getByText('SHA256:').first().waitFor();
  await shot(page, 'fleet-deploy-key');
  await page.getByRole('button', { name: `信任 ${process.env.SSH_ADDRESS} 的密钥`, exact: true }).click();
  const ask = page.getByRole('dialog');
  await ask.getByText('SHA256:').waitFor();
  await ask.getByRole('button', { name: /^信\s*任$/ }).click();
  await page.getByText('there is no agent in').first().waitFor();
  await page.getByRole('button', { name: `${process.env.SSH_ADDRESS} 的日志` }).click();
  await page.locator('pre', { hasText: 'connect to' }).waitFor();
  await page.locator('tr', { hasText: process.env.SSH_ADDRESS }).getByText('SHA256:').waitFor(); // it is known now
  await shot(page, 'fleet-deploy-done');
});

steps('a host that is added by a profile is what the profile says', async () => {
  await go(page, '/agents?tab=profiles');
  await shot(page, 'fleet-profiles-empty');
  await page.getByRole('button', { name: '新建主机模板' }).first().click();
  const form = page.getByRole('dialog');
  await form.getByLabel('租户', { exact: true }).click();
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').first().click();
  await form.getByLabel('名称').fill('Web 服务器');
  await form.getByLabel('标签', { exact: true }).fill('role=web');
  await form.getByLabel('标签', { exact: true }).press('Enter');
  await choose(form, '扩展插件', 'queue-depth 1.0.0');
  await page.keyboard.press('Escape');
  await form.getByLabel('采集模板', { exact: true }).click({ force: true });
  await page.keyboard.type('Nginx'); // The list is long: what is not in sight is not there.
  await page.locator('.ant-select-dropdown:visible .ant-select-item-option').getByText('Nginx', { exact: true }).click();
  await page.keyboard.press('Escape');
  await shot(page, 'fleet-profile-form');
  await form.getByRole('button', { name: /^保\s*存$/ }).click();
  const row = page.locator('tr', { hasText: 'Web 服务器' });
  await row.getByText('role=web').waitFor();
  await row.getByText('queue-depth@1.0.0').waitFor();
  await shot(page, 'fleet-profiles');
  assert.deepEqual(await judge(page), []);
  await page.getByRole('button', { name: '按模板 Web 服务器 添加主机' }).click();
  await page.getByRole('dialog').locator('.ant-select-selection-item', { hasText: 'Web 服务器' }).waitFor();
  await shot(page, 'fleet-profile-add');
  await page.getByRole('dialog').getByRole('button', { name: '生成' }).click();
  const token = /--token (\S+)/.exec(await page.getByTestId('install-linux').innerText())[1];
  // This machine comes back as the same host, by the profile now.
  execFileSync(process.env.AGENT, ['enrol', '--dir', join(home, 'again')], { env: { ...process.env, ICEWATCH_AGENT_TOKEN: token } });
  await page.getByRole('button', { name: /^关\s*闭$/ }).last().click();
  await go(page, '/agents');
  await page.locator('.panel tbody tr', { hasText: 'role=web' }).locator('a').first().click();
  await page.locator('dl.facts').getByText('Web 服务器', { exact: true }).waitFor();
  await shot(page, 'fleet-host-profile');
  await go(page, '/agents?tab=tasks');
  await page.locator('tr', { hasText: 'Web 服务器 · nginx' }).getByText('主机模板 Web 服务器').waitFor();
});

/** Asks the API as the page may. */
const api = (path, method = 'GET', body = undefined) =>
  page.evaluate(
    async ([p, m, b]) => {
      const r = await fetch(`/api/v1${p}`, { method: m, headers: { 'Content-Type': 'application/json', 'X-Requested-With': 'icewatch' }, body: b && JSON.stringify(b) });
      if (!r.ok) throw new Error(`${m} ${p}: ${r.status} ${await r.text()}`);
      return r.json();
    },
    [path, method, body],
  );
/** The cells of a row. */
const cells = async (row) => (await row.locator('td').allInnerTexts()).map((x) => x.replace(/\s+/g, ' ').trim());

steps('containers of a host are listed as its agent told them, and counted as the API counts', async () => {
  const { tenant } = (await api('/fleet/hosts')).items[0];
  const { token } = await api('/fleet/tokens', 'POST', { tenant });
  const joined = await fetch(process.env.SIMULATED_HOST, { method: 'POST', body: token });
  assert.equal(joined.status, 200, await joined.text());
  const figures = await api('/fleet/container-figures');
  assert.ok(figures.total >= 3 && figures.states.running >= 2 && figures.services.redis >= 1, JSON.stringify(figures));
  await go(page, '/agents?tab=containers');
  await page.getByText(`${figures.total} 个容器，${figures.hosts} 台主机，${figures.images} 种镜像`, { exact: true }).waitFor();
  await page.getByRole('button', { name: `运行中 ${figures.states.running}`, exact: true }).waitFor();
  await page.getByRole('button', { name: `redis ${figures.services.redis}`, exact: true }).waitFor();
  // This host's alone.
  await go(page, '/agents?tab=containers&q=shop-node');
  const rows = page.locator('.panel tbody tr');
  await rows.nth(2).waitFor();
  assert.equal(await rows.count(), 3);
  const [cache, job, web] = await Promise.all(['cache', 'job', 'web'].map((x) => cells(rows.filter({ has: page.locator('b', { hasText: new RegExp(`^${x}$`) }) }))));
  assert.deepEqual(cache.slice(0, 4), ['cache abc1', '运行中 不健康 · 重启 2 次', 'redis 7.2.5 6379/tcp ← 0.0.0.0:16379 (redis-server) prometheus 9121/tcp', 'redis:7']);
  assert.deepEqual(job.slice(0, 4), ['job abd2', '已退出 退出码 137 · 内存不足', '–', 'busybox']);
  assert.deepEqual(web.slice(0, 4), ['web city/shop-1', '运行中', 'nginx 80/tcp', 'nginx:1.27']);
  await shot(page, 'fleet-containers');
  await page.getByRole('button', { name: /^运行中 \d+$/ }).click();
  await rows.nth(2).waitFor({ state: 'detached' });
  assert.equal(await rows.count(), 2);
  await page.getByRole('button', { name: /^redis \d+$/ }).click();
  await rows.nth(1).waitFor({ state: 'detached' });
  assert.deepEqual((await cells(rows.first()))[0], 'cache abc1');
  assert.deepEqual(await judge(page), []);
});

steps('the performance of a version of the agent is reported, shown, exported and deleted', async () => {
  await go(page, '/agents?tab=packages');
  await page.getByText('还没有性能测试报告').waitFor();
  await page.getByRole('button', { name: '生成报告 1.0.0', exact: true }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('内存上限（MB）').fill('80');
  await shot(page, 'fleet-report-form');
  await form.getByRole('button', { name: '生成报告' }).click();
  const panel = page.locator('.panel', { has: page.getByRole('heading', { name: '1.0.0 性能测试报告' }) });
  await panel.locator('.status', { hasText: '数据不足' }).waitFor(); // a host counts once it was measured for ten minutes
  const [told, ...others] = (await api('/fleet/test-reports')).items;
  assert.deepEqual(others, []);
  const report = await api(`/fleet/test-reports/${told.id}`);
  assert.deepEqual([report.version, report.verdict, report.ceiling_cpu_percent, report.ceiling_memory_mb, report.measured, report.compared], ['1.0.0', 'insufficient', 1, 80, 0, 0]);
  assert.ok(report.reasons.length > 0);
  for (const reason of report.reasons) await panel.getByText(reason.zh, { exact: true }).waitFor();
  const [ofFigures, ofHosts] = [panel.locator('table').nth(0), panel.locator('table').nth(1)];
  assert.equal(await ofFigures.locator('tbody tr').count(), report.figures.length);
  assert.deepEqual(report.hosts.map((h) => h.host), ['shop-node']);
  assert.deepEqual((await cells(ofHosts.locator('tbody tr'))).slice(0, 4), ['shop-node', 'linux/amd64', String(report.hosts[0].minutes), '未测满']);
  await shot(page, 'fleet-report');
  const kept = page.locator('.panel', { has: page.getByRole('heading', { name: '性能测试报告', exact: true }) }).locator('tbody tr');
  assert.deepEqual((await cells(kept)).slice(0, 4), ['1.0.0', '数据不足', '–', '0 / 0']);
  const href = await panel.getByRole('link', { name: 'PDF' }).getAttribute('href');
  const file = await page.evaluate(async (u) => {
    const r = await fetch(u);
    return `${r.status} ${r.headers.get('content-type')} ${new TextDecoder().decode((await r.arrayBuffer()).slice(0, 5))}`;
  }, href);
  assert.equal(file, '200 application/pdf %PDF-');
  assert.deepEqual(await judge(page), []);
  await panel.getByRole('button', { name: /^删\s*除$/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: /^删\s*除$/ }).click();
  await page.getByText('还没有性能测试报告').waitFor();
  assert.deepEqual((await api('/fleet/test-reports')).items, []);
});
