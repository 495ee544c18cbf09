import type { ReactNode } from 'react';
import { usePageTitle } from '../app/hooks';
import { useSettings } from '../app/settings';
import { absolute } from '../logic/format';

/** A page's head: title, what it shows, and its controls at the end. */
export function Head({ title, sub, children }: { title: string; sub?: ReactNode; children?: ReactNode }) {
  usePageTitle(title);
  return (
    <div className="head">
      <h1>{title}</h1>
      {sub !== undefined && <span className="sub">{sub}</span>}
      {children && <div className="end">{children}</div>}
    </div>
  );
}

export function Panel({ title, end, children, flush, id }: { title?: ReactNode; end?: ReactNode; children: ReactNode; flush?: boolean; id?: string }) {
  return (
    <section className="panel" data-testid={id}>
      {title !== undefined && (
        <header>
          <h2>{title}</h2>
          {end && <div className="end">{end}</div>}
        </header>
      )}
      <div className={flush ? 'body flush' : 'body'}>{children}</div>
    </section>
  );
}

/** When the page's data were read. Says so quietly; Stale says it loudly. */
export function Updated({ at }: { at: number }) {
  const { t } = useSettings();
  if (!at) return null;
  return (
    <span className="faint nowrap" style={{ fontSize: 12 }}>
      {t('live.at', { time: absolute(at).slice(11) })}
    </span>
  );
}
