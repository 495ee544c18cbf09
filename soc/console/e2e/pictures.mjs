/**
 * Takes a picture of each page of the console for docs/images: light in
 * Chinese and dark in English, the pages of PAIRS in all four. Pictures are
 * WebP, which Chromium itself makes of what it drew.
 *
 * Environment: that of known.mjs, SHOT_DIR (needed), AGENT (the program
 * icewatch-agent), ONLY (names, with commas).
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BASE, PASSWORD, launch, missing, open, signIn } from './desk.mjs';
import { ATTACKER, drive } from './known.mjs';
import { deeds, peers } from './numbers/deeds.mjs';

const DIR = process.env.SHOT_DIR;
const ONLY = (process.env.ONLY ?? '').split(',').filter(Boolean);
const WAIT = Number(process.env.WAIT_MS ?? 45_000);
/** Beyond so many bytes in all, the pictures would weigh on every checkout. */
const MOST = 15e6;
if (missing || !DIR) throw new Error(missing || 'SHOT_DIR is not set');
mkdirSync(DIR, { recursive: true });

/** The pages by the names of their pictures; a page of one thing finds it by the API. */
const PAGES = {
  shift: '/',
  alerts: '/alerts?preview=1',
  alert: async (api) => `/alerts/${(await api('/alerts?sort=-severity&limit=1')).items[0].id}`,
  attacks: '/attacks',
  threats: '/threats/external',
  'threats-advanced': '/threats/advanced',
  attackers: '/attackers',
  scenarios: '/scenarios',
  scenario: '/scenarios/brute-force',
  entities: '/entities',
  entity: async (api) => `/entities/ip/${(await api('/attackers?limit=1')).items[0].attacker}`,
  graph: async (api) => `/graph?seed=${encodeURIComponent(`ip:*|${(await api('/attackers?limit=1')).items[0].attacker}`)}&since=24h`,
  silences: '/silences',
  suppressions: '/suppressions',
  inhibitions: '/inhibitions',
  'merge-rules': '/merge-rules',
  generation: '/generation',
  maintenance: '/maintenance',
  incidents: '/incidents',
  incident: async (api) => `/incidents/${(await api('/incidents?limit=1')).items[0].id}`,
  figures: '/figures',
  statutory: '/statutory',
  orders: '/orders',
  'order-connections': '/orders/connections',
  notices: '/notices',
  notice: async (api) => `/notices/${(await api('/notices?limit=1')).items[0].id}`,
  'daily-reports': '/daily-reports',
  disposals: '/disposals',
  'disposal-rules': '/disposal-rules',
  'disposal-plans': '/disposal-plans',
  duty: '/duty',
  'duty-calendar': '/duty/calendar',
  'duty-team': async (api) => `/duty/teams/${(await api('/duty/teams')).items[0].id}`,
  'event-levels': '/event-levels',
  sla: '/sla',
  notify: '/notify',
  contacts: '/notify/contacts',
  routes: '/notify/routes',
  wordings: '/notify/wordings',
  search: '/search?since=1h',
  monitors: '/search/monitors',
  'log-groups': '/search/groups',
  exports: '/search/exports',
  traces: '/traces',
  trace: async (api) => `/traces/${(await api('/traces?since=1h')).items[0].trace_id}`,
  flows: '/flows',
  cmdb: '/cmdb',
  'cmdb-items': '/cmdb/items',
  'cmdb-item': async (api) => `/cmdb/${encodeURIComponent((await api('/cmdb/items?class=host&limit=1')).items[0].id)}`,
  'cmdb-key': '/cmdb/key',
  'cmdb-traffic': '/cmdb/traffic',
  'cmdb-topologies': '/cmdb/topologies',
  'cmdb-topology': async (api) => `/cmdb/topologies/${(await api('/cmdb/topologies')).items[0].id}`,
  'cmdb-changes': '/cmdb/changes',
  'cmdb-inbox': '/cmdb/inbox',
  'cmdb-import': '/cmdb/import',
  'cmdb-models': '/cmdb/models',
  'cmdb-labels': '/cmdb/labels',
  'cmdb-dictionaries': '/cmdb/dictionaries',
  'cmdb-rules': '/cmdb/rules',
  'cmdb-requests': '/cmdb/requests',
  'cmdb-subscriptions': '/cmdb/subscriptions',
  units: '/units',
  systems: '/systems',
  findings: '/findings',
  'finding-figures': '/findings/figures',
  finding: async (api) => `/findings/${(await api('/findings?limit=1')).items[0].id}`,
  vulnerabilities: '/vulnerabilities',
  vulnerability: async (api) => `/vulnerabilities/${(await api('/vulnerabilities?limit=1')).items[0].id}`,
  scans: '/scans',
  surface: '/surface',
  risk: '/risk',
  portrait: async (api) => `/portraits/${(await api('/cmdb/risk?kind=asset&limit=1')).items[0].id}`,
  tenants: '/tenants',
  rules: '/rules',
  rule: async (api) => `/rules/${encodeURIComponent((await api('/alerts?limit=1')).items[0].rule.id)}`,
  policies: '/policies',
  'rule-edit': '/rules/new',
  'rule-proposals': '/rules/proposals',
  knowledge: '/knowledge/sql-injection',
  sources: '/sources',
  agents: '/agents',
  'agents-host': async (api) => `/agents/hosts/${(await api('/fleet/hosts')).items[0].id}`,
  parsers: '/parsers',
  coverage: '/coverage',
  'alert-sources': '/alert-sources',
  connect: '/connect',
  processing: '/processing',
  forwarding: '/forwarding',
  users: '/admin/users',
  roles: '/admin/roles',
  'admin-units': '/admin/units',
  groups: '/admin/groups',
  keys: '/admin/keys',
  'identity-providers': '/admin/identity-providers',
  applications: '/admin/applications',
  transitions: '/admin/transitions',
  me: '/me',
  portal: '/portal',
  sessions: '/admin/sessions',
  tokens: '/admin/tokens',
  storage: '/admin/storage',
  backups: '/admin/backups',
  masking: '/admin/masking',
  settings: '/admin/settings',
  audit: '/admin/audit',
};
const PAIRS = new Set(['shift', 'alerts', 'alert', 'threats', 'graph', 'incident', 'search', 'entity']);
const LOOKS = [
  { theme: 'light', locale: 'zh-CN', suffix: '' },
  { theme: 'dark', locale: 'en-US', suffix: '-dark-en' },
  { theme: 'dark', locale: 'zh-CN', suffix: '-dark', few: true },
  { theme: 'light', locale: 'en-US', suffix: '-en', few: true },
];

/** Gives every page something to show: known data, what people do with it, a host with an agent. Answers what ends it. */
async function furnish(page) {
  const get = async (path) => (await page.request.get(`${BASE}/api/v1${path}`)).json();
  const until = async (what, f) => {
    for (const end = Date.now() + WAIT; ; await new Promise((r) => setTimeout(r, 300))) {
      const v = await f();
      if (v) return v;
      if (Date.now() > end) throw new Error(`${what} did not come`);
    }
  };
  const call = await drive(page);
  const { incident_id: incident } = await until('the incident', async () => (await get(`/alerts?attacker=${ATTACKER}&limit=10`)).items.find((a) => a.incident_id));
  await call('POST', '/api/v1/log-groups', { kind: 'group', name: '订单应用', filter: 'log.syslog.appname:=numapp' });
  await call('POST', '/api/v1/search-monitors', { name: '拒单过多', query: 'log.syslog.appname:=numapp "refused"', schedule: '*/5 * * * *', time_zone: 'Asia/Shanghai', window: '5m', condition: { kind: 'rows', op: '>', value: 3 }, action: { kind: 'export', format: 'csv' }, enabled: true });
  await call('POST', '/api/v1/exports', { query: 'log.syslog.appname:=numapp', since: '1h', format: 'csv', name: '订单' });
  const there = await peers();
  await deeds(call, get, until, there, { incident });
  if (!process.env.AGENT) return () => there.end();
  const home = mkdtempSync(join(tmpdir(), 'icewatch-agent-'));
  const { token } = await call('POST', '/api/v1/fleet/tokens', { tenant: 'e-seal', hours: 1, uses: 1 });
  execFileSync(process.env.AGENT, ['enrol', '--dir', home], { env: { ...process.env, ICEWATCH_AGENT_TOKEN: token } });
  const agent = spawn(process.env.AGENT, ['run', '--dir', home], { stdio: 'ignore' });
  await until('the host', async () => (await get('/fleet/hosts')).items.some((h) => h.state === 'online'));
  return async () => {
    there.end();
    const ended = new Promise((done) => agent.once('exit', done));
    agent.kill();
    await ended;
    rmSync(home, { recursive: true, force: true });
  };
}

const browser = await launch();
const blank = await (await browser.newContext()).newPage();
let total = 0;
const poor = [];
let clear = () => {};
try {
  const first = await open(browser);
  await signIn(first.page, PASSWORD);
  await first.page.locator('.rail').waitFor();
  clear = await furnish(first.page);
  await first.context.close();
  for (const look of LOOKS) {
    const desk = await open(browser, look);
    const page = desk.page;
    await signIn(page, PASSWORD);
    await page.waitForURL((u) => !u.pathname.startsWith('/login'));
    const api = async (path) => {
      const r = await page.request.get(`${BASE}/api/v1${path}`);
      if (!r.ok()) throw new Error(`${path}: ${r.status()}`);
      return r.json();
    };
    for (const [name, where] of Object.entries(PAGES)) {
      if ((look.few && !PAIRS.has(name)) || (ONLY.length && !ONLY.includes(name))) continue;
      try {
        const path = typeof where === 'string' ? where : await where(api);
        await page.goto(BASE + path, { waitUntil: 'commit' });
        await page.locator('main h1').first().waitFor({ timeout: WAIT });
        await page.waitForFunction(() => !document.querySelector('[role=status] .skel-line, [aria-busy=true]'), undefined, { timeout: WAIT });
        if (name === 'alerts') {
          await page.locator('[role=row][data-id]').first().click({ position: { x: 300, y: 10 } });
          await page.locator('aside.preview h2').waitFor();
        }
        if (name === 'graph') await page.locator('[data-drawn]').waitFor({ timeout: WAIT });
        // Pictures that are drawn after their page: charts and graphs.
        await page.waitForTimeout(900);
        if ((await page.locator('main .state[role=alert]').count()) > 0) poor.push(`${name}${look.suffix} shows a failure`);
        const png = await page.screenshot({ animations: 'disabled' });
        const webp = await blank.evaluate(async (data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
          const canvas = new OffscreenCanvas(picture.width, picture.height);
          canvas.getContext('2d').drawImage(picture, 0, 0);
          const out = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/webp', quality: 0.82 })).arrayBuffer());
          let text = '';
          for (let i = 0; i < out.length; i += 8192) text += String.fromCharCode(...out.subarray(i, i + 8192));
          return btoa(text);
        }, png.toString('base64'));
        const file = join(DIR, `${name}${look.suffix}.webp`);
        writeFileSync(file, Buffer.from(webp, 'base64'));
        total += statSync(file).size;
        console.log(`${name}${look.suffix}`);
      } catch (e) {
        poor.push(`${name}${look.suffix}: ${String(e).split('\n')[0]}`);
      }
    }
    await desk.context.close();
  }
} finally {
  await browser.close();
  await clear();
}
console.log(`${(total / 1e6).toFixed(1)} MB`);
if (total > MOST) poor.push(`the pictures take ${(total / 1e6).toFixed(1)} MB, at most ${MOST / 1e6}`);
for (const p of poor) console.error(p);
if (poor.length > 0) process.exitCode = 1;
