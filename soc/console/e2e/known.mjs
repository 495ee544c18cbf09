/**
 * Data whose figures are known: what it is, and how it is driven into a suite
 * through the sockets that the field's programs use: syslog over TCP, NetFlow
 * v5 over UDP, OpenTelemetry over HTTP, files of the CMDB.
 *
 * Environment beside desk.mjs's: SYSLOG and NETFLOW (host:port).
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { BASE } from './desk.mjs';

const hex = (bytes) => randomBytes(bytes).toString('hex');
const place = (text = '') => [text.slice(0, text.lastIndexOf(':')), Number(text.slice(text.lastIndexOf(':') + 1))];

export const TENANT = 'e-seal';
export const ATTACKER = '203.0.113.91';
/** An attack by passwords: all but the last one fail. */
export const GUESSES = 12;
/** Lines of an application: how many of each kind. */
export const ORDERS = { paid: 15, refused: 5 };
/** Flows of one server to one outside address: bytes and packets of each. */
export const FLOWS = [1000, 2000, 3000, 4000].map((bytes, i) => ({ bytes, packets: i + 1 }));
export const FLOW_BYTES = FLOWS.reduce((n, f) => n + f.bytes, 0);
export const FLOW_PACKETS = FLOWS.reduce((n, f) => n + f.packets, 0);
/** Traces of two spans each; so many of them fail. */
export const TRACES = { all: 4, failed: 1 };
export const HOSTS = ['num-web-1', 'num-db-1', 'num-old-1'];
export const NET = '10.91.1';

const INVENTORY = `
- {class: network, name: 数字网段, zone: default, addresses: [${NET}.0/24], tenant: ${TENANT}}
${HOSTS.map((h, i) => `- {class: host, name: ${h}, zone: default, tenant: ${TENANT}, addresses: [${NET}.${5 + i}], hostnames: [${h}], owner: 周敏, criticality: ${i + 2}}`).join('\n')}
`;

/** A packet of NetFlow v5 with flows of one server to one address. */
function netflow5(now, records, to) {
  const head = Buffer.alloc(24);
  head.writeUInt16BE(5, 0);
  head.writeUInt16BE(records.length, 2);
  head.writeUInt32BE(600_000, 4);
  head.writeUInt32BE(Math.floor(now / 1000), 8);
  const ip = (b, text, at) => text.split('.').forEach((x, i) => b.writeUInt8(Number(x), at + i));
  return Buffer.concat([
    head,
    ...records.map((r, i) => {
      const b = Buffer.alloc(48);
      ip(b, `${NET}.5`, 0);
      ip(b, to, 4);
      b.writeUInt32BE(r.packets, 16);
      b.writeUInt32BE(r.bytes, 20);
      b.writeUInt32BE(590_000, 24);
      b.writeUInt32BE(595_000, 28);
      b.writeUInt16BE(40_000 + i, 32);
      b.writeUInt16BE(443, 34);
      b.writeUInt8(0x1b, 37);
      b.writeUInt8(6, 38);
      return b;
    }),
  ]);
}

function trace(now, failed) {
  const [id, root, child] = [hex(16), hex(8), hex(8)];
  const nano = (ms) => `${Math.round(ms)}000000`;
  const span = (spanId, parentSpanId, name, kind, from, ms) => ({ traceId: id, spanId, ...(parentSpanId ? { parentSpanId } : {}), name, kind, startTimeUnixNano: nano(now - 20_000 + from), endTimeUnixNano: nano(now - 20_000 + from + ms), ...(failed ? { status: { code: 2, message: 'refused' } } : {}) });
  const of = (service, s) => ({ resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] }, scopeSpans: [{ scope: { name: 'known' }, spans: [s] }] });
  return [of('num-gateway', span(root, '', 'POST /orders', 2, 0, 80)), of('num-orders', span(child, root, 'INSERT orders', 2, 10, 40))];
}

/** Sends lines of syslog over TCP. */
export const lines = (text) =>
  new Promise((resolve, reject) => {
    const [host, port] = place(process.env.SYSLOG);
    const c = connect(port, host, () => c.end(text, resolve));
    c.on('error', reject);
  });

/** Sends flows over UDP as a router exports them. */
export const flows = (now, records, to) =>
  new Promise((resolve, reject) => {
    const [host, port] = place(process.env.NETFLOW);
    const u = createSocket('udp4');
    u.send(netflow5(now, records, to), port, host, (e) => {
      u.close();
      if (e) reject(e);
      else resolve();
    });
  });

/** Drives all of it in and waits until the store holds it; p is a page that is signed in as an administrator. */
export async function drive(p) {
  const call = async (method, path, data, type = 'application/json') => {
    const r = await p.request.fetch(`${BASE}${path}`, { method, data, headers: { 'X-Requested-With': 'icewatch', 'Content-Type': type } });
    if (!r.ok()) throw new Error(`${method} ${path}: ${r.status()} ${await r.text()}`);
    const text = await r.text();
    return text ? JSON.parse(text) : undefined;
  };
  const count = async (query) => Number((await (await p.request.get(`${BASE}/api/v1/search/histogram?${new URLSearchParams({ query, since: '1h' })}`)).json()).total);
  const until = async (what, f) => {
    const end = Date.now() + 45_000;
    while (!(await f())) {
      if (Date.now() > end) throw new Error(`${typeof what === 'function' ? what() : what} did not come within 45 s`);
      await new Promise((r) => setTimeout(r, 300));
    }
  };
  await call('POST', '/api/v1/cmdb/import?format=yaml', INVENTORY, 'application/octet-stream');
  // Until events are told whose they are, what is sent would be nobody's.
  await until('the inventory', async () => {
    await lines(`<13>1 ${new Date().toISOString()} num-db-1 probe - - - is the inventory there\n`);
    await new Promise((r) => setTimeout(r, 700));
    return (await count('"is the inventory there" icewatch.ci.name:="num-db-1"')) > 0;
  });
  // Five minutes are the window of the rule on guesses: an attack over its edge is told twice.
  const WINDOW = 300_000;
  let now = Date.now();
  while (Math.floor((now - 95_000) / WINDOW) !== Math.floor((now - 65_000) / WINDOW)) now -= 10_000;
  const at = (seconds) => new Date(now - seconds * 1000).toISOString();
  let text = '';
  for (let n = 0; n < GUESSES; n++) text += `<86>1 ${at(90 - n)} num-web-1 sshd 5${100 + n} - - Failed password for numroot from ${ATTACKER} port ${50_000 + n} ssh2\n`;
  text += `<86>1 ${at(70)} num-web-1 sshd 5999 - - Accepted password for numroot from ${ATTACKER} port 50999 ssh2\n`;
  for (const [kind, n] of Object.entries(ORDERS)) for (let i = 0; i < n; i++) text += `<38>1 ${at(60 - i)} num-db-1 numapp 77 - - order ${kind} no ${i}\n`;
  await lines(text);
  await flows(now, FLOWS, '198.51.100.91');
  const token = await call('POST', '/api/v1/tokens', { name: 'known data', scopes: ['ingest'], tenant: TENANT });
  const spans = Array.from({ length: TRACES.all }, (_, i) => trace(now - i * 500, i < TRACES.failed)).flat();
  const sent = await fetch(`${BASE}/otlp/v1/traces`, { method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token.token}` }, body: JSON.stringify({ resourceSpans: spans }) });
  if (!sent.ok) throw new Error(`traces: ${sent.status} ${await sent.text()}`);
  // What came of it, in place of what must: told where it does not come.
  let came = '';
  const wanted = `${FLOWS.length} ${2 * TRACES.all} ${GUESSES + 1} ${ORDERS.paid + ORDERS.refused}`;
  await until(() => `flows, spans, guesses, orders ${wanted} (${came})`, async () => {
    came = (await Promise.all([`event.dataset:flow.* source.ip:=${NET}.5`, 'data_stream.type:=traces', `source.ip:=${ATTACKER}`, 'log.syslog.appname:=numapp'].map(count))).join(' ');
    return came === wanted;
  });
  return call;
}
