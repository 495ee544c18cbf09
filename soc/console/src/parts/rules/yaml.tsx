import { useId, useRef, useState } from 'react';
import type { Finding } from '../../api/rules';
import { useSettings } from '../../app/settings';
import { completions, type Completion } from '../../logic/sigma/complete';

/** A place to write YAML: lines are numbered, those with faults are marked. With fields, what can stand at the caret is offered. */
export function YamlEditor({ value, onChange, findings, label, readOnly, fields }: { value: string; onChange: (v: string) => void; findings: readonly Finding[]; label: string; readOnly?: boolean; fields?: readonly string[] }) {
  const { t } = useSettings();
  const gutter = useRef<HTMLDivElement>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const lines = value.split('\n');
  const listId = useId();
  const [offered, setOffered] = useState<Completion | null>(null);
  const [chosen, setChosen] = useState(0);
  const offer = (el: HTMLTextAreaElement) => {
    setChosen(0);
    setOffered(fields && !readOnly && el.selectionStart === el.selectionEnd ? completions(el.value, el.selectionStart, fields) : null);
  };
  const accept = (option: string) => {
    const el = area.current;
    if (!el || !offered) return;
    el.focus();
    el.setRangeText(option, offered.from, offered.to, 'end');
    onChange(el.value);
    offer(el);
    setOffered(null);
  };
  const at = new Map<number, Finding>();
  for (const f of findings) if (f.line > 0 && at.get(f.line)?.severity !== 'error') at.set(f.line, f);
  /** Puts the caret where the fault is. */
  const go = (f: Finding) => {
    const el = area.current;
    if (!el) return;
    const start = lines.slice(0, f.line - 1).reduce((n, l) => n + l.length + 1, 0) + Math.max(0, f.column - 1);
    el.focus();
    el.setSelectionRange(start, start);
    el.scrollTop = Math.max(0, (f.line - 6) * 19);
  };
  return (
    <div className="yaml">
      <div className="yamlbox">
        <div className="gutter" ref={gutter} aria-hidden="true">
          {lines.map((_, i) => {
            const f = at.get(i + 1);
            return (
              <div key={i} className={f?.severity} title={f?.message}>
                {i + 1}
              </div>
            );
          })}
        </div>
        <textarea
          ref={area}
          aria-label={label}
          data-testid="yaml"
          value={value}
          readOnly={readOnly}
          spellCheck={false}
          wrap="off"
          aria-autocomplete={fields ? 'list' : undefined}
          aria-controls={offered ? listId : undefined}
          aria-activedescendant={offered ? `${listId}-${chosen}` : undefined}
          onChange={(e) => {
            onChange(e.target.value);
            offer(e.currentTarget);
          }}
          onBlur={() => setOffered(null)}
          onClick={() => setOffered(null)}
          onScroll={(e) => {
            if (gutter.current) gutter.current.scrollTop = e.currentTarget.scrollTop;
          }}
          onKeyDown={(e) => {
            if (offered) {
              const n = offered.options.length;
              if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
                e.preventDefault();
                setChosen((chosen + (e.key === 'ArrowDown' ? 1 : n - 1)) % n);
                return;
              }
              if ((e.key === 'Enter' || e.key === 'Tab') && !e.shiftKey) {
                e.preventDefault();
                accept(offered.options[chosen] ?? '');
                return;
              }
              if (e.key === 'Escape') {
                e.preventDefault();
                e.stopPropagation();
              }
              setOffered(null);
              if (e.key === 'Escape') return;
            }
            if (e.key === ' ' && e.ctrlKey) {
              e.preventDefault();
              offer(e.currentTarget);
              return;
            }
            // Tab indents; Escape then Tab leaves, as in other editors.
            if (e.key !== 'Tab' || e.shiftKey || readOnly) return;
            e.preventDefault();
            const el = e.currentTarget;
            el.setRangeText('  ', el.selectionStart, el.selectionEnd, 'end');
            onChange(el.value);
          }}
        />
      </div>
      {offered && (
        <ul className="offered" role="listbox" id={listId} aria-label={t('build.offered')} data-testid="offered">
          {offered.options.map((o, i) => (
            <li key={o} id={`${listId}-${i}`} role="option" aria-selected={i === chosen} className="mono" onMouseDown={(e) => e.preventDefault()} onClick={() => accept(o)}>
              {o}
            </li>
          ))}
        </ul>
      )}
      {findings.length > 0 && (
        <ul className="findings" data-testid="findings">
          {findings.map((f, i) => (
            <li key={i} className={f.severity}>
              <button type="button" className="plain" onClick={() => go(f)}>
                <span aria-hidden="true">{f.severity === 'error' ? '✕' : '!'}</span> {f.line > 0 && <b>{t('build.line', { n: f.line })}</b>} {f.message}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
