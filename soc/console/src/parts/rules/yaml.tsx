import { useRef } from 'react';
import type { Finding } from '../../api/rules';
import { useSettings } from '../../app/settings';

/** A place to write YAML: lines are numbered, those with faults are marked. */
export function YamlEditor({ value, onChange, findings, label, readOnly }: { value: string; onChange: (v: string) => void; findings: readonly Finding[]; label: string; readOnly?: boolean }) {
  const { t } = useSettings();
  const gutter = useRef<HTMLDivElement>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const lines = value.split('\n');
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
          onChange={(e) => onChange(e.target.value)}
          onScroll={(e) => {
            if (gutter.current) gutter.current.scrollTop = e.currentTarget.scrollTop;
          }}
          onKeyDown={(e) => {
            // Tab indents; Escape then Tab leaves, as in other editors.
            if (e.key !== 'Tab' || e.shiftKey || readOnly) return;
            e.preventDefault();
            const el = e.currentTarget;
            el.setRangeText('  ', el.selectionStart, el.selectionEnd, 'end');
            onChange(el.value);
          }}
        />
      </div>
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
