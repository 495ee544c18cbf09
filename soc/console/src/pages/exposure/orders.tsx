import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Input } from 'antd';
import { Link, useNavigate } from 'react-router-dom';
import { get } from '../../api/client';
import { FINDING_ORDER_STATES, type FindingOrder } from '../../api/findings';
import type { Page } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Listing } from '../../parts/listing';
import { Due, OrderStateMark } from '../../parts/exposure/marks';
import { TenantName } from '../../parts/names';
import { Head } from '../../parts/page';
import { Empty } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

/** Work orders of findings. ?q=, ?state= and ?cursor= say what is shown. */
export default function FindingOrders() {
  const { t, locale } = useSettings();
  const go = useNavigate();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const state = url.get('state') ?? '';
  const cursor = url.get('cursor') ?? '';
  const filter = { q: q || undefined, state: state || undefined, cursor: cursor || undefined, limit: 100 };
  const query = useQuery({ queryKey: ['finding-orders', JSON.stringify(filter)], queryFn: ({ signal }) => get<Page<FindingOrder>>('/finding-orders', filter, signal), placeholderData: keepPreviousData, refetchInterval: 60_000 });
  const narrowed = q !== '' || state !== '';
  return (
    <div className="page">
      <Head title={t('page.findingOrders')} sub={t('forder.lead')}>
        <Input.Search key={q} allowClear style={{ width: 240 }} placeholder={t('forder.search')} aria-label={t('forder.search')} defaultValue={q} onSearch={(x) => setUrl({ q: x || undefined, cursor: undefined })} />
      </Head>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        {(['', ...FINDING_ORDER_STATES] as const).map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: s || undefined, cursor: undefined })}>
            {t(s === '' ? 'finding.all' : `forder.state.${s}`)}
          </button>
        ))}
        {query.data && <span className="faint">{t('vuln.total', { n: number(query.data.total ?? 0, locale) })}</span>}
      </div>
      <Listing
        query={query}
        what="page.findingOrders"
        lines={8}
        empty={
          <Empty title={t(narrowed ? 'forder.none' : 'forder.empty')} why={narrowed ? t('vuln.noneWhy') : t('forder.emptyWhy')}>
            {!narrowed && (
              <Link to="/findings">
                <Button>{t('page.findings')}</Button>
              </Link>
            )}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('page.findingOrders')}
            rows={rows}
            rowKey={(o) => o.id}
            onRow={(o) => go(`/finding-orders/${encodeURIComponent(o.id)}`)}
            columns={[
              { key: 'state', title: t('col.status'), render: (o) => <OrderStateMark state={o.state} /> },
              {
                key: 'title',
                title: t('forder.name'),
                render: (o) => (
                  <>
                    <Link to={`/finding-orders/${encodeURIComponent(o.id)}`}>{o.title}</Link>
                    <div className="faint mono">{o.id}</div>
                  </>
                ),
              },
              { key: 'left', title: t('forder.left'), num: true, render: (o) => t('forder.leftOf', { n: o.left, m: o.findings }) },
              { key: 'owner', title: t('finding.owner'), render: (o) => o.owner || <span className="faint">–</span> },
              {
                key: 'due',
                title: t('finding.due'),
                render: (o) => <Due at={o.due_at} overdue={o.overdue} />,
              },
              { key: 'tenant', title: t('col.tenant'), render: (o) => <TenantName slug={o.tenant} /> },
              {
                key: 'made',
                title: t('forder.madeBy'),
                render: (o) => (
                  <>
                    {o.made_by} <When time={o.made_at} />
                  </>
                ),
              },
            ]}
          />
        )}
      </Listing>
    </div>
  );
}
