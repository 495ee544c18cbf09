import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Input, InputNumber, Radio, Switch } from 'antd';
import { useState, type ReactNode } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import type { Branding, Me, Setting, Setup } from '../api/access';
import { get, post, put } from '../api/client';
import { all } from '../api/directory';
import { useCan, useMe } from '../api/queries';
import { list } from '../api/types';
import { usePageTitle, useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { generatePassword, secureRandom } from '../logic/access';
import { putSetupOff } from '../logic/setup';
import { Refused } from '../parts/dialog';
import { Logo } from '../parts/logo';
import { Passwords } from '../parts/passwords';
import { ImageInput } from '../parts/settingform';
import { Failed, Skeleton } from '../parts/states';
import { ChangePassword } from './must';

const STEPS = ['password', 'powers', 'security', 'brand', 'done'] as const;
type Step = (typeof STEPS)[number];

interface Admin {
  username: string;
  display_name: string;
}
interface Plan {
  separation: boolean;
  security: Admin;
  audit: Admin;
}

/**
 * The first administrator's first steps. The three administrators are named
 * early and made last: until then this one account may still set the basics.
 */
export default function Welcome() {
  const { t } = useSettings();
  usePageTitle(t('page.welcome'));
  const me = useMe();
  const setup = useQuery({ queryKey: ['setup'], queryFn: ({ signal }) => get<Setup>('/setup', {}, signal), retry: false, enabled: !!me.data && !me.data.must_change_password });
  if (!me.data) return null;
  if (!me.data.must_change_password && setup.isPending) return <div className="signin"><Skeleton lines={6} /></div>;
  // A later failure must not take away what is on the page: the plan and the first passwords live there alone.
  if (setup.error && !setup.data) return <div className="signin"><Failed error={setup.error} what="page.welcome" retry={() => void setup.refetch()} /></div>;
  return <Steps me={me.data} setup={setup.data} />;
}

function Steps({ me, setup }: { me: Me; setup?: Setup }) {
  const { t } = useSettings();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [params, setUrl] = useUrl();
  const [plan, setPlan] = useState<Plan>({ separation: true, security: { username: '', display_name: '' }, audit: { username: '', display_name: '' } });
  const [finished, setFinished] = useState(!!setup?.completed);
  const asked = STEPS.find((s) => s === params.get('step'));
  // The plan lives in this page alone: a reload begins where it is made.
  const planned = !plan.separation || (plan.security.username !== '' && plan.audit.username !== '');
  const step: Step = me.must_change_password ? 'password' : finished ? 'done' : asked === 'done' || ((asked === 'security' || asked === 'brand') && !planned) ? 'powers' : (asked ?? 'password');
  const at = STEPS.indexOf(step);
  const go = (s: Step) => setUrl({ step: s }, true);
  const later = () => {
    putSetupOff();
    navigate('/', { replace: true });
  };
  // What the account may do has changed: until that is known, the shell would lead back here.
  const done = async () => {
    await client.invalidateQueries();
    setFinished(true);
  };
  return (
    <main className="welcome">
      <div className="welcome-box">
        <header>
          <Logo size={34} />
          <div>
            <h1>{t('welcome.title')}</h1>
            <div className="dim">{finished && setup?.completed ? t('welcome.completed', { x: setup.by ?? '' }) : t('welcome.lead')}</div>
          </div>
          {!finished && !me.must_change_password && (
            <Button type="text" onClick={later} style={{ marginLeft: 'auto' }}>
              {t('welcome.later')}
            </Button>
          )}
        </header>
        <ol className="steps" aria-label={t('page.welcome')}>
          {STEPS.map((s, i) => (
            <li key={s} className={i === at ? 'on' : i < at ? 'past' : ''} aria-current={i === at ? 'step' : undefined}>
              <i>{i < at ? '✓' : i + 1}</i>
              {t(`welcome.step.${s}`)}
            </li>
          ))}
        </ol>
        <section data-testid={`welcome-${step}`}>
          {step === 'password' &&
            (me.must_change_password ? (
              <ChangePassword ok={t('do.next')} done={() => void client.invalidateQueries().then(() => go('powers'))} />
            ) : (
              <>
                <p>✓ {t('welcome.passwordDone')}</p>
                <Foot next={() => go('powers')} />
              </>
            ))}
          {step === 'powers' && <Powers me={me} plan={plan} setPlan={setPlan} back={() => go('password')} next={() => go('security')} />}
          {step === 'security' && <Basics back={() => go('powers')} next={() => go('brand')} />}
          {step === 'brand' && <Brand plan={plan} back={() => go('security')} done={() => void done()} />}
          {step === 'done' && <Done />}
        </section>
      </div>
    </main>
  );
}

function Foot({ back, next, label, busy, disabled, children }: { back?: () => void; next: () => void; label?: string; busy?: boolean; disabled?: boolean; children?: ReactNode }) {
  const { t } = useSettings();
  return (
    <div className="form-foot" style={{ marginTop: 20 }}>
      {back && <Button onClick={back}>{t('do.previous')}</Button>}
      <Button type="primary" loading={busy} disabled={disabled} onClick={next}>
        {label ?? t('do.next')}
      </Button>
      {children}
    </div>
  );
}

function Powers({ me, plan, setPlan, back, next }: { me: Me; plan: Plan; setPlan: (p: Plan) => void; back: () => void; next: () => void }) {
  const { t } = useSettings();
  const names = [plan.security.username.trim(), plan.audit.username.trim()];
  const same = names[0] !== '' && (names[0] === names[1] || names.includes(me.username));
  const ready = !plan.separation || (names.every((n) => n !== '') && !same);
  const admin = (key: 'security' | 'audit') => (
    <fieldset className="setgroup" data-testid={`admin-${key}`}>
      <legend>{t(key === 'security' ? 'welcome.securityAdmin' : 'welcome.auditAdmin')}</legend>
      <div className="two">
        <label>
          <span className="hint">{t('users.username')}</span>
          <Input autoComplete="off" spellCheck={false} value={plan[key].username} onChange={(e) => setPlan({ ...plan, [key]: { ...plan[key], username: e.target.value } })} />
        </label>
        <label>
          <span className="hint">{t('users.display')}</span>
          <Input autoComplete="off" value={plan[key].display_name} onChange={(e) => setPlan({ ...plan, [key]: { ...plan[key], display_name: e.target.value } })} />
        </label>
      </div>
    </fieldset>
  );
  return (
    <>
      <p style={{ marginBottom: 12 }}>{t('welcome.powers')}</p>
      {/* One group by name; a Radio.Group would take the size from the text between. */}
      <div role="radiogroup" aria-label={t('welcome.step.powers')} className="stack">
        <Radio name="powers" checked={plan.separation} onChange={() => setPlan({ ...plan, separation: true })}>
          {t('welcome.powersOn')}
        </Radio>
        {plan.separation && (
          <div style={{ paddingLeft: 24 }}>
            <p className="dim">{t('welcome.you', { x: me.display_name || me.username })}</p>
            {admin('security')}
            {admin('audit')}
            {same && <div className="notice warn">{t('welcome.same')}</div>}
          </div>
        )}
        <Radio name="powers" checked={!plan.separation} onChange={() => setPlan({ ...plan, separation: false })}>
          {t('welcome.powersNo')}
        </Radio>
      </div>
      {!plan.separation && (
        <div className="notice warn" role="alert" style={{ marginTop: 10 }}>
          {t('welcome.powersOff')}
        </div>
      )}
      <Foot back={back} next={next} disabled={!ready} label={plan.separation ? undefined : t('welcome.finishOff')} />
    </>
  );
}

/** Second factor, watermark, idling: the three that matter on the first day. The rest keeps its defaults. */
function Basics({ back, next }: { back: () => void; next: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const client = useQueryClient();
  const query = useQuery({ queryKey: ['settings'], queryFn: ({ signal }) => all<Setting>('/settings', {}, signal) });
  const [draft, setDraft] = useState<Record<string, Record<string, unknown>>>({});
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const found = (name: string) => list(query.data).find((s) => s.name === name);
  const value = (name: string, key: string) => draft[name]?.[key] ?? found(name)?.value[key];
  const set = (name: string, key: string, v: unknown) => setDraft({ ...draft, [name]: { ...draft[name], [key]: v } });
  const save = async () => {
    setBusy(true);
    setError(null);
    try {
      for (const [name, change] of Object.entries(draft)) await put(`/settings/${name}`, { ...found(name)?.value, ...change });
      await client.invalidateQueries({ queryKey: ['settings'] });
      void client.invalidateQueries({ queryKey: ['ui'] });
      next();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  if (query.isPending) return <Skeleton lines={4} />;
  if (!can('security')) {
    return (
      <>
        <p>{t('welcome.notYours')}</p>
        <p>
          <code>/admin/settings</code>
        </p>
        <Foot back={back} next={next} />
      </>
    );
  }
  return (
    <>
      <Refused error={error} />
      {found('sign-in') && (
        <div className="setrow">
          <div className="grow">
            <b>{t('welcome.factors')}</b>
            <div className="hint">{t('me.factorsWhy')}</div>
          </div>
          <Radio.Group value={value('sign-in', 'factors')} onChange={(e) => set('sign-in', 'factors', e.target.value)} optionType="button" options={(['optional', 'roles', 'all'] as const).map((x) => ({ value: x, label: t(`factorpolicy.${x}`) }))} />
        </div>
      )}
      {found('watermark') && (
        <div className="setrow">
          <div className="grow">
            <b>{t('setting.watermark')}</b>
            <div className="hint">{t('welcome.watermark')}</div>
          </div>
          <Switch aria-label={t('setting.watermark')} checked={value('watermark', 'enabled') === true} onChange={(v) => set('watermark', 'enabled', v)} />
        </div>
      )}
      {found('sessions') && (
        <div className="setrow">
          <div className="grow">
            <b>{t('welcome.idle')}</b>
            <div className="hint">{t('setting.sessions.why')}</div>
          </div>
          <InputNumber aria-label={t('welcome.idle')} min={1} value={value('sessions', 'idle_minutes') as number} onChange={(v) => v && set('sessions', 'idle_minutes', v)} addonAfter={t('welcome.minutes', { n: '' }).trim()} style={{ width: 150 }} />
        </div>
      )}
      <Foot back={back} next={() => void save()} busy={busy} />
    </>
  );
}

/** Name and logo; then everything is sent, and the administrators are made. */
function Brand({ plan, back, done }: { plan: Plan; back: () => void; done: () => void }) {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['settings'], queryFn: ({ signal }) => all<Setting>('/settings', {}, signal) });
  const now = list(query.data).find((s) => s.name === 'branding')?.value as (Branding & { logo?: string }) | undefined;
  const [draft, setDraft] = useState<{ zh?: string; en?: string; logo?: string; notice?: string }>({});
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [passwords, setPasswords] = useState<{ username: string; password: string }[]>([]);
  const finish = async () => {
    setBusy(true);
    setError(null);
    try {
      if (Object.keys(draft).length > 0) {
        await put('/settings/branding', {
          ...now,
          name: { zh: draft.zh ?? now?.name?.zh ?? '', en: draft.en ?? now?.name?.en ?? '' },
          logo: draft.logo ?? now?.logo ?? '',
          login_notice: { ...now?.login_notice, ...(draft.notice !== undefined ? { zh: draft.notice } : {}) },
        });
        setDraft({});
      }
      if (!plan.separation) {
        await post('/setup', { separation: false });
        done();
        return;
      }
      const person = (a: Admin) => ({ username: a.username.trim(), display_name: a.display_name.trim(), password: generatePassword(secureRandom) });
      const security = person(plan.security);
      const audit = person(plan.audit);
      await post('/setup', { separation: true, security_admin: security, audit_admin: audit });
      setPasswords([security, audit]);
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Refused error={error} />
      <div className="two">
        <label>
          <span className="hint">
            {t('welcome.brandName')} · {t('word.zh')}
          </span>
          <Input value={draft.zh ?? now?.name?.zh ?? ''} placeholder={t('app.name')} onChange={(e) => setDraft({ ...draft, zh: e.target.value })} />
        </label>
        <label>
          <span className="hint">
            {t('welcome.brandName')} · {t('word.en')}
          </span>
          <Input value={draft.en ?? now?.name?.en ?? ''} placeholder="icewatch" onChange={(e) => setDraft({ ...draft, en: e.target.value })} />
        </label>
      </div>
      <div style={{ margin: '14px 0' }}>
        <span className="hint">
          {t('welcome.brandLogo')} · {t('welcome.logoWhy')}
        </span>
        <div>
          <ImageInput value={draft.logo ?? now?.logo ?? ''} onChange={(logo) => setDraft({ ...draft, logo })} />
        </div>
      </div>
      <label>
        <span className="hint">{t('welcome.notice')}</span>
        <Input value={draft.notice ?? now?.login_notice?.zh ?? ''} onChange={(e) => setDraft({ ...draft, notice: e.target.value })} />
      </label>
      <Foot back={back} next={() => void finish()} busy={busy} label={plan.separation ? t('welcome.finish') : t('welcome.step.done')} />
      {passwords.length > 0 && <Passwords rows={passwords} close={done} />}
    </>
  );
}

function Done() {
  const { t } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const next: [string, string, boolean][] = [
    ['/admin/users', t('welcome.next.users'), can('create-user')],
    ['/admin/units', t('welcome.next.units'), can('create-unit')],
    ['/me?tab=security', t('welcome.next.factor'), true],
    ['/cmdb', t('welcome.next.cmdb'), can('read')],
    ['/sources', t('welcome.next.sources'), can('read')],
  ];
  return (
    <>
      <h2 style={{ fontSize: 17 }}>✓ {t('welcome.doneTitle')}</h2>
      <p className="dim" style={{ margin: '4px 0 8px' }}>
        {t('welcome.next')}
      </p>
      {next
        .filter(([, , may]) => may)
        .map(([to, text]) => (
          <div className="setrow" key={to}>
            <Link to={to}>{text} →</Link>
          </div>
        ))}
      <Foot next={() => navigate('/')} label={t('welcome.open')} />
    </>
  );
}
