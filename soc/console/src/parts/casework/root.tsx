import { Link } from 'react-router-dom';
import type { Incident } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Panel } from '../page';
import { When } from '../time';

/** Of an incident of faults: which item is thought to have brought the others down, and why. */
export function RootCause({ incident }: { incident: Incident }) {
  const { t, tx, locale } = useSettings();
  const r = incident.root;
  if (!r) return null;
  const name = r.name || r.item_id;
  return (
    <Panel
      id="root"
      title={t('root.title')}
      end={
        <span className="tag" title={t(r.inferred ? 'root.inferredWhy' : 'root.alertedWhy')}>
          {t(r.inferred ? 'root.inferred' : 'root.alerted')}
        </span>
      }
    >
      <div className="row wrap" style={{ alignItems: 'baseline', gap: 10 }}>
        {r.item_id ? (
          <Link to={`/cmdb/${encodeURIComponent(r.item_id)}`} style={{ fontSize: 16, fontWeight: 600 }}>
            {name}
          </Link>
        ) : (
          <b title={t('root.foreignWhy')}>{t('root.foreign')}</b>
        )}
        {r.class && <span className="tag">{r.class}</span>}
        <span className="dim">
          {t('root.since')} <When time={r.since} />
        </span>
        {r.item_id && (
          <Link to={`/alerts?${new URLSearchParams({ ci: r.item_id, status: 'open,acknowledged,closed', since: '90d' })}`}>{t('root.alerts')}</Link>
        )}
      </div>
      <p style={{ margin: '6px 0 8px' }}>{tx(r.reason)}</p>
      <div className="row wrap dim" style={{ gap: 18 }}>
        <span>
          <b>{number(r.items, locale)}</b> {t('root.items')}
        </span>
        <span>
          <b>{number(r.affected, locale)}</b> {t('root.affected')}
        </span>
        <span title={t('root.coverageWhy')}>
          <b>{Math.round(r.coverage * 100)}%</b> {t('root.coverage')}
        </span>
      </div>
    </Panel>
  );
}
