/** Times and numbers as people read them: the clock is an argument, the zone is the reader's (zone.ts). */
import { offsetAt, wall, zoneName } from './zone';

export type Locale = 'zh-CN' | 'en-US';

function parts(d: Date): { y: number; mo: string; da: string; h: string; mi: string; s: string; ms: string } {
  const p = (n: number, w = 2) => String(n).padStart(w, '0');
  const w = wall(d.getTime());
  return {
    y: w.getUTCFullYear(),
    mo: p(w.getUTCMonth() + 1),
    da: p(w.getUTCDate()),
    h: p(w.getUTCHours()),
    mi: p(w.getUTCMinutes()),
    s: p(w.getUTCSeconds()),
    ms: p(w.getUTCMilliseconds(), 3),
  };
}

/** 2026-11-23 16:03:12 in the reader's zone. */
export function absolute(time: string | number, ms = false): string {
  const d = new Date(time);
  if (Number.isNaN(d.getTime())) return String(time);
  const t = parts(d);
  return `${t.y}-${t.mo}-${t.da} ${t.h}:${t.mi}:${t.s}${ms ? `.${t.ms}` : ''}`;
}

/** A text whose moments, written in UTC or with an offset as the server does, read in the reader's zone. */
export function localTimes(text: string): string {
  return text.replace(/\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})/g, (time) => absolute(time));
}

/** The shortest text that is not ambiguous today: 16:03:12, or 11-20 16:03, or 2025-11-20. */
export function compact(time: string | number, now: number): string {
  const d = new Date(time);
  if (Number.isNaN(d.getTime())) return String(time);
  const t = parts(d);
  const n = parts(new Date(now));
  if (t.y === n.y && t.mo === n.mo && t.da === n.da) return `${t.h}:${t.mi}:${t.s}`;
  if (t.y === n.y) return `${t.mo}-${t.da} ${t.h}:${t.mi}`;
  return `${t.y}-${t.mo}-${t.da}`;
}

/** 3 分钟前 / 3 min ago. */
export function relative(time: string | number, now: number, locale: Locale): string {
  const ms = new Date(time).getTime() - now;
  if (Number.isNaN(ms)) return '';
  const abs = Math.abs(ms);
  const f = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });
  if (abs < 1_000) return f.format(0, 'second');
  if (abs < 60_000) return f.format(Math.trunc(ms / 1_000), 'second');
  if (abs < 3_600_000) return f.format(Math.trunc(ms / 60_000), 'minute');
  if (abs < 86_400_000) return f.format(Math.trunc(ms / 3_600_000), 'hour');
  return f.format(Math.trunc(ms / 86_400_000), 'day');
}

/** A clock's length: 1:05:09, 12:40, or days and hours beyond two days. */
export function clock(ms: number, locale: Locale): string {
  const s = Math.floor(Math.abs(ms) / 1000);
  const p = (n: number) => String(n).padStart(2, '0');
  const h = Math.floor(s / 3600);
  if (h >= 48) return locale === 'zh-CN' ? `${Math.floor(h / 24)}天${h % 24}小时` : `${Math.floor(h / 24)}d ${h % 24}h`;
  return h > 0 ? `${h}:${p(Math.floor((s % 3600) / 60))}:${p(s % 60)}` : `${p(Math.floor(s / 60))}:${p(s % 60)}`;
}

export function number(n: number | undefined | null, locale: Locale): string {
  if (n === undefined || n === null || Number.isNaN(n)) return '–';
  return n.toLocaleString(locale, { maximumFractionDigits: Math.abs(n) < 10 && !Number.isInteger(n) ? 1 : 0 });
}

/** A length of time given in nanoseconds, in the unit that reads best: 850 µs, 12.3 ms, 1.24 s, 2 min 3 s. */
export function duration(ns: number | undefined | null, locale: Locale): string {
  if (ns === undefined || ns === null || Number.isNaN(ns)) return '–';
  const say = (v: number, unit: string) => `${v.toLocaleString(locale, { maximumSignificantDigits: Math.max(3, String(Math.trunc(v)).length) })} ${unit}`;
  // What rounds up to a thousand belongs to the next unit.
  const abs = Math.abs(ns) * 1.0005;
  if (abs < 1e3) return say(ns, 'ns');
  if (abs < 1e6) return say(ns / 1e3, 'µs');
  if (abs < 1e9) return say(ns / 1e6, 'ms');
  if (abs < 60e9) return say(ns / 1e9, 's');
  const s = Math.round(ns / 1e9);
  return s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** Words side by side, as the language parts them. */
export function joined(words: readonly string[], locale: Locale): string {
  return words.join(locale === 'zh-CN' ? '、' : ', ');
}

/** Bytes in binary units. */
export function bytes(n: number, locale: Locale): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let i = 0;
  let v = n;
  while (v >= 1024 && i < units.length - 1) {
    v /= 1024;
    i++;
  }
  return `${v.toLocaleString(locale, { maximumFractionDigits: i === 0 ? 0 : 1 })} ${units[i]}`;
}

/** The reader's zone: UTC+8 Asia/Shanghai. */
export function zone(): string {
  const min = offsetAt(Date.now());
  const sign = min < 0 ? '−' : '+';
  const h = Math.floor(Math.abs(min) / 60);
  const m = Math.abs(min) % 60;
  const name = zoneName();
  const offset = min === 0 ? 'UTC' : `UTC${sign}${h}${m ? `:${String(m).padStart(2, '0')}` : ''}`;
  return !name || name === 'UTC' ? offset : `${offset} ${name}`;
}
