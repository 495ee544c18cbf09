/** RFC 4180, enough to show a file before it is sent: the server reads it anew and has the last word. */
export function parseCSV(text: string, limit = Infinity): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let quoted = false;
  const s = text.replace(/^\ufeff/, '');
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
    cell = '';
  };
  for (let i = 0; i < s.length && rows.length < limit; i++) {
    const c = s[i] as string;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (s[i + 1] === '"') {
        cell += '"';
        i++;
      } else quoted = false;
    } else if (c === '"' && cell === '') quoted = true;
    else if (c === ',') {
      row.push(cell);
      cell = '';
    } else if (c === '\n') endRow();
    else if (c !== '\r' || s[i + 1] !== '\n') cell += c;
  }
  if (rows.length < limit && (cell !== '' || row.length > 0)) endRow();
  return rows;
}
