import { createContext, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from 'react';
import { ApiError } from '../api/client';
import { useKeys } from './keys';
import { useRefusal } from './refusal';
import { useT } from './settings';

interface Toast {
  id: number;
  text: ReactNode;
  bad: boolean;
  undo?: () => void;
}
interface Feedback {
  /** Says what was done; with undo for ten seconds where it can be taken back. */
  done: (text: ReactNode, undo?: () => void) => void;
  failed: (error: unknown) => void;
}
const Context = createContext<Feedback | null>(null);
export const UNDO_MS = 10_000;

export function FeedbackProvider({ children }: { children: ReactNode }) {
  const t = useT();
  const refusal = useRefusal();
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const remove = useCallback((id: number) => setToasts((l) => l.filter((x) => x.id !== id)), []);
  const add = useCallback(
    (toast: Omit<Toast, 'id'>) => {
      const id = next.current++;
      // One undo at a time: ctrl-z means the last thing done.
      setToasts((l) => [...l.filter((x) => !x.undo || !toast.undo).slice(-2), { ...toast, id }]);
      setTimeout(() => remove(id), toast.undo || toast.bad ? UNDO_MS : 3500);
    },
    [remove],
  );
  const value = useMemo<Feedback>(
    () => ({
      done: (text, undo) => add({ text, undo, bad: false }),
      failed: (error) => {
        const e = error instanceof ApiError ? error : null;
        if (e?.status === 401) return;
        add({
          bad: true,
          text: (
            <div role="alert">
              <b>{t('state.failedDo')}</b>
              <div>{e?.status === 0 ? t('state.unsure') : refusal(error)}</div>
              {e?.requestId && (
                <div className="faint">
                  {t('state.requestId')} <code>{e.requestId}</code>
                </div>
              )}
            </div>
          ),
        });
      },
    }),
    [add, t, refusal],
  );
  const undo = (toast: Toast) => {
    remove(toast.id);
    toast.undo?.();
  };
  const undoable = toasts.find((x) => x.undo);
  useKeys({ 'mod+z': () => undoable && undo(undoable) }, !!undoable);
  return (
    <Context.Provider value={value}>
      {children}
      <div className="toaster" aria-live="polite">
        {toasts.map((x) => (
          <div key={x.id} className={`toast${x.bad ? ' bad' : ''}`}>
            <div>{x.text}</div>
            {x.undo && (
              <button className="plain" onClick={() => undo(x)}>
                {t('do.undo')}
              </button>
            )}
            {x.bad && (
              <button className="plain" onClick={() => remove(x.id)} aria-label={t('do.close')}>
                ✕
              </button>
            )}
          </div>
        ))}
      </div>
    </Context.Provider>
  );
}

export function useFeedback(): Feedback {
  const f = useContext(Context);
  if (!f) throw new Error('useFeedback outside FeedbackProvider');
  return f;
}

/** Copies to the clipboard; over plain HTTP, where browsers refuse the clipboard API, by selection. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  document.body.appendChild(area);
  area.select();
  const ok = document.execCommand('copy');
  area.remove();
  if (!ok) throw new Error('clipboard refused');
}
