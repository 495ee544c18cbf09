import type { ReactNode } from 'react';
import type { SilencePreview } from '../../api/silences';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { SeverityMark } from '../severity';
import { Failed } from '../states';
import { When } from '../time';

/** What a silence or a rule of inhibition that is being written would mute. `found` is undefined until it is known for what is written now. */
export function Found({ title, ready, incomplete, error, found, children }: { title: string; ready: boolean; incomplete: string; error: unknown; found?: SilencePreview; children?: ReactNode }) {
  const { t, tx } = useSettings();
  const items = list(found?.items);
  return (
    <section className="panel" data-testid="silence-preview" style={{ maxHeight: 460, overflow: 'auto' }} aria-live="polite">
      <header>
        <h2>{title}</h2>
      </header>
      <div className="body">
        {!ready ? (
          <span className="dim">{incomplete}</span>
        ) : error ? (
          <Failed small error={error} what="silence.preview" />
        ) : !found ? (
          <b className="faint">…</b>
        ) : (
          <>
            <b>{found.total > 0 ? t('silence.previewN', { n: found.total }) : t('silence.previewNone')}</b>
            {children}
            <ul className="plainlist">
              {items.map((a) => (
                <li key={a.id} className="row">
                  <SeverityMark level={a.severity} word={false} />
                  <span className="grow ellipsis" title={tx(a.title)}>
                    {tx(a.title)}
                  </span>
                  <span className="faint">
                    <When time={a.last_seen} age />
                  </span>
                </li>
              ))}
            </ul>
            {found.total > items.length && <span className="faint">{t('silence.previewMore', { n: found.total - items.length })}</span>}
          </>
        )}
      </div>
    </section>
  );
}
