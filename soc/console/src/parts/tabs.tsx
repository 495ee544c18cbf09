import type { ReactNode } from 'react';
import { Link, useLocation } from 'react-router-dom';
import { withParams } from '../logic/urlstate';
import { useUrl } from '../app/hooks';

export interface Tab<K extends string> {
  key: K;
  title: ReactNode;
}

/** Parts of a page, each with an address of its own (?tab=). The first one needs no parameter. */
export function useTab<K extends string>(tabs: readonly Tab<K>[]): K {
  const [params] = useUrl();
  const asked = params.get('tab');
  return (tabs.find((x) => x.key === asked) ?? tabs[0])?.key as K;
}

export function Tabs<K extends string>({ tabs, label }: { tabs: readonly Tab<K>[]; label: string }) {
  const [params] = useUrl();
  const { pathname } = useLocation();
  const now = useTab(tabs);
  return (
    <nav className="tabs" aria-label={label}>
      {tabs.map((x, i) => (
        <Link key={x.key} to={`${pathname}?${withParams(params, { tab: i === 0 ? undefined : x.key })}`} aria-current={x.key === now ? 'page' : undefined}>
          {x.title}
        </Link>
      ))}
    </nav>
  );
}
