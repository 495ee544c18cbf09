/** Server-sent events (WHATWG HTML, 9.2.6) out of a stream of text, however it is cut. */

export interface Sent {
  event: string;
  data: string;
  id: string;
}

/** A reader that keeps what is not whole yet. Each call answers the events that have become whole. */
export function sseReader(): (chunk: string) => Sent[] {
  let rest = '';
  let event = '';
  let data: string[] = [];
  let id = '';
  return (chunk) => {
    const done: Sent[] = [];
    rest += chunk;
    // A lone \r at the end may be half of \r\n: it waits for what follows.
    for (;;) {
      const m = /\r\n|\n|\r(?!$)/.exec(rest);
      if (!m) return done;
      const line = rest.slice(0, m.index);
      rest = rest.slice(m.index + m[0].length);
      if (line === '') {
        if (data.length > 0) done.push({ event: event || 'message', data: data.join('\n'), id });
        event = '';
        data = [];
        continue;
      }
      if (line.startsWith(':')) continue;
      const colon = line.indexOf(':');
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === 'data') data.push(value);
      else if (name === 'event') event = value;
      else if (name === 'id' && !value.includes('\0')) id = value;
    }
  };
}
