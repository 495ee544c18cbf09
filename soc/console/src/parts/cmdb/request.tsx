import { Button, Input } from 'antd';
import { useState } from 'react';
import { ApiError, post } from '../../api/client';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';

/** Whether a change was refused because somebody else has to approve it. */
export function needsApproval(e: unknown): boolean {
  const first = e instanceof ApiError && e.status === 409 ? list(e.problem.errors)[0] : undefined;
  return first?.location === 'class' && first.message === 'protected';
}

/** Files the change that was refused as a request, with why it is wanted. */
export function RequestChange({ items, remove, done }: { items?: readonly Record<string, unknown>[]; remove?: readonly string[]; done: () => void }) {
  const { t } = useSettings();
  const { act, tell, busy } = useAct();
  const [comment, setComment] = useState('');
  const file = () =>
    act(async () => {
      const r = await post<{ id: number }>('/cmdb/change-requests', { comment: comment.trim(), items, delete: remove });
      tell({ said: t('cmdbRequest.filed', { n: r.id }), renew: ['cmdb-requests'] });
      done();
    });
  return (
    <div className="notice warn" role="alert" data-testid="approval">
      <div>{t('cmdbRequest.ask')}</div>
      <div className="row" style={{ alignItems: 'flex-start', marginTop: 8 }}>
        <Input.TextArea autoFocus rows={2} maxLength={1000} aria-label={t('cmdbImport.reason')} placeholder={t('cmdbImport.reason')} value={comment} onChange={(e) => setComment(e.target.value)} />
        <Button type="primary" loading={busy} disabled={!comment.trim()} onClick={() => void file()}>
          {t('cmdbRequest.file')}
        </Button>
      </div>
    </div>
  );
}
