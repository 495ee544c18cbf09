import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import type { Text } from '../api/types';
import { en } from '../locales/en';
import { zh, type Key } from '../locales/zh';
import type { Locale } from '../logic/format';
import { ZONES, setZone as tellZone, type Zone } from '../logic/zone';

export type Theme = 'light' | 'dark' | 'auto';
/** How moments are told: as each page has it, by the clock, or by how long ago. */
export type Times = 'usual' | 'absolute' | 'relative';
export type Vars = Record<string, string | number>;

interface Settings {
  locale: Locale;
  setLocale: (l: Locale) => void;
  /** Whether somebody chose a language on this desk. */
  localeChosen: boolean;
  theme: Theme;
  setTheme: (t: Theme) => void;
  times: Times;
  setTimes: (t: Times) => void;
  zone: Zone;
  setZone: (z: Zone) => void;
  dark: boolean;
  /** The text for a key, with {x} filled in; numbers get separators. */
  t: (key: Key, vars?: Vars) => string;
  /** A server's two-language text in the reader's, or in the other where that is all there is. */
  tx: (text: Text | undefined | null) => string;
}

const Context = createContext<Settings | null>(null);

/** Private windows and locked-down desks may refuse storage; the console then forgets, and works. */
function remember(key: string, value?: string): string | null {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function SettingsProvider({ children }: { children: ReactNode }) {
  const [locale, setLocaleState] = useState<Locale>(() => (remember('icewatch.locale') === 'en-US' ? 'en-US' : 'zh-CN'));
  const [localeChosen, setChosen] = useState(() => remember('icewatch.locale') !== null);
  const [theme, setThemeState] = useState<Theme>(() => {
    const t = remember('icewatch.theme');
    return t === 'light' || t === 'dark' ? t : 'auto';
  });
  const [times, setTimesState] = useState<Times>(() => {
    const x = remember('icewatch.times');
    return x === 'absolute' || x === 'relative' ? x : 'usual';
  });
  const [zone, setZoneState] = useState<Zone>(() => {
    const z = ZONES.find((z) => z === remember('icewatch.zone')) ?? 'desk';
    tellZone(z);
    return z;
  });
  const media = useMemo(() => window.matchMedia('(prefers-color-scheme: dark)'), []);
  const [systemDark, setSystemDark] = useState(media.matches);
  useEffect(() => {
    const f = (e: MediaQueryListEvent) => setSystemDark(e.matches);
    media.addEventListener('change', f);
    return () => media.removeEventListener('change', f);
  }, [media]);
  const dark = theme === 'dark' || (theme === 'auto' && systemDark);

  useEffect(() => {
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  }, [dark]);
  useEffect(() => {
    document.documentElement.lang = locale;
  }, [locale]);

  const setLocale = useCallback((l: Locale) => {
    remember('icewatch.locale', l);
    setLocaleState(l);
    setChosen(true);
  }, []);
  const setTheme = useCallback((t: Theme) => {
    remember('icewatch.theme', t);
    setThemeState(t);
  }, []);

  const setTimes = useCallback((x: Times) => {
    remember('icewatch.times', x);
    setTimesState(x);
  }, []);

  const setZone = useCallback((z: Zone) => {
    remember('icewatch.zone', z);
    tellZone(z);
    setZoneState(z);
  }, []);

  const value = useMemo<Settings>(() => {
    const catalogue: Record<Key, string> = locale === 'en-US' ? en : zh;
    const t = (key: Key, vars?: Vars) =>
      // A key made from a server's word may be new to this console: the word then stands for itself.
      (catalogue[key] ?? key.slice(key.lastIndexOf('.') + 1)).replace(/\{(\w+)\}/g, (whole, name: string) => {
        const v = vars?.[name];
        return v === undefined ? whole : typeof v === 'number' ? v.toLocaleString(locale) : v;
      });
    const tx = (text: Text | undefined | null) => (locale === 'en-US' ? text?.en || text?.zh : text?.zh || text?.en) ?? '';
    return { locale, setLocale, localeChosen, theme, setTheme, times, setTimes, zone, setZone, dark, t, tx };
  }, [locale, localeChosen, theme, times, zone, dark, setLocale, setTheme, setTimes, setZone]);

  return <Context.Provider value={value}>{children}</Context.Provider>;
}

export function useSettings(): Settings {
  const s = useContext(Context);
  if (!s) throw new Error('useSettings outside SettingsProvider');
  return s;
}
export const useT = () => useSettings().t;
