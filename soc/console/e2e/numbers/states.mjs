/**
 * What every page says when it gets no data: a server that ails, one that
 * refuses, and lists that are empty. Each page has to say so in words, with a way out.
 */
import { BASE, settled } from '../desk.mjs';

/** What the frame itself lives on: without it there is no page to judge. */
const FRAME = /\/api\/v1\/(me|ui|branding|auth|setup)(\/|\?|$)|\/api\/v1\/me\/reach/;
const answers = {
  failed: (path) => ({ status: 500, contentType: 'application/problem+json', json: { title: 'Internal Server Error', status: 500, detail: 'the store does not answer', instance: `urn:icewatch:request:${path.length.toString(16).padStart(8, '0')}` } }),
  forbidden: () => ({ status: 403, contentType: 'application/problem+json', json: { title: 'Forbidden', status: 403, detail: 'this needs the permission read' } }),
};
/** Words that never belong on a page. */
const RAW = /\bundefined\b|\bNaN\b|\[object Object\]|\{"|\bnull\b|Invalid Date|Infinity/;

/** Pages that are of use without any data: forms, a place to begin, settings to copy; what they lack they leave out. */
export const ALONE = ['/notices/new', '/rules/new', '/connect', '/me', '/graph', '/entities', '/cmdb/path'];

/** What is wrong with a page as it stands. */
async function faultOf(page, kind) {
  const { text, busy, states, alerts, retry } = await page.evaluate(() => {
    const main = document.querySelector('main');
    return {
      text: main.innerText.replace(/\s+/g, ' ').trim(),
      busy: !!main.querySelector('.skel-line, .ant-spin-spinning'),
      states: main.querySelectorAll('.state').length,
      alerts: main.querySelectorAll('[role=alert]').length,
      retry: [...main.querySelectorAll('button')].some((b) => /重\s*试|重新加载/.test(b.innerText)),
    };
  });
  if (text.length < 8) return `is blank: ${text}`;
  if (busy) return `waits for ever: ${text.slice(0, 200)}`;
  const raw = RAW.exec(text);
  if (raw) return `shows ${raw[0]}: ${text.slice(Math.max(0, raw.index - 80), raw.index + 80)}`;
  if (/页面出错了/.test(text)) return `crashed: ${text.slice(0, 300)}`;
  if (states + alerts === 0) return `says nothing of it: ${text.slice(0, 300)}`;
  if (kind === 'failed' && !retry) return `offers no way out: ${text.slice(0, 300)}`;
  return '';
}

/** Desks of one session, and what each gets for an answer: they are opened once for all walks, as a start of the console costs more than ten of its pages. */
const desks = [];

async function sit(context, kind) {
  const desk = { page: await context.newPage(), kind, wrong: [] };
  desk.page.on('pageerror', (e) => desk.wrong.push(`${desk.page.url()} crashed: ${e}`));
  await desk.page.route('**/api/v1/**', (route) => (FRAME.test(route.request().url()) ? route.fallback() : route.fulfill(answers[desk.kind](route.request().url()))));
  await desk.page.goto(`${BASE}/me`);
  await settled(desk.page);
  desks.push(desk);
}

/** Walks pages (addresses) on five desks at once; without are pages that need no data to be of use. */
export async function walk(context, kind, addresses, without) {
  const left = [...addresses];
  while (desks.length < 5) await sit(context, kind);
  const wrong = await Promise.all(
    desks.map(async (desk) => {
      const { page } = desk;
      desk.kind = kind;
      for (let at = left.shift(); at; at = left.shift()) {
        await page.evaluate((at) => {
          history.pushState(null, '', at);
          dispatchEvent(new PopStateEvent('popstate'));
        }, at);
        // A lost answer is asked for twice more, within two seconds.
        await page.waitForTimeout(kind === 'failed' ? 1600 : 150);
        let fault = await faultOf(page, kind);
        for (const end = Date.now() + 6000; fault && Date.now() < end && !(without.includes(at) && /^says nothing|^offers/.test(fault)); fault = await faultOf(page, kind)) await page.waitForTimeout(150);
        if (fault && !(without.includes(at) && /^says nothing|^offers/.test(fault))) desk.wrong.push(`${at} ${fault}`);
      }
      return desk.wrong.splice(0);
    }),
  );
  return wrong.flat();
}
