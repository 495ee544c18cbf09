import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, InputNumber } from 'antd';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { del, get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { RANGE_STATES, RUN_STATES, share, type ScanRange, type ScanRun, type ScanTask, type Scanner } from '../../api/scans';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { Engines } from '../../parts/exposure/engines';
import { Listing } from '../../parts/listing';
import { RangeStateMark, RunStateMark } from '../../parts/exposure/marks';
import { TaskForm } from '../../parts/exposure/task';
import { TemplatePackages } from '../../parts/exposure/templates';
import { Ask, FormDialog } from '../../parts/dialog';
import { TenantPicker } from '../../parts/fleet/marks';
import { useTenantName } from '../../parts/names';
import { Head } from '../../parts/page';
import { Empty } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';
import { When } from '../../parts/time';

const RENEW = ['scans'];
const lines = (x?: string): string[] => (x ?? '').split(/[\s,;，；]+/).filter(Boolean);

/** Scans: what was scanned, the tasks, what may be scanned and by what (?tab=). ?state= narrows, ?new=1, ?edit= and ?ask=1 open a form. */
export default function Scans() {
  const { t } = useSettings();
  const can = useCan();
  const tabs = [
    { key: 'runs' as const, title: t('scan.tab.runs') },
    ...(can('list-scan-tasks') ? [{ key: 'tasks' as const, title: t('scan.tab.tasks') }] : []),
    ...(can('list-scan-ranges') ? [{ key: 'ranges' as const, title: t('scan.tab.ranges') }] : []),
    ...(can('list-scan-engines') ? [{ key: 'engines' as const, title: t('scan.tab.engines') }] : []),
    ...(can('list-scanners') ? [{ key: 'scanners' as const, title: t('scan.tab.scanners') }] : []),
  ];
  const tab = useTab(tabs);
  const [url, setUrl] = useUrl();
  useKeys({ n: () => can('create-scan-task') && setUrl({ tab: 'tasks', new: '1' }) });
  const edit = url.get('edit') ?? '';
  const form = tab === 'tasks' && (url.get('new') === '1' || edit !== '');
  return (
    <div className="page">
      <Head title={t('page.scans')} sub={t('scan.lead')}>
        {tab === 'ranges' && can('ask-scan-range') && (
          <Button type="primary" onClick={() => setUrl({ ask: '1' })}>
            {t('range.ask')}
          </Button>
        )}
        {tab === 'engines' && can('create-scan-engine') && (
          <Button type="primary" onClick={() => setUrl({ ask: '1' })}>
            {t('engine.add')}
          </Button>
        )}
        {tab === 'scanners' && can('create-scanner-token') && (
          <Button type="primary" onClick={() => setUrl({ ask: '1' })}>
            {t('scanner.add')}
          </Button>
        )}
        {(tab === 'runs' || tab === 'tasks') && can('create-scan-task') && (
          <Button type="primary" onClick={() => setUrl({ tab: 'tasks', new: '1' })}>
            {t('scan.new')}
          </Button>
        )}
      </Head>
      <Tabs tabs={tabs} label={t('page.scans')} />
      {tab === 'runs' && <Runs />}
      {tab === 'tasks' && <Tasks />}
      {tab === 'ranges' && <Ranges />}
      {tab === 'scanners' && <Scanners />}
      {tab === 'engines' && <Engines />}
      {form && <TaskForm id={edit} close={() => setUrl({ new: undefined, edit: undefined })} />}
    </div>
  );
}

function Runs() {
  const { t } = useSettings();
  const go = useNavigate();
  const can = useCan();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const state = RUN_STATES.find((s) => s === url.get('state'));
  const task = url.get('task') ?? '';
  const cursor = url.get('cursor') ?? '';
  const query = useQuery({ queryKey: ['scans', 'runs', state, task, cursor], queryFn: ({ signal }) => get<Page<ScanRun>>('/scan-runs', { state, task: task || undefined, cursor: cursor || undefined, limit: 50 }, signal), placeholderData: keepPreviousData, refetchInterval: 5_000 });
  return (
    <>
      <div className="filters" role="search">
        {RUN_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s, cursor: undefined })}>
            {t(`scan.state.${s}`)}
          </button>
        ))}
      </div>
      <Listing
        query={query}
        what="scan.tab.runs"
        empty={
          <Empty title={t(state ? 'scan.none' : 'scan.noRuns')} why={state ? undefined : t('scan.noRunsWhy')}>
            {!state && can('list-scan-ranges') && <Button onClick={() => setUrl({ tab: 'ranges' })}>{t('scan.ranges')}</Button>}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('scan.tab.runs')}
            rows={rows}
            rowKey={(r) => r.id}
            onRow={(r) => go(`/scans/${encodeURIComponent(r.id)}`)}
            columns={[
              {
                key: 'name',
                title: t('scan.name'),
                render: (r) => (
                  <>
                    <Link to={`/scans/${encodeURIComponent(r.id)}`}>{r.kind === 'retest' ? t('scan.kind.retest') : r.name}</Link>
                    <div className="faint">
                      {t(`scan.kind.${r.kind}`)} · {tenantName(r.tenant)} · {r.zone}
                    </div>
                  </>
                ),
              },
              { key: 'state', title: t('col.status'), render: (r) => (
                <>
                  <RunStateMark state={r.state} />
                  {r.reason && <div className="faint">{r.reason}</div>}
                </>
              ) },
              {
                key: 'progress',
                title: t('scan.progress'),
                render: (r) => (
                  <>
                    {share(r.progress) !== undefined && <b>{share(r.progress)}%</b>} <span className="faint">{r.progress.hosts_total > 0 && t('scan.hosts', { d: r.progress.hosts_done, n: r.progress.hosts_total })}</span>
                  </>
                ),
              },
              { key: 'found', title: t('scan.outcome'), render: (r) => t('scan.found', { h: r.progress.found, s: r.progress.services, w: r.progress.weaknesses }) },
              { key: 'begun', title: t('scan.begun'), render: (r) => <When time={r.started_at ?? r.created_at} /> },
              { key: 'ended', title: t('scan.ended'), render: (r) => <When time={r.ended_at} /> },
            ]}
          />
        )}
      </Listing>
    </>
  );
}

function Tasks() {
  const { t } = useSettings();
  const can = useCan();
  const go = useNavigate();
  const tenantName = useTenantName();
  const { act } = useAct();
  const [, setUrl] = useUrl();
  const [removing, setRemoving] = useState<ScanTask | null>(null);
  const query = useQuery({ queryKey: ['scans', 'tasks'], queryFn: ({ signal }) => get<Page<ScanTask>>('/scan-tasks', { limit: 1000 }, signal), refetchInterval: 10_000 });
  const start = (x: ScanTask) =>
    void act(
      async () => {
        const run = await post<ScanRun>(`/scan-tasks/${encodeURIComponent(x.id)}/start`);
        go(`/scans/${encodeURIComponent(run.id)}`);
      },
      { said: t('scan.started'), renew: RENEW },
    );
  return (
    <>
      <Listing
        query={query}
        what="scan.tab.tasks"
        empty={
          <Empty title={t('scan.noTasks')} why={t('scan.noTasksWhy')}>
            {can('create-scan-task') && <Button onClick={() => setUrl({ new: '1' })}>{t('scan.new')}</Button>}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('scan.tab.tasks')}
            rows={rows}
            rowKey={(x) => x.id}
            columns={[
              {
                key: 'name',
                title: t('scan.name'),
                render: (x) => (
                  <>
                    <Link to={`/scans?task=${encodeURIComponent(x.id)}`}>{x.name}</Link>
                    <div className="faint">
                      {t(`scan.kind.${x.kind}`)} · {tenantName(x.tenant)} · {x.zone}
                    </div>
                    {x.fault && <div className="warn">{x.fault}</div>}
                  </>
                ),
              },
              { key: 'targets', title: t('scan.targets'), render: (x) => <span className="mono">{[...list(x.targets), x.query ?? ''].filter(Boolean).slice(0, 4).join(' ') || t('scan.allRanges')}</span> },
              { key: 'next', title: t('scan.next'), render: (x) => (x.next_at ? <When time={x.next_at} /> : <span className="faint">{t(x.cron ? 'scan.disabled' : 'scan.byHand')}</span>) },
              { key: 'state', title: t('col.status'), render: (x) => (x.last_run && x.last_state ? <Link to={`/scans/${encodeURIComponent(x.last_run)}`}><RunStateMark state={x.last_state as ScanRun['state']} /></Link> : <span className="faint">{t('scan.idle')}</span>) },
              {
                key: 'do',
                title: '',
                num: true,
                render: (x) => (
                  <span className="row" style={{ justifyContent: 'flex-end' }}>
                    {can('start-scan-task') && !x.last_run && (
                      <Button size="small" onClick={() => start(x)}>
                        {t('scan.start')}
                      </Button>
                    )}
                    {can('change-scan-task') && (
                      <Dropdown trigger={['click']} menu={{ items: [{ key: 'edit', label: t('do.edit'), onClick: () => setUrl({ edit: x.id }) }, { key: 'delete', label: t('do.delete'), onClick: () => setRemoving(x) }] }}>
                        <Button size="small" type="text" aria-label={t('do.actions', { x: x.name })}>
                          ⋯
                        </Button>
                      </Dropdown>
                    )}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Listing>
      {removing && <Ask title={removing.name} why={t('scan.deleteWhy')} ok={t('do.delete')} close={() => setRemoving(null)} submit={async () => act(() => del(`/scan-tasks/${encodeURIComponent(removing.id)}`), { said: t('scan.deleted'), renew: RENEW })} />}
    </>
  );
}

function Ranges() {
  const { t } = useSettings();
  const can = useCan();
  const tenantName = useTenantName();
  const { tell } = useAct();
  const [url, setUrl] = useUrl();
  const state = RANGE_STATES.find((s) => s === url.get('state'));
  const [deciding, setDeciding] = useState<{ range: ScanRange; what: 'approve' | 'reject' | 'withdraw' } | null>(null);
  const query = useQuery({ queryKey: ['scans', 'ranges', state], queryFn: ({ signal }) => get<Page<ScanRange>>('/scan-ranges', { state, limit: 1000 }, signal), refetchInterval: 15_000 });
  return (
    <>
      <div className="filters" role="search">
        {RANGE_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`range.state.${s}`)}
          </button>
        ))}
      </div>
      <Listing
        query={query}
        what="scan.tab.ranges"
        empty={
          <Empty title={t(state ? 'scan.none' : 'scan.noRanges')} why={state ? undefined : t('scan.noRangesWhy')}>
            {!state && can('ask-scan-range') && <Button onClick={() => setUrl({ ask: '1' })}>{t('range.ask')}</Button>}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('scan.tab.ranges')}
            rows={rows}
            rowKey={(x) => x.id}
            columns={[
              {
                key: 'cidr',
                title: t('range.cidr'),
                render: (x) => (
                  <>
                    <span className="mono">{x.cidr}</span>
                    <div className="faint">
                      {tenantName(x.tenant)} · {x.zone}
                      {list(x.exclusions).length > 0 && <> · {t('scan.without', { x: list(x.exclusions).join(' ') })}</>}
                    </div>
                  </>
                ),
              },
              { key: 'reason', title: t('range.reason'), render: (x) => x.reason },
              { key: 'state', title: t('col.status'), render: (x) => <RangeStateMark state={x.state} why={x.note} /> },
              {
                key: 'by',
                title: t('range.askedBy'),
                render: (x) => (
                  <>
                    {x.asked_by} <span className="faint"><When time={x.asked_at} /></span>
                  </>
                ),
              },
              { key: 'decided', title: t('range.decidedBy'), render: (x) => x.decided_by || <span className="faint">–</span> },
              { key: 'expires', title: t('range.expires'), render: (x) => <When time={x.expires_at} /> },
              {
                key: 'do',
                title: '',
                num: true,
                render: (x) => (
                  <span className="row" style={{ justifyContent: 'flex-end' }}>
                    {x.state === 'asked' && can('approve-scan-range') && (
                      <Button size="small" type="primary" onClick={() => setDeciding({ range: x, what: 'approve' })}>
                        {t('range.approve')}
                      </Button>
                    )}
                    {x.state === 'asked' && can('reject-scan-range') && (
                      <Button size="small" onClick={() => setDeciding({ range: x, what: 'reject' })}>
                        {t('range.reject')}
                      </Button>
                    )}
                    {x.state === 'approved' && can('withdraw-scan-range') && (
                      <Button size="small" onClick={() => setDeciding({ range: x, what: 'withdraw' })}>
                        {t('range.withdraw')}
                      </Button>
                    )}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Listing>
      {deciding && (
        <FormDialog<{ note?: string }>
          title={`${t(`range.${deciding.what}`)} ${deciding.range.cidr}`}
          ok={t(`range.${deciding.what}`)}
          submit={async (v) => {
            await post(`/scan-ranges/${encodeURIComponent(deciding.range.id)}/${deciding.what}`, { note: v.note ?? '' });
            tell({ said: t('range.done'), renew: RENEW });
          }}
          close={() => setDeciding(null)}
        >
          {deciding.what !== 'reject' && <p>{t(deciding.what === 'approve' ? 'range.approveWhy' : 'range.withdrawWhy')}</p>}
          <Form.Item name="note" label={t('scan.notes')}>
            <Input maxLength={1000} />
          </Form.Item>
        </FormDialog>
      )}
      {url.get('ask') === '1' && (
        <FormDialog<{ tenant: string; zone?: string; cidr: string; exclusions?: string; reason: string; days: number }>
          title={t('range.ask')}
          ok={t('range.ask')}
          initial={{ days: 90 }}
          submit={async (v) => {
            await post('/scan-ranges', { ...v, exclusions: lines(v.exclusions) });
            tell({ said: t('range.asked'), renew: RENEW });
          }}
          close={() => setUrl({ ask: undefined })}
        >
          <Form.Item name="tenant" label={t('scan.tenant')} rules={[{ required: true, message: t('scan.needTenant') }]}>
            <TenantPicker />
          </Form.Item>
          <div className="row" style={{ gap: 16 }}>
            <Form.Item name="cidr" label={t('range.cidr')} rules={[{ required: true, message: t('range.cidr') }]} style={{ flex: 1 }}>
              <Input placeholder="10.1.0.0/16" maxLength={64} />
            </Form.Item>
            <Form.Item name="zone" label={t('scan.zone')} style={{ flex: 1 }}>
              <Input placeholder="default" maxLength={200} />
            </Form.Item>
            <Form.Item name="days" label={t('range.days')}>
              <InputNumber min={1} max={366} />
            </Form.Item>
          </div>
          <Form.Item name="exclusions" label={t('range.exclusions')}>
            <Input placeholder="10.1.9.0/24, 10.1.0.1" />
          </Form.Item>
          <Form.Item name="reason" label={t('range.reason')} rules={[{ required: true, message: t('range.reason') }]}>
            <Input maxLength={1000} />
          </Form.Item>
        </FormDialog>
      )}
    </>
  );
}

function Scanners() {
  const { t } = useSettings();
  const can = useCan();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const [token, setToken] = useState('');
  const query = useQuery({ queryKey: ['scans', 'scanners'], queryFn: ({ signal }) => get<Page<Scanner>>('/scanners', { limit: 1000 }, signal), refetchInterval: 10_000 });
  return (
    <>
      <Listing
        query={query}
        what="scan.tab.scanners"
        lines={4}
        empty={
          <Empty title={t('scan.noScanners')} why={t('scan.noScannersWhy')}>
            {can('create-scanner-token') && <Button onClick={() => setUrl({ ask: '1' })}>{t('scanner.add')}</Button>}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('scan.tab.scanners')}
            rows={rows}
            rowKey={(x) => x.id}
            columns={[
              {
                key: 'name',
                title: t('scan.name'),
                render: (x) => (
                  <>
                    {x.name}
                    <div className="faint">
                      {tenantName(x.tenant)} {list(x.labels).join(' ')}
                    </div>
                  </>
                ),
              },
              { key: 'state', title: t('col.status'), render: (x) => <span title={x.reason}>{t(`fleet.state.${x.state}` as 'fleet.state.online')}</span> },
              { key: 'version', title: t('scanner.version'), render: (x) => <span className="mono">{x.version || '–'}</span> },
              { key: 'checks', title: t('scanner.checks'), num: true, render: (x) => x.checks },
              { key: 'runs', title: t('scanner.runs'), num: true, render: (x) => x.runs },
              { key: 'queued', title: t('scanner.queued'), num: true, render: (x) => x.queued },
              { key: 'seen', title: t('scanner.seen'), render: (x) => <When time={x.seen_at} age /> },
            ]}
          />
        )}
      </Listing>
      <div style={{ marginTop: 12 }}>
        <TemplatePackages />
      </div>
      {url.get('ask') === '1' && (
        <FormDialog<{ tenant: string; note?: string }>
          title={t('scanner.add')}
          ok={t('scanner.make')}
          submit={async (v) => setToken((await post<{ token: string }>('/scanner-tokens', v)).token)}
          close={() => setUrl({ ask: undefined })}
        >
          <Form.Item name="tenant" label={t('scan.tenant')} rules={[{ required: true, message: t('scan.needTenant') }]}>
            <TenantPicker />
          </Form.Item>
          <Form.Item name="note" label={t('scan.notes')}>
            <Input maxLength={200} />
          </Form.Item>
        </FormDialog>
      )}
      {token && (
        <Ask
          title={t('scanner.token')}
          danger={false}
          why={
            <>
              {t('scanner.tokenWhy')}
              <pre style={{ whiteSpace: 'pre-wrap', wordBreak: 'break-all' }}>icewatch-scanner enrol --token={token}</pre>
            </>
          }
          ok={t('do.close')}
          close={() => setToken('')}
          submit={async () => undefined}
        />
      )}
    </>
  );
}
