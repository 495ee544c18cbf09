/**
 * Hosts and agents in real Chromium: a host is added by its line and shows up, its page
 * tells what it is and how it fares, a rule on what it takes is made, and a host is
 * reached over SSH once somebody trusted its key.
 *
 * Environment: as for desk.mjs; AGENT (the program icewatch-agent), SSH_ADDRESS,
 * SSH_USER and SSH_KEY (a file) of an SSH server without an agent.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, judge, launch, missing, open, settled, shot, signIn, steps } from './desk.mjs';

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
  await page.goto(`${BASE}/agents`);
  await settled(page);
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
  await page.goto(`${BASE}/agents?tab=thresholds`);
  await settled(page);
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

steps('a host is reached over SSH once its key is trusted', async () => {
  await page.goto(`${BASE}/agents?tab=deployments`);
  await settled(page);
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
