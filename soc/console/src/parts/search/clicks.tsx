import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { parseQuery, renderQuery, type Asked, type Clause } from '../../api/search';
import { useFeedback } from '../../app/feedback';
import { useT } from '../../app/settings';
import { Failed } from '../states';
import { ClickMode } from './clickmode';

/** Click mode around the text in the URL, which stays the truth: it is read into conditions and written back at each change. */
export function Clicks({ query, fields, asked, ask }: { query: string; fields: readonly string[]; asked: Asked; ask: (q: string) => void }) {
  const t = useT();
  const { failed } = useFeedback();
  const parsed = useQuery({ queryKey: ['parse', query], queryFn: () => parseQuery(query), staleTime: Infinity, placeholderData: keepPreviousData });
  if (parsed.error && !parsed.data) return <Failed small error={parsed.error} what="click.mode" retry={() => void parsed.refetch()} />;
  if (!parsed.data) return <div className="clicks" />;
  if (parsed.data.error)
    return (
      <div className="stale" role="alert">
        <b>{t('click.unreadable')}</b> {parsed.data.error.message}
      </div>
    );
  const change = async (clause: Clause | null, pipes: string) => {
    try {
      const r = await renderQuery(clause, pipes);
      if (r.error) failed(new Error(r.error.message));
      else ask(r.query);
    } catch (e) {
      failed(e);
    }
  };
  return <ClickMode clause={parsed.data.clause} pipes={parsed.data.pipes} fields={fields} asked={asked} onChange={(c, p) => void change(c, p)} />;
}
