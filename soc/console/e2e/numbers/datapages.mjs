/** What the pages say once the known data (known.mjs) is there, and nothing else was done. */
import { ATTACKER, FLOWS, FLOW_BYTES, FLOW_PACKETS, GUESSES, HOSTS, NET, ORDERS, TENANT, TRACES } from '../known.mjs';

const KIB = `${(FLOW_BYTES / 1024).toFixed(1)} KiB`;
export const ORDERED = ORDERS.paid + ORDERS.refused;
const SIGNED = GUESSES + 1;
const SPANS = 2 * TRACES.all;
const FAILED = `${(100 * TRACES.failed) / TRACES.all}%`;
/** Events of the known data. */
export const FIRST = SIGNED + ORDERED + SPANS + FLOWS.length;
/** Failed passwords, a success after them, and a sign-in from outside: three rules, one incident, one of them high. */
export const ALERTS = 3;
const q = (query, more = '') => `/search?since=1h&query=${encodeURIComponent(query)}${more}`;

/** A page, its address, and what its text must say. Lines that were sent to find out whether the inventory is in force count as `probes`. */
export const figures = ({ probes, alert, incident, group, monitor, trace, host }, page, text) => [
  ['/', '/', ['1 个事件需要处理', '1 待处理事件', '0 指派给我', `${ALERTS} 未确认告警`, `未关闭告警 ${ALERTS} 紧急 0 高 1 中 2 低 0 提示 0`, `otlp ${SPANS}`, `syslog-tcp ${SIGNED + ORDERED + probes}`, `netflow ${FLOWS.length}`, '0 丢弃']],
  ['/alerts', '/alerts', [`告警 ${ALERTS} 条`]],
  ['/alerts/:id', `/alerts/${alert}`, ['5 分钟内 8 次 SSH 登录失败', '8 次 最近']],
  ['/attacks', '/attacks', [`攻击分析 ${ALERTS} 条`, '口令猜测 成功 2', '账号滥用 成功 1', '失陷 0 成功 3 尝试 0 失败 0', '外部威胁 3', '漏洞利用 3', '外到内 3 内到外 0', '口令猜测 2', '账号滥用 1']],
  ['/threats/:view', '/threats/external', [`${ALERTS} 告警 ${ALERTS} 未关闭 1 紧急与高 ${ALERTS} 成功或失陷 1 攻击者`, `${ATTACKER} ${ALERTS}`]],
  ['/attackers', '/attackers', [new RegExp(`${ATTACKER} ${ALERTS} \\d+ ${ALERTS} 0 0 `)]],
  ['/scenarios', '/scenarios', ['弱口令 高 2 告警 1 事件 0 隐患 2 攻击成功', '账号异常 中 1 告警 1 事件 0 隐患 1 攻击成功', '挖矿 0 告警 0 事件']],
  ['/scenarios/:id', '/scenarios/brute-force', [/^暴力破解 .* 2 告警 .* 2 攻击成功 2 未关闭 1 事件/]],
  ['/entities/:type/:value', `/entities/ip/${ATTACKER}`, [`${SIGNED} 日志`, '1 登录 · 成功', `${GUESSES} 登录 · 失败`, `sshd.auth ${SIGNED}`, `failure ${GUESSES} success 1`, `未关闭告警 ${ALERTS}`, '未关闭事件 1']],
  // Three alerts, and its sign-ins at the host and to the account.
  ['/graph', `/graph?${new URLSearchParams({ seed: `ip:*|${ATTACKER}`, since: '24h' })}`, ['3 个实体，5 条关系，最远 1 跳', async () => {
    const said = async (tab, list) => {
      await page.getByRole('tab', { name: tab, exact: true }).click();
      return (await page.getByTestId(list).innerText()).replace(/\s+/g, ' ');
    };
    const [nodes, edges] = [await said('实体', 'node-list'), await said('关系', 'edge-list')];
    return /num-web-1 1/.test(nodes) && /numroot 1/.test(nodes) && nodes.includes(`${ATTACKER} 0`) && edges.split('告警 ').length - 1 === ALERTS && edges.split(`登录 ${ATTACKER} → `).length - 1 === 2;
  }]],
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
