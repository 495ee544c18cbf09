import type { Layer, Stretch, Window } from '../api/duty';

/** The day of a moment by a clock in a zone, YYYY-MM-DD. */
export function dayIn(time: string | number, zone: string): string {
  const parts = new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' }).formatToParts(new Date(time));
  const of = (type: string) => parts.find((p) => p.type === type)?.value ?? '';
  return `${of('year')}-${of('month')}-${of('day')}`;
}

/** A clock's reading in a zone, HH:MM. */
export function clockIn(time: string | number, zone: string): string {
  return new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(time));
}

/** Days in order, from one on. */
export function daysFrom(first: string, n: number): string[] {
  const at = Date.parse(`${first}T00:00:00Z`);
  return Array.from({ length: n }, (_, i) => new Date(at + i * 86_400_000).toISOString().slice(0, 10));
}

/** The first day shown for a day: Monday of its week, or of the week in which its month begins. */
export function firstShown(day: string, mode: 'week' | 'month'): string {
  const from = mode === 'month' ? `${day.slice(0, 7)}-01` : day;
  const at = Date.parse(`${from}T00:00:00Z`);
  const weekday = (new Date(at).getUTCDay() + 6) % 7;
  return new Date(at - weekday * 86_400_000).toISOString().slice(0, 10);
}

/** A day some months or weeks later; a month's last day stays within the month. */
export function stepped(day: string, mode: 'week' | 'month', by: number): string {
  if (mode === 'week') return new Date(Date.parse(`${day}T00:00:00Z`) + by * 7 * 86_400_000).toISOString().slice(0, 10);
  const d = new Date(`${day.slice(0, 7)}-01T00:00:00Z`);
  d.setUTCMonth(d.getUTCMonth() + by);
  return d.toISOString().slice(0, 10);
}

export interface Piece {
  stretch: Stretch;
  from: string;
  to: string;
}

/** What of a line's stretches lies on each day, by day: times of the day, 24:00 at its end. */
export function byDay(stretches: readonly Stretch[], zone: string): Map<string, Piece[]> {
  const out = new Map<string, Piece[]>();
  for (const s of stretches) {
    const last = dayIn(Date.parse(s.to) - 1, zone);
    let day = dayIn(s.from, zone);
    for (let first = true; day <= last; first = false) {
      const ends = day === last;
      const to = ends ? clockIn(s.to, zone) : '24:00';
      const list = out.get(day) ?? [];
      list.push({ stretch: s, from: first ? clockIn(s.from, zone) : '00:00', to: ends && to === '00:00' ? '24:00' : to });
      out.set(day, list);
      day = daysFrom(day, 2)[1] as string;
    }
  }
  return out;
}

/** Turns as people write them: a line each, several people with spaces. */
export function turnsText(people: readonly (readonly string[])[]): string {
  return people.map((group) => group.join(' ')).join('\n');
}

export function turnsOf(text: string): string[][] {
  const lines = text.replace(/\n+$/, '').split('\n');
  return lines.map((line) => line.split(/[\s,，、]+/).filter(Boolean));
}

const SPAN = /^(\d{2}:\d{2})\s*[-–~]\s*(\d{2}:\d{2})$/;

/** Hours as people write them: 09:00-12:00, 13:30-17:30; null where they cannot be read. Of all days of the week unless days say otherwise. */
export function windowsOf(text: string, days: number[] = [1, 2, 3, 4, 5, 6, 7]): Window[] | null {
  const out: Window[] = [];
  for (const part of text.split(/[,，;；\n]/).map((p) => p.trim()).filter(Boolean)) {
    const m = SPAN.exec(part);
    if (!m) return null;
    out.push({ days, from: m[1] as string, to: m[2] as string });
  }
  return out;
}

export function windowsText(windows: readonly Window[]): string {
  return [...new Set(windows.map((w) => `${w.from}-${w.to}`))].join(', ');
}

/** A rotation to begin with. */
export function freshLayer(today: string): Layer {
  return { from: today, turn: { every: 1, unit: 'week', handover: '09:00' }, people: [[]], days: 'all', windows: [], shifts: [] };
}
