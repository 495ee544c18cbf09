import { useQuery } from '@tanstack/react-query';
import type { PortalCard } from '../api/federation';
import { all } from '../api/directory';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { Head } from '../parts/page';
import { SearchBox } from '../parts/search';
import { Empty, Loaded, Stale } from '../parts/states';

/** The applications somebody may open; each opens signed in. */
export default function Portal() {
  const { t, tx } = useSettings();
  const [params] = useUrl();
  const q = (params.get('q') ?? '').toLowerCase();
  const query = useQuery({ queryKey: ['portal'], queryFn: ({ signal }) => all<PortalCard>('/applications', {}, signal) });
  return (
    <div className="page">
      <Head title={t('page.portal')} />
      <Stale query={query} />
      <Loaded query={query} what="portal.what" lines={5}>
        {(cards) => {
          const shown = cards.filter((c) => !q || `${c.name.zh ?? ''} ${c.name.en ?? ''} ${c.category ?? ''}`.toLowerCase().includes(q));
          const categories = [...new Set(shown.map((c) => c.category ?? ''))];
          if (cards.length === 0) {
            return (
              <div className="panel">
                <Empty title={t('portal.empty')} why={t('portal.emptyWhy')} />
              </div>
            );
          }
          return (
            <>
              <div className="filters">
                <SearchBox hint={t('portal.search')} />
              </div>
              {categories.map((category) => (
                <section key={category}>
                  {categories.length > 1 && (
                    <h2 className="dim" style={{ fontSize: 13, margin: '10px 0 8px' }}>
                      {category || t('portal.other')}
                    </h2>
                  )}
                  <div className="cards">
                    {shown
                      .filter((c) => (c.category ?? '') === category)
                      .map((c) => (
                        <a key={c.id} className="panel card" href={/^https?:\/\//.test(c.url ?? '') ? c.url : undefined} target="_blank" rel="noopener noreferrer" aria-label={t('portal.open', { x: tx(c.name) })}>
                          <AppIcon card={c} />
                          <span className="grow">
                            <b>{tx(c.name)}</b> {c.version && <span className="faint">{c.version}</span>}
                            <span className="dim">{tx(c.description)}</span>
                          </span>
                        </a>
                      ))}
                  </div>
                </section>
              ))}
            </>
          );
        }}
      </Loaded>
    </div>
  );
}

export function AppIcon({ card }: { card: PortalCard }) {
  const { tx } = useSettings();
  return <span className="appicon">{card.icon_url ? <img src={card.icon_url} alt="" /> : [...(tx(card.name) || card.id)][0]?.toUpperCase()}</span>;
}
