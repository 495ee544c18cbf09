import { Modal } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { useAuthPolicy, useUI } from '../api/ui';
import { idleState, type IdleState } from '../logic/idle';
import { useT } from './settings';

const EVENTS = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart'] as const;
/** Tabs of one desk share their last activity. */
const SHARED = 'icewatch.active';
const WRITE_MS = 2000;

function shared(): number {
  try {
    return Number(localStorage.getItem(SHARED)) || 0;
  } catch {
    return 0;
  }
}
function share(at: number): void {
  try {
    localStorage.setItem(SHARED, String(at));
  } catch {
    // Without storage each tab counts for itself.
  }
}

/** Signs out a page nobody sits at, after a warning. The pages' own refreshing is no activity. */
export function Idle({ signOut }: { signOut: () => void }) {
  const t = useT();
  const ui = useUI().data?.page_timeout_seconds;
  const policy = useAuthPolicy().data?.page_timeout_seconds;
  const timeout = (ui || policy || 0) * 1000;
  const last = useRef(Date.now());
  const written = useRef(0);
  const [state, setState] = useState<IdleState>({ kind: 'active' });
  const over = useRef(false);
  useEffect(() => {
    if (timeout <= 0) return undefined;
    over.current = false;
    share(Date.now());
    const act = () => {
      last.current = Date.now();
      if (last.current - written.current > WRITE_MS) {
        written.current = last.current;
        share(last.current);
      }
    };
    for (const e of EVENTS) window.addEventListener(e, act, { passive: true, capture: true });
    const timer = setInterval(() => {
      const next = idleState(Math.max(last.current, shared()), Date.now(), timeout);
      setState((s) => (s.kind === 'active' && next.kind === 'active' ? s : next));
      if (next.kind === 'over' && !over.current) {
        over.current = true;
        signOut();
      }
    }, 1000);
    return () => {
      clearInterval(timer);
      for (const e of EVENTS) window.removeEventListener(e, act, { capture: true });
    };
  }, [timeout, signOut]);
  if (state.kind !== 'warn') return null;
  const stay = () => {
    last.current = Date.now();
    share(last.current);
    setState({ kind: 'active' });
  };
  return (
    <Modal open title={t('idle.title')} okText={t('idle.stay')} onOk={stay} onCancel={stay} cancelText={t('account.signout')} cancelButtonProps={{ onClick: signOut }} width={380}>
      {t('idle.why', { n: Math.ceil(state.left / 1000) })}
    </Modal>
  );
}
