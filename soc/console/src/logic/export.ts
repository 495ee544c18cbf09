import type { LogEvent } from '../api/types';
import { fieldValues } from './evidence';

/** One cell. A leading = + - @ would run as a formula in a spreadsheet, and logs hold what attackers wrote. */
function cell(value: string): string {
  const safe = /^[=+\-@\t\r]/.test(value) && !/^([+-]?\d+(\.\d+)?|@timestamp)$/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) || safe !== safe.trim() ? `"${safe.replace(/"/g, '""')}"` : safe;
}

/** RFC 4180, with a byte-order mark as spreadsheets need it to read Chinese. Columns are all fields of all rows, leading ones first. */
export function toCSV(rows: readonly LogEvent[], leading: readonly string[]): string {
  const rest = new Set<string>();
  for (const r of rows) for (const k of Object.keys(r)) rest.add(k);
  const first = leading.filter((k) => rest.delete(k));
  const columns = [...first, ...[...rest].sort()];
  const lines = [columns.map(cell).join(',')];
  for (const r of rows) lines.push(columns.map((c) => cell(fieldValues(r[c]).join('; '))).join(','));
  return `\ufeff${lines.join('\r\n')}\r\n`;
}

/** Hands a text to the browser as a file. */
export function download(name: string, type: string, data: BlobPart): void {
  const url = URL.createObjectURL(new Blob([data], { type }));
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Rows of texts as a file for spreadsheets, as toCSV writes them. */
export function tableCSV(rows: readonly (readonly string[])[]): string {
  return `\ufeff${rows.map((r) => r.map(cell).join(',')).join('\r\n')}\r\n`;
}
