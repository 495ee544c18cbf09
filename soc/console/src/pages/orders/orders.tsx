import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Input, Select, type InputRef } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { Link } from 'react-router-dom';
import { buildPath, get } from '../../api/client';
import { ORDER_STATES, type Order, type OrderTarget } from '../../api/dispatch';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useHeld } from '../../app/held';
import { useSettled, useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useRowKeys } from '../../app/rows';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { whyOf } from '../../logic/sending';
import { parseWords } from '../../logic/urlstate';
import { useTenantName } from '../../parts/names';
import { OrderPanel, objectLink } from '../../parts/orders/detail';
import { OrderState } from '../../parts/orders/state';
import { Head } from '../../parts/page';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { TenantFilter } from '../../parts/tenantfilter';
import { When } from '../../parts/time';

/** Work orders in other systems and where they stand. All filters are in the address; ?order= opens one beside the list. */
export default function Orders() {
  const { t, locale } = useSettings();
  const can = useCan();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const state = parseWords(url, 'state', ORDER_STATES);
  const tenant = url.get('tenant') ?? '';
  const connection = url.get('connection') ?? '';
  const object = url.get('object') ?? '';
  const q = url.get('q') ?? '';
  const chosen = url.get('order') ?? '';
  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (settled !== q && settled === text.trim()) setUrl({ q: settled });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps
  const filter = { state: state.join(','), tenant, connection, object, q };
  const query = useInfiniteQuery({
    queryKey: ['work-orders', 'list', filter],
    queryFn: ({ signal, pageParam }) => get<Page<Order>>('/work-orders', { ...filter, limit: 100, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    refetchInterval: 15_000,
  });
  const targets = useQuery({ queryKey: ['work-order-targets'], queryFn: ({ signal }) => get<Page<OrderTarget>>('/work-order-targets', {}, signal), staleTime: 60_000 });
  const { rows, news } = useHeld(`${JSON.stringify(filter)} ${query.data?.pages.length ?? 0}`, query.data?.pages.flatMap((p) => list(p.items)), !query.hasNextPage);
  const open = (id: string) => setUrl({ order: id });
  const [cursor] = useRowKeys(rows.map((r) => r.id), open);
  const input = useRef<InputRef>(null);
  useKeys({ '/': () => input.current?.focus(), Escape: () => chosen && setUrl({ order: undefined }) });
  const filtered = state.length > 0 || !!tenant || !!connection || !!object || !!q;
  const clear = () => {
    setText('');
    setUrl({ state: [], tenant: undefined, connection: undefined, object: undefined, q: undefined });
  };
  const said = (error: string) => {
    const why = whyOf(error);
    return why ? t(`why.${why}`) : error;
  };
  const manage = can('list-work-order-connections');
  const systems = list(targets.data?.items);
  return (
    <div className="page fill">
      <Head title={t('page.orders')} sub={query.data ? number(query.data.pages[0]?.total ?? rows.length, locale) : ''}>
        <Button href={buildPath('/work-orders/export', { ...filter, format: 'xlsx' })} download disabled={rows.length === 0}>
          {t('order.export')}
        </Button>
        {manage && (
          <Link to="/orders/connections">
            <Button>{t('order.connections')}</Button>
          </Link>
        )}
      </Head>
      <div className="filters" role="search">
        <Input ref={input} allowClear style={{ width: 240 }} placeholder={t('order.filter')} aria-label={t('order.filter')} maxLength={200} value={text} suffix={text ? undefined : <kbd>/</kbd>} onChange={(e) => setText(e.target.value)} />
        {ORDER_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state.includes(s)} onClick={() => setUrl({ state: state.includes(s) ? state.filter((x) => x !== s) : [...state, s] })}>
            {t(`order.state.${s}`)}
          </button>
        ))}
        {systems.length > 1 && (
          <Select allowClear style={{ width: 150 }} placeholder={t('order.system')} aria-label={t('order.system')} value={connection || undefined} options={systems.map((c) => ({ value: c.id, label: c.name }))} onChange={(v?: string) => setUrl({ connection: v })} />
        )}
        <TenantFilter value={tenant} onChange={(v) => setUrl({ tenant: v })} />
        {object && (
          <span className="chip">
            <span className="mono">{object}</span>
            <button className="plain" aria-label={t('do.remove', { x: object })} onClick={() => setUrl({ object: undefined })}>
              ✕
            </button>
          </span>
        )}
        {filtered && (
          <Button type="link" size="small" onClick={clear}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {news}
      <div className="split">
        <div className="panel grow">
          {query.error && !query.data ? (
            <Failed error={query.error} what="page.orders" retry={() => void query.refetch()} />
          ) : !query.data ? (
            <Skeleton lines={10} />
          ) : rows.length === 0 ? (
            filtered ? (
              <Empty title={t('order.noneFit')} why={t('order.noneFitWhy')}>
                <Button onClick={clear}>{t('do.clear')}</Button>
              </Empty>
            ) : systems.length === 0 ? (
              <Empty title={t('order.noSystem')} why={t(manage ? 'order.noSystemWhy' : 'order.noSystemAsk')}>
                {manage && (
                  <Link to="/orders/connections?new=1">
                    <Button type="primary">{t('order.connect')}</Button>
                  </Link>
                )}
              </Empty>
            ) : (
              <Empty title={t('order.empty')} why={t('order.emptyWhy')}>
                <Link to="/incidents">
                  <Button>{t('page.incidents')}</Button>
                </Link>
              </Empty>
            )
          ) : (
            <>
              <DataTable
                label={t('page.orders')}
                rows={rows}
                rowKey={(o) => o.id}
                marked={chosen || cursor}
                onRow={(o) => open(o.id)}
                columns={[
                  { key: 'state', title: t('col.status'), render: (o) => <OrderState order={o} /> },
                  {
                    key: 'what',
                    title: t('col.what'),
                    render: (o) => (
                      <>
                        <Link to={objectLink(o.object)}>{o.title || o.object}</Link>
                        {(o.error || o.note) && (
                          <div className="faint ellipsis" style={{ maxWidth: chosen ? 320 : 520 }} title={o.error || o.note}>
                            {o.error ? said(o.error) : o.note}
                          </div>
                        )}
                      </>
                    ),
                  },
                  {
                    key: 'no',
                    title: t('order.number'),
                    render: (o) =>
                      o.link ? (
                        <a className="mono" href={o.link} target="_blank" rel="noreferrer noopener">
                          {o.external || '↗'}
                        </a>
                      ) : (
                        <span className="mono">{o.external || '–'}</span>
                      ),
                  },
                  ...(chosen
                    ? []
                    : [
                        { key: 'sys', title: t('order.system'), render: (o: Order) => o.connection_name },
                        { key: 'who', title: t('order.handler'), render: (o: Order) => o.handler || <span className="faint">–</span> },
                        { key: 'tenant', title: t('col.tenant'), render: (o: Order) => <span className="clip">{tenantName(o.tenant)}</span> },
                        { key: 'by', title: t('order.madeBy'), render: (o: Order) => o.made_by },
                      ]),
                  { key: 'at', title: t('order.madeAt'), num: true, render: (o) => <When time={new Date(o.made_at).toISOString()} /> },
                ]}
              />
              {query.hasNextPage && (
                <div style={{ padding: 12, textAlign: 'center' }}>
                  <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                    {t('do.more')}
                  </Button>
                </div>
              )}
            </>
          )}
        </div>
        {chosen && <OrderPanel key={chosen} id={chosen} close={() => setUrl({ order: undefined })} />}
      </div>
    </div>
  );
}
