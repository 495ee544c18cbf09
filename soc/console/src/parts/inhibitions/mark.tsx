import { StopOutlined } from '@ant-design/icons';
import { Link } from 'react-router-dom';
import { list, type Alert } from '../../api/types';
import { useT } from '../../app/settings';

/** Says that another alert mutes this one, and leads to the rule that has it so. */
export function InhibitedMark({ alert, word = true }: { alert: Pick<Alert, 'inhibited_by'>; word?: boolean }) {
  const t = useT();
  const by = list(alert.inhibited_by)[0];
  if (!by) return null;
  const why = t('inhibit.ofWhy', { x: by.rule });
  return (
    <>
      <Link className="tag" to={`/inhibitions?${new URLSearchParams({ sel: by.rule_id })}`} title={why} aria-label={why} data-testid="inhibited">
        <StopOutlined aria-hidden /> {word && t('inhibit.of')}
      </Link>
      {word && by.alert_id && (
        <Link to={`/alerts/${encodeURIComponent(by.alert_id)}`} className="dim">
          {t('inhibit.source')}
        </Link>
      )}
    </>
  );
}
