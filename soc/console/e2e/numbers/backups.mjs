/** The page of backups against the backup itself: its list, its files on the disk, the search. */
import { readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
/** A size as the console says it. */
export function said(n) {
  let i = 0;
  for (; n >= 1024 && i < UNITS.length - 1; i++) n /= 1024;
  return `${n.toLocaleString('zh-CN', { maximumFractionDigits: i === 0 ? 0 : 1 })} ${UNITS[i]}`;
}
const two = (n) => String(n).padStart(2, '0');
const took = (ms) => `${two(Math.floor(ms / 60_000))}:${two(Math.floor(ms / 1000) % 60)}`;
/** The clock of the desk, eight hours before UTC's. */
const clock = (time) => new Date(Date.parse(time) + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
const sizes = (dir) => readdirSync(dir, { recursive: true, withFileTypes: true }).reduce((n, e) => n + (e.isFile() ? statSync(join(e.parentPath, e.name)).size : 0), 0);

/**
 * The page, its address and what its text must say once the only backup is
 * taken and checked; sent is how many events the suite was sent: beside them the
 * backup holds those of the suite's own audit log. Throws where the API's account
 * is not what the disk and the search say.
 */
export async function figures(call, get, until, page, dir, sent) {
  const taken = await until('the backup', async () => (({ running, last, items }) => !running && last?.state === 'succeeded' && items[0])(await get('/backups')));
  const wrong = [];
  const must = (what, is, want) => is === want || wrong.push(`${what}: ${is}, not ${want}`);
  const found = async (query) => Number((await get(`/search/histogram?${new URLSearchParams({ query, start: new Date(Date.parse(taken.started) - 86_400_000).toISOString(), end: taken.started })}`)).total);
  const audited = await found('event.dataset:=icewatch.audit');
  const events = sent + audited;
  must('events of tenants', taken.tenants.reduce((n, t) => n + (t.tenant === 'city' ? 0 : t.events), 0), sent);
  must('events of the city', taken.tenants.find((t) => t.tenant === 'city')?.events, audited);
  must('events that the search finds up to its start', await found('*'), events);
  must('packed bytes on the disk', sizes(join(dir, 'objects')), taken.stored_bytes);
  must('bytes copied by the first', taken.copied_bytes, taken.bytes);
  if (!(taken.rows > 0 && taken.rows <= events)) wrong.push(`${taken.rows} of ${events} events in files`);
  // A check reads every file.
  await call('POST', `/api/v1/backups/${taken.name}/verify`, {});
  const checked = await until('the check', async () => (({ running, last }) => !running && last?.kind === 'verify' && last)(await get('/backups')));
  must('the check', checked.state, 'succeeded');
  must('files read by the check', checked.files_done, taken.files);
  must('bytes read by the check', checked.bytes_done, taken.stored_bytes);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  const { schedule, next_run } = await get('/backups');
  const hours = () => Math.floor((Date.parse(next_run) - Date.now()) / 3_600_000);
  const free = async () => {
    const text = await page.locator('main .stat', { hasText: dir }).locator('.n').innerText();
    const [n, unit] = text.split(' ');
    const { bavail, bsize } = statfsSync(dir);
    return Math.abs(Number(n.replaceAll(',', '')) * 1024 ** UNITS.indexOf(unit) - bavail * bsize) < 0.02 * bavail * bsize;
  };
  const size = [taken.bytes, taken.copied_bytes, taken.stored_bytes].map(said).join(' ');
  const rows = taken.rows < events ? `${events} 已落盘 ${taken.rows}` : `${events}`;
  return ['/admin/backups', '/admin/backups', [
    /(\d+ ?秒|1 ?分钟)前 最近一次完好的备份/,
    schedule.enabled ? async () => (await page.locator('main').innerText()).includes(`${hours()}小时后`) : '关闭 下次定时备份',
    `${schedule.cron} · 保留 ${schedule.keep} 份`,
    free,
    '未加密 备份内容',
    new RegExp(`${taken.name} 手动 admin 已校验 (?:\\d+ ?秒前|现在) ${clock(taken.finished)} \\d+ ?(?:秒|分钟)前 ${took(Date.parse(taken.finished) - Date.parse(taken.started))} ${rows} ${size}`),
  ]];
}
