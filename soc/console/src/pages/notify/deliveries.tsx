import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Drawer } from 'antd';
import { Link } from 'react-router-dom';
import { buildPath, get, post, serverNow } from '../../api/client';
import { DELIVERY_STATES, type Delivery, type DeliveryDetail } from '../../api/notify';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useHeld } from '../../app/held';
import { useUrl } from '../../app/hooks';
import { useRowKeys } from '../../app/rows';
import { useSettings } from '../../app/settings';
import { zh, type Key } from '../../locales/zh';
import { joined } from '../../logic/format';
import { TenantName } from '../../parts/names';
import { Head } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When, WhenFull } from '../../parts/time';
import { WhyNot } from '../../parts/why';

/** How many are shown at once. */
const LIMIT = 200;

/** The dispatch log: who was told what, when, over what, and what became of it. */
export default function Deliveries() {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const state = DELIVERY_STATES.find((s) => s === url.get('state'));
  const open = url.get('sel') ?? '';
  const filter = { q, state, incident: url.get('incident') ?? undefined, receiver: url.get('receiver') ?? undefined };
  const query = useQuery({
    queryKey: ['deliveries', filter],
    queryFn: ({ signal }) => get<Page<Delivery>>('/deliveries', { ...filter, limit: LIMIT }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 5_000,
  });
  const { rows, news } = useHeld(JSON.stringify(filter), query.isPlaceholderData ? undefined : query.data && list(query.data.items), (query.data?.total ?? 0) <= LIMIT);
  const [cursor] = useRowKeys(rows.map((r) => r.id), (id) => setUrl({ sel: id }));
  const filtered = !!q || !!state || !!filter.incident || !!filter.receiver;
  const clear = () => setUrl({ q: undefined, state: undefined, incident: undefined, receiver: undefined });
  return (
    <div className="page">
      <Head title={t('page.deliveries')} sub={t('notify.deliveriesLead')}>
        <a href={buildPath('/deliveries/export', { ...filter, format: 'xlsx' })} download className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }}>
          {t('notify.export')}
        </a>
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('notify.find')} />
        {DELIVERY_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`notify.state.${s}`)}
          </button>
        ))}
        {(['incident', 'receiver'] as const).map(
          (k) =>
            filter[k] && (
              <span className="chip" key={k}>
                <span className="ellipsis">{filter[k]}</span>
                <button className="plain" aria-label={t('do.remove', { x: filter[k] })} onClick={() => setUrl({ [k]: undefined })}>
                  ✕
                </button>
              </span>
            ),
        )}
        {filtered && (
          <Button type="link" size="small" onClick={clear}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {news}
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="notify.what" lines={8}>
          {() =>
            rows.length === 0 && filtered ? (
              <Empty title={t('notify.noneFit')} why={t('notify.noneFitWhy')}>
                <Button onClick={clear}>{t('do.clear')}</Button>
              </Empty>
            ) : rows.length === 0 ? (
              <Empty title={t('notify.noDeliveries')} why={t('notify.noDeliveriesWhy')}>
                <Link to="/notify/contacts">{t('page.contacts')}</Link> <Link to="/notify/routes">{t('page.routing')}</Link>
              </Empty>
            ) : (
              <DataTable
                label={t('page.deliveries')}
                rows={rows}
                rowKey={(d) => d.id}
                marked={open || cursor}
                onRow={(d) => setUrl({ sel: d.id })}
                columns={[
                  { key: 'at', title: t('notify.at'), render: (d) => <When time={d.created_at} /> },
                  { key: 'state', title: t('col.status'), render: (d) => <State delivery={d} /> },
                  { key: 'to', title: t('notify.contact'), render: (d) => <span title={d.channel}>{d.receiver}</span> },
                  { key: 'people', title: t('notify.people'), render: (d) => joined(list(d.people), locale) },
                  {
                    key: 'said',
                    title: t('notify.said'),
                    render: (d) => (
                      <div style={{ overflowWrap: 'anywhere' }}>
                        {d.title || (`notify.kind.${d.kind}` in zh ? t(`notify.kind.${d.kind}` as Key) : d.kind)}
                        {d.error && (
                          <div>
                            <WhyNot error={d.error} />
                          </div>
                        )}
                      </div>
                    ),
                  },
                  { key: 'route', title: t('notify.route'), render: (d) => <span className="dim">{d.route?.replace(/^root\b/, t('notify.rootShort'))}</span> },
                  { key: 'tenant', title: t('notify.tenants'), render: (d) => <TenantName slug={d.tenant} /> },
                  { key: 'n', title: t('notify.attempts'), num: true, render: (d) => d.attempts },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {open && <Detail id={open} close={() => setUrl({ sel: undefined })} />}
    </div>
  );
}

function State({ delivery: d }: { delivery: Delivery }) {
  const { t } = useSettings();
  return (
    <span className="status">
      <i className={`dot ${d.state === 'delivered' ? 'ok' : d.state === 'failed' ? 'error' : 'open'}`} />
      {t(`notify.state.${d.state}`)}
    </span>
  );
}

function Detail({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['delivery', id], queryFn: ({ signal }) => get<DeliveryDetail>(`/deliveries/${encodeURIComponent(id)}`, {}, signal), refetchInterval: 5_000 });
  return (
    <Drawer open onClose={close} width={620} title={query.data?.title || t('notify.what')}>
      <Loaded query={query} what="notify.what" lines={6}>
        {(d) => (
          <>
            <p>
              <State delivery={d} /> {d.receiver} ({d.channel}) {d.incident_id && <Link to={`/incidents/${d.incident_id}`}>{d.incident_id}</Link>}
            </p>
            {d.error && (
              <div className="notice warn">
                <WhyNot error={d.error} />
              </div>
            )}
            {d.state === 'pending' && d.next_at && (
              <p>
                {Date.parse(d.next_at) < serverNow() ? (
                  t('notify.behind')
                ) : (
                  <>
                    {t('notify.next', { time: '' })}
                    <WhenFull time={d.next_at} />
                  </>
                )}
              </p>
            )}
            {can('resend-delivery') && d.replayable && (
              <Button loading={busy} type={d.state === 'failed' ? 'primary' : 'default'} onClick={() => void act(() => post(`/deliveries/${encodeURIComponent(id)}/resend`), { said: t('notify.resent'), renew: ['delivery', 'deliveries'] })}>
                {t('notify.resend')}
              </Button>
            )}
            <DataTable
              label={t('notify.attempts')}
              rows={list(d.log)}
              rowKey={(a) => String(a.attempt)}
              columns={[
                { key: 'n', title: t('notify.attempts'), render: (a) => t('notify.attempt', { n: a.attempt }) },
                { key: 'at', title: t('notify.at'), render: (a) => <When time={a.at} /> },
                { key: 'status', title: t('col.status'), render: (a) => [`delivery.${a.status}` in zh ? t(`delivery.${a.status}` as Key) : a.status, a.http_status && `HTTP ${a.http_status}`].filter(Boolean).join(' ') },
                { key: 'why', title: t('notify.why'), render: (a) => a.error || (a.merged_into ? t('notify.merged') : a.host) },
              ]}
            />
            <h3 className="under" style={{ marginTop: 16 }}>
              {t('notify.payload')}
            </h3>
            <pre className="raw" style={{ maxHeight: 'none' }}>
              {JSON.stringify(d.body, null, 2)}
            </pre>
          </>
        )}
      </Loaded>
    </Drawer>
  );
}
