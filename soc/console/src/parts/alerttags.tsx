import { Input, Popover } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { useCan } from '../api/queries';
import { list, type Alert } from '../api/types';
import { useSettings } from '../app/settings';
import { useAlertActions } from './acting';

/** The tags that people gave an alert, each leading to all alerts that have it. */
export function AlertTags({ alert }: { alert: Pick<Alert, 'id' | 'tags'> }) {
  const { t } = useSettings();
  const respond = useCan()('respond');
  const { tag } = useAlertActions();
  const [open, setOpen] = useState(false);
  const [text, setText] = useState('');
  const tags = list(alert.tags);
  const add = () => {
    const name = text.trim();
    if (!name) return;
    setOpen(false);
    setText('');
    void tag([alert.id], name, true);
  };
  return (
    <span className="tags" data-testid="tags">
      {tags.map((x) => (
        <span key={x} className="tag">
          <Link to={`/alerts?${new URLSearchParams({ tag: x, status: 'open,acknowledged,closed', since: '90d' })}`} style={{ color: 'inherit' }}>
            # {x}
          </Link>
          {respond && (
            <button className="plain" aria-label={t('do.remove', { x })} onClick={() => void tag([alert.id], x, false)}>
              ✕
            </button>
          )}
        </span>
      ))}
      {respond && (
        <Popover
          open={open}
          onOpenChange={setOpen}
          trigger="click"
          content={<Input autoFocus maxLength={40} style={{ width: 180 }} value={text} aria-label={t('tags.add')} placeholder={t('tags.hint')} onChange={(e) => setText(e.target.value)} onPressEnter={add} />}
        >
          <button className="plain tag dashed">+ {t('tags.add')}</button>
        </Popover>
      )}
    </span>
  );
}
