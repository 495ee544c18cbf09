import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Input } from 'antd';
import { useCallback, useEffect, useRef, useState, type FormEvent, type KeyboardEvent } from 'react';
import { useNavigate, useSearchParams } from 'react-router-dom';
import type { Me } from '../api/access';
import { ApiError, get, post, serverNow } from '../api/client';
import { ME } from '../api/queries';
import { list, type List, type Page, type Text, type User } from '../api/types';
import { useAuthPolicy, useBranding } from '../api/ui';
import { useFeedback } from '../app/feedback';
import { useNow, usePageTitle } from '../app/hooks';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { absolute, clock } from '../logic/format';
import { factorAsked, outcomeOf } from '../logic/signin';
import { ofServer, safeReturn } from '../logic/urlstate';
import { credentialJSON, requestOptions, webauthnOffered } from '../logic/webauthn';
import { Captcha, type CaptchaAnswer } from '../parts/captcha';
import { BrandLogo } from '../parts/logo';
import { SecondFactor } from '../parts/secondfactor';

interface SignedIn {
  password_expires_at?: string;
  password_warning?: boolean;
  /** What is unusual about this access. */
  findings?: List<string>;
  recovery_codes_left?: number;
}
interface Provider {
  id: string;
  kind: 'oidc' | 'saml' | 'ldap';
  name: Text;
  start: string;
}

export default function Login() {
  const { t, tx, locale, setLocale } = useSettings();
  usePageTitle(t('page.login'));
  const navigate = useNavigate();
  const client = useQueryClient();
  const { done } = useFeedback();
  const [params] = useSearchParams();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [caps, setCaps] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(() => (factorAsked(params) ? '' : ssoError(t, params.get('sso'))));
  const [requestId, setRequestId] = useState(params.get('request') ?? '');
  const [captcha, setCaptcha] = useState<CaptchaAnswer | null>(null);
  const [captchaRound, setCaptchaRound] = useState(0);
  const [factor, setFactor] = useState(() => factorAsked(params));
  const [lockedUntil, setLockedUntil] = useState(0);
  const secret = useRef<HTMLInputElement | null>(null);
  const now = useNow();
  const target = safeReturn(params.get('return') ?? params.get('to'));
  const fresh = params.get('reauthenticate') === '1';

  const policy = useAuthPolicy().data;
  const branding = useBranding().data;
  const providers = useQuery({ queryKey: ['auth-providers'], queryFn: async ({ signal }) => list((await get<Page<Provider>>('/auth/providers', {}, signal)).items), retry: false });
  const buttons = list(providers.data).filter((p) => p.start.startsWith('/'));

  const leave = useCallback(() => {
    if (ofServer(target)) window.location.assign(target);
    else navigate(target, { replace: true });
  }, [navigate, target]);

  useEffect(() => {
    // Nothing of an earlier session may be seen by the next.
    client.removeQueries({ predicate: (q) => !['branding', 'auth-policy', 'auth-providers'].includes(String(q.queryKey[0])) });
    if (fresh || !ofServer(target)) return;
    // The session's cookie travels only when our own page leads on: who is signed in passes through.
    get<User>('/me').then(
      (u) => !u.must_change_password && !u.must_enrol_factor && window.location.replace(target),
      () => undefined,
    );
  }, [client, fresh, target]);

  const say = (text: string, id = '') => {
    setError(text);
    setRequestId(id);
  };
  const welcome = async (answer: SignedIn) => {
    // The answer to signing in does not tell permissions, and the first page is chosen by them.
    client.setQueryData(ME, await get<Me>('/me'));
    if (answer.password_warning && answer.password_expires_at) done(t('signin.expires', { x: absolute(answer.password_expires_at).slice(0, 10) }));
    if (list(answer.findings).length > 0) done(t('signin.abnormal', { x: list(answer.findings).map((f) => (`finding.${f}` in zh ? t(`finding.${f}` as Key) : f)).join('、') }));
    if (answer.recovery_codes_left !== undefined && answer.recovery_codes_left < 4) done(t('signin.codesLeft', { n: answer.recovery_codes_left }));
    leave();
  };
  /** What a refusal means for the page. */
  const refused = (e: unknown) => {
    const o = outcomeOf(e);
    switch (o.kind) {
      case 'factor':
        setError('');
        setFactor({ challenge: o.challenge, factors: o.factors });
        return;
      case 'wrong':
        say(t('login.wrong'));
        if (o.captcha) setCaptchaRound((n) => n + 1);
        break;
      case 'captcha':
        say(t(o.wrong ? 'signin.captchaWrong' : 'signin.captchaNeeded'));
        setCaptchaRound((n) => n + 1);
        return;
      case 'code':
        say(t('signin.wrongCode'));
        return;
      case 'over':
        setFactor(null);
        say(t('signin.over'));
        break;
      case 'locked':
        setFactor(null);
        say('');
        setLockedUntil(serverNow() + o.seconds * 1000);
        break;
      case 'busy':
        say(t('signin.busy'));
        return;
      default: {
        const x = o.error instanceof ApiError ? o.error : null;
        say(x?.status === 0 ? t('state.offline') : o.error instanceof Error ? o.error.message : String(o.error), x && x.status >= 500 ? x.requestId : '');
      }
    }
    setPassword('');
    secret.current?.focus();
  };
  const attempt = async (work: () => Promise<SignedIn>) => {
    setBusy(true);
    say('');
    try {
      await welcome(await work());
    } catch (e) {
      refused(e);
    } finally {
      setBusy(false);
    }
  };

  const submit = (e: FormEvent) => {
    e.preventDefault();
    if (!username.trim()) return say(t('login.needUser'));
    if (!password) return say(t('login.needPassword'));
    void attempt(() => post<SignedIn>('/auth/login', { username: username.trim(), password, ...(captchaRound > 0 && captcha ? { captcha_id: captcha.id, captcha: captcha.text } : {}) }));
    return undefined;
  };
  const byKey = () =>
    attempt(async () => {
      const begun = await post<{ challenge: string; options: { publicKey: Record<string, unknown> } }>('/auth/login/webauthn/begin');
      return post<SignedIn>('/auth/login/webauthn/finish', { challenge: begun.challenge, credential: await askKey(begun.options.publicKey, t('signin.webauthnCancelled')) });
    });
  const watchCaps = (e: KeyboardEvent) => setCaps(e.getModifierState?.('CapsLock') ?? false);
  const wait = Math.max(0, lockedUntil - now);
  const notice = tx(branding?.login_notice);

  return (
    <main className="signin">
      <div className="box">
        <div className="brand">
          <BrandLogo url={branding?.logo_url} size={38} />
          <span>
            <b>{tx(branding?.name) || t('app.name')}</b>
            <span className="dim">{t('app.tagline')}</span>
          </span>
        </div>
        {wait > 0 ? (
          <div className="bad" role="alert" data-testid="locked">
            <span aria-hidden="true">⚠</span>
            <span>
              {t('signin.lockedFor', { t: clock(wait, locale) })}
              <div className="faint">{t('signin.lockedHelp')}</div>
            </span>
          </div>
        ) : error ? (
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
        ) : lockedUntil > 0 ? (
          <div className="dim">{t('signin.lockedOver')}</div>
        ) : (
          params.get('expired') && params.get('to') && <div className="dim">{t('login.expired')}</div>
        )}
        {factor ? (
          <SecondFactor
            factors={factor.factors}
            busy={busy}
            again={() => {
              setFactor(null);
              say('');
              setPassword('');
            }}
            code={(kind, code) => void attempt(() => post<SignedIn>(`/auth/login/${kind}`, { challenge: factor.challenge, code }))}
            key_={() =>
              void attempt(async () => {
                const begun = await post<{ challenge: string; options: { publicKey: Record<string, unknown> } }>('/auth/login/webauthn/begin', { challenge: factor.challenge });
                return post<SignedIn>('/auth/login/webauthn/finish', { challenge: begun.challenge, credential: await askKey(begun.options.publicKey, t('signin.webauthnCancelled')) });
              })
            }
          />
        ) : (
          <>
            <form onSubmit={submit} aria-label={t('login.title')} noValidate>
              <label htmlFor="username">{t('login.username')}</label>
              <Input id="username" name="username" size="large" autoFocus autoComplete="username webauthn" autoCapitalize="none" spellCheck={false} value={username} onChange={(e) => setUsername(e.target.value)} />
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
              {captchaRound > 0 && <Captcha key={captchaRound} onAnswer={setCaptcha} />}
              <Button type="primary" htmlType="submit" size="large" block loading={busy} disabled={wait > 0} style={{ marginTop: 18 }}>
                {t('login.submit')}
              </Button>
            </form>
            {(buttons.length > 0 || policy?.passwordless) && <div className="or">{t('signin.or')}</div>}
            {policy?.passwordless && webauthnOffered() && (
              <Button block disabled={busy} onClick={() => void byKey()}>
                {t('signin.key')}
              </Button>
            )}
            {buttons.map((p) => (
              <a key={p.id} className="ssobtn" href={`${p.start}?${new URLSearchParams({ return: target })}`}>
                {t('signin.with', { x: tx(p.name) || p.id })}
              </a>
            ))}
          </>
        )}
        <div className="foot">
          <span>{notice || t('login.first')}</span>
          <button type="button" className="plain nowrap" style={{ color: 'var(--accent-text)' }} lang={locale === 'zh-CN' ? 'en' : 'zh'} onClick={() => setLocale(locale === 'zh-CN' ? 'en-US' : 'zh-CN')}>
            {locale === 'zh-CN' ? 'English' : '简体中文'}
          </button>
        </div>
      </div>
    </main>
  );
}

/** What a failed single sign-on says on coming back. */
function ssoError(t: (k: Key, v?: Record<string, string>) => string, code: string | null): string {
  if (!code) return '';
  return `sso.${code}` in zh ? t(`sso.${code}` as Key) : t('sso.other', { x: code });
}

/** Has the browser ask the key. A cancelled prompt is a plain error in our words. */
async function askKey(publicKey: Record<string, unknown>, cancelled: string): Promise<Record<string, unknown>> {
  const c = await navigator.credentials.get({ publicKey: requestOptions(publicKey) }).catch(() => null);
  if (!c) throw new Error(cancelled);
  return credentialJSON(c as PublicKeyCredential);
}
