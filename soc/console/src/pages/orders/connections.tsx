import { useQuery } from '@tanstack/react-query';
import { Button, Switch } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post, put } from '../../api/client';
import type { Connection, MadeConnection } from '../../api/dispatch';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { joined, number } from '../../logic/format';
import { tidyConnection } from '../../logic/dispatch';
import { Ask } from '../../parts/dialog';
import { useTenantName } from '../../parts/names';
import { ConnectionForm, TokenDialog } from '../../parts/orders/form';
import { Head } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { WhyNot } from '../../parts/why';

const RENEW = ['work-order-connections', 'work-order-targets'];
const path = (c: Pick<Connection, 'id'>) => `/work-order-connections/${encodeURIComponent(c.id)}`;

/** Work-order systems of others, and how each fares. ?new=1 connects one, ?edit= changes one, ?deleted=1 shows those that were taken away too. */
export default function Connections() {
  const { t, locale } = useSettings();
  const write = useCan()('create-work-order-connection');
  const { act, busy } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const deleted = url.get('deleted') === '1';
  const [renewing, setRenewing] = useState<Connection | null>(null);
  const [made, setMade] = useState<MadeConnection | null>(null);
  const query = useQuery({ queryKey: ['work-order-connections', deleted], queryFn: ({ signal }) => get<Page<Connection>>('/work-order-connections', { deleted: deleted || undefined }, signal), refetchInterval: 15_000 });
  const rows = list(query.data?.items);
  const editing = rows.find((c) => c.id === url.get('edit') && !c.deleted_at);
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  const turn = (c: Connection, enabled: boolean) =>
    void act(() => put(path(c), { connection: { ...tidyConnection(c), enabled } }), { said: t(enabled ? 'order.turnedOn' : 'order.turnedOff', { x: c.name }), renew: RENEW, undo: () => void act(() => put(path(c), { connection: { ...tidyConnection(c), enabled: !enabled } }), { renew: RENEW }) });
  const restore = (c: Connection) => void act(() => post(`${path(c)}/restore`), { said: t('inhibit.restored', { x: c.name }), renew: RENEW });
  const remove = (c: Connection) => void act(() => del(path(c)), { said: t('inhibit.deleted', { x: c.name }), renew: RENEW, undo: () => restore(c) });
  return (
    <div className="page">
      <div className="row" style={{ marginBottom: 8 }}>
        <Link to="/orders">← {t('page.orders')}</Link>
      </div>
      <Head title={t('page.orderConnections')} sub={t('order.connectionsLead')}>
        <button className="plain toggle" aria-pressed={deleted} onClick={() => setUrl({ deleted: deleted ? undefined : '1' })}>
          {t('word.deletedToo')}
        </button>
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('order.connect')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.orderConnections" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('order.noSystem')} why={t('order.noSystemWhy')}>
                {write && <Button onClick={() => setUrl({ new: '1' })}>{t('order.connect')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.orderConnections')}
                rows={rows}
                rowKey={(c) => c.id}
                columns={[
                  {
                    key: 'name',
                    title: t('order.name'),
                    render: (c) => (
                      <>
                        <b style={{ opacity: c.deleted_at || !c.enabled ? 0.6 : 1 }}>{c.name}</b>
                        {c.description && <div className="faint">{c.description}</div>}
                      </>
                    ),
                  },
                  { key: 'url', title: t('order.address'), render: (c) => <span className="mono clip" style={{ maxWidth: 260 }} title={c.url || c.create?.url}>{c.url || c.create?.url}</span> },
                  { key: 'tenants', title: t('order.tenants'), render: (c) => (list(c.tenants).length > 0 ? <span className="clip" title={joined(list(c.tenants).map(tenantName), locale)}>{joined(list(c.tenants).map(tenantName), locale)}</span> : <span className="dim">{t('silence.allTenants')}</span>) },
                  {
                    key: 'state',
                    title: t('order.health'),
                    render: (c) => (
                      <>
                        {c.waiting + c.failed === 0 ? (
                          <span className="status">
                            <i className="dot ok" /> {t('order.healthy')}
                          </span>
                        ) : (
                          <Link className="status" to={`/orders?connection=${encodeURIComponent(c.id)}&state=sending,failed`}>
                            <i className="dot error" /> {t('order.behind', { n: number(c.waiting, locale), m: number(c.failed, locale) })}
                          </Link>
                        )}
                        {c.error && (
                          <div className="faint" style={{ maxWidth: 320, overflowWrap: 'anywhere' }}>
                            <WhyNot error={c.error} />
                          </div>
                        )}
                      </>
                    ),
                  },
                  { key: 'by', title: t('notify.by'), render: (c) => <span className="nowrap">{c.updated_by} <When time={new Date(c.updated_at).toISOString()} /></span> },
                  { key: 'on', title: t('col.status'), render: (c) => (c.deleted_at ? <span className="tag">{t('merge.deleted')}</span> : <Switch size="small" checked={c.enabled} disabled={!write || busy} aria-label={t('inhibit.force', { x: c.name })} onChange={(on) => turn(c, on)} />) },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (c) =>
                      write && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          {c.deleted_at ? (
                            <Button size="small" onClick={() => restore(c)}>
                              {t('notify.restore')}
                            </Button>
                          ) : (
                            <>
                              <Button size="small" onClick={() => setUrl({ edit: c.id })}>
                                {t('do.edit')}
                              </Button>
                              <Button size="small" onClick={() => setRenewing(c)}>
                                {t('order.renew')}
                              </Button>
                              <Button size="small" aria-label={`${t('do.delete')} ${c.name}`} onClick={() => remove(c)}>
                                {t('do.delete')}
                              </Button>
                            </>
                          )}
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {url.get('new') === '1' && write && <ConnectionForm close={() => setUrl({ new: undefined })} />}
      {editing && write && <ConnectionForm key={editing.id} connection={editing} close={() => setUrl({ edit: undefined })} />}
      {renewing && (
        <Ask
          title={t('order.renewTitle', { x: renewing.name })}
          why={t('order.renewWhy')}
          ok={t('order.renew')}
          submit={async () => setMade(await post<MadeConnection>(`${path(renewing)}/token`))}
          close={() => setRenewing(null)}
        />
      )}
      {made && <TokenDialog made={made} close={() => setMade(null)} />}
    </div>
  );
}
