import { MenuFoldOutlined, MenuUnfoldOutlined, SearchOutlined } from '@ant-design/icons';
import { useQueryClient } from '@tanstack/react-query';
import { Button, Dropdown, Modal } from 'antd';
import { Fragment, Suspense, lazy, useCallback, useEffect, useMemo, useState } from 'react';
import { Link, NavLink, Navigate, Outlet, useLocation, useNavigate } from 'react-router-dom';
import type { Me } from '../api/access';
import { ApiError, patch, post, whenUnauthorized } from '../api/client';
import { ME, useCan, useMe, useOverview } from '../api/queries';
import { useBranding } from '../api/ui';
import type { Key } from '../locales/zh';
import { setupPutOff } from '../logic/setup';
import { number, zone } from '../logic/format';
import { ZONES } from '../logic/zone';
import { BrandLogo } from '../parts/logo';
import { Avatar } from '../parts/person';
import { Boundary, Failed } from '../parts/states';
import { TokenMenuProvider } from '../parts/token';
import { Confirm } from './confirm';
import { Idle } from './idle';
import { isBound, useKeys, type KeyMap } from './keys';
import { filterField, useListKeys, usePlace, walkable } from './listkeys';
import { Palette } from './palette';
import { everyItem, navFor, type NavItem } from './nav';
import { SeeAsBar } from './seeas';
import { useSettings } from './settings';
import { Watermark } from './watermark';

/** The key that goes with K and Z on this desk. */
const MOD = /Mac|iP(hone|ad)/.test(navigator.platform) ? '⌘' : 'Ctrl ';
const Must = lazy(() => import('../pages/must'));

function KeyHelp({ close }: { close: () => void }) {
  const { t } = useSettings();
  // What a letter does is what it does on this page; e has three meanings, each on its own pages.
  const path = useLocation().pathname;
  const e: Key = /^\/traces\//.test(path) ? 'keys.nextError' : /^\/graph/.test(path) ? 'keys.expand' : /^\/(alerts|incidents|scenarios)/.test(path) ? 'keys.close' : 'keys.edit';
  const listed: [string, string[], Key][] = [
    ['j', ['j', 'k'], 'keys.move'],
    [' ', ['space'], 'keys.preview'],
    ['Enter', ['enter'], 'keys.enter'],
    ['n', ['n'], /^\/traces\//.test(path) ? 'keys.nextMatch' : 'keys.new'],
    ['a', ['a'], 'keys.ack'],
    ['i', ['i'], 'keys.incident'],
    ['f', ['f'], 'keys.false'],
    ['w', ['w'], 'keys.suppress'],
    ['e', ['e'], e],
    ['u', ['u'], 'keys.unread'],
    ['s', ['s'], 'keys.silence'],
    ['x', ['x'], 'keys.select'],
    ['c', ['c'], /^\/graph/.test(path) ? 'keys.collapse' : 'keys.context'],
    ['z', ['z'], 'keys.zoom'],
    ['1', ['1', '6'], 'entity.keysTabs'],
    ['v', ['v'], 'entity.judge'],
    ['mod+s', [MOD.trim(), 's'], 'do.save'],
    ['/', ['/'], 'keys.filter'],
    ['Escape', ['esc'], 'keys.back'],
  ];
  // What every list has counts where there is a list, and a field to narrow it.
  const [walks] = useState(() => ({ list: walkable(), filter: filterField() !== undefined }));
  const shown = (k: string) => (isBound(k) ? true : k === '/' ? walks.filter : /^(j|Enter)$/.test(k) && walks.list);
  const rows = listed.filter(([k]) => shown(k)).map(([, keys, text]): [string[], string] => [keys, t(text)]);
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
      {rows.length > 0 && <h3 className="dim">{t('keys.here')}</h3>}
      {rows.length > 0 && table(rows)}
      <h3 className="dim">{t('keys.anywhere')}</h3>
      {table(anywhere)}
    </Modal>
  );
}

/** Who may come in, and what must be done first; then the frame. */
export function Shell() {
  const { localeChosen, setLocale } = useSettings();
  const navigate = useNavigate();
  const location = useLocation();
  const client = useQueryClient();
  const me = useMe();
  const user = me.data;

  useEffect(() => {
    whenUnauthorized(() => {
      client.removeQueries({ queryKey: ME });
      const to = window.location.pathname + window.location.search;
      if (window.location.pathname === '/login') return;
      navigate(`/login?${new URLSearchParams(to === '/' ? { expired: '1' } : { expired: '1', to })}`, { replace: true });
    });
  }, [client, navigate]);

  // A desk that has no language of its own yet takes the user's.
  const preferred = user?.locale;
  useEffect(() => {
    if (preferred && !localeChosen) setLocale(preferred.startsWith('en') ? 'en-US' : 'zh-CN');
  }, [preferred, localeChosen, setLocale]);

  if (!user) {
    // Without a session the sign-in page is on its way.
    if (!me.error || (me.error instanceof ApiError && me.error.status === 401)) return null;
    return (
      <div className="signin">
        <Failed error={me.error} what="app.console" retry={() => void me.refetch()} />
      </div>
    );
  }
  const welcome = location.pathname === '/welcome';
  return (
    <>
      <Confirm />
      <Suspense fallback={null}>
        {user.setup_needed && !welcome && !setupPutOff() ? (
          <Navigate to="/welcome" replace />
        ) : !welcome && (user.must_change_password || user.must_enrol_factor) ? (
          <Must user={user} />
        ) : welcome ? (
          <Outlet />
        ) : (
          <Frame user={user} />
        )}
      </Suspense>
      {!user.must_change_password && !user.must_enrol_factor && <Watermark />}
    </>
  );
}

/** The frame of every page behind sign-in: rail, account, keys. */
function Frame({ user }: { user: Me }) {
  const { t, tx, locale, setLocale, theme, setTheme, times, setTimes, zone: chosenZone, setZone } = useSettings();
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const can = useCan();
  const overview = useOverview(can('read')).data;
  const branding = useBranding().data;
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const [narrow, setNarrow] = useState(() => window.innerWidth < 1100);
  const here = location.pathname + location.search;
  const nav = useMemo(() => navFor(can), [can]);

  const keys = useMemo<KeyMap>(() => {
    const map: KeyMap = { 'mod+k': () => setPalette(true), '?': () => setHelp(true), 'g m': () => navigate('/me') };
    for (const item of everyItem(nav)) if (item.letter) map[`g ${item.letter}`] = () => navigate(item.to);
    return map;
  }, [navigate, nav]);
  useKeys(keys);
  useListKeys();
  usePlace();
  // The rail is longer than a low window: where one is must be in sight.
  useEffect(() => {
    // What it returns, a promise in newer browsers, is no clean-up.
    void Array.from(document.querySelectorAll('.rail .item.on')).at(-1)?.scrollIntoView({ block: 'nearest' });
  }, [location.pathname, nav]);

  const signOut = useCallback(async () => {
    const answer = await post<{ redirect?: string } | undefined>('/auth/logout/external').catch((e: unknown) =>
      // A server without federation ends the session the plain way.
      e instanceof ApiError && e.status === 404 ? post<undefined>('/auth/logout').catch(() => undefined) : undefined,
    );
    client.clear();
    if (answer?.redirect) window.location.assign(answer.redirect);
    else navigate('/login', { replace: true });
  }, [client, navigate]);
  const idleOut = useCallback(() => {
    const to = window.location.pathname + window.location.search;
    void post('/auth/logout')
      .catch(() => undefined)
      .then(() => {
        client.clear();
        navigate(`/login?${new URLSearchParams({ expired: '1', to })}`, { replace: true });
      });
  }, [client, navigate]);
  const name = user.display_name || user.username;
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
            <BrandLogo url={branding?.logo_url} />
            <span className="label ellipsis">{tx(branding?.name) || t('app.name')}</span>
          </Link>
          <button className="plain find" onClick={() => setPalette(true)} title={t('palette.open')}>
            <SearchOutlined />
            <span className="label">{t('palette.open')}</span>
            <kbd>{MOD}K</kbd>
          </button>
          <nav aria-label={t('nav.label')}>
            {nav.map((g) => {
              return (
                <div key={g.title}>
                  {g.title === 'nav.overview' ? null : <div className="group">{t(g.title)}</div>}
                  {g.items.map((i) => (
                    <Fragment key={i.to}>
                      <RailItem item={i} narrow={narrow} badge={badges[i.to]} />
                      {i.below && [i, ...i.below].some((b) => location.pathname.startsWith(b.to)) && i.below.map((b) => <RailItem key={b.to} item={b} narrow={narrow} below />)}
                    </Fragment>
                  ))}
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
                    key: 'times',
                    label: t('account.times'),
                    children: (['usual', 'absolute', 'relative'] as const).map((x) => ({ key: x, label: `${t(`account.times.${x}`)}${times === x ? ' ✓' : ''}`, onClick: () => setTimes(x) })),
                  },
                  {
                    key: 'zone',
                    label: t('account.timeZone'),
                    children: ZONES.map((x) => ({ key: x, label: `${t(x === 'desk' ? 'account.zone.desk' : x === 'UTC' ? 'account.zone.utc' : 'account.zone.city')}${chosenZone === x ? ' ✓' : ''}`, onClick: () => setZone(x) })),
                  },
                  {
                    key: 'language',
                    label: t('account.language'),
                    children: [
                      { key: 'zh', label: `简体中文${locale === 'zh-CN' ? ' ✓' : ''}`, onClick: () => setLanguage('zh-CN') },
                      { key: 'en', label: `English${locale === 'en-US' ? ' ✓' : ''}`, onClick: () => setLanguage('en-US') },
                    ],
                  },
                  { key: 'me', label: t('page.me'), onClick: () => navigate('/me') },
                  { key: 'password', label: t('account.password'), onClick: () => navigate('/me?tab=security') },
                  { key: 'keys', label: t('keys.title'), onClick: () => setHelp(true) },
                  { type: 'divider' },
                  { key: 'out', label: t('account.signout'), onClick: () => void signOut() },
                ],
              }}
            >
              <button className="plain me" title={t('account.menu')}>
                <Avatar user={user} />
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
          <SeeAsBar />
          <Boundary at={location.pathname}>{location.pathname === '/' && !can('read') ? <Navigate to={nav[0]?.items[0]?.to ?? '/me'} replace /> : <Outlet />}</Boundary>
        </main>
      </div>
      {palette && <Palette close={() => setPalette(false)} here={here} />}
      <Idle signOut={idleOut} />
      {help && <KeyHelp close={() => setHelp(false)} />}
    </TokenMenuProvider>
  );
}

function RailItem({ item: i, narrow, badge, below = false }: { item: NavItem; narrow: boolean; badge?: { n: number; mark: string }; below?: boolean }) {
  const { t, locale } = useSettings();
  return (
    <NavLink to={i.to} end={i.to === '/' || i.below !== undefined} className={({ isActive }) => `item${isActive ? ' on' : ''}${below ? ' below' : ''}`} title={narrow ? t(i.title) : undefined}>
      {i.icon}
      <span className="label">{t(i.title)}</span>
      {badge && badge.n > 0 && <span className={`badge${badge.mark}`}>{number(badge.n, locale)}</span>}
    </NavLink>
  );
}
