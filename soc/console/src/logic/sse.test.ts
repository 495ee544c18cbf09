import { describe, expect, it } from 'vitest';
import { sseReader } from './sse';

describe('server-sent events', () => {
  const text = ': hello\r\nevent: row\r\ndata: {"a":1}\r\nid: 7\r\n\r\ndata: two\ndata:  lines\n\nevent: none\n\ndata\n\n';
  const whole = [
    { event: 'row', data: '{"a":1}', id: '7' },
    { event: 'message', data: 'two\n lines', id: '7' },
    { event: 'message', data: '', id: '7' },
  ];

  it('are the same however the stream is cut', () => {
    expect(sseReader()(text)).toEqual(whole);
    for (let size = 1; size < 9; size++) {
      const read = sseReader();
      const got = [];
      for (let i = 0; i < text.length; i += size) got.push(...read(text.slice(i, i + size)));
      expect(got, `cut every ${size}`).toEqual(whole);
    }
  });

  it('wait until they are whole', () => {
    const read = sseReader();
    expect(read('data: x\n')).toEqual([]);
    expect(read('\n')).toEqual([{ event: 'message', data: 'x', id: '' }]);
  });
});
