import { SearchOutlined } from '@ant-design/icons';
import { Input, type InputRef } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { useSettled, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';

/** The filter box of a list: its text lives in the URL, and / leads to it. */
export function SearchBox({ hint, param = 'q', width = 260 }: { hint: string; param?: string; width?: number }) {
  const [params, setUrl] = useUrl();
  const given = params.get(param) ?? '';
  const [text, setText] = useState(given);
  const settled = useSettled(text, 250);
  const last = useRef(given);
  useEffect(() => {
    if (settled === last.current) return;
    last.current = settled;
    setUrl({ [param]: settled.trim(), cursor: undefined });
  }, [settled, param, setUrl]);
  useEffect(() => {
    // A link or the back key changed it from outside.
    if (given !== last.current.trim()) {
      last.current = given;
      setText(given);
    }
  }, [given]);
  const box = useRef<InputRef>(null);
  useKeys({ '/': () => box.current?.focus() });
  return <Input ref={box} allowClear prefix={<SearchOutlined className="faint" />} aria-label={hint} placeholder={hint} value={text} onChange={(e) => setText(e.target.value)} style={{ width }} />;
}
