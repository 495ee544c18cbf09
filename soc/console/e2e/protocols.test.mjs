/**
 * What speaks other products' protocols, in real Chromium against a running
 * suite that `icewatch simulate` has sent events to: how to connect, traces
 * sent by OTLP over HTTP, LogQL, silences, forwarding. desk.mjs tells the
 * environment.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { after, before } from 'node:test';
import { BASE, PASSWORD, faults, go, launch, missing, open, settled, shot, signIn, steps, visit } from './desk.mjs';

let browser;
let page;
let token = '';
const TENANT = 'e-seal';
const hex = (n) => randomBytes(n).toString('hex');
const now = Date.now();
/** The trace that the tests follow through the pages. */
const checkout = hex(16);
const long = hex(16);

before(async () => {
  if (missing) return;
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  sink.close();
});

/** Sends as a client of the field does: with the token as the password and the tenant as the user. */
async function send(path, body, type = 'application/json') {
  const answer = await fetch(BASE + path, { method: 'POST', headers: { 'Content-Type': type, Authorization: `Basic ${Buffer.from(`${TENANT}:${token}`).toString('base64')}` }, body: typeof body === 'string' ? body : JSON.stringify(body) });
  assert.ok(answer.ok, `POST ${path}: ${answer.status} ${await answer.text()}`);
}

const value = (v) => (typeof v === 'number' ? { intValue: String(v) } : typeof v === 'boolean' ? { boolValue: v } : { stringValue: v });
const attributes = (o) => Object.entries(o).map(([key, v]) => ({ key, value: value(v) }));
const nano = (ms) => `${Math.round(ms * 1000)}000`;

/** Spans of services: [service, id, parent, name, kind, start ms, length ms, attributes, failure]. */
function resourceSpans(trace, begun, spans) {
  const by = new Map();
  for (const s of spans) by.set(s[0], [...(by.get(s[0]) ?? []), s]);
  return [...by].map(([service, list]) => ({
    resource: { attributes: attributes({ 'service.name': service, 'service.version': '2.4.1', 'host.name': `${service}-01`, 'telemetry.sdk.language': 'java' }) },
    scopeSpans: [
      {
        scope: { name: 'io.opentelemetry.spring-webmvc', version: '2.9.0' },
        spans: list.map(([, id, parent, name, kind, start, length, attrs = {}, failure]) => ({
          traceId: trace,
          spanId: id,
          ...(parent ? { parentSpanId: parent } : {}),
          name,
          kind,
          startTimeUnixNano: nano(begun + start),
          endTimeUnixNano: nano(begun + start + length),
          attributes: attributes(attrs),
          ...(failure
            ? { status: { code: 2, message: failure }, events: [{ name: 'exception', timeUnixNano: nano(begun + start + length - 1), attributes: attributes({ 'exception.type': 'SignTimeout', 'exception.message': failure }) }] }
            : {}),
        })),
      },
    ],
  }));
}

/** A citizen has a document sealed: gateway, seal service, certificate service, database. */
function sealing(trace, begun, wait, failure) {
  const [a, b, c, d, e, f] = Array.from({ length: 6 }, () => hex(8));
  return resourceSpans(trace, begun, [
    ['gateway', a, '', 'POST /api/seal', 2, 0, 160 + wait, { 'http.request.method': 'POST', 'http.route': '/api/seal', 'http.response.status_code': failure ? 500 : 200 }, failure],
    ['seal', b, a, 'SealController.apply', 2, 8, 145 + wait, { 'http.request.method': 'POST' }, failure],
    ['seal', c, b, 'SELECT seal.template', 3, 14, 22, { 'db.system': 'postgresql', 'db.query.text': 'SELECT * FROM seal_template WHERE id = $1' }],
    ['certificate', d, b, 'CertificateService/Sign', 2, 44, 70 + wait, { 'rpc.system': 'grpc', 'rpc.service': 'CertificateService' }, failure],
    ['certificate', e, d, 'HSM sign', 3, 52, 50 + wait, { 'peer.service': 'hsm' }, failure],
    ['archive', f, b, 'PUT /documents', 2, 118 + wait, 26, { 'http.request.method': 'PUT' }],
  ]);
}

// A server of syslog over TCP, to forward to.
const received = [];
const sink = createServer((socket) => socket.on('data', (d) => received.push(d.toString())).on('error', () => undefined));
const sinkPort = new Promise((resolve) => sink.listen(0, '127.0.0.1', () => resolve(sink.address().port)));

steps('an empty page of traces says how to send some', async () => {
  await go(page, '/traces');
  await page.getByTestId('how-to-send').waitFor();
  assert.match(await page.getByTestId('how-to-send').innerText(), new RegExp(`${BASE}/otlp`));
  await page.getByRole('button', { name: '令牌和各语言的配置' }).click();
  await page.waitForURL(/\/connect\?client=otel-sdk/);
});

steps('the page of connections makes a token of one scope and fills it into the settings', async () => {
  await go(page, `/connect?client=otel-sdk&tenant=${TENANT}`);
  await page.getByText('尚未收到').first().waitFor();
  await page.getByRole('button', { name: '生成令牌' }).click();
  await page.locator('.ant-modal:visible').getByRole('button', { name: '生成令牌' }).click();
  token = (await page.getByTestId('new-token').innerText()).trim();
  assert.match(await page.getByTestId('snippet').first().innerText(), new RegExp(`OTEL_EXPORTER_OTLP_ENDPOINT=${BASE}/otlp`));
  await page.getByRole('link', { name: 'Filebeat', exact: true }).click();
  const filebeat = await page.getByTestId('snippet').innerText();
  assert.match(filebeat, new RegExp(`password: ${token}`));
  assert.match(filebeat, new RegExp(`username: ${TENANT}`));
  const refused = await fetch(`${BASE}/api/v1/alerts`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(refused.status, 403, 'a token to send with must not read');
});

steps('traces that are sent show, newest and slowest first, and can be searched', async () => {
  const before = Array.from({ length: 40 }, (_, i) => sealing(hex(16), now - 60_000 - i * 81_000, i % 9 === 4 ? 1800 : 20 + ((i * 37) % 160), i % 11 === 7 ? '加密机无响应' : ''));
  await send('/otlp/v1/traces', { resourceSpans: before.flat() });
  await send('/otlp/v1/traces', { resourceSpans: sealing(checkout, now - 30_000, 1800, '加密机超时：HSM timeout after 1800 ms') });
  await send('/elastic/logs-seal-default/_bulk', `{"create":{"_id":"seal-1"}}\n${JSON.stringify({ '@timestamp': new Date(now - 29_000).toISOString(), message: '签章失败：加密机超时', 'trace.id': checkout, 'service.name': 'seal', 'log.level': 'error' })}\n`, 'application/x-ndjson');
  await go(page, '/traces?since=4h&errors=1');
  const row = page.locator(`tr[data-id="${checkout}"]`);
  await reloadUntil(row);
  assert.match(await row.innerText(), /gateway/);
  assert.match(await row.innerText(), /POST \/api\/seal/);
  await go(page, `/traces?since=4h&service=certificate&min=1s&order=longest`);
  await row.waitFor();
  await page.locator('.panel canvas').first().waitFor();
  await go(page, '/traces?since=4h');
  await page.getByTestId('trace-count').waitFor();
  assert.ok(Number((await page.getByTestId('trace-count').innerText()).replace(/\D/g, '')) >= 40);
  await shot(page, 'traces');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/traces\/[0-9a-f]{32}/);
});

/** What was sent is on its way through the pipeline: asks again until it shows. */
async function reloadUntil(locator) {
  for (let i = 0; i < 40; i++) {
    if ((await locator.count()) > 0) return;
    await page.waitForTimeout(400);
    await page.getByRole('button', { name: '检索', exact: true }).click();
  }
  await locator.waitFor();
}

steps('one trace shows what took the time, what failed, and leads to its logs and back', async () => {
  await go(page, `/traces/${checkout}`);
  const rows = page.locator('.wbody [role=row]');
  await rows.nth(5).waitFor();
  assert.equal(await rows.count(), 6);
  await page.getByRole('button', { name: '关键路径' }).click();
  await page.locator('.wbar.critical').first().waitFor();
  await page.getByRole('button', { name: '关键路径' }).click();
  await page.keyboard.press('e');
  const span = page.getByTestId('span');
  await span.getByText('exception.message').waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => document.querySelectorAll('.wbody [role=row]').length < 6);
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.querySelectorAll('.wbody [role=row]').length === 6);
  await page.getByRole('row', { name: /HSM sign/ }).click();
  await span.getByText('peer.service').waitFor();
  await shot(page, 'trace');
  await page.getByRole('button', { name: /这条链路的日志/ }).click();
  await page.waitForURL(/\/search/);
  const hit = page.getByTestId('hit').filter({ hasText: '签章失败' });
  await hit.getByRole('button', { name: /签章失败/ }).click();
  await page.getByRole('button', { name: '查看链路' }).click();
  await page.waitForURL(new RegExp(`/traces/${checkout}`));
});

steps('a trace of ten thousand spans scrolls as a small one does', async () => {
  const root = hex(8);
  const ids = Array.from({ length: 10_000 }, () => hex(8));
  const spans = ids.map((id, i) => ['batch', i === 0 ? root : id, i === 0 ? '' : i % 10 === 1 ? root : i % 10 === 0 ? root : ids[i - 1], `step ${i}`, 1, i * 0.4, i === 0 ? 4100 : 3]);
  for (let i = 0; i < spans.length; i += 2500) await send('/otlp/v1/traces', { resourceSpans: resourceSpans(long, now - 20_000, spans.slice(i, i + 2500)) });
  for (let i = 0; i < 40; i++) {
    const answer = await page.request.get(`${BASE}/api/v1/traces/${long}`);
    if (answer.ok() && (await answer.json()).spans.length === 10_000) break;
    await page.waitForTimeout(500);
  }
  await go(page, `/traces/${long}`);
  await page.locator('.wbody [role=row]').first().waitFor();
  assert.equal(await page.getByRole('treegrid').getAttribute('aria-rowcount'), '10000');
  assert.ok((await page.locator('.wbody [role=row]').count()) < 100, 'rows out of sight are not drawn');
  const begun = Date.now();
  await page.locator('.wbody').evaluate((el) => (el.scrollTop = el.scrollHeight));
  await page.locator('.wbody [aria-rowindex="10000"]').waitFor();
  assert.ok(Date.now() - begun < 2000, `the end of the trace took ${Date.now() - begun} ms to show`);
  await page.getByLabel('在链路中查找').fill('step 7777');
  await page.getByText('1 个符合').waitFor();
  await page.getByLabel('在链路中查找').press('Enter');
  await page.locator('.wbody [role=row][aria-selected=true]', { hasText: 'step 7777' }).waitFor();
});

steps('the map shows who calls whom, and a service leads to its traces', async () => {
  await go(page, '/traces?tab=map&since=4h');
  await page.getByTestId('service-map').locator('canvas').waitFor();
  const edge = page.getByRole('table', { name: '调用关系' }).locator('tr', { hasText: 'certificate' });
  assert.match(await edge.innerText(), /seal/);
  await shot(page, 'service-map');
  await edge.getByRole('link', { name: '看链路' }).click();
  await page.waitForURL(/service=certificate/);
  await page.getByTestId('trace-count').waitFor();
});

steps('the search speaks LogQL: lines, figures over time, and the place of a fault', async () => {
  await go(page, '/search?since=1h');
  await page.getByText('LogQL', { exact: true }).click();
  await page.waitForURL(/lang=logql/);
  const bar = page.getByRole('combobox', { name: 'LogQL' });
  await bar.fill('{tenant=~".+"} |= "Failed password"');
  await bar.press('Enter');
  await page.getByTestId('hit').first().waitFor();
  await page.getByTestId('hit').first().getByRole('button').first().click();
  await page.getByRole('table', { name: '字段' }).first().waitFor();
  await bar.fill('sum by (tenant) (count_over_time({tenant=~".+"}[1m]))');
  await bar.press('Enter');
  await page.getByTestId('logql').locator('canvas').waitFor();
  await page.getByRole('table', { name: '各序列的数值' }).locator('tbody tr').first().waitFor();
  await shot(page, 'logql');
  await bar.fill('{tenant=~".+"} |=');
  await bar.press('Enter');
  await page.getByTestId('fault').waitFor();
  await page.getByText('LogsQL', { exact: true }).click();
  await page.waitForURL((u) => !u.searchParams.has('lang'));
});

steps('an alert is silenced, with a look at what else that mutes, and says so', async () => {
  await go(page, '/alerts?since=30d');
  await page.locator('.list [role=row] a.what').first().click();
  await page.waitForURL(/\/alerts\/[^?]+$/);
  const alert = page.url();
  await page.keyboard.press('s');
  const form = page.locator('.ant-modal:visible');
  await form.getByTestId('silence-preview').getByText(/现在有 [\d,]+ 条未关闭的告警会被静默/).waitFor();
  await form.getByLabel('说明').fill('演练期间');
  await shot(page, 'silence');
  await form.getByRole('button', { name: /^静默 [\d,]+ 条告警$/ }).click();
  await page.getByText('静默已保存').waitFor();
  const row = page.getByRole('table', { name: '静默' }).locator('tr', { hasText: '演练期间' });
  await row.getByText('生效中').waitFor();
  await go(page, alert);
  await page.getByTestId('silenced').waitFor();
  await page.getByTestId('silenced').click();
  await row.getByRole('button', { name: '立即结束' }).click();
  await page.getByText('静默已结束').waitFor();
  await row.getByText('已结束').waitFor();
});

steps('logs are forwarded to a syslog server, after a test and with a look at what would go', async () => {
  const port = await sinkPort;
  await go(page, '/forwarding');
  await page.getByRole('button', { name: '新建转发目标' }).first().click();
  await page.locator('.ant-modal:visible').getByRole('button', { name: /^Syslog/ }).click();
  const form = page.locator('.ant-modal:visible');
  await form.getByLabel('名称').fill('siem');
  await form.getByLabel('地址（主机:端口）').fill(`127.0.0.1:${port}`);
  await form.getByText('TCP', { exact: true }).click();
  await form.getByLabel('过滤条件').fill('"Failed password"');
  await form.getByTestId('filter-preview').getByText(/[\d,]+ 条日志/).waitFor();
  await form.getByText('连同已有的').click();
  await form.getByRole('button', { name: '测试连接' }).click();
  await form.getByTestId('test-result').getByText('连接成功').waitFor();
  await shot(page, 'forwarding-new');
  await form.getByRole('button', { name: '创建并开始转发' }).click();
  await page.getByText('已保存 siem').waitFor();
  for (let i = 0; i < 60 && !received.some((x) => x.includes('Failed password')); i++) await page.waitForTimeout(250);
  assert.ok(received.some((x) => x.includes('Failed password')), 'no log arrived at the syslog server');
  const target = page.getByTestId('target');
  await target.getByText('没有死信').waitFor();
  await settled(page);
  await shot(page, 'forwarding');
  await page.getByRole('button', { name: '暂停 siem' }).click();
  await page.getByRole('button', { name: '继续 siem' }).waitFor();
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByRole('button', { name: '暂停 siem' }).waitFor();
  await page.getByRole('button', { name: 'siem 的操作' }).click();
  await page.getByText('删除', { exact: true }).click();
  const ask = page.locator('.ant-modal:visible');
  await ask.getByRole('textbox').fill('siem');
  await ask.getByRole('button', { name: '删除 siem' }).click();
  await page.getByText('已删除 siem').waitFor();
});

steps('every page of it shows its content in the dark and in English, too', async () => {
  const pages = { traces: '/traces?since=4h', trace: `/traces/${checkout}`, connect: `/connect?client=grafana-loki&tenant=${TENANT}`, forwarding: '/forwarding', silences: '/silences' };
  const desk = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(desk.page, PASSWORD);
  await desk.page.locator('.rail').waitFor();
  for (const [name, path] of Object.entries(pages)) {
    await visit(desk.page, path);
    const main = desk.page.locator('main');
    assert.equal(await main.locator('.state[role=alert]').count(), 0, `${path} shows a failure: ${await main.innerText()}`);
    assert.doesNotMatch(await main.innerText(), /没有这项功能|does not offer this|没有权限看|may not see/, `${path} is not there`);
    if (name === 'traces') await desk.page.locator('.panel canvas').first().waitFor();
    assert.doesNotMatch(await main.locator('h1').innerText(), /\p{Script=Han}/u);
    await shot(desk.page, `${name}-dark-en`);
  }
  await desk.context.close();
  await go(page, `/connect?client=otel-collector&tenant=${TENANT}`);
  await page.getByText('本租户最近收到').waitFor();
  await shot(page, 'connect');
});

steps('no page failed, broke the content policy or asked another host', () => {
  assert.deepEqual(faults, []);
});
