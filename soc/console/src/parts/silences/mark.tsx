import { BellOutlined } from '@ant-design/icons';
import { Link } from 'react-router-dom';
import { list, type Alert } from '../../api/types';
import { useT } from '../../app/settings';

/** Says that an alert notifies nobody now, and leads to why. */
export function SilencedMark({ alert, word = true }: { alert: Pick<Alert, 'silenced_by'>; word?: boolean }) {
  const t = useT();
  const by = list(alert.silenced_by);
  if (by.length === 0) return null;
  const why = `${t('silence.of')}: ${t('silence.ofWhy')}`;
  return (
    <Link className="tag" to={`/silences?${new URLSearchParams({ sel: by[0] as string })}`} title={why} aria-label={why} data-testid="silenced">
      <span aria-hidden="true" style={{ position: 'relative', display: 'inline-flex' }}>
        <BellOutlined />
        <i className="struck" />
      </span>
      {word && t('silence.of')}
    </Link>
  );
}
