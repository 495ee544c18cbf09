/**
 * What people do, in known amounts, once the known data is there: rules that
 * mute and merge, plans, notices, duty, contact points, orders, people and
 * groups; then a second wave of events that those act on. Two peers are real
 * servers of this process: one takes notifications and work orders over HTTP,
 * the other what is forwarded by syslog. BACKUPS is the folder of the suite's
 * backups, of which one is begun when all is done.
 */
import { createServer as http } from 'node:http';
import { createServer as tcp } from 'node:net';
import { NET, TENANT, flows, lines } from '../known.mjs';

export const SECOND = '203.0.113.92';
/** An address that is watched and does not come. */
export const WATCHED = '198.51.100.93';
/** Events of the second wave by the application that the processing rule marks. */
export const MARKED = 7;
/** An address of the known network that no item of the CMDB has, and how many lines tell of it. */
export const STRANGER = { address: `${NET}.77`, lines: 6 };
/** Flows of one server to the other. */
export const INSIDE = [1, 2, 3].map((n) => ({ bytes: n * 1024 * 1024, packets: n }));
/** Events of the second wave: those, and a sign-in. */
export const SECOND_WAVE = 1 + MARKED + STRANGER.lines + INSIDE.length;

const listening = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
const zh = (text, en = text) => ({ zh: text, en });
const soon = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
const label = (name, value) => ({ name, value, isRegex: false, isEqual: true });

/** The peers: what they got, and how they end; and where backups go, if anywhere. */
export async function peers() {
  const got = { told: [], orders: 0, forwarded: '' };
  const web = http((req, res) => {
    let body = '';
    req.on('data', (c) => (body += c));
    req.on('end', () => {
      if (req.url === '/told') got.told.push(body);
      else if (req.method === 'POST') got.orders++;
      res.writeHead(req.url === '/told' ? 200 : 201, { 'Content-Type': 'application/json' });
      res.end(JSON.stringify({ id: `ITSM-${got.orders}`, data: { no: `ITSM-${got.orders}` }, state: '受理中' }));
    });
  });
  const open = new Set();
  const log = tcp((c) => {
    open.add(c);
    c.on('error', () => {});
    c.on('data', (d) => (got.forwarded += d));
  });
  const [webPort, logPort] = [await listening(web), await listening(log)];
  return { got, backups: process.env.BACKUPS, url: `http://127.0.0.1:${webPort}`, syslog: `127.0.0.1:${logPort}`, end: () => {
      // What forwards keeps its connection: a server that waits for it would keep this process.
      for (const c of open) c.destroy();
      log.close();
      web.closeAllConnections();
      web.close();
    } };
}

/** Does all of it; call is known.mjs's, first what the first wave left. Answers the ids of what pages with an id show. */
export async function deeds(call, get, until, there, first) {
  const make = (path, body) => call('POST', `/api/v1${path}`, body);
  const set = (path, body) => call('PUT', `/api/v1${path}`, body);
  const host = async (name) => (await get(`/cmdb/items?q=${name}`)).items[0];
  const [web, db, old] = [await host('num-web-1'), await host('num-db-1'), await host('num-old-1')];

  for (const [name, disabled] of [['已知扫描器', false], ['旧平台', true]]) await make('/suppressions', { name, rules: ['no-such-rule'], assets: { items: [web.id] }, reason: '已核实', expires: soon(48), disabled });
  await make('/silences', { comment: '割接', matchers: [label('alertname', 'NumNothing')], ends_at: soon(2) });
  await make('/silences', { comment: '演练', matchers: [label('alertname', 'NumNothing')], starts_at: soon(5), ends_at: soon(6) });
  await make('/inhibitions', { name: '交换机故障', source: [label('alertname', 'SwitchDown')], target: [label('alertname', 'HostDown')], equal: ['site'] });
  await set('/maintenance-windows/num-window', { id: 'num-window', name: '数据库升级', reason: '例行', start: soon(-1), end: soon(3), items: [old.id] });
  const plan = (await make('/disposal-plans', { name: '口令攻击处置', steps: [{ title: '封禁来源', within_minutes: 30 }, { title: '改口令', within_minutes: 60 }, { title: '复核', within_minutes: 240 }] })).id;
  const team = (await make('/duty/teams', { name: zh('运营值班', 'Watch'), lines: [{ key: 'first', name: zh('一线', 'First'), layers: [{ from: '2026-01-01', people: [['admin']] }] }], policies: [{ steps: [{ after_minutes: 10080, lines: ['first'] }] }] })).id;
  for (const text of ['核心交换机换电源', '封禁待复核']) await make('/duty/notes', { team, text });

  await make('/contact-points', { name: 'night-desk', kind: 'webhook', settings: { url: `${there.url}/told` } });
  const { version = 0 } = await get('/routing');
  await set('/routing', { base: version, tree: { intervals: [], root: { routes: [{ name: '第二波', direct: true, matchers: [`source_ip="${SECOND}"`], receivers: ['night-desk'], group_by: ['alertname'], group_wait: '0s', group_interval: '1s' }] } } });
  await set('/wordings', { name: 'short', language: 'zh', text: { title: '{{ .Title }}', plain: '{{ .Title }}', markdown: '{{ .Title }}' } });
  const system = (await make('/work-order-connections', { connection: { name: '市 ITSM', enabled: true, url: `${there.url}/orders` }, secrets: {} })).connection.id;
  const rule = (await make('/disposal-rules', { name: '第二波转本人', enabled: true, on: 'alert', matchers: [`source_ip="${SECOND}"`], assign: { to: 'user', user: 'admin' } })).id;
  await make('/work-orders', { connection: system, object: first.incident });

  const notice = (await make('/notices', { kind: 'circular', name: '弱口令专项排查', level: 'high', tenants: [TENANT], body: [{ type: 'text', runs: [{ text: '请立即排查。' }] }], due: Date.now() + 86_400_000 })).id;
  await make('/notices', { kind: 'warning', name: '口令爆破预警', level: 'medium', tenants: [TENANT], body: [{ type: 'text', runs: [{ text: '请关注。' }] }] });
  await make(`/notices/${notice}/move`, { to: 'review' });
  await make('/daily-reports', { plan: 'city' });

  await set(`/cmdb/items/${db.id}/marks`, { key_asset: true });
  await make('/cmdb/items/upsert', { items: [web, db].map((x) => ({ id: x.id, class: x.class, name: x.name, labels: ['核心'] })) });
  await make('/cmdb/relations', { relations: [{ type: 'depends_on', from: web.id, to: db.id }] });
  const topology = (await make('/cmdb/topologies', { name: '印章平台', nodes: [{ item: web.id, x: 0, y: 0 }, { item: db.id, x: 320, y: 0 }] })).id;
  await make('/cmdb/subscriptions', { name: '主机变更', wants: { classes: ['host'], notices: true } });
  await call('POST', '/api/v1/cmdb/import?format=yaml&source=known.yaml', `- {class: host, name: num-new-1, zone: default, tenant: ${TENANT}, addresses: [${NET}.9], hostnames: [num-new-1]}\n`, 'application/octet-stream');
  // A class that nothing else brings in: what is protected is changed by requests alone.
  await make('/cmdb/items/upsert', { items: [{ class: 'supplier', name: '机房运维供应商' }] });
  await set('/settings/cmdb-approval', { classes: ['supplier'], days: 7 });
  await make('/cmdb/change-requests', { comment: '换责任人', items: [{ class: 'supplier', name: '机房运维供应商', owner: '李强' }] });

  const unit = (await make('/units', { id: 'num-bureau', name: zh('数据局', 'Data bureau') })).id;
  await make('/units', { id: 'num-centre', name: zh('运行中心', 'Operations centre'), parent: 'num-bureau' });
  const people = [];
  for (const username of ['num-li', 'num-sun']) people.push((await make('/users', { username, display_name: username, password: 'Known-Numbers-2026', roles: ['analyst'], unit: 'num-bureau' })).id);
  const group = (await make('/groups', { kind: 'group', name: zh('夜班', 'Night') })).id;
  await set(`/groups/${group}/members/${people[0]}`);
  const app = (await make('/applications', { name: zh('巡检', 'Rounds'), url: 'https://rounds.example.com/', open: true })).id;
  await set(`/applications/${app}/audience`, { everyone: true, users: [], roles: [], groups: [] });
  await make('/entities/ip/judgements', { value: WATCHED, conclusion: 'malicious', risk: 'high', watched: true, note: '爆破来源' });
  await make('/masking/rules', { name: zh('工号', 'Staff number'), fields: ['user.id'], pattern: 'W\\d{6}', method: 'full', exempt_roles: ['admin'], enabled: true });
  await make('/knowledge', { id: 'num-known', title: zh('已知条目', 'Known entry'), steps: [zh('一'), zh('二')] });
  await make('/processing-rules', { name: '第二波打标', enabled: true, tags: ['marked'], when: { field: 'log.syslog.appname', operator: 'equals', values: ['nummark'] } });
  await make('/forwarding/targets', { name: 'superior', kind: 'syslog', enabled: true, from: 'now', filter: 'log.syslog.appname:=nummark', syslog: { address: there.syslog, transport: 'tcp' } });
  await make(`/incidents/${first.incident}/plans`, { plan });

  const now = Date.now();
  const at = (seconds) => new Date(now - seconds * 1000).toISOString();
  let text = `<86>1 ${at(5)} num-db-1 sshd 6001 - - Accepted password for numdba from ${SECOND} port 51000 ssh2\n`;
  for (let i = 0; i < MARKED; i++) text += `<38>1 ${at(4)} num-db-1 nummark 88 - - mark ${i}\n`;
  for (let i = 0; i < STRANGER.lines; i++) text += `<38>1 ${at(3)} num-db-1 sshd 6100 - - Connection closed by ${STRANGER.address} port ${40_000 + i}\n`;
  await lines(text);
  await flows(now, INSIDE, `${NET}.6`);
  const second = await until('the alert of the second wave', async () => (await get('/alerts?limit=20')).items.find((a) => JSON.stringify(a).includes(SECOND)));
  // Addresses and flows are looked for up to now: only once all of them are stored.
  const count = async (query) => Number((await get(`/search/histogram?${new URLSearchParams({ query, since: '1h' })}`)).total);
  await until('the second wave', async () => (await count(`source.ip:=${STRANGER.address}`)) === STRANGER.lines && (await count(`event.dataset:flow.* destination.ip:=${NET}.6`)) === INSIDE.length && (await count('tags:=marked')) === MARKED);
  await new Promise((done) => setTimeout(done, 1100)); // they look up to a whole second
  await set('/settings/cmdb-inbox', { enabled: true, hostnames: true, delay_seconds: 0, ranges: [], rules: [] });
  await set('/settings/cmdb-traffic', { enabled: true, delay_seconds: 0, min_flows: 3, silent_days: 30, forget_days: 90 });
  await make('/cmdb/inbox/look');
  await make('/cmdb/traffic/look');
  await until('the stranger', async () => (await get('/cmdb/inbox')).items.some((x) => JSON.stringify(x).includes(STRANGER.address)));
  await until('the traffic', async () => (await get('/cmdb/traffic')).total >= 1);
  await until('the notification', () => there.got.told.length > 0);
  await until('what is forwarded', () => there.got.forwarded.split('mark ').length - 1 >= MARKED);
  if (there.backups) await make('/backups');
  return { plan, team, rule, notice, topology, unit, people, second, outside: second.rule.id, me: (await get('/me')).id, web: web.id, db: db.id };
}
