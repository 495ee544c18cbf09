import { Button, Input } from 'antd';
import { useState, type ReactNode } from 'react';
import { post } from '../../api/client';
import type { Pasted } from '../../api/rules';
import { list, type LogEvent } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { FieldTable, RawEvent } from '../events';
import { Panel } from '../page';
import { Failed } from '../states';

/** Runs the rule over events that are pasted, and marks on each what of the condition holds. */
export function PastedTrial({ source, ready, choice }: { source: string; ready: boolean; choice: ReactNode }) {
  const { t, tx, locale } = useSettings();
  const [text, setText] = useState('');
  const [out, setOut] = useState<Pasted | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [open, setOpen] = useState(0);
  const run = async () => {
    setBusy(true);
    setError(null);
    setOut(null);
    try {
      setOut(await post<Pasted>('/rules/try-events', { source, events: text }));
      setOpen(0);
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel
      id="trial"
      title={t('try.title')}
      end={
        <div className="row">
          {choice}
          <Button size="small" type="primary" ghost loading={busy} disabled={!ready || text.trim() === ''} onClick={() => void run()}>
            {t('try.do')}
          </Button>
        </div>
      }
    >
      <div className="dim">{t('try.pastedWhy')}</div>
      <Input.TextArea rows={5} className="mono" aria-label={t('try.pasted')} placeholder={t('try.pastedHint')} value={text} onChange={(e) => setText(e.target.value)} />
      {error !== null && <Failed small error={error} what="try.title" />}
      {out && (
        <div data-testid="pasted-result">
          <p>{t('try.pastedN', { n: number(out.matched, locale), of: number(list(out.events).length, locale), f: number(list(out.firings).length, locale) })}</p>
          <div className="samples">
            {list(out.events).map((e, i) => {
              const hit = list(e.rules).some((r) => r.matches);
              const evidence = list(e.rules).flatMap((r) => (list(r.evidence).length > 0 ? list(r.evidence) : list(r.selections).flatMap((s) => list(s.evidence))));
              return (
                <div key={e.line} className="sample">
                  <button type="button" className="plain row" aria-expanded={open === i} onClick={() => setOpen(open === i ? -1 : i)}>
                    <span>{open === i ? '▾' : '▸'}</span>
                    <span className={hit ? 'tag strong' : 'tag'}>{t(hit ? 'try.hit' : 'try.miss')}</span>
                    <span className="ellipsis grow mono">{e.raw}</span>
                  </button>
                  {open === i && (
                    <div style={{ padding: '4px 0 10px 18px' }}>
                      {list(e.rules).map((r) => (
                        <div key={r.rule} className="row wrap" style={{ gap: 8, marginBottom: 6 }}>
                          {list(e.rules).length > 1 && <b className="mono">{r.rule}</b>}
                          {list(r.selections).map((s) => (
                            <span key={s.name} className={s.holds ? 'tag strong' : 'tag'} title={list(s.evidence).map((x) => `${x.field}=${x.value}`).join('\n')} data-holds={s.holds}>
                              {t(s.holds ? 'try.holds' : 'try.fails', { x: s.name })}
                            </span>
                          ))}
                          {r.elsewhere && <span className="tag warn">{t('try.elsewhere')}</span>}
                        </div>
                      ))}
                      {!e.raw.startsWith('{') && <RawEvent raw={e.raw} evidence={evidence} />}
                      <FieldTable event={{ ...(e.fields ?? {}) } as LogEvent} evidence={evidence} />
                    </div>
                  )}
                </div>
              );
            })}
          </div>
          {list(out.firings).map((f, i) => (
            <div key={i} className="meaning">
              {tx(f.sentence)}
            </div>
          ))}
        </div>
      )}
    </Panel>
  );
}
