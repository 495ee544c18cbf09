import { useQuery, useQueryClient } from '@tanstack/react-query';
import { AutoComplete, Button, Checkbox, Input, Modal, Popover, Radio } from 'antd';
import { useCallback, useState } from 'react';
import { get, post } from '../api/client';
import { useCan, useMe } from '../api/queries';
import { RESOLUTIONS, list, type List, type Page, type Resolution, type Status, type User } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useT } from '../app/settings';

const CASES = ['alerts', 'alert', 'incidents', 'incident', 'overview'];

/** Everything that shows cases asks again after one has changed. */
export function useRefreshCases(): () => void {
  const client = useQueryClient();
  return useCallback(() => {
    for (const key of CASES) void client.invalidateQueries({ queryKey: [key] });
  }, [client]);
}

/** What the list may show at once, before the server's next answer. */
export type Patch = (ids: string[], change: { status?: Status; assignee?: string; acknowledged_by?: string }) => void;

/** The actions on one or many alerts, each with its message, its undo and its failure. */
export function useAlertActions(patch: Patch = () => undefined) {
  const t = useT();
  const { done, failed } = useFeedback();
  const refresh = useRefreshCases();
  const me = useMe().data;

  /** One id uses the alert's own route, several the batch. Returns the ids that were changed; the batch names those it refused. */
  const send = useCallback(
    async (ids: string[], action: string, body: object): Promise<string[]> => {
      if (ids.length === 1) {
        await post(`/alerts/${encodeURIComponent(ids[0] as string)}/${action}`, body);
        return ids;
      }
      const answer = await post<{ failed?: List<{ id: string; detail: string }> }>('/alerts/batch', { ids, action, ...body });
      const refused = list(answer.failed);
      if (refused.length > 0) failed(new Error(t('alerts.refused', { n: refused.length, x: refused[0]?.detail ?? '' })));
      return ids.filter((id) => !refused.some((r) => r.id === id));
    },
    [failed, t],
  );
  const run = useCallback(
    async <T,>(work: () => Promise<T>, then: (result: T) => void) => {
      try {
        then(await work());
      } catch (e) {
        failed(e);
      } finally {
        refresh();
      }
    },
    [failed, refresh],
  );
  const reopen = useCallback(
    (ids: string[]) =>
      run(
        () => send(ids, 'reopen', {}),
        (changed) => {
          if (changed.length === 0) return;
          patch(changed, { status: 'open' });
          done(t('alerts.reopened', { n: changed.length }));
        },
      ),
    [run, send, patch, done, t],
  );
  const acknowledge = useCallback(
    (ids: string[]) =>
      run(
        () => send(ids, 'acknowledge', { comment: '' }),
        (changed) => {
          if (changed.length === 0) return;
          patch(changed, { status: 'acknowledged', acknowledged_by: me?.username });
          done(t('alerts.acked', { n: changed.length }), () => void reopen(changed));
        },
      ),
    [run, send, patch, done, t, reopen, me],
  );
  const close = useCallback(
    (ids: string[], resolution: Resolution, comment: string) =>
      run(
        () => send(ids, 'close', { resolution, comment }),
        (changed) => {
          if (changed.length === 0) return;
          patch(changed, { status: 'closed' });
          done(t('alerts.closed', { n: changed.length, r: t(`resolution.${resolution}`) }), () => void reopen(changed));
        },
      ),
    [run, send, patch, done, t, reopen],
  );
  const assign = useCallback(
    (ids: string[], assignee: string) =>
      run(
        () => send(ids, 'assign', { assignee }),
        (changed) => {
          if (changed.length === 0) return;
          patch(changed, { assignee });
          done(t('alerts.assigned', { x: assignee }));
        },
      ),
    [run, send, patch, done, t],
  );
  const tag = useCallback(
    (ids: string[], name: string, on: boolean): Promise<void> =>
      run(
        async () => {
          const answer = await post<{ failed?: List<{ id: string; detail: string }> }>('/alerts/batch', { ids, action: on ? 'tag' : 'untag', tag: name });
          const refused = list(answer.failed);
          if (refused.length === ids.length && refused[0]) throw new Error(refused[0].detail);
          return ids.filter((id) => !refused.some((r) => r.id === id));
        },
        (changed) => done(t(on ? 'tags.added' : 'tags.removed', { n: changed.length, x: name }), () => void tag(changed, name, !on)),
      ),
    [run, done, t],
  );
  const comment = useCallback(
    (id: string, text: string) => run(() => post(`/alerts/${encodeURIComponent(id)}/comments`, { text }), () => done(t('alerts.commented'))),
    [run, done, t],
  );
  return { acknowledge, close, reopen, assign, tag, comment };
}

/** How a case ended, with room to say why. */
export function CloseDialog({
  title,
  submit,
  cancel,
  withAlerts = false,
}: {
  title: string;
  submit: (r: Resolution, comment: string, alerts: boolean) => Promise<void> | void;
  cancel: () => void;
  /** Offers to close an incident's alerts with it. */
  withAlerts?: boolean;
}) {
  const t = useT();
  const [resolution, setResolution] = useState<Resolution>('true_positive');
  const [comment, setComment] = useState('');
  const [alerts, setAlerts] = useState(true);
  const [busy, setBusy] = useState(false);
  return (
    <Modal
      open
      title={title}
      okText={title}
      cancelText={t('do.cancel')}
      confirmLoading={busy}
      onCancel={cancel}
      onOk={() => {
        setBusy(true);
        void Promise.resolve(submit(resolution, comment.trim(), alerts)).then(cancel);
      }}
      width={440}
    >
      <div className="dim" style={{ margin: '8px 0 4px' }}>
        {t('act.resolution')}
      </div>
      <Radio.Group value={resolution} onChange={(e) => setResolution(e.target.value as Resolution)}>
        {RESOLUTIONS.map((r) => (
          <Radio key={r} value={r}>
            {t(`resolution.${r}`)}
          </Radio>
        ))}
      </Radio.Group>
      <label className="dim" htmlFor="close-comment" style={{ display: 'block', margin: '12px 0 4px' }}>
        {t('act.reason')}
      </label>
      <Input.TextArea id="close-comment" rows={3} value={comment} onChange={(e) => setComment(e.target.value)} placeholder={t('act.commentHint')} />
      {withAlerts && (
        <Checkbox style={{ marginTop: 12 }} checked={alerts} onChange={(e) => setAlerts(e.target.checked)}>
          {t('act.closeAlerts')}
        </Checkbox>
      )}
    </Modal>
  );
}

/** To me in one click, or to somebody else by name. */
export function AssignButton({ assign }: { assign: (username: string) => unknown }) {
  const t = useT();
  const me = useMe().data;
  const can = useCan();
  const [open, setOpen] = useState(false);
  const [name, setName] = useState('');
  const users = useQuery({
    queryKey: ['users'],
    queryFn: ({ signal }) => get<Page<User>>('/users', {}, signal),
    enabled: open && can('admin'),
    staleTime: 60_000,
  });
  const pick = (username: string) => {
    if (!username.trim()) return;
    setOpen(false);
    setName('');
    void assign(username.trim());
  };
  return (
    <Popover
      open={open}
      onOpenChange={setOpen}
      trigger="click"
      placement="bottomRight"
      content={
        <div style={{ width: 220 }} className="stack">
          <Button block onClick={() => me && pick(me.username)}>
            {t('act.assignMe')}
          </Button>
          <div className="row">
            <AutoComplete
              style={{ flex: 1 }}
              value={name}
              onChange={setName}
              placeholder={t('act.assignHint')}
              aria-label={t('act.assignTo')}
              options={list(users.data?.items).map((u) => ({ value: u.username, label: u.display_name ? `${u.display_name} (${u.username})` : u.username }))}
              filterOption={(input, o) => String(o?.label ?? '').toLowerCase().includes(input.toLowerCase())}
            />
            <Button type="primary" disabled={!name.trim()} onClick={() => pick(name)}>
              {t('act.assign')}
            </Button>
          </div>
        </div>
      }
    >
      <Button>{t('act.assign')}</Button>
    </Popover>
  );
}

export function CommentBox({ submit }: { submit: (text: string) => Promise<unknown> }) {
  const t = useT();
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const send = async () => {
    if (!text.trim()) return;
    setBusy(true);
    await submit(text.trim());
    setBusy(false);
    setText('');
  };
  return (
    <div className="stack" style={{ gap: 6, marginBottom: 14 }}>
      <Input.TextArea
        className="grows"
        rows={1}
        value={text}
        aria-label={t('act.comment')}
        placeholder={t('act.commentHint')}
        onChange={(e) => setText(e.target.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) void send();
        }}
      />
      {text.trim() && (
        <Button type="primary" size="small" loading={busy} onClick={() => void send()} style={{ alignSelf: 'flex-end' }}>
          {t('act.commentAdd')}
        </Button>
      )}
    </div>
  );
}
