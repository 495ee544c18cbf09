import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Button, Form, Select } from 'antd';
import { Link } from 'react-router-dom';
import type { Setting } from '../api/access';
import { buildPath, get, post } from '../api/client';
import { all } from '../api/directory';
import type { DailyPlan, DailyReport } from '../api/dispatch';
import { useCan } from '../api/queries';
import { useMyMasks } from '../api/search';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useRowKeys } from '../app/rows';
import { useSettings } from '../app/settings';
import { joined, number } from '../logic/format';
import { FormDialog } from '../parts/dialog';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { Empty, Failed, Skeleton, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When, WhenFull } from '../parts/time';

const file = (r: DailyReport, format: 'pdf' | 'docx') => buildPath(`/daily-reports/${encodeURIComponent(r.id)}/file`, { format });

/** Daily security reports and lists of high risk. ?plan= shows those of one plan, ?report= reads one beside the list. */
export default function Daily() {
  const { t, locale } = useSettings();
  const can = useCan();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const plan = url.get('plan') ?? '';
  const chosen = url.get('report') ?? '';
  const query = useInfiniteQuery({
    queryKey: ['daily-reports', plan],
    queryFn: ({ signal, pageParam }) => get<Page<DailyReport>>('/daily-reports', { plan, limit: 100, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
    refetchInterval: 60_000,
  });
  const settings = useQuery({ enabled: can('configure'), queryKey: ['settings'], queryFn: ({ signal }) => all<Setting>('/settings', {}, signal) });
  // Reports cite alerts as they are: who sees parts of events masked is shown none.
  const masked = list(useMyMasks().data?.items).length > 0;
  const plans = (list(settings.data).find((s) => s.name === 'daily-report')?.value.reports ?? []) as DailyPlan[];
  const rows = (query.data?.pages ?? []).flatMap((p) => list(p.items));
  const one = rows.find((r) => r.id === chosen);
  const open = (id: string) => setUrl({ report: id });
  const [cursor] = useRowKeys(rows.map((r) => r.id), open);
  useKeys({ Escape: () => chosen && setUrl({ report: undefined }), n: () => can('make-daily-report') && setUrl({ new: '1' }) });
  // Who may not read the setting still knows the plans by the reports that there are.
  const known = plans.length > 0 ? plans.map((p) => ({ id: p.id, name: p.name })) : [...new Map(rows.map((r) => [r.plan, r.name])).entries()].map(([id, name]) => ({ id, name }));
  const make = can('make-daily-report') && known.length > 0 && (
    <Button type="primary" onClick={() => setUrl({ new: '1' })}>
      {t('daily.make')}
    </Button>
  );
  return (
    <div className="page fill">
      <Head title={t('page.daily')} sub={query.data ? number(query.data.pages[0]?.total ?? rows.length, locale) : ''}>
        {known.length > 1 && <Select allowClear style={{ width: 180 }} placeholder={t('daily.plan')} aria-label={t('daily.plan')} value={plan || undefined} options={known.map((p) => ({ value: p.id, label: p.name }))} onChange={(v?: string) => setUrl({ plan: v })} />}
        {can('configure') && (
          <Link to="/admin/settings?setting=daily-report">
            <Button>{t('daily.settings')}</Button>
          </Link>
        )}
        {make}
      </Head>
      {plans.length > 0 && (
        <div className="row wrap dim" style={{ marginBottom: 10 }}>
          {plans.map((p) => (
            <span key={p.id} className="tag">
              <i className={`dot ${p.enabled ? 'ok' : 'off'}`} /> {p.name} · {p.enabled ? joined(list(p.at), locale) : t('word.off')} · {list(p.receivers).length > 0 ? joined(list(p.receivers), locale) : t('daily.nobody')}
            </span>
          ))}
        </div>
      )}
      <Stale query={query} />
      <div className="split">
        <div className="panel grow">
          {query.error && !query.data ? (
            <Failed error={query.error} what="page.daily" retry={() => void query.refetch()} />
          ) : !query.data ? (
            <Skeleton lines={8} />
          ) : rows.length === 0 && masked ? (
            <Empty title={t('daily.masked')} why={t('daily.maskedWhy')} />
          ) : rows.length === 0 ? (
            <Empty title={t('daily.none')} why={plan ? t('daily.noneOf') : t('daily.noneWhy')}>
              {plan ? <Button onClick={() => setUrl({ plan: undefined })}>{t('do.clear')}</Button> : make}
            </Empty>
          ) : (
            <>
              <DataTable
                label={t('page.daily')}
                rows={rows}
                rowKey={(r) => r.id}
                marked={chosen || cursor}
                onRow={(r) => open(r.id)}
                columns={[
                  { key: 'day', title: t('daily.day'), render: (r) => <button className="plain link mono" onClick={() => open(r.id)}>{r.day}</button> },
                  { key: 'name', title: t('daily.name'), render: (r) => <>{r.name} <span className="faint">{t(`daily.content.${r.content}`)}</span></> },
                  { key: 'whose', title: t('col.tenant'), render: (r) => <span className="clip">{list(r.tenants).length > 0 ? joined(list(r.tenants).map(tenantName), locale) : t('silence.allTenants')}</span> },
                  ...(chosen
                    ? []
                    : [
                        { key: 'told', title: t('daily.told'), render: (r: DailyReport) => joined(list(r.told), locale) || <span className="faint">–</span> },
                        { key: 'by', title: t('daily.by'), render: (r: DailyReport) => <span className="nowrap">{r.slot ? t('daily.ofItself') : r.made_by} <When time={new Date(r.made_at).toISOString()} /></span> },
                      ]),
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (r) => (
                      <span className="row" style={{ justifyContent: 'flex-end' }}>
                        <Button size="small" href={file(r, 'pdf')} download>
                          PDF
                        </Button>
                        <Button size="small" href={file(r, 'docx')} download>
                          DOCX
                        </Button>
                      </span>
                    ),
                  },
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
        {one && (
          <aside className="panel preview" aria-label={one.name} data-testid="daily-report">
            <header>
              <h2>
                {one.name} {one.day}
              </h2>
              <div className="end">
                <Button size="small" type="text" aria-label={t('do.close')} onClick={() => setUrl({ report: undefined })}>
                  ✕
                </Button>
              </div>
            </header>
            <div className="body stack">
              <p style={{ whiteSpace: 'pre-wrap', lineHeight: 1.8 }}>{one.summary}</p>
              <div className="actions">
                <Button type="primary" href={file(one, 'pdf')} target="_blank" rel="noreferrer">
                  PDF
                </Button>
                <Button href={file(one, 'docx')} download>
                  DOCX
                </Button>
              </div>
              <dl className="facts">
                <dt>{t('daily.by')}</dt>
                <dd>
                  {one.slot ? t('daily.ofItself') : one.made_by} <WhenFull time={new Date(one.made_at).toISOString()} />
                </dd>
                <dt>{t('daily.told')}</dt>
                <dd>{list(one.told).length > 0 ? <Link to="/notify">{joined(list(one.told), locale)}</Link> : t('daily.nobody')}</dd>
              </dl>
            </div>
          </aside>
        )}
      </div>
      {url.get('new') === '1' && known.length > 0 && <Make plans={known} made={(id) => setUrl({ new: undefined, report: id })} close={() => setUrl({ new: undefined })} />}
    </div>
  );
}

/** Makes a report of a day now. */
function Make({ plans, made, close }: { plans: readonly { id: string; name: string }[]; made: (id: string) => void; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  return (
    <FormDialog<{ plan: string; day: string }>
      title={t('daily.make')}
      ok={t('daily.make')}
      width={400}
      initial={{ plan: plans[0]?.id, day: '' }}
      submit={async (v) => {
        const r = await post<DailyReport>('/daily-reports', { plan: v.plan, day: v.day || undefined });
        tell({ said: t('daily.made', { x: r.name, y: r.day }), renew: ['daily-reports'] });
        made(r.id);
      }}
      close={() => undefined}
      cancel={close}
    >
      <Form.Item name="plan" label={t('daily.plan')}>
        <Select options={plans.map((p) => ({ value: p.id, label: p.name }))} />
      </Form.Item>
      <Form.Item name="day" label={t('daily.day')} extra={t('daily.dayWhy')}>
        <input type="date" className="when" />
      </Form.Item>
    </FormDialog>
  );
}
