import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import type { Condition } from '../api/storage';
import { list, type Page } from '../api/types';
import { useSettings } from '../app/settings';
import { SeverityMark } from './severity';
import { When } from './time';

/** What is wrong with the suite itself just now, the worst first; a calm line where nothing is. */
export function Conditions() {
  const { t, tx } = useSettings();
  const query = useQuery({ queryKey: ['conditions'], queryFn: async ({ signal }) => list((await get<Page<Condition>>('/health/conditions', { state: 'active' }, signal)).items), refetchInterval: 5_000 });
  if (!query.data) return null;
  if (query.data.length === 0)
    return (
      <div className="calm" data-testid="conditions">
        <span className="dot ok" /> {t('conditions.none')}
      </div>
    );
  const rank = ['critical', 'high', 'medium', 'low', 'informational'];
  return (
    <div className="panel" data-testid="conditions" role="status">
      {[...query.data]
        .sort((a, b) => rank.indexOf(a.severity) - rank.indexOf(b.severity) || a.since.localeCompare(b.since))
        .map((c) => (
          <div className="condition" key={c.id}>
            <SeverityMark level={c.severity} />
            <div className="grow">
              <b>{c.alert_id ? <Link to={`/alerts/${encodeURIComponent(c.alert_id)}`}>{tx(c.title)}</Link> : tx(c.title)}</b> <span className="dim">{tx(c.detail)}</span>
              {tx(c.advice) && <div className="hint">{tx(c.advice)}</div>}
            </div>
            <span className="faint nowrap">
              {t('conditions.since')} <When time={c.since} age />
            </span>
          </div>
        ))}
    </div>
  );
}
