/**
 * The numbers on the pages: each is what known data, driven through the
 * sockets (known.mjs), makes it. A page's figures are looked for beside what
 * they are called, in the text that a person reads. Runs on a suite to which
 * nothing else was sent.
 *
 * The pages that are not held here are told at the end: they show no figures, or
 * a test of their own has them.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { BASE, PASSWORD, PATHS, faults, launch, missing, open, settled, signIn, steps } from './desk.mjs';
import { ATTACKER, FLOWS, FLOW_BYTES, FLOW_PACKETS, GUESSES, HOSTS, NET, ORDERS, TENANT, TRACES, drive } from './known.mjs';

let browser;
let page;
let known;

before(async () => {
  if (missing) return;
  browser = await launch();
  ({ page } = await open(browser));
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
  known = await drive(page);
});
after(() => browser?.close());

const KIB = `${(FLOW_BYTES / 1024).toFixed(1)} KiB`;
const ORDERED = ORDERS.paid + ORDERS.refused;
const SIGNED = GUESSES + 1;
const SPANS = 2 * TRACES.all;
const FAILED = `${(100 * TRACES.failed) / TRACES.all}%`;
/** Failed passwords, a success after them, and a sign-in from outside: three rules, one incident, one of them high. */
const ALERTS = 3;
const q = (query, more = '') => `/search?since=1h&query=${encodeURIComponent(query)}${more}`;

/** A page, its address where that is another, and what its text must say. Lines that were sent to find out whether the inventory is in force count as `probes`. */
const figures = ({ probes, alert, incident, group, monitor, trace, host }) => [
  ['/', '/', ['1 个事件需要处理', '1 待处理事件', '0 指派给我', `${ALERTS} 未确认告警`, `未关闭告警 ${ALERTS} 紧急 0 高 1 中 2 低 0 提示 0`, `otlp ${SPANS}`, `syslog-tcp ${SIGNED + ORDERED + probes}`, `netflow ${FLOWS.length}`, '0 丢弃']],
  ['/alerts', '/alerts', [`告警 ${ALERTS} 条`]],
  ['/alerts/:id', `/alerts/${alert}`, ['5 分钟内 8 次 SSH 登录失败', '8 次 最近']],
  ['/attacks', '/attacks', [`攻击分析 ${ALERTS} 条`, '口令猜测 成功 2', '账号滥用 成功 1', '失陷 0 成功 3 尝试 0 失败 0', '外部威胁 3', '漏洞利用 3', '外到内 3 内到外 0', '口令猜测 2', '账号滥用 1']],
  ['/threats/:view', '/threats/external', [`${ALERTS} 告警 ${ALERTS} 未关闭 1 紧急与高 ${ALERTS} 成功或失陷 1 攻击者`, `${ATTACKER} ${ALERTS}`]],
  ['/attackers', '/attackers', [new RegExp(`${ATTACKER} ${ALERTS} \\d+ ${ALERTS} 0 0 `)]],
  ['/scenarios', '/scenarios', ['弱口令 高 2 告警 1 事件 0 隐患 2 攻击成功', '账号异常 中 1 告警 1 事件 0 隐患 1 攻击成功', '挖矿 0 告警 0 事件']],
  ['/scenarios/:id', '/scenarios/brute-force', [/^暴力破解 .* 2 告警 .* 2 攻击成功 2 未关闭 1 事件/]],
  ['/entities/:type/:value', `/entities/ip/${ATTACKER}`, [`${SIGNED} 日志`, '1 登录 · 成功', `${GUESSES} 登录 · 失败`, `sshd.auth ${SIGNED}`, `failure ${GUESSES} success 1`, `未关闭告警 ${ALERTS}`, '未关闭事件 1']],
  ['/incidents', '/incidents', [/^事件 1 /, `num-web-1 ${ALERTS} 待处理`]],
  ['/incidents/:id', `/incidents/${incident}`, [async () => (await page.getByRole('table', { name: '关联告警' }).locator('a.what').count()) === ALERTS]],
  ['/figures', '/figures', ['1 未关闭事件 1 新增事件', `${ALERTS} 告警 之前 0`, '0 误报', 'P2 1 0 0', `1 0 ${ALERTS} 0 数据安全事件`]],
  ['/sla', '/sla', ['P2 1 1', '合计 1 1']],
  ['/search', q(`source.ip:=${ATTACKER}`), [`共 ${SIGNED} 条`, `failure ${GUESSES} success 1`, `numroot ${SIGNED}`]],
  ['/search', q('log.syslog.appname:=numapp "paid"'), [`共 ${ORDERS.paid} 条`]],
  ['/search', q('log.syslog.appname:=numapp', '&view=chart&shape=table&by=host.name'), [`共 ${ORDERED} 条`, `num-db-1 ${ORDERED}`]],
  ['/search', q(`source.ip:${NET}.5`, '&tab=flows'), ['1 组会话', `共 ${FLOWS.length} 条`, new RegExp(`${NET}.5 .{0,40}198.51.100.91 .{0,40}443/tcp ${KIB} ${FLOW_PACKETS} ${FLOWS.length} `)]],
  ['/search', q('service.name:=num-orders', '&tab=traces'), [`${TRACES.all} 条调用链`, `共 ${TRACES.all} 条`, '40 ms 1 1 num-orders', '40 ms 0 1 num-orders']],
  ['/search/groups', `/search/groups?group=${group}`, ['1 个日志组', '已知数据']],
  ['/search/monitors', `/search/monitors?rule=${monitor}`, ['1 条', new RegExp(`满足条件 ${ORDERS.refused}`)]],
  ['/search/exports', '/search/exports', [`已写 ${ORDERED} 行`, `已写 ${ORDERS.refused} 行`]],
  ['/traces', '/traces', [`${TRACES.all} 条链路`, '80 ms 2 2', '80 ms 0 2']],
  ['/traces', '/traces?tab=map', [`num-gateway num-orders ${TRACES.all} ${TRACES.failed} ${FAILED} 40 ms 40 ms`, `num-gateway ${TRACES.all} ${TRACES.failed} ${FAILED} 80 ms 80 ms`]],
  ['/traces/:id', `/traces/${trace}`, ['2 个调用 · 2 个服务 · 深度 2', 'num-gateway POST /orders 80 ms', 'num-orders INSERT orders 40 ms']],
  ['/flows', '/flows', [`共 ${KIB}，${FLOWS.length} 条流`, `${NET}.5 num-web-1 100% ${KIB} ${FLOW_PACKETS} ${FLOWS.length}`]],
  ['/flows', '/flows?tab=conversations', [`443/tcp ${KIB} 0 B ${FLOWS.length}`]],
  ['/flows', '/flows?tab=exporters', [`NetFlow v5 0 ${FLOWS.length} 1:1 0 0 0 0`]],
  ['/cmdb', '/cmdb', [`计算机 ${HOSTS.length} 主机 ${HOSTS.length}`, '网络区域 0 网络 1 域名 0']],
  ['/cmdb/items', '/cmdb/items?class=host', [`资产台账 ${HOSTS.length} 项`]],
  ['/cmdb/models', '/cmdb/models', [`主机 ${HOSTS.length}`]],
  ['/cmdb/changes', '/cmdb/changes', [async () => ((await text()).match(/admin 新增/g) ?? []).length === HOSTS.length + 1]],
  ['/cmdb/key', '/cmdb/key', ['0 重点资产']],
  ['/units', '/units', ['总数 0']],
  ['/risk', '/risk', [`总数 ${HOSTS.length} · 有风险 1`, new RegExp(`num-web-1 主机 高 \\d+ 高危 ${ALERTS} 1 0 2 `)]],
  ['/portraits/:id', `/portraits/${host}`, [`${ALERTS} 条未关闭告警，${ALERTS} 条属于事件`]],
  ['/findings', '/findings', ['共 0 个']],
  ['/findings/figures', '/findings/figures', ['0 未关闭 0 已超期 0 已遭攻击']],
  ['/vulnerabilities', '/vulnerabilities', ['共 0 个']],
  ['/tenants', `/tenants?q=${TENANT}&usage=${TENANT}`, [`· ${SIGNED + ORDERED + SPANS + probes} 条`]],
  ['/sources', '/sources', [new RegExp(`otlp OTLP.{0,60} ${SPANS} 0 0 接入指南 syslog-udp`), new RegExp(`syslog-tcp Syslog.{0,80} ${SIGNED + ORDERED + probes} 0 0 `), new RegExp(`netflow .{0,120} ${FLOWS.length} 0 0`)]],
  ['/alert-sources', '/alert-sources', [`正常 ${ALERTS} –`]],
  ['/admin/users', '/admin/users', ['共 1 个']],
  ['/coverage', '/coverage', ['没有静默的数据源', '4 数据源']],
  ['/admin/tokens', '/admin/tokens', [async () => (await page.locator('main tbody tr').count()) === 1]],
  ['/admin/storage', '/admin/storage?tab=sources', [new RegExp(`netflow 正常 [\\d.]+ – ${FLOWS.length} `), new RegExp(`syslog-tcp 正常 [\\d.]+ – ${SIGNED + ORDERED + probes} `), new RegExp(`otlp 正常 [\\d.]+ – ${SPANS} `)]],
];

const text = async () => (await page.locator('main').innerText()).replace(/\s+/g, ' ').trim();
/** What a page says, or does not say, of what it must. */
async function lacking(wants) {
  const shown = await text();
  const lack = [];
  for (const w of wants) if (!(typeof w === 'string' ? shown.includes(w) : typeof w === 'function' ? await w() : w.test(shown))) lack.push(w);
  return { shown, lack };
}

/** Goes to an address within the console, as a link of it does: a start of the console for each page would cost more than the test. */
async function go(at) {
  const before = await text();
  await page.evaluate((at) => {
    history.pushState(null, '', at);
    dispatchEvent(new PopStateEvent('popstate'));
  }, at);
  await page.waitForFunction((before) => document.querySelector('main').innerText.replace(/\s+/g, ' ').trim() !== before, before);
  await settled(page);
}

steps('every number is what the known data makes it', async () => {
  const get = async (path) => (await page.request.get(`${BASE}/api/v1${path}`)).json();
  const until = async (what, f) => {
    for (const end = Date.now() + 45_000; ; await new Promise((r) => setTimeout(r, 300))) {
      const v = await f();
      if (v) return v;
      if (Date.now() > end) throw new Error(`${what} did not come`);
    }
  };
  const alerts = await until('the alerts', async () => {
    const { items, total } = await get('/alerts?status=open&limit=10');
    return total >= ALERTS && items.every((a) => a.incident_id) && items;
  });
  const probes = (await get('/search/histogram?since=1h&query=log.syslog.appname:%3Dprobe')).total;
  const group = (await known('POST', '/api/v1/log-groups', { kind: 'group', name: '已知数据', filter: 'log.syslog.appname:=numapp' })).id;
  const monitor = (await known('POST', '/api/v1/search-monitors', { name: '拒单', query: 'log.syslog.appname:=numapp "refused"', schedule: '0 4 * * *', time_zone: 'Asia/Shanghai', window: '1h', condition: { kind: 'rows', op: '>', value: 0 }, action: { kind: 'export', format: 'csv' }, enabled: true })).id;
  await known('POST', `/api/v1/search-monitors/${monitor}/run`, {});
  await known('POST', '/api/v1/exports', { query: 'log.syslog.appname:=numapp', since: '1h', format: 'ndjson', name: '订单' });
  // A table has the text of each line as it was sent, and nothing of it is left out.
  const made = await known('POST', '/api/v1/exports', { query: 'log.syslog.appname:=numapp', since: '1h', format: 'csv', name: '订单表' });
  const done = await until('the table', async () => (({ state, ...rest }) => state === 'done' && rest)(await get(`/exports/${made.id}`)));
  assert.deepEqual(done.notes ?? [], []);
  const csv = await (await page.request.get(`${BASE}/api/v1/exports/${made.id}/file`)).text();
  assert.equal(csv.match(/<38>1 \S+ num-db-1 numapp 77 - - order (paid|refused) no \d+/g)?.length, ORDERED, csv.slice(0, 600));
  const trace = (await get('/traces?since=1h')).items[0].trace_id;
  const host = (await get('/cmdb/items?q=num-web-1')).items[0].id;
  const table = figures({ probes, alert: alerts.find((a) => /8 次/.test(a.title.zh)).id, incident: alerts[0].incident_id, group, monitor, trace, host });
  const wrong = [];
  for (const [path, at, wants] of table) {
    await go(at);
    // What is summed up in the background comes a moment later.
    let seen = await lacking(wants);
    for (const end = Date.now() + 10_000; seen.lack.length > 0 && Date.now() < end; seen = await lacking(wants)) await page.waitForTimeout(300);
    for (const w of seen.lack) wrong.push(`${path} (${at}) does not say ${w}: ${seen.shown.slice(0, 700)}`);
  }
  assert.deepEqual(wrong, [], wrong.join('\n\n'));
  const told = new Set(table.map(([path]) => path));
  console.log(`figures of ${told.size} pages are held; not of ${PATHS.filter((p) => !told.has(p)).join(' ')}`);
});

steps('every page named here is there, and none failed', () => {
  for (const path of figures({}).map(([p]) => p)) assert.ok(PATHS.includes(path), `${path} is no page`);
  assert.deepEqual(faults, []);
});
