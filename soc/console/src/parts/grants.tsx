import { Button, Checkbox, Form, Input, Radio } from 'antd';
import { useState } from 'react';
import type { Grant } from '../api/access';
import { del, post, put } from '../api/client';
import { useGroupName, useRoleName } from '../api/directory';
import { useCan } from '../api/queries';
import { list } from '../api/types';
import { useAct } from '../app/act';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { bound, dayRuns, localInput, localTime } from '../logic/access';
import { absolute } from '../logic/format';
import { Ask, FormDialog } from './dialog';
import { GroupPicker, RolePicker, UserPicker, WordsInput } from './pickers';
import { DataTable } from './table';

const RENEW = ['grants', 'users', 'user', 'groups', 'me'] as const;
const DAYS = [1, 2, 3, 4, 5, 6, 7] as const;

function GrantTime({ grant }: { grant: Grant }) {
  const { t } = useSettings();
  if (!bound(grant).time) return <span className="dim">{t('grants.always')}</span>;
  const day = (d: number) => t(`day.${d}` as Key);
  const days = dayRuns(list(grant.weekdays)).map(([a, b]) => t('days.list', { x: a === b ? day(a) : `${day(a)}–${day(b)}` }));
  const words = [
    grant.not_before ? t('grants.since', { x: absolute(grant.not_before).slice(0, 16) }) : '',
    grant.not_after ? t('grants.until', { x: absolute(grant.not_after).slice(0, 16) }) : '',
    days.join(' '),
    grant.from || grant.to ? `${grant.from || '00:00'}–${grant.to || '24:00'}` : '',
  ].filter(Boolean);
  return <span>{words.join(' · ')}</span>;
}

/** Grants with their bounds in words. `who` shows the receiver, for pages about many. */
export function GrantTable({ grants, who = true }: { grants: readonly Grant[]; who?: boolean }) {
  const { t } = useSettings();
  const can = useCan();
  const { tell } = useAct();
  const roleName = useRoleName();
  const groupName = useGroupName();
  const [revoking, setRevoking] = useState<Grant | null>(null);
  const [editing, setEditing] = useState<Grant | null>(null);
  return (
    <>
      <DataTable
        label={t('grants.what')}
        rows={grants}
        rowKey={(g) => g.id}
        columns={[
          { key: 'role', title: t('grants.role'), render: (g) => <b style={{ fontWeight: 550 }}>{roleName(g.role)}</b> },
          ...(who ? [{ key: 'who', title: t('grants.to'), render: (g: Grant) => (g.group ? groupName(g.group) : g.user) ?? '–' }] : []),
          { key: 'time', title: t('grants.time'), render: (g) => <GrantTime grant={g} /> },
          { key: 'place', title: t('grants.place'), render: (g) => (bound(g).place ? <span className="mono">{list(g.networks).join(', ')}</span> : <span className="dim">{t('grants.anywhere')}</span>) },
          { key: 'reason', title: t('grants.reason'), render: (g) => <span title={g.granted_by ? `${t('grants.by')} ${g.granted_by}` : undefined}>{g.reason || <span className="faint">–</span>}</span> },
          {
            key: 'active',
            title: t('col.status'),
            render: (g) => (
              <span className="status">
                <i className={`dot ${g.in_force === false ? 'off' : 'ok'}`} />
                {t(g.in_force === false ? 'grants.inactive' : 'grants.active')}
              </span>
            ),
          },
          {
            key: 'do',
            title: '',
            num: true,
            render: (g) => (
              <span className="row" style={{ justifyContent: 'flex-end' }}>
                {can('update-grant') && (
                  <Button size="small" onClick={() => setEditing(g)}>
                    {t('do.edit')}
                  </Button>
                )}
                {can('delete-grant') && (
                  <Button size="small" onClick={() => setRevoking(g)}>
                    {t('grants.revoke')}
                  </Button>
                )}
              </span>
            ),
          },
        ]}
      />
      {editing && <GrantDialog grant={editing} close={() => setEditing(null)} />}
      {revoking && (
        <Ask
          title={t('grants.revoke')}
          why={t('grants.revokeWhy', { x: roleName(revoking.role) })}
          ok={t('grants.revoke')}
          close={() => setRevoking(null)}
          submit={async () => {
            await del(`/grants/${encodeURIComponent(revoking.id)}`);
            tell({ said: t('grants.revoked'), renew: RENEW });
          }}
        />
      )}
    </>
  );
}

interface Values {
  role: string;
  receiver: 'user' | 'group';
  user?: string;
  group?: string;
  not_before?: string;
  not_after?: string;
  weekdays?: number[];
  from?: string;
  to?: string;
  networks?: string[];
  reason?: string;
}

/** Gives a role, bound in time and place where that is wanted; or changes such a grant. */
export function GrantDialog({ user, group, grant, close }: { user?: string; group?: string; grant?: Grant; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const roleName = useRoleName();
  const fixed = !!(user || group || grant);
  return (
    <FormDialog<Values>
      title={t(grant ? 'grants.edit' : 'grants.new')}
      ok={t(grant ? 'do.save' : 'grants.new')}
      width={560}
      close={close}
      initial={
        grant
          ? { ...grant, not_before: localInput(grant.not_before), not_after: localInput(grant.not_after), weekdays: list(grant.weekdays), networks: list(grant.networks) }
          : { receiver: 'user', weekdays: [], networks: [] }
      }
      submit={async (v) => {
        const bounds = {
          not_before: localTime(v.not_before),
          not_after: localTime(v.not_after),
          weekdays: v.weekdays ?? [],
          from: v.from ?? '',
          to: v.to ?? '',
          networks: v.networks ?? [],
          reason: v.reason ?? '',
        };
        // Bounds that are not set are left out: the whole set replaces the one before.
        const given = Object.fromEntries(Object.entries(bounds).filter(([, x]) => x !== null && x !== '' && !(Array.isArray(x) && x.length === 0)));
        if (grant) await put(`/grants/${encodeURIComponent(grant.id)}`, given);
        else await post('/grants', { role: v.role, ...(user || (!group && v.receiver === 'user') ? { user: user ?? v.user } : { group: group ?? v.group }), ...given });
        tell({ said: grant ? t('grants.saved') : t('grants.created', { x: roleName(v.role) }), renew: RENEW });
      }}
    >
      {(form) => (
        <>
          {!grant && (
            <Form.Item name="role" label={t('grants.role')} rules={[{ required: true, message: t('word.required', { x: t('grants.role') }) }]}>
              <RolePicker />
            </Form.Item>
          )}
          {!fixed && (
            <>
              <Form.Item name="receiver" label={t('grants.to')} style={{ marginBottom: 8 }}>
                <Radio.Group options={(['user', 'group'] as const).map((x) => ({ value: x, label: t(`grants.${x}`) }))} />
              </Form.Item>
              <Form.Item noStyle dependencies={['receiver']}>
                {() =>
                  form.getFieldValue('receiver') === 'group' ? (
                    <Form.Item name="group" rules={[{ required: true, message: t('word.required', { x: t('grants.group') }) }]}>
                      <GroupPicker />
                    </Form.Item>
                  ) : (
                    <Form.Item name="user" rules={[{ required: true, message: t('word.required', { x: t('grants.user') }) }]}>
                      <UserPicker />
                    </Form.Item>
                  )
                }
              </Form.Item>
            </>
          )}
          <div className="two">
            <Form.Item name="not_before" label={t('users.validFrom')}>
              <input type="datetime-local" />
            </Form.Item>
            <Form.Item name="not_after" label={t('users.validUntil')}>
              <input type="datetime-local" />
            </Form.Item>
          </div>
          <Form.Item name="weekdays" label={t('grants.weekdays')}>
            <Checkbox.Group options={DAYS.map((d) => ({ value: d, label: t(`day.${d}`) }))} />
          </Form.Item>
          <Form.Item label={t('grants.hours')} style={{ marginBottom: 12 }}>
            <div className="row">
              <Form.Item name="from" noStyle>
                <input type="time" aria-label={t('range.from')} />
              </Form.Item>
              –
              <Form.Item name="to" noStyle>
                <input type="time" aria-label={t('range.to')} />
              </Form.Item>
            </div>
          </Form.Item>
          <Form.Item name="networks" label={t('grants.networks')} extra={t('grants.networksWhy')}>
            <WordsInput />
          </Form.Item>
          <Form.Item name="reason" label={t('grants.reason')} extra={t('grants.reasonWhy')}>
            <Input.TextArea rows={1} className="grows" />
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}
