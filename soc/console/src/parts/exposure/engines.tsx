import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, Select } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import { useCan } from '../../api/queries';
import { ENGINE_KINDS, type EngineScan, type ScanEngine } from '../../api/scans';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { Ask, FormDialog } from '../dialog';
import { TenantPicker } from '../fleet/marks';
import { useTenantName } from '../names';
import { Listing } from '../listing';
import { Empty, Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';

const RENEW = ['scans', 'findings'];
const path = (e: ScanEngine) => `/scan-engines/${encodeURIComponent(e.id)}`;

/** Scanners of other makers: how their connections fare, what they scan, their reports. ?ask=1 and ?edit= open the form. */
export function Engines() {
  const { t } = useSettings();
  const can = useCan();
  const tenantName = useTenantName();
  const { act, tell } = useAct();
  const [url, setUrl] = useUrl();
  const [removing, setRemoving] = useState<ScanEngine | null>(null);
  const [asking, setAsking] = useState<{ engine: ScanEngine; what: 'launch' | 'fetch' } | null>(null);
  const query = useQuery({ queryKey: ['scans', 'engines'], queryFn: ({ signal }) => get<Page<ScanEngine>>('/scan-engines', { limit: 1000 }, signal), refetchInterval: 10_000 });
  const editing = list(query.data?.items).find((e) => e.id === url.get('edit'));
  return (
    <>
      <Listing
        query={query}
        what="scan.tab.engines"
        lines={4}
        empty={
          <Empty title={t('engine.none')} why={t('engine.noneWhy')}>
            {can('create-scan-engine') && <Button onClick={() => setUrl({ ask: '1' })}>{t('engine.add')}</Button>}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('scan.tab.engines')}
            rows={rows}
            rowKey={(e) => e.id}
            columns={[
              {
                key: 'name',
                title: t('scan.name'),
                render: (e) => (
                  <>
                    {e.jump_url ? (
                      <a href={e.jump_url} target="_blank" rel="noreferrer">
                        {e.name} ↗
                      </a>
                    ) : (
                      e.name
                    )}
                    <div className="faint">
                      {t(`engine.kind.${e.kind}`)} · {tenantName(e.tenant)} · <span className="mono">{e.url}</span>
                    </div>
                  </>
                ),
              },
              {
                key: 'state',
                title: t('col.status'),
                render: (e) => (
                  <>
                    {t(`engine.state.${e.state}`)} <span className="faint">{e.version}</span>
                    {e.error && <div className="warn">{e.error}</div>}
                  </>
                ),
              },
              { key: 'checked', title: t('engine.checked'), render: (e) => <When time={e.checked_at} age /> },
              { key: 'report', title: t('engine.report'), render: (e) => (e.pending ? t('engine.pending') : e.fetched_at ? <span>{t('engine.taken', { n: e.new_findings, a: e.known_findings })} <span className="faint"><When time={e.fetched_at} age /></span></span> : <span className="faint">–</span>) },
              {
                key: 'do',
                title: '',
                num: true,
                render: (e) => (
                  <span className="row" style={{ justifyContent: 'flex-end' }}>
                    {can('check-scan-engine') && (
                      <Button size="small" onClick={() => void act(() => post(`${path(e)}/check`), { said: t('engine.tested'), renew: RENEW })}>
                        {t('engine.check')}
                      </Button>
                    )}
                    {can('change-scan-engine') && (
                      <Dropdown
                        trigger={['click']}
                        menu={{
                          items: [
                            { key: 'launch', label: t('engine.launch'), onClick: () => setAsking({ engine: e, what: 'launch' }) },
                            { key: 'fetch', label: t('engine.fetch'), onClick: () => setAsking({ engine: e, what: 'fetch' }) },
                            { key: 'edit', label: t('do.edit'), onClick: () => setUrl({ edit: e.id }) },
                            { type: 'divider' },
                            { key: 'delete', label: t('do.delete'), onClick: () => setRemoving(e) },
                          ],
                        }}
                      >
                        <Button size="small" type="text" aria-label={t('do.actions', { x: e.name })}>
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
      {removing && <Ask title={removing.name} why={t('engine.deleteWhy')} ok={t('do.delete')} close={() => setRemoving(null)} submit={async () => act(() => del(path(removing)), { renew: RENEW })} />}
      {asking && <Choose engine={asking.engine} what={asking.what} close={() => setAsking(null)} />}
      {(url.get('ask') === '1' || editing) && (
        <FormDialog<Partial<ScanEngine> & { secret?: string }>
          key={editing?.id ?? 'new'}
          title={editing ? editing.name : t('engine.add')}
          ok={t('do.save')}
          width={620}
          initial={editing ?? { kind: 'nessus' }}
          submit={async (v) => {
            // What the form does not show stays.
            const { id: _id, secret_held: _h, state: _s, error: _e, version: _v, checked_at: _c, launched_at: _l, pending: _p, fetched_at: _f, new_findings: _n, known_findings: _k, change: _ch, updated_at: _u, updated_by: _ub, ...kept } = editing ?? ({} as ScanEngine);
            const draft = { ...kept, ...Object.fromEntries(Object.entries(v).filter(([, x]) => x !== undefined)) };
            await (editing ? put(path(editing), draft) : post('/scan-engines', draft));
            tell({ said: t('scan.saved'), renew: RENEW });
          }}
          close={() => setUrl({ ask: undefined, edit: undefined })}
        >
          {(form) => (
            <>
              <div className="row" style={{ gap: 16 }}>
                <Form.Item name="name" label={t('scan.name')} rules={[{ required: true, message: t('scan.needName') }]} style={{ flex: 1 }}>
                  <Input maxLength={200} />
                </Form.Item>
                <Form.Item name="kind" label={t('scan.kind')} style={{ flex: 1 }}>
                  <Select options={ENGINE_KINDS.map((k) => ({ value: k, label: t(`engine.kind.${k}`) }))} />
                </Form.Item>
                <Form.Item name="tenant" label={t('scan.tenant')} rules={[{ required: true, message: t('scan.needTenant') }]} style={{ flex: 1 }}>
                  <TenantPicker />
                </Form.Item>
              </div>
              <Form.Item name="url" label={t('engine.url')} extra={t('engine.urlHelp')} rules={[{ required: true, message: t('engine.url') }]}>
                <Input className="mono" maxLength={1000} />
              </Form.Item>
              <div className="row" style={{ gap: 16 }}>
                <Form.Item name="user" label={t('engine.user')} style={{ flex: 1 }}>
                  <Input autoComplete="off" maxLength={200} />
                </Form.Item>
                <Form.Item name="secret" label={t('engine.secret')} style={{ flex: 1 }}>
                  <Input.Password autoComplete="new-password" maxLength={4096} placeholder={editing?.secret_held ? t('scan.secretHeld') : undefined} />
                </Form.Item>
              </div>
              <div className="row" style={{ gap: 16 }}>
                <Form.Item name="jump_url" label={t('engine.jump')} style={{ flex: 1 }}>
                  <Input className="mono" maxLength={1000} />
                </Form.Item>
                <Form.Item name="zone" label={t('scan.zone')} style={{ flex: 1 }}>
                  <Input maxLength={200} placeholder="default" />
                </Form.Item>
              </div>
              <div className="row" style={{ gap: 16 }}>
                <Form.Item name="scan" label={t('engine.scan')} style={{ flex: 1 }}>
                  <Input className="mono" maxLength={200} />
                </Form.Item>
                <Form.Item name="cron" label={t('scan.cron')} extra={t('scan.cronHelp')} style={{ flex: 1 }}>
                  <Input className="mono" maxLength={100} />
                </Form.Item>
              </div>
              <Form.Item noStyle shouldUpdate>
                {() =>
                  form.getFieldValue('kind') === 'http' && (
                    <>
                      {(['check_path', 'launch_path', 'status_path', 'done_text', 'report_path'] as const).map((k) => (
                        <Form.Item key={k} name={k} label={t(`engine.${k}`)}>
                          <Input className="mono" maxLength={500} />
                        </Form.Item>
                      ))}
                      <Form.Item name="format" label={t('engine.format')}>
                        <Select allowClear options={['nessus', 'openvas', 'nuclei', 'nmap', 'sarif', 'csv', 'xlsx'].map((k) => ({ value: k, label: k }))} />
                      </Form.Item>
                      <Form.Item name="mapping" label={t('engine.mapping')}>
                        <Input className="mono" maxLength={4000} placeholder='{"title": "漏洞名称", "address": "IP"}' />
                      </Form.Item>
                    </>
                  )
                }
              </Form.Item>
              <Form.Item name="ca" label={t('engine.ca')}>
                <Input.TextArea rows={3} className="mono" placeholder="-----BEGIN CERTIFICATE-----" />
              </Form.Item>
            </>
          )}
        </FormDialog>
      )}
    </>
  );
}

/** Chooses one of the engine's own scans, to begin it or to fetch its report. */
function Choose({ engine, what, close }: { engine: ScanEngine; what: 'launch' | 'fetch'; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const query = useQuery({ queryKey: ['scans', 'engine-scans', engine.id], queryFn: ({ signal }) => get<Page<EngineScan>>(`${path(engine)}/scans`, {}, signal) });
  return (
    <FormDialog<{ scan?: string }>
      title={`${engine.name} · ${t(`engine.${what}`)}`}
      ok={t(`engine.${what}`)}
      initial={{ scan: engine.scan || undefined }}
      submit={async (v) => {
        await post(`${path(engine)}/${what}`, { scan: v.scan ?? '' });
        tell({ said: t(what === 'launch' ? 'engine.launched' : 'engine.fetched'), renew: RENEW });
      }}
      close={close}
    >
      <Loaded query={query} what="engine.scan" lines={2} small>
        {(d) => (
          <Form.Item name="scan" label={t('engine.scan')}>
            <Select allowClear showSearch optionFilterProp="label" options={list(d.items).map((x) => ({ value: x.id, label: `${x.name} · ${x.state}` }))} />
          </Form.Item>
        )}
      </Loaded>
    </FormDialog>
  );
}
