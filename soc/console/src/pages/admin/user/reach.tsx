import { useQuery } from '@tanstack/react-query';
import { Button, Form } from 'antd';
import { useEffect } from 'react';
import type { Account, ReachPreview } from '../../../api/access';
import { get, put } from '../../../api/client';
import { useCan } from '../../../api/queries';
import { list } from '../../../api/types';
import { useAct } from '../../../app/act';
import { useSeeAs } from '../../../app/seeas';
import { useSettings } from '../../../app/settings';
import { useTenantName } from '../../../parts/names';
import { Panel } from '../../../parts/page';
import { ReachInput, ReachTenants } from '../../../parts/reach';
import { Empty, Loaded } from '../../../parts/states';

/** A user's data scope, and what comes of it together with tenants and ceilings. */
export function UserReach({ user }: { user: Account }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const { see } = useSeeAs();
  const { busy, act } = useAct();
  const tenantName = useTenantName();
  const [form] = Form.useForm<{ reach: string }>();
  useEffect(() => form.setFieldsValue({ reach: user.reach ?? '' }), [form, user]);
  const may = can('set-user-access');
  const name = user.display_name || user.username;
  const preview = useQuery({
    queryKey: ['user', user.id, 'reach', user.reach, user.unit, user.tenants],
    queryFn: ({ signal }) => get<ReachPreview>('/reach/preview', { user: user.id }, signal),
    enabled: can('security'),
  });
  return (
    <div className="stack">
      <Panel title={t('reach.expression')}>
        <Form
          form={form}
          disabled={!may}
          initialValues={{ reach: user.reach ?? '' }}
          style={{ maxWidth: 860 }}
          onFinish={(v) => void act(() => put(`/users/${encodeURIComponent(user.id)}/access`, { reach: v.reach.trim() }), { said: t('reach.saved', { x: name }), renew: ['users', 'user'] })}
        >
          <Form.Item name="reach" extra={t('reach.why')} style={{ marginBottom: 12 }}>
            <ReachInput disabled={!may} />
          </Form.Item>
          {may && (
            <Button type="primary" htmlType="submit" loading={busy}>
              {t('do.save')}
            </Button>
          )}
        </Form>
      </Panel>
      {can('security') && (
        <Panel
          title={t('reach.preview', { x: name })}
          end={
            can('read') && (
              <Button size="small" title={t('reach.seeAsWhy')} onClick={() => see(user.username)}>
                {t('reach.seeAs')}
              </Button>
            )
          }
        >
          <Loaded query={preview} what="users.reach" lines={4} small>
            {(x) => (
              <>
                <p className="dim" style={{ marginBottom: 10 }}>
                  {t('reach.previewWhy')}
                </p>
                <dl className="facts" style={{ marginBottom: 12 }}>
                  <dt>{t('reach.tenantsListed')}</dt>
                  <dd>{list(x.tenants_listed).includes('*') ? t('users.allTenants') : list(x.tenants_listed).map(tenantName).join(', ') || t('word.none')}</dd>
                  <dt>{t('reach.ceilings')}</dt>
                  <dd>
                    {list(x.ceilings).length === 0
                      ? t('units.noCeiling')
                      : list(x.ceilings).map((c) => (
                          <div key={c.unit}>
                            {tx(c.name) || c.unit}: <code>{c.expression}</code>
                          </div>
                        ))}
                  </dd>
                </dl>
                {x.everything ? (
                  <div className="verdict">{t('reach.everything')}</div>
                ) : x.nothing || list(x.tenants).length === 0 ? (
                  <Empty small title={t('reach.nothingSeen')} />
                ) : (
                  <>
                    <div style={{ fontWeight: 600, marginBottom: 6 }}>{t('reach.covers', { w: x.whole ?? 0, p: x.part ?? 0 })}</div>
                    <ReachTenants tenants={list(x.tenants)} />
                  </>
                )}
              </>
            )}
          </Loaded>
        </Panel>
      )}
    </div>
  );
}
