import { Input, Modal } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { post, whenConfirming } from '../api/client';
import { Refused } from '../parts/dialog';
import { useT } from './settings';

/** Asks for the password again where the server wants a fresh proof, then lets the call go on. */
export function Confirm() {
  const t = useT();
  const [open, setOpen] = useState(false);
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const waiting = useRef<((ok: boolean) => void)[]>([]);
  useEffect(() => {
    whenConfirming(
      () =>
        new Promise((resolve) => {
          waiting.current.push(resolve);
          setError(null);
          setPassword('');
          setOpen(true);
        }),
    );
    return () => whenConfirming(() => Promise.resolve(false));
  }, []);
  const end = (ok: boolean) => {
    setOpen(false);
    for (const f of waiting.current.splice(0)) f(ok);
  };
  const send = async () => {
    if (!password) return;
    setBusy(true);
    try {
      await post('/me/confirm', { password });
      end(true);
    } catch (e) {
      setError(e);
      setPassword('');
    } finally {
      setBusy(false);
    }
  };
  if (!open) return null;
  return (
    <Modal open title={t('confirm.title')} okText={t('confirm.do')} cancelText={t('do.cancel')} confirmLoading={busy} onOk={() => void send()} onCancel={() => end(false)} width={400} zIndex={1100}>
      <p className="dim" style={{ margin: '4px 0 12px' }}>
        {t('confirm.why')}
      </p>
      <Refused error={error} />
      <form
        onSubmit={(e) => {
          e.preventDefault();
          void send();
        }}
      >
        <Input.Password autoFocus autoComplete="current-password" aria-label={t('login.password')} placeholder={t('login.password')} value={password} onChange={(e) => setPassword(e.target.value)} />
      </form>
    </Modal>
  );
}
