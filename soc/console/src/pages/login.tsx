import { useQueryClient } from '@tanstack/react-query';
import { Button, Input } from 'antd';
import { useEffect, useRef, useState, type FormEvent, type KeyboardEvent } from 'react';
import { useNavigate, useSearchParams } from 'react-router-dom';
import { ApiError, post } from '../api/client';
import { ME } from '../api/queries';
import { list, type User } from '../api/types';
import { usePageTitle } from '../app/hooks';
import { useSettings } from '../app/settings';
import { safeReturn } from '../logic/urlstate';
import { Logo } from '../parts/logo';

export default function Login() {
  const { t, locale, setLocale } = useSettings();
  usePageTitle(t('page.login'));
  const navigate = useNavigate();
  const client = useQueryClient();
  const [params] = useSearchParams();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [caps, setCaps] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [requestId, setRequestId] = useState('');
  const secret = useRef<HTMLInputElement | null>(null);

  useEffect(() => {
    // Nothing of an earlier session may be seen by the next.
    client.clear();
  }, [client]);

  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!username.trim()) return setError(t('login.needUser'));
    if (!password) return setError(t('login.needPassword'));
    setBusy(true);
    setError('');
    setRequestId('');
    try {
      const answer = await post<{ user?: User }>('/auth/login', { username: username.trim(), password });
      if (answer.user && Array.isArray(list(answer.user.roles))) client.setQueryData(ME, answer.user);
      navigate(safeReturn(params.get('to')), { replace: true });
    } catch (x) {
      const failure = x instanceof ApiError ? x : null;
      if (failure?.status === 401) setError(t('login.wrong'));
      else if (failure?.status === 429) setError(t('login.locked'));
      else if (failure?.status === 0) setError(t('state.offline'));
      else setError(x instanceof Error ? x.message : String(x));
      setRequestId(failure && failure.status >= 500 ? failure.requestId : '');
      setPassword('');
      secret.current?.focus();
    } finally {
      setBusy(false);
    }
    return undefined;
  };
  const watchCaps = (e: KeyboardEvent) => setCaps(e.getModifierState?.('CapsLock') ?? false);

  return (
    <main className="signin">
      <form onSubmit={(e) => void submit(e)} aria-label={t('login.title')} noValidate>
        <div className="brand">
          <Logo size={38} />
          <span>
            <b>{t('app.name')}</b>
            <span className="dim">{t('app.tagline')}</span>
          </span>
        </div>
        {error ? (
          <div className="bad" role="alert">
            <span aria-hidden="true">⚠</span>
            <span>
              {error}
              {requestId && (
                <div className="faint">
                  {t('state.requestId')} <code>{requestId}</code>
                </div>
              )}
            </span>
          </div>
        ) : (
          params.get('expired') && params.get('to') && <div className="dim">{t('login.expired')}</div>
        )}
        <label htmlFor="username">{t('login.username')}</label>
        <Input id="username" name="username" size="large" autoFocus autoComplete="username" autoCapitalize="none" spellCheck={false} value={username} onChange={(e) => setUsername(e.target.value)} />
        <label htmlFor="password">{t('login.password')}</label>
        <Input.Password
          id="password"
          name="password"
          size="large"
          autoComplete="current-password"
          ref={(r) => {
            secret.current = r?.input ?? null;
          }}
          value={password}
          status={error && !password ? 'warning' : undefined}
          onKeyDown={watchCaps}
          onKeyUp={watchCaps}
          onBlur={() => setCaps(false)}
          onChange={(e) => setPassword(e.target.value)}
        />
        {caps && <div className="caps">⇪ {t('login.caps')}</div>}
        <Button type="primary" htmlType="submit" size="large" block loading={busy} style={{ marginTop: 18 }}>
          {t('login.submit')}
        </Button>
        <div className="foot">
          <span>{t('login.first')}</span>
          <button type="button" className="plain nowrap" style={{ color: 'var(--accent-text)' }} lang={locale === 'zh-CN' ? 'en' : 'zh'} onClick={() => setLocale(locale === 'zh-CN' ? 'en-US' : 'zh-CN')}>
            {locale === 'zh-CN' ? 'English' : '简体中文'}
          </button>
        </div>
      </form>
    </main>
  );
}
