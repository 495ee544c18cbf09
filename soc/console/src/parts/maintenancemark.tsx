import { ToolOutlined } from '@ant-design/icons';
import { Link } from 'react-router-dom';
import { list, type Alert } from '../api/types';
import { useT } from '../app/settings';

/** Says that an alert fell into a maintenance window, or that the policy mutes it, and leads to why. */
export function MaintenanceMark({ alert }: { alert: Pick<Alert, 'maintenance' | 'muted'> }) {
  const t = useT();
  const windows = list(alert.maintenance);
  if (windows.length === 0) return alert.muted ? <span className="tag">{t('maintenance.muted')}</span> : null;
  const why = `${t('maintenance.markWhy')}: ${windows.map((w) => w.name).join(', ')}`;
  return (
    <Link className="tag" to="/maintenance" title={why} aria-label={why} data-testid="maintenance">
      <ToolOutlined aria-hidden /> {t('maintenance.mark')}
    </Link>
  );
}
