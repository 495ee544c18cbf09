import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input } from 'antd';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { all } from '../../api/directory';
import { post } from '../../api/client';
import type { Application } from '../../api/federation';
import { useCan } from '../../api/queries';
import type { Text } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { AppIcon } from '../portal';

/** Applications of the portal: which are open, for whom, and how they sign in. */
export default function Applications() {
  const { t, tx } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const [params] = useUrl();
  const { busy, act, tell } = useAct();
  const [adding, setAdding] = useState<{ name?: Text; tenant?: string } | null>(null);
  const q = (params.get('q') ?? '').toLowerCase();
  const query = useQuery({ queryKey: ['applications'], queryFn: ({ signal }) => all<Application>(can('list-applications') ? '/applications/all' : '/applications/clients', {}, signal) });
  const hints = useQuery({ queryKey: ['applications', 'suggestions'], queryFn: ({ signal }) => all<{ tenant: string; name: Text }>('/applications/suggestions', {}, signal), enabled: can('suggest-applications') });
  const setOpen = (a: Application, open: boolean): Promise<boolean> =>
    act(() => post(`/applications/${encodeURIComponent(a.id)}/${open ? 'open' : 'close'}`), {
      said: t(open ? 'apps.opened' : 'apps.closedSaid', { x: tx(a.name) }),
      undo: () => void setOpen(a, !open),
      renew: ['applications', 'portal'],
    });
  const suggestions = (hints.data ?? []).slice(0, 6);
  return (
    <div className="page">
      <Head title={t('page.applications')}>
        {can('create-application') && (
          <Button type="primary" onClick={() => setAdding({})}>
            {t('apps.new')}
          </Button>
        )}
      </Head>
      <div className="filters">
        <SearchBox hint={t('apps.search')} />
        {suggestions.length > 0 && (
          <span className="row wrap dim">
            {t('apps.suggest')}
            {suggestions.map((s) => (
              <button key={s.tenant} className="plain toggle" onClick={() => setAdding({ name: s.name, tenant: s.tenant })}>
                + {tx(s.name) || s.tenant}
              </button>
            ))}
          </span>
        )}
      </div>
      <Stale query={query} />
      <Panel flush>
        <Loaded query={query} what="apps.what" lines={5}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('apps.empty')} why={t('apps.emptyWhy')}>
                {can('create-application') && <Button onClick={() => setAdding({})}>{t('apps.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.applications')}
                rows={rows.filter((a) => !q || `${a.name.zh ?? ''} ${a.name.en ?? ''}`.toLowerCase().includes(q))}
                rowKey={(a) => a.id}
                onRow={(a) => navigate(`/admin/applications/${encodeURIComponent(a.id)}`)}
                columns={[
                  {
                    key: 'name',
                    title: t('col.name'),
                    render: (a) => (
                      <Link to={`/admin/applications/${encodeURIComponent(a.id)}`} className="person" style={{ color: 'inherit' }}>
                        <AppIcon card={a} /> <b>{tx(a.name) || a.id}</b>
                      </Link>
                    ),
                  },
                  { key: 'category', title: t('apps.category'), render: (a) => a.category || <span className="faint">–</span> },
                  { key: 'url', title: t('apps.url'), render: (a) => <span className="mono dim">{a.url || '–'}</span> },
                  { key: 'client', title: t('apps.client'), render: (a) => (a.client && a.client.type !== 'none' ? 'OIDC' : <span className="faint">–</span>) },
                  {
                    key: 'open',
                    title: t('col.status'),
                    render: (a) => (
                      <span className="status">
                        <i className={`dot ${a.open ? 'ok' : 'off'}`} />
                        {t(a.open ? 'apps.open' : 'apps.closed')}
                      </span>
                    ),
                  },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (a) =>
                      can('update-application') && (
                        <Button size="small" disabled={busy} onClick={() => void setOpen(a, !a.open)}>
                          {t(a.open ? 'apps.closeDo' : 'apps.openDo')}
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Panel>
      {adding && (
        <FormDialog<{ zh: string; en?: string; url?: string; category?: string }>
          title={t('apps.new')}
          ok={t('apps.new')}
          initial={{ zh: adding.name?.zh, en: adding.name?.en }}
          close={() => setAdding(null)}
          submit={async (v) => {
            const a = await post<Application>('/applications', { name: { zh: v.zh, en: v.en ?? '' }, ...(v.url ? { url: v.url } : {}), ...(v.category ? { category: v.category } : {}), ...(adding.tenant ? { tenant: adding.tenant } : {}) });
            tell({ said: t('apps.created', { x: v.zh }), renew: ['applications', 'portal'] });
            navigate(`/admin/applications/${encodeURIComponent(a.id)}`);
          }}
        >
          <div className="two">
            <Form.Item name="zh" label={t('apps.nameZh')} rules={[{ required: true, message: t('word.required', { x: t('col.name') }) }]}>
              <Input autoFocus autoComplete="off" />
            </Form.Item>
            <Form.Item name="en" label={t('apps.nameEn')}>
              <Input autoComplete="off" />
            </Form.Item>
          </div>
          <Form.Item name="url" label={t('apps.url')}>
            <Input autoComplete="off" placeholder="https://" />
          </Form.Item>
          <Form.Item name="category" label={t('apps.category')}>
            <Input autoComplete="off" />
          </Form.Item>
        </FormDialog>
      )}
    </div>
  );
}
