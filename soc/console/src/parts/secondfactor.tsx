import { Button, Input } from 'antd';
import { useState } from 'react';
import { useT } from '../app/settings';
import type { Factor } from '../logic/signin';
import { webauthnOffered } from '../logic/webauthn';

const OTHER = { totp: 'signin.useTotp', webauthn: 'signin.useKey', recovery: 'signin.useRecovery' } as const;

/** The second step of signing in: a code, a key, or a recovery code. */
export function SecondFactor({ factors, busy, code: send, key_, again }: { factors: readonly Factor[]; busy: boolean; code: (kind: 'totp' | 'recovery', code: string) => void; key_: () => void; again: () => void }) {
  const t = useT();
  const [kind, setKind] = useState<Factor>(factors.includes('totp') ? 'totp' : (factors[0] ?? 'totp'));
  const [code, setCode] = useState('');
  const submit = (text: string) => {
    if (kind !== 'webauthn' && text.trim()) send(kind, text.trim());
  };
  return (
    <div data-testid="second-factor">
      <h2 style={{ fontSize: 15, margin: '4px 0 2px' }}>{t('signin.factor')}</h2>
      {kind === 'webauthn' ? (
        <>
          <p className="dim">{t(webauthnOffered() ? 'signin.webauthn' : 'signin.webauthnNone')}</p>
          <Button type="primary" size="large" block loading={busy} disabled={!webauthnOffered()} onClick={key_} style={{ marginTop: 14 }}>
            {t('signin.webauthnDo')}
          </Button>
        </>
      ) : (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            submit(code);
          }}
        >
          <label htmlFor="code">{t(`signin.${kind}`)}</label>
          <Input
            id="code"
            key={kind}
            size="large"
            autoFocus
            className="mono"
            inputMode={kind === 'totp' ? 'numeric' : 'text'}
            autoComplete="one-time-code"
            maxLength={kind === 'totp' ? 6 : 32}
            value={code}
            onChange={(e) => {
              setCode(e.target.value);
              // Six digits are whole: no key more is needed.
              if (kind === 'totp' && /^\d{6}$/.test(e.target.value) && !busy) submit(e.target.value);
            }}
          />
          {kind === 'recovery' && <div className="hint">{t('signin.recoveryWhy')}</div>}
          <Button type="primary" htmlType="submit" size="large" block loading={busy} style={{ marginTop: 14 }}>
            {t('signin.totpDo')}
          </Button>
        </form>
      )}
      <div className="row wrap" style={{ marginTop: 10, justifyContent: 'space-between' }}>
        {factors
          .filter((f) => f !== kind)
          .map((f) => (
            <Button
              key={f}
              type="link"
              size="small"
              onClick={() => {
                setCode('');
                setKind(f);
              }}
            >
              {t(OTHER[f])}
            </Button>
          ))}
        <Button type="link" size="small" onClick={again}>
          {t('signin.again')}
        </Button>
      </div>
    </div>
  );
}
