import { Input } from 'antd';
import { Link } from 'react-router-dom';
import { useTenants } from '../api/queries';
import type { Tenant } from '../api/types';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { fieldIs } from '../logic/logsql';
import { number } from '../logic/format';
import { Head } from '../parts/page';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';

export function systemsOf(x: Tenant): number {
  return Array.isArray(x.systems) ? x.systems.length : (x.systems ?? 0);
}

export default function Tenants() {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const query = useTenants();
  const wanted = q.trim().toLowerCase();
  return (
    <div className="page">
      <Head title={t('page.tenants')} sub={query.data ? number(query.data.length, locale) : ''} />
      <div className="filters" role="search">
        <Input allowClear style={{ width: 280 }} placeholder={t('tenants.filter')} aria-label={t('tenants.filter')} value={q} onChange={(e) => setUrl({ q: e.target.value })} />
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="tenants.what" lines={14}>
          {(all) => {
            const rows = all.filter((x) => !wanted || `${x.slug} ${x.name.zh ?? ''} ${x.name.en ?? ''} ${x.domain ?? ''}`.toLowerCase().includes(wanted));
            if (rows.length === 0) return <Empty title={t('tenants.empty')} why={t('tenants.emptyWhy')} />;
            return (
              <DataTable
                label={t('page.tenants')}
                rows={rows}
                rowKey={(x) => x.slug}
                columns={[
                  { key: 'name', title: t('col.name'), render: (x) => <b style={{ fontWeight: 550 }}>{tx(x.name) || x.slug}</b> },
                  { key: 'slug', title: t('tenants.slug'), render: (x) => <span className="mono dim">{x.slug}</span> },
                  { key: 'domain', title: t('tenants.domain'), render: (x) => x.domain || '–' },
                  { key: 'level', title: t('tenants.level'), render: (x) => (x.protection_level ? t('tenants.levelN', { n: x.protection_level }) : '–') },
                  {
                    key: 'systems',
                    title: t('tenants.systems'),
                    num: true,
                    render: (x) => (systemsOf(x) > 0 ? <Link to={`/cmdb?class=business_system&tenant=${encodeURIComponent(x.slug)}`}>{number(systemsOf(x), locale)}</Link> : '0'),
                  },
                  {
                    key: 'links',
                    title: t('tenants.links'),
                    render: (x) => (
                      <span className="row" style={{ gap: 14 }}>
                        <Link to={`/alerts?tenant=${encodeURIComponent(x.slug)}`}>{t('page.alerts')}</Link>
                        <Link to={`/incidents?tenant=${encodeURIComponent(x.slug)}`}>{t('page.incidents')}</Link>
                        <Link to={`/search?${new URLSearchParams({ query: fieldIs('icewatch.tenant', x.slug), since: '24h' })}`}>{t('page.search')}</Link>
                      </span>
                    ),
                  },
                ]}
              />
            );
          }}
        </Loaded>
      </div>
    </div>
  );
}
