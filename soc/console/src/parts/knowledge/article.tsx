import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { ApiError, get } from '../../api/client';
import { articlePath, type ArticleBody, type ArticleDetail } from '../../api/knowledge';
import { useCan } from '../../api/queries';
import { list, type Text } from '../../api/types';
import { useSettings } from '../../app/settings';

/** An article as it is read. */
export function ArticleText({ of: a }: { of: ArticleBody }) {
  const { t, tx } = useSettings();
  const lines = (title: string, of: readonly Text[]) =>
    of.length > 0 && (
      <>
        <h3 className="small">{title}</h3>
        <ol className="articlelines">
          {of.map((x, i) => (
            <li key={i}>{tx(x)}</li>
          ))}
        </ol>
      </>
    );
  return (
    <div className="article">
      {tx(a.summary) && <p>{tx(a.summary)}</p>}
      {lines(t('knowledge.verify'), list(a.verify))}
      {lines(t('knowledge.steps'), list(a.steps))}
      {tx(a.notes) && (
        <>
          <h3 className="small">{t('knowledge.notes')}</h3>
          <p style={{ whiteSpace: 'pre-wrap' }}>{tx(a.notes)}</p>
        </>
      )}
      {a.contacts && (
        <>
          <h3 className="small">{t('knowledge.contacts')}</h3>
          <p style={{ whiteSpace: 'pre-wrap' }}>{a.contacts}</p>
        </>
      )}
      {list(a.references).length > 0 && (
        <>
          <h3 className="small">{t('knowledge.references')}</h3>
          <ul className="articlelines">
            {list(a.references).map((r) => (
              <li key={r}>
                <a href={r} target="_blank" rel="noopener noreferrer">
                  {r}
                </a>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

/** What the knowledge base says about an alert: the article that its rule names, else that of its type of attack. */
export function AlertKnowledge({ rule, attack }: { rule?: string; attack?: string }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const id = rule || attack || '';
  const query = useQuery({
    queryKey: ['article', id],
    enabled: id !== '' && can('get-article'),
    queryFn: ({ signal }) => get<ArticleDetail>(articlePath(id), {}, signal),
    staleTime: 60_000,
    // A rule may name an article that nobody has written.
    retry: (n, e) => n < 1 && !(e instanceof ApiError && e.status === 404),
  });
  if (!query.data) return null;
  return (
    <details className="knowledge" data-testid="knowledge" style={{ marginTop: 10 }}>
      <summary>
        {t('knowledge.onAlert')} · <b>{tx(query.data.title)}</b>
      </summary>
      <ArticleText of={query.data} />
      <Link to={articlePath(id)}>{t('knowledge.open')}</Link>
    </details>
  );
}
