import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { get } from '../../api/client';
import type { Asked, Suggestion, Suggestions } from '../../api/search';
import { list } from '../../api/types';
import { useSettled } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import type { Fault } from '../../logic/fault';
import { faultAt, place, replaced } from '../../logic/typing';

/** The query as text: suggestions as one types, the fault where it is. Enter searches, shift-enter makes a line. */
export function QueryBar({
  language = 'LogsQL',
  draft,
  setDraft,
  run,
  busy,
  asked,
  fault,
}: {
  /** Suggestions are for LogsQL; the other is checked as it runs. */
  language?: 'LogsQL' | 'LogQL';
  draft: string;
  setDraft: (text: string) => void;
  run: () => void;
  busy: boolean;
  asked: Asked;
  /** What the server refused, with the byte of the text where it stopped. */
  fault: Fault | null;
}) {
  const { t } = useSettings();
  const input = useRef<HTMLTextAreaElement>(null);
  const [cursor, setCursor] = useState(draft.length);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const text = useSettled(draft, 120);
  const where = place(text, Math.min(cursor, text.length));
  const found = useQuery({
    queryKey: ['suggest', text, where, asked.tenant],
    enabled: language === 'LogsQL' && open && text === draft,
    queryFn: ({ signal }) => get<Suggestions>('/search/suggest', { text, cursor: where, start: asked.start, end: asked.end, tenant: asked.tenant }, signal),
    staleTime: 30_000,
    retry: false,
  });
  const items = language === 'LogsQL' && open && text === draft ? list(found.data?.items).slice(0, 12) : [];
  useEffect(() => setAt(-1), [text, cursor]);
  useEffect(() => {
    const el = input.current;
    if (!el) return;
    el.style.height = 'auto';
    el.style.height = `${Math.min(160, el.scrollHeight + 2)}px`;
  }, [draft]);
  useKeys({ '/': () => input.current?.focus() });

  const pick = (s: Suggestion | undefined) => {
    const data = found.data;
    if (!s || !data) return;
    const [next, caret] = replaced(draft, data.from, data.to, s.insert);
    setDraft(next);
    setCursor(caret);
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(caret, caret);
    });
  };
  const wrong = fault?.byte === undefined ? null : faultAt(draft, fault.byte);
  const toFault = () => {
    if (!wrong) return;
    input.current?.focus();
    input.current?.setSelectionRange(...wrong);
  };
  return (
    <>
      <form
        className="searchbar"
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          setOpen(false);
          run();
        }}
      >
        <div className="grow suggesting">
          <textarea
            ref={input}
            rows={1}
            spellCheck={false}
            role="combobox"
            aria-label={language}
            aria-autocomplete="list"
            aria-expanded={items.length > 0}
            aria-controls="suggestions"
            aria-activedescendant={at >= 0 ? `suggestion-${at}` : undefined}
            aria-invalid={fault !== null}
            placeholder={language === 'LogsQL' ? t('search.placeholder') : '{tenant=~".+"} |= "error"'}
            value={draft}
            onChange={(e) => {
              setDraft(e.target.value);
              setCursor(e.target.selectionStart);
              setOpen(true);
            }}
            onSelect={(e) => setCursor(e.currentTarget.selectionStart)}
            onBlur={() => setOpen(false)}
            onKeyDown={(e) => {
              if (e.nativeEvent.isComposing) return;
              if (e.key === 'ArrowDown' && items.length > 0) setAt((i) => Math.min(items.length - 1, i + 1));
              else if (e.key === 'ArrowUp' && items.length > 0) setAt((i) => Math.max(-1, i - 1));
              else if (e.key === 'Tab' && !e.shiftKey && items.length > 0) pick(items[Math.max(0, at)]);
              else if (e.key === ' ' && e.ctrlKey) setOpen(true);
              else if (e.key === 'Enter' && !e.shiftKey) {
                if (at >= 0) pick(items[at]);
                else {
                  setOpen(false);
                  run();
                }
              } else if (e.key === 'Escape') {
                if (items.length > 0) setOpen(false);
                else e.currentTarget.blur();
              } else return;
              e.preventDefault();
            }}
          />
          {items.length > 0 && (
            <ul id="suggestions" className="suggestions" role="listbox" aria-label={t('search.suggestions')} data-testid="suggestions">
              {items.map((s, i) => (
                <SuggestionRow key={`${s.kind}:${s.insert}`} id={`suggestion-${i}`} suggestion={s} on={i === at} pick={() => pick(s)} />
              ))}
            </ul>
          )}
        </div>
        <Button type="primary" htmlType="submit" style={{ height: 34 }} loading={busy}>
          {t('search.run')}
        </Button>
      </form>
      {fault && (
        <div className="stale" role="alert" data-testid="fault">
          <b className="nowrap">{t('search.bad')}</b>
          <span className="grow" style={{ overflowWrap: 'anywhere' }}>
            {wrong && <FaultPlace text={draft} from={wrong[0]} to={wrong[1]} />}
            {fault.message}
          </span>
          {wrong && (
            <Button size="small" onClick={toFault}>
              {t('search.toFault')}
            </Button>
          )}
        </div>
      )}
    </>
  );
}

function SuggestionRow({ id, suggestion: s, on, pick }: { id: string; suggestion: Suggestion; on: boolean; pick: () => void }) {
  const { t, tx, locale } = useSettings();
  return (
    <li
      id={id}
      role="option"
      aria-selected={on}
      onMouseDown={(e) => {
        e.preventDefault(); // the text keeps the focus
        pick();
      }}
    >
      <span className="faint kind">{t(`suggest.${s.kind}`)}</span>
      <span className="mono ellipsis">{s.label}</span>
      <span className="faint ellipsis grow">{tx(s.detail)}</span>
      {s.hits !== undefined && s.hits !== null && <span className="faint">{number(s.hits, locale)}</span>}
    </li>
  );
}

/** A little of the text around the fault, which is marked. */
function FaultPlace({ text, from, to }: { text: string; from: number; to: number }) {
  return (
    <code style={{ marginRight: 10 }}>
      {from > 24 && '…'}
      {text.slice(Math.max(0, from - 24), from)}
      <mark>{text.slice(from, to) || '␣'}</mark>
      {text.slice(to, to + 12)}
      {text.length > to + 12 && '…'}
    </code>
  );
}
