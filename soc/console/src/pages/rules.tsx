import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Input, Modal, Select, Switch } from 'antd';
import { useMemo, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { buildPath, get, post } from '../api/client';
import { useCan } from '../api/queries';
import type { RuleVersion } from '../api/rules';
import { SEVERITIES, list, type Page, type RuleInfo } from '../api/types';
import { useAct } from '../app/act';
import { useFeedback } from '../app/feedback';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { ruleCounts, ruleMatches, ruleOrder, type RuleFilter } from '../logic/rules';
import { Attack } from '../parts/alertparts';
import { Head } from '../parts/page';
import { RuleImport } from '../parts/rules/importing';
import { SwitchOn } from '../parts/rules/switchon';
import { Spark } from '../parts/rules/trial';
import { WindowsDialog, useWindows } from '../parts/rules/windows';
import { SearchBox } from '../parts/search';
import { SeverityMark } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

const RENEW = ['rules'];
const STEP = 200;

/** A rule that was rejected before its id could be read is known by its file. */
export function ruleKey(r: RuleInfo): string {
  return `${r.path}#${r.id}#${r.line ?? 0}`;
}

export function alertsOf(id: string): string {
  return `/alerts?${new URLSearchParams({ rule: id, since: '30d', status: 'open,acknowledged,closed' })}`;
}

export default function Rules() {
  const { t, tx, locale } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const client = useQueryClient();
  const { failed } = useFeedback();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [off, setOff] = useState<string[] | null>(null);
  const [on, setOn] = useState<string[] | null>(null);
  const [shown, setShown] = useState(STEP);
  const filter: RuleFilter = { q: url.get('q') ?? '', status: url.get('status') ?? '', level: url.get('level') ?? '', kind: url.get('kind') ?? '', origin: url.get('origin') ?? '', tag: url.get('tag') ?? '' };
  const query = useQuery({ queryKey: ['rules'], queryFn: ({ signal }) => get<Page<RuleInfo>>('/rules', {}, signal), refetchInterval: 15_000 });
  const all = list(query.data?.items);
  const rows = useMemo(() => all.filter((r) => ruleMatches(r, filter)).sort(ruleOrder(tx)), [all, tx, url]); // eslint-disable-line react-hooks/exhaustive-deps
  const counts = useMemo(() => ruleCounts(all), [all]);
  const may = can('disable-rules');
  const windows = useWindows().data;
  const filtered = Object.values(filter).some(Boolean);
  useKeys({ n: () => can('create-rule') && navigate('/rules/new') });

  const turn = (ids: string[], on: boolean, reason = '') =>
    act(() => post(`/rules/${on ? 'enable' : 'disable'}`, { ids, reason }), {
      said: t(on ? 'rules.onN' : 'rules.offN', { n: ids.length }),
      renew: RENEW,
      undo: () => void act(() => post(`/rules/${on ? 'disable' : 'enable'}`, { ids }), { renew: RENEW }),
    });
  const reload = () => act(() => post('/rules/reload'), { said: t('rules.reloaded'), renew: RENEW });
  const picked = rows.filter((r) => chosen.has(ruleKey(r)) && r.id);
  const ids = (want: boolean) => picked.filter((r) => (want ? r.off : !r.off)).map((r) => r.id);
  const choice = (key: 'level' | 'kind' | 'origin', label: string, options: { value: string; label: string }[]) => (
    <Select allowClear size="small" value={filter[key] || undefined} placeholder={label} aria-label={label} options={options} onChange={(v?: string) => setUrl({ [key]: v })} style={{ minWidth: 90 }} popupMatchSelectWidth={false} />
  );
  return (
    <div className="page">
      <Head title={t('page.rules')} sub={query.data ? number(all.length, locale) : ''}>
        {can('list-rule-proposals') && <Button onClick={() => navigate('/rules/proposals')}>{t('rules.proposals')}</Button>}
        {can('list-deleted-rules') && <Button onClick={() => setUrl({ show: 'deleted' })}>{t('rules.deletedList')}</Button>}
        <Button href={buildPath('/rules/export', filter.origin ? { origin: filter.origin } : filter.tag ? { tag: filter.tag } : {})} download>
          {t('rules.export')}
        </Button>
        {can('import-rules') && <Button onClick={() => setUrl({ show: 'import' })}>{t('rules.import')}</Button>}
        {can('get-rule-set') && <Button onClick={() => setUrl({ show: 'windows' })}>{t('windows.title')}</Button>}
        {can('reload-rules') && (
          <Button loading={busy} onClick={() => void reload()}>
            {t('rules.reload')}
          </Button>
        )}
        {can('create-rule') && (
          <Button type="primary" onClick={() => navigate('/rules/new')}>
            {t('rules.new')} <kbd>n</kbd>
          </Button>
        )}
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('rules.filter')} />
        {(['', 'active', 'disabled', 'rejected', 'throttled'] as const).map((s) => (
          <button key={s} className="plain toggle" aria-pressed={filter.status === s} onClick={() => setUrl({ status: s })}>
            {t(s === '' ? 'rules.all' : `rules.${s}`)} <span className="faint">{number(s === '' ? all.length : counts[s], locale)}</span>
          </button>
        ))}
        <span className="sep" />
        {choice('level', t('rules.anyLevel'), SEVERITIES.map((v) => ({ value: v, label: t(`sev.${v}`) })))}
        {choice('kind', t('rules.anyKind'), [{ value: 'sigma', label: t('alert.sigma') }, { value: 'correlation', label: t('alert.correlation') }])}
        {choice('origin', t('rules.anyOrigin'), (['own', 'builtin', 'folder'] as const).map((v) => ({ value: v, label: t(`rules.${v}`) })))}
        <Select allowClear showSearch size="small" value={filter.tag || undefined} placeholder={t('rules.anyTag')} aria-label={t('rules.anyTag')} options={counts.tags.map(([value, n]) => ({ value, label: `${value} (${n})` }))} onChange={(v?: string) => setUrl({ tag: v })} style={{ minWidth: 150 }} popupMatchSelectWidth={false} />
        {filtered && (
          <Button size="small" type="text" onClick={() => setUrl({ q: undefined, status: undefined, level: undefined, kind: undefined, origin: undefined, tag: undefined })}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {windows && windows.evicted > 0 && (
        <div className="stale" data-testid="evicted">
          <span aria-hidden="true">⚠</span>
          {t('windows.evictedWarn', { n: number(windows.evicted, locale) })}
          <Button size="small" style={{ marginLeft: 'auto' }} onClick={() => setUrl({ show: 'windows' })}>
            {t('do.details')}
          </Button>
        </div>
      )}
      {counts.rejected > 0 && filter.status !== 'rejected' && (
        <div className="stale">
          <span aria-hidden="true">⚠</span>
          {t('rules.rejectedN', { n: counts.rejected })}
          <Button size="small" style={{ marginLeft: 'auto' }} onClick={() => setUrl({ status: 'rejected' })}>
            {t('do.details')}
          </Button>
        </div>
      )}
      {picked.length > 0 && (
        <div className="batch" role="toolbar" aria-label={t('rules.chosen', { n: picked.length })}>
          <b>{t('rules.chosen', { n: picked.length })}</b>
          {may && (
            <>
              <Button size="small" disabled={ids(true).length === 0} onClick={() => setOn(ids(true))}>
                {t('rules.enableN', { n: ids(true).length })}
              </Button>
              <Button size="small" disabled={ids(false).length === 0} onClick={() => setOff(ids(false))}>
                {t('rules.disableN', { n: ids(false).length })}
              </Button>
            </>
          )}
          <Button size="small" href={`${buildPath('/rules/export')}?${new URLSearchParams(picked.map((r) => ['id', r.id]))}`} download>
            {t('rules.export')}
          </Button>
          <Button size="small" type="text" onClick={() => setChosen(new Set())}>
            {t('do.cancel')}
          </Button>
        </div>
      )}
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="rules.what" lines={14}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('rules.empty')} why={filtered ? undefined : t('rules.newWhy')}>
                {filtered ? (
                  <Button onClick={() => setUrl({ q: undefined, status: undefined, level: undefined, kind: undefined, origin: undefined, tag: undefined })}>{t('do.clear')}</Button>
                ) : (
                  can('create-rule') && (
                    <Button type="primary" onClick={() => navigate('/rules/new')}>
                      {t('rules.new')}
                    </Button>
                  )
                )}
              </Empty>
            ) : (
              <>
                <DataTable
                  label={t('page.rules')}
                  rows={rows.slice(0, shown)}
                  rowKey={ruleKey}
                  onRow={(r) => r.id && navigate(`/rules/${encodeURIComponent(r.id)}`)}
                  choice={{ ids: chosen, set: setChosen, name: (r) => tx(r.title) || r.id }}
                  columns={[
                    {
                      key: 'on',
                      title: t('rules.enabled'),
                      width: 56,
                      render: (r) =>
                        r.id && (
                          <Switch
                            size="small"
                            disabled={!may || busy}
                            checked={!r.off}
                            aria-label={t('rules.switchOne', { x: tx(r.title) || r.id })}
                            onChange={(on) => (on ? setOn([r.id]) : void turn([r.id], false))}
                          />
                        ),
                    },
                    { key: 'level', title: t('col.severity'), width: 86, render: (r) => (r.level ? <SeverityMark level={r.level} /> : '–') },
                    {
                      key: 'title',
                      title: t('col.name'),
                      width: 210,
                      render: (r) => (
                        <>
                          {r.id ? <Link to={`/rules/${encodeURIComponent(r.id)}`}>{tx(r.title) || r.id}</Link> : tx(r.title) || r.path} {r.origin === 'own' && <span className="tag">{t('rules.own')}</span>}{' '}
                          {r.throttle && (
                            <span className="tag strong" title={tx(r.throttle.reason)}>
                              {t('rules.throttled')}
                            </span>
                          )}
                          {r.status === 'rejected' && (
                            <div style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>
                              {t('rules.rejected')}: {r.reason}
                            </div>
                          )}
                          {r.off && (
                            <div className="faint">
                              {t('rules.disabled')} · {r.off.by} {r.off.reason && `· ${r.off.reason}`}
                            </div>
                          )}
                        </>
                      ),
                    },
                    { key: 'kind', title: t('rules.kind'), render: (r) => <span className="nowrap">{r.kind === 'correlation' ? t('alert.correlation') : t('alert.sigma')}</span> },
                    {
                      key: 'tags',
                      title: t('rules.tags'),
                      render: (r) => (
                        <span className="tags">
                          <Attack techniques={r.techniques} />
                          {list(r.tags)
                            .filter((x) => !x.toLowerCase().startsWith('attack.'))
                            .slice(0, 4)
                            .map((x) => (
                              <button key={x} className="plain tag" onClick={() => setUrl({ tag: x })}>
                                {x}
                              </button>
                            ))}
                        </span>
                      ),
                    },
                    { key: 'hits', title: t('rules.hits'), num: true, render: (r) => number(r.hits, locale) },
                    { key: 'trend', title: t('rules.trend'), width: 100, render: (r) => <Spark values={list(r.trend)} title={t('rules.trendWhy', { x: list(r.trend).join(', ') })} /> },
                    { key: 'cost', title: t('rules.cost'), num: true, render: (r) => (r.cost ? <span title={t('rules.costWhy', { load: r.cost.load.toFixed(4) })}>{share(r.cost.share)}</span> : <span className="faint">–</span>) },
                    {
                      key: 'see',
                      title: '',
                      render: (r) =>
                        r.id && (
                          <span className="nowrap row" style={{ gap: 10 }}>
                            <Link to={alertsOf(r.id)}>{t('rules.alertsShort')}</Link>
                            <Link to={`/rules/${encodeURIComponent(r.id)}?go=events`}>{t('rules.eventsShort')}</Link>
                          </span>
                        ),
                    },
                  ]}
                />
                {rows.length > shown && (
                  <div style={{ padding: 10, textAlign: 'center' }}>
                    <Button onClick={() => setShown(shown + STEP)}>
                      {t('do.more')} ({number(rows.length - shown, locale)})
                    </Button>
                  </div>
                )}
              </>
            )
          }
        </Loaded>
      </div>
      {on && <SwitchOn rules={all.filter((r) => on.includes(r.id))} close={() => setOn(null)} submit={() => void turn(on, true).then((ok) => ok && on.length > 1 && setChosen(new Set()))} />}
      {off && <SwitchOff n={off.length} close={() => setOff(null)} submit={(reason) => void turn(off, false, reason).then((ok) => ok && setChosen(new Set()))} />}
      {url.get('show') === 'import' && (
        <RuleImport
          close={() => setUrl({ show: undefined })}
          imported={(r) => {
            void client.invalidateQueries({ queryKey: ['rules'] });
            void act(() => Promise.resolve(), { said: t('ruleimp.done', { n: r.created + r.changed }) });
          }}
        />
      )}
      {url.get('show') === 'windows' && <WindowsDialog rules={all} close={() => setUrl({ show: undefined })} />}
      {url.get('show') === 'deleted' && <Deleted close={() => setUrl({ show: undefined })} failed={failed} />}
    </div>
  );
}

/** A part of the time of all rules, in per cent. */
export function share(x: number): string {
  const p = 100 * x;
  return p === 0 ? '0%' : p < 0.01 ? '<0.01%' : `${p.toFixed(p < 1 ? 2 : 1)}%`;
}

export function SwitchOff({ n, close, submit }: { n: number; close: () => void; submit: (reason: string) => void }) {
  const { t } = useSettings();
  const [reason, setReason] = useState('');
  const send = () => {
    submit(reason);
    close();
  };
  return (
    <Modal open title={t('rules.offTitle', { n })} okText={t('rules.disableN', { n })} cancelText={t('do.cancel')} onCancel={close} onOk={send} width={440}>
      <p className="dim">{t('rules.offWhy')}</p>
      <Input autoFocus value={reason} maxLength={1000} placeholder={t('rules.offReason')} aria-label={t('rules.offReason')} onChange={(e) => setReason(e.target.value)} onPressEnter={send} />
    </Modal>
  );
}

/** Own rules that were deleted; each can come back. */
function Deleted({ close, failed }: { close: () => void; failed: (e: unknown) => void }) {
  const { t } = useSettings();
  const client = useQueryClient();
  const { done } = useFeedback();
  const query = useQuery({ queryKey: ['rules', 'deleted'], queryFn: async ({ signal }) => list((await get<Page<RuleVersion>>('/rules/deleted', {}, signal)).items) });
  const restore = async (v: RuleVersion) => {
    try {
      await post(`/rules/${encodeURIComponent(v.id)}/restore`, { revision: v.revision });
      done(t('rules.restored', { x: v.title || v.id }));
    } catch (e) {
      failed(e);
    }
    void client.invalidateQueries({ queryKey: ['rules'] });
  };
  return (
    <Modal open width={640} title={t('rules.deletedList')} footer={null} onCancel={close}>
      <Loaded query={query} what="rules.what" lines={3} small>
        {(rows) =>
          rows.length === 0 ? (
            <Empty small title={t('rules.noDeleted')} />
          ) : (
            <DataTable
              label={t('rules.deletedList')}
              rows={rows}
              rowKey={(v) => v.id}
              columns={[
                { key: 'title', title: t('col.name'), render: (v) => v.title || v.id },
                { key: 'by', title: '', render: (v) => <span className="dim">{v.by}</span> },
                { key: 'at', title: '', render: (v) => <When time={v.at} /> },
                {
                  key: 'do',
                  title: '',
                  render: (v) => (
                    <Button size="small" onClick={() => void restore(v)}>
                      {t('rules.restore')}
                    </Button>
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Modal>
  );
}
