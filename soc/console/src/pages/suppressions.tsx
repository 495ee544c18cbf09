import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Input, Modal, Switch } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post, put } from '../api/client';
import { useWords } from '../api/cmdb';
import { useCan } from '../api/queries';
import { suppressionBody, type Suppression, type SuppressionBody, type SuppressionVersion } from '../api/suppressions';
import { list, type Page, type RuleInfo } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { download } from '../logic/export';
import { absolute, joined, number } from '../logic/format';
import { daysAhead, daysLeft } from '../logic/suppression';
import { ItemName } from '../parts/cmdb/value';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { Empty, Failed, Loaded, Stale } from '../parts/states';
import { SuppressionForm } from '../parts/suppressions/form';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

const RENEW = ['suppressions', 'alerts', 'alert'];
const path = (s: Pick<Suppression, 'id'>) => `/suppressions/${encodeURIComponent(s.id)}`;

/** The exceptions from rules. ?new=1 makes one, ?alert=id,… drafts one from alerts, ?id= shows one, ?state= and ?q= filter. */
export default function Suppressions() {
  const { t, tx, locale } = useSettings();
  const write = useCan()('create-suppression');
  const { act, tell, busy } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const [editing, setEditing] = useState<Suppression | null>(null);
  const [history, setHistory] = useState<Suppression | null>(null);
  const [refused, setRefused] = useState<unknown>(null);
  const file = useRef<HTMLInputElement>(null);
  const state = url.get('state') ?? '';
  const q = url.get('q') ?? '';
  const only = url.get('id') ?? '';
  const alerts = url.get('alert') ?? '';
  const query = useQuery({ queryKey: ['suppressions', state, q], queryFn: ({ signal }) => get<Page<Suppression>>('/suppressions', { state, q }, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const known = useQuery({ queryKey: ['rules'], queryFn: ({ signal }) => get<Page<RuleInfo>>('/rules', {}, signal), staleTime: 60_000 });
  const drafted = useQuery({ enabled: alerts !== '' && write, queryKey: ['suppression-draft', alerts], queryFn: () => post<SuppressionBody>('/suppressions/draft', { alerts: alerts.split(',') }), retry: false, staleTime: Infinity });
  const words = useWords();
  const rows = list(query.data?.items).filter((s) => !only || s.id === only);
  const ending = list(query.data?.items).filter((s) => s.state === 'active' && daysLeft(s.expires) < 7);
  const title = (id: string) => tx(list(known.data?.items).find((r) => r.id === id)?.title) || id;
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  useEffect(() => setRefused(null), [state, q]);
  const change = (s: Suppression, part: Partial<SuppressionBody>, said: string) => void act(() => put(path(s), { ...suppressionBody(s), ...part }), { said, renew: RENEW, undo: () => void act(() => put(path(s), suppressionBody(s)), { renew: RENEW }) });
  const remove = (s: Suppression) =>
    void act(() => del(path(s)), {
      said: t('suppress.deleted', { x: s.name }),
      renew: RENEW,
      undo: () => void act(() => post('/suppressions', suppressionBody(s)), { said: t('suppress.restored', { x: s.name }), renew: RENEW }),
    });
  const read = async (f: File) => {
    setRefused(null);
    try {
      const done = await post<{ created: number; updated: number }>('/suppressions/import', { yaml: await f.text() });
      tell({ said: t('suppress.imported', { c: done.created, u: done.updated }), renew: RENEW });
    } catch (e) {
      setRefused(e);
    }
  };
  return (
    <div className="page">
      <Head title={t('page.suppressions')} sub={t('suppress.lead')}>
        <Input.Search allowClear style={{ width: 220 }} placeholder={t('suppress.search')} aria-label={t('suppress.search')} defaultValue={q} onSearch={(x) => setUrl({ q: x || undefined, id: undefined })} />
        {rows.length > 0 && <Button onClick={() => void act(async () => download('suppressions.yml', 'application/yaml', (await get<{ yaml: string }>('/suppressions/export', { state })).yaml), {})}>{t('suppress.export')}</Button>}
        {write && (
          <>
            <input
              ref={file}
              type="file"
              accept=".yml,.yaml"
              hidden
              aria-label={t('suppress.import')}
              onChange={(e) => {
                const f = e.target.files?.[0];
                if (f) void read(f);
                e.target.value = '';
              }}
            />
            <Button onClick={() => file.current?.click()}>{t('suppress.import')}</Button>
            <Button type="primary" onClick={() => setUrl({ new: '1' })}>
              {t('suppress.new')} <kbd className="onbutton">n</kbd>
            </Button>
          </>
        )}
      </Head>
      <Stale query={query} />
      {refused !== null && <Failed small error={refused} what="page.suppressions" />}
      {drafted.error && <Failed small error={drafted.error} what="page.suppressions" />}
      {ending.length > 0 && !only && <div className="stale" role="status">{t('suppress.endingSoon', { n: ending.length })}</div>}
      <div className="row wrap" style={{ marginBottom: 10 }}>
        {(['', 'active', 'disabled', 'expired'] as const).map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: s || undefined, id: undefined })}>
            {s === '' ? t('suppress.all') : t(`suppress.state.${s}`)}
          </button>
        ))}
      </div>
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.suppressions" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('suppress.empty')} why={t('suppress.emptyWhy')}>
                {write && <Button onClick={() => setUrl({ new: '1' })}>{t('suppress.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.suppressions')}
                rows={rows}
                rowKey={(s) => s.id}
                columns={[
                  {
                    key: 'name',
                    title: t('suppress.name'),
                    render: (s) => (
                      <>
                        <b className={s.state === 'active' ? undefined : 'dim'}>{s.name}</b>
                        <div className="faint">{s.reason}</div>
                      </>
                    ),
                  },
                  { key: 'rules', title: t('suppress.rules'), render: (s) => (list(s.rules).length > 0 ? joined(list(s.rules).map(title), locale) : <span className="dim">{t('suppress.anyRule')}</span>) },
                  {
                    key: 'scope',
                    title: t('suppress.scope'),
                    render: (s) => (
                      <>
                        <span className="tags">
                          {[...list(s.assets?.items), ...list(s.assets?.systems)].map((x) => (
                            <span key={x} className="tag">
                              <ItemName id={x} />
                            </span>
                          ))}
                          {list(s.assets?.classes).map((x) => (
                            <span key={x} className="tag">
                              {words.className(x)}
                            </span>
                          ))}
                        </span>
                        {list(s.assets?.items).length + list(s.assets?.systems).length + list(s.assets?.classes).length === 0 && <span className="dim">{t('suppress.anyAsset')}</span>}
                        <div className="faint">{list(s.tenants).length > 0 ? joined(list(s.tenants).map(tenantName), locale) : t('silence.allTenants')}</div>
                      </>
                    ),
                  },
                  { key: 'owner', title: t('suppress.owner'), render: (s) => s.owner },
                  {
                    key: 'expires',
                    title: t('suppress.expires'),
                    render: (s) => {
                      const left = daysLeft(s.expires);
                      return (
                        <span title={absolute(s.expires)} className={s.state === 'active' && left < 7 ? 'warn' : 'dim'}>
                          {s.state === 'expired' ? t('suppress.over') : left < 1 ? t('suppress.today') : t('suppress.left', { n: number(left, locale) })}
                        </span>
                      );
                    },
                  },
                  {
                    key: 'effect',
                    title: t('suppress.effect'),
                    render: (s) =>
                      s.effect.firings === 0 ? (
                        <span className="dim">{t('suppress.never')}</span>
                      ) : (
                        <Link to={`/alerts?suppressed=${encodeURIComponent(s.id)}`} data-testid="effect">
                          {t('suppress.effectN', { n: number(s.effect.firings, locale), a: number(s.alerts, locale) })}
                        </Link>
                      ),
                  },
                  {
                    key: 'on',
                    title: t('col.status'),
                    render: (s) =>
                      s.state === 'expired' ? (
                        <span className="tag">{t('suppress.state.expired')}</span>
                      ) : (
                        <Switch size="small" checked={s.state === 'active'} disabled={!write || busy} aria-label={t('suppress.force', { x: s.name })} onChange={(on) => change(s, { disabled: !on }, t(on ? 'suppress.enabled' : 'suppress.disabled', { x: s.name }))} />
                      ),
                  },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (s) => (
                      <span className="row" style={{ justifyContent: 'flex-end' }}>
                        {write && (s.state === 'expired' || daysLeft(s.expires) < 7) && (
                          <Button size="small" disabled={busy} onClick={() => change(s, { expires: daysAhead(90) }, t('suppress.saved', { x: s.name }))}>
                            {t('suppress.putOff')}
                          </Button>
                        )}
                        <Button size="small" onClick={() => setHistory(s)}>
                          {t('notify.versions')}
                        </Button>
                        {write && (
                          <>
                            <Button size="small" onClick={() => setEditing(s)}>
                              {t('do.edit')}
                            </Button>
                            <Button size="small" aria-label={t('suppress.delete', { x: s.name })} onClick={() => remove(s)}>
                              {t('inhibit.delete')}
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
      {url.get('new') === '1' && write && <SuppressionForm close={() => setUrl({ new: undefined })} />}
      {alerts !== '' && drafted.data && <SuppressionForm key={alerts} draft={drafted.data} close={() => setUrl({ alert: undefined })} />}
      {editing && <SuppressionForm kept={editing} close={() => setEditing(null)} />}
      {history && <History of={history} write={write} close={() => setHistory(null)} />}
    </div>
  );
}

/** What a suppression was before; each version can be put in force again. */
function History({ of, write, close }: { of: Suppression; write: boolean; close: () => void }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['suppressions', of.id, 'versions'], queryFn: ({ signal }) => get<Page<SuppressionVersion>>(`${path(of)}/versions`, {}, signal) });
  return (
    <Modal open width={760} footer={null} title={`${t('notify.versions')} · ${of.name}`} onCancel={close}>
      <Loaded query={query} what="notify.versions" lines={3} small>
        {(d) => (
          <DataTable
            label={t('notify.versions')}
            rows={list(d.items)}
            rowKey={(v) => String(v.version)}
            columns={[
              { key: 'v', title: '#', num: true, render: (v) => v.version },
              { key: 'at', title: t('notify.at'), render: (v) => <When time={v.updated_at} /> },
              { key: 'by', title: t('notify.by'), render: (v) => v.updated_by },
              { key: 'what', title: t('suppress.condition'), render: (v) => <span className="mono ellipsis" title={JSON.stringify(v.detection, null, 2)}>{v.deleted ? t('merge.deleted') : v.disabled ? t('suppress.state.disabled') : JSON.stringify(v.detection ?? {})}</span> },
              { key: 'ends', title: t('suppress.expires'), render: (v) => absolute(v.expires) },
              {
                key: 'do',
                title: '',
                num: true,
                render: (v) =>
                  write && v.version !== of.version && !v.deleted && (
                    <Button size="small" disabled={busy} onClick={() => void act(() => put(path(of), suppressionBody(v)), { said: t('suppress.restored', { x: of.name }), renew: RENEW }).then((ok) => ok && close())}>
                      {t('notify.restore')}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </Modal>
  );
}
