import { Link } from 'react-router-dom';
import type { Alert } from '../../api/types';
import { useSettings } from '../../app/settings';

/** Says that a suppression met an alert. */
export function SuppressedMark({ alert: a }: { alert: Pick<Alert, 'suppressed_by'> }) {
  const { t } = useSettings();
  if (!a.suppressed_by) return null;
  return (
    <Link className="tag warn" to={`/suppressions?id=${encodeURIComponent(a.suppressed_by)}`} title={t('suppress.markWhy')} data-testid="suppressed-mark">
      {t('suppress.mark')}
    </Link>
  );
}
