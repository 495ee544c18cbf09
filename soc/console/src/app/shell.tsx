import { MenuFoldOutlined, MenuUnfoldOutlined, SearchOutlined } from '@ant-design/icons';
import { useQueryClient } from '@tanstack/react-query';
import { Button, Dropdown, Modal } from 'antd';
import { Suspense, lazy, useEffect, useMemo, useState } from 'react';
import { Link, NavLink, Outlet, useLocation, useNavigate } from 'react-router-dom';
import { ApiError, patch, post, whenUnauthorized } from '../api/client';
import { ME, useCan, useMe, useOverview } from '../api/queries';
import { number, zone } from '../logic/format';
import { Logo } from '../parts/logo';
import { Boundary, Failed } from '../parts/states';
import { TokenMenuProvider } from '../parts/token';
import { useKeys, type KeyMap } from './keys';
import { Palette } from './palette';
import { NAV } from './nav';
import { useSettings } from './settings';

/** The key that goes with K and Z on this desk. */
const MOD = /Mac|iP(hone|ad)/.test(navigator.platform) ? '⌘' : 'Ctrl ';
const PasswordDialog = lazy(() => import('./password'));

function KeyHelp({ close }: { close: () => void }) {
  const { t } = useSettings();
  const rows: [string[], string][] = [
    [['j', 'k'], t('keys.move')],
    [['space'], t('keys.preview')],
    [['enter'], t('keys.enter')],
    [['a'], t('keys.ack')],
    [['i'], t('keys.incident')],
    [['f'], t('keys.false')],
    [['x'], t('keys.select')],
    [['/'], t('keys.filter')],
  ];
  const anywhere: [string[], string][] = [
    [['g', '…'], t('keys.go')],
    [[MOD.trim(), 'k'], t('keys.palette')],
    [[MOD.trim(), 'z'], t('keys.undo')],
    [['?'], t('keys.help')],
  ];
  const table = (list: [string[], string][]) => (
    <table className="data" style={{ marginBottom: 12 }}>
      <tbody>
        {list.map(([keys, text]) => (
          <tr key={text}>
            <td style={{ width: 110 }} className="nowrap">
              {keys.map((k) => (
                <kbd key={k} style={{ marginRight: 4 }}>
                  {k}
                </kbd>
              ))}
            </td>
            <td>{text}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
  return (
    <Modal open title={t('keys.title')} footer={null} onCancel={close} width={520}>
      <h3 className="dim">{t('keys.list')}</h3>
      {table(rows)}
      <h3 className="dim">{t('keys.anywhere')}</h3>
      {table(anywhere)}
    </Modal>
  );
}

/** The frame of every page behind sign-in: rail, account, keys. */
export function Shell() {
  const { t, locale, localeChosen, setLocale, theme, setTheme } = useSettings();
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const me = useMe();
  const can = useCan();
  const overview = useOverview().data;
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const [password, setPassword] = useState(false);
  const [narrow, setNarrow] = useState(() => window.innerWidth < 1100);
  const here = location.pathname + location.search;

  useEffect(() => {
    whenUnauthorized(() => {
      client.removeQueries({ queryKey: ME });
      const to = window.location.pathname + window.location.search;
      if (window.location.pathname === '/login') return;
      navigate(`/login?${new URLSearchParams(to === '/' ? { expired: '1' } : { expired: '1', to })}`, { replace: true });
    });
  }, [client, navigate]);

  const keys = useMemo<KeyMap>(() => {
    const map: KeyMap = { 'mod+k': () => setPalette(true), '?': () => setHelp(true) };
    for (const item of NAV.flatMap((g) => g.items)) if (item.letter) map[`g ${item.letter}`] = () => navigate(item.to);
    return map;
  }, [navigate]);
  useKeys(keys, !!me.data);

  // A desk that has no language of its own yet takes the user's.
  const preferred = me.data?.locale;
  useEffect(() => {
    if (preferred && !localeChosen) setLocale(preferred.startsWith('en') ? 'en-US' : 'zh-CN');
  }, [preferred, localeChosen, setLocale]);

  if (!me.data) {
    // Without a session the sign-in page is on its way.
    if (!me.error || (me.error instanceof ApiError && me.error.status === 401)) return null;
    return (
      <div className="signin">
        <Failed error={me.error} what="app.console" retry={() => void me.refetch()} />
      </div>
    );
  }
  const user = me.data;
  const name = user.display_name || user.username;
  const admin = can('admin');
  const signOut = async () => {
    await post('/auth/logout').catch(() => undefined);
    client.clear();
    navigate('/login', { replace: true });
  };
  const setLanguage = (l: 'zh-CN' | 'en-US') => {
    setLocale(l);
    // Only a convenience on other desks: this desk has it already.
    void patch('/me', { locale: l === 'en-US' ? 'en' : l }).catch(() => undefined);
  };
  const badges: Record<string, { n: number; mark: string } | undefined> = overview
    ? {
        '/alerts': { n: overview.alerts.unacknowledged, mark: (overview.alerts.by_severity?.critical ?? 0) > 0 ? ' hot' : '' },
        '/incidents': { n: overview.me.incidents_open, mark: overview.me.incidents_breaching > 0 ? ' late' : '' },
      }
    : {};
  return (
    <TokenMenuProvider>
      <div className="frame">
        <a className="skip" href="#content">
          {t('nav.skip')}
        </a>
        <aside className={`rail${narrow ? ' narrow' : ''}`}>
          <Link className="brand" to="/" aria-label="icewatch">
            <Logo />
            <span className="label">{t('app.name')}</span>
          </Link>
          <button className="plain find" onClick={() => setPalette(true)} aria-label={t('palette.open')}>
            <SearchOutlined />
            <span className="label">{t('palette.open')}</span>
            <kbd>{MOD}K</kbd>
          </button>
          <nav aria-label={t('nav.label')}>
            {NAV.map((g) => {
              const items = g.items.filter((i) => !i.admin || admin);
              if (items.length === 0) return null;
              return (
                <div key={g.title}>
                  {g.title === 'nav.admin' ? <div className="group">{t(g.title)}</div> : null}
                  {items.map((i) => {
                    const badge = badges[i.to];
                    return (
                      <NavLink key={i.to} to={i.to} end={i.to === '/'} className={({ isActive }) => `item${isActive ? ' on' : ''}`} title={narrow ? t(i.title) : undefined}>
                        {i.icon}
                        <span className="label">{t(i.title)}</span>
                        {badge && badge.n > 0 && <span className={`badge${badge.mark}`}>{number(badge.n, locale)}</span>}
                      </NavLink>
                    );
                  })}
                </div>
              );
            })}
          </nav>
          <div className="foot">
            <Dropdown
              trigger={['click']}
              placement="topLeft"
              menu={{
                items: [
                  { key: 'who', disabled: true, label: `${name} · ${t('account.zone', { zone: zone() })}` },
                  { type: 'divider' },
                  {
                    key: 'theme',
                    label: t('account.theme'),
                    children: (['light', 'dark', 'auto'] as const).map((x) => ({ key: x, label: `${t(`account.${x}`)}${theme === x ? ' ✓' : ''}`, onClick: () => setTheme(x) })),
                  },
                  {
                    key: 'language',
                    label: t('account.language'),
                    children: [
                      { key: 'zh', label: `简体中文${locale === 'zh-CN' ? ' ✓' : ''}`, onClick: () => setLanguage('zh-CN') },
                      { key: 'en', label: `English${locale === 'en-US' ? ' ✓' : ''}`, onClick: () => setLanguage('en-US') },
                    ],
                  },
                  { key: 'password', label: t('account.password'), onClick: () => setPassword(true) },
                  { key: 'keys', label: t('keys.title'), onClick: () => setHelp(true) },
                  { type: 'divider' },
                  { key: 'out', label: t('account.signout'), onClick: () => void signOut() },
                ],
              }}
            >
              <button className="plain me" aria-label={t('account.menu')}>
                <span className="avatar" aria-hidden="true">
                  {[...name][0]?.toUpperCase()}
                </span>
                <span className="label ellipsis">{name}</span>
              </button>
            </Dropdown>
            <Button
              type="text"
              size="small"
              aria-label={t(narrow ? 'nav.expand' : 'nav.collapse')}
              icon={narrow ? <MenuUnfoldOutlined /> : <MenuFoldOutlined />}
              onClick={() => setNarrow((x) => !x)}
            />
          </div>
        </aside>
        <main className="main" id="content" tabIndex={-1} style={{ outline: 'none' }}>
          <Boundary at={location.pathname}>
            <Outlet />
          </Boundary>
        </main>
      </div>
      {palette && <Palette close={() => setPalette(false)} here={here} />}
      <Suspense fallback={null}>
        {(password || user.must_change_password) && <PasswordDialog must={!!user.must_change_password} close={() => setPassword(false)} />}
      </Suspense>
      {help && <KeyHelp close={() => setHelp(false)} />}
    </TokenMenuProvider>
  );
}
