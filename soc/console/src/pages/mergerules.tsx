import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Modal, Switch } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../api/client';
import { mergeBody, type CompressionReport, type MergeRule, type MergeRuleVersion } from '../api/merging';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { download } from '../logic/export';
import { joined, number } from '../logic/format';
import { matcherText } from '../logic/silence';
import { MergeForm } from '../parts/merging/form';
import { useTenantName } from '../parts/names';
import { Head, Panel } from '../parts/page';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

const RENEW = ['merge-rules', 'alerts', 'incidents', 'incident'];
const path = (r: Pick<MergeRule, 'id'>) => `/merge-rules/${encodeURIComponent(r.id)}`;

/** By which rules alerts become one incident, in their order, and how much fewer they make. ?new=1 makes one, ?days= is 7 or 14. */
export default function MergeRules() {
  const { t, locale } = useSettings();
  const write = useCan()('create-merge-rule');
  const { act, busy } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const [editing, setEditing] = useState<MergeRule | null>(null);
  const [history, setHistory] = useState<MergeRule | null>(null);
  const query = useQuery({ queryKey: ['merge-rules'], queryFn: ({ signal }) => get<Page<MergeRule>>('/merge-rules', {}, signal), placeholderData: keepPreviousData });
  const rows = list(query.data?.items);
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  // What is shipped is written in both languages, the Chinese first.
  const half = (r: MergeRule, text = '') => {
    const both = r.shipped ? /^([^]*[\u3000-\u9fff\uff00-\uffef])\s*([A-Z][^]*)$/.exec(text) : null;
    return both?.[locale === 'en-US' ? 2 : 1] ?? text;
  };
  const name = (r: MergeRule) => (r.kind === 'alerts' ? half(r, r.name) : t(`merge.kind.${r.kind}`));
  const turn = (r: MergeRule, off: boolean) =>
    void act(() => put(path(r), { ...mergeBody(r), off }), {
      said: t(off ? 'inhibit.paused' : 'inhibit.resumed', { x: name(r) }),
      renew: RENEW,
      undo: () => void act(() => put(path(r), { ...mergeBody(r), off: !off }), { renew: RENEW }),
    });
  const remove = (r: MergeRule) =>
    void act(() => del(path(r)), {
      said: t('inhibit.deleted', { x: r.name }),
      renew: RENEW,
      undo: () => void act(() => post(`${path(r)}/restore`, { version: r.version }), { said: t('inhibit.restored', { x: r.name }), renew: RENEW }),
    });
  const ordered = (ids: string[]) => put('/merge-rules/order', { ids });
  const move = (r: MergeRule, by: number) => {
    const before = rows.map((x) => x.id);
    const at = before.indexOf(r.id);
    const next = before.filter((x) => x !== r.id);
    next.splice(at + by, 0, r.id);
    void act(() => ordered(next), { said: t('merge.moved'), renew: RENEW, undo: () => void act(() => ordered(before), { renew: RENEW }) });
  };
  return (
    <div className="page">
      <Head title={t('page.mergeRules')} sub={t('merge.lead')}>
        {rows.length > 0 && <Button onClick={() => download('icewatch-merge-rules.json', 'application/json', JSON.stringify(rows, null, 2))}>{t('silence.export')}</Button>}
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('merge.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <div className="stack" style={{ gap: 14 }}>
        <div className="panel" style={{ overflowX: 'auto' }}>
          <Loaded query={query} what="page.mergeRules" lines={4}>
            {() =>
              rows.length === 0 ? (
                <Empty title={t('merge.empty')} why={t('merge.emptyWhy')}>
                  {write && <Button onClick={() => setUrl({ new: '1' })}>{t('merge.new')}</Button>}
                </Empty>
              ) : (
                <DataTable
                  label={t('page.mergeRules')}
                  rows={rows}
                  rowKey={(r) => r.id}
                  columns={[
                    {
                      key: 'name',
                      title: t('inhibit.name'),
                      render: (r) => (
                        <>
                          <b style={{ opacity: r.off ? 0.75 : 1 }}>{name(r)}</b> {r.shipped && <span className="tag">{t('merge.shipped')}</span>}
                          <div className="faint">{r.kind === 'alerts' ? half(r, r.description) : t(`merge.kindWhy.${r.kind}`)}</div>
                        </>
                      ),
                    },
                    {
                      key: 'which',
                      title: t('merge.which'),
                      render: (r) =>
                        r.kind !== 'alerts' ? null : list(r.matchers).length === 0 ? (
                          <span className="dim">{t('merge.all')}</span>
                        ) : (
                          <span className="tags">
                            {list(r.matchers).map((m, i) => (
                              <span key={i} className="tag mono">
                                {matcherText(m)}
                              </span>
                            ))}
                          </span>
                        ),
                    },
                    {
                      key: 'by',
                      title: t('merge.by'),
                      render: (r) =>
                        r.kind === 'alerts' && (
                          <>
                            <span className="mono">{list(r.by).join(', ')}</span>
                            {r.similar && <div className="faint">{t('merge.alike', { x: r.similar.on === 'title' ? t('merge.title') : r.similar.on, n: Math.round(r.similar.at_least * 100) })}</div>}
                          </>
                        ),
                    },
                    { key: 'window', title: t('merge.window'), num: true, render: (r) => (r.kind === 'alerts' ? number(Math.round(r.window / 60), locale) : '') },
                    { key: 'least', title: t('merge.least'), num: true, render: (r) => (r.kind === 'alerts' ? number(r.least, locale) : '') },
                    { key: 'tenants', title: t('silence.tenants'), render: (r) => (list(r.tenants).length > 0 ? joined(list(r.tenants).map(tenantName), locale) : <span className="dim nowrap">{t('silence.allTenants')}</span>) },
                    { key: 'on', title: t('col.status'), render: (r) => <Switch size="small" checked={!r.off} disabled={!write} aria-label={t('inhibit.force', { x: name(r) })} onChange={(on) => turn(r, !on)} /> },
                    {
                      key: 'do',
                      title: '',
                      num: true,
                      render: (r) => (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          {write && (
                            <>
                              <Button size="small" type="text" disabled={busy || rows[0] === r} aria-label={t('merge.up', { x: name(r) })} onClick={() => move(r, -1)}>
                                ↑
                              </Button>
                              <Button size="small" type="text" disabled={busy || rows.at(-1) === r} aria-label={t('merge.down', { x: name(r) })} onClick={() => move(r, 1)}>
                                ↓
                              </Button>
                            </>
                          )}
                          <Button size="small" onClick={() => setHistory(r)}>
                            {t('notify.versions')}
                          </Button>
                          {write && r.kind === 'alerts' && (
                            <>
                              <Button size="small" onClick={() => setEditing(r)}>
                                {t('do.edit')}
                              </Button>
                              {!r.shipped && (
                                <Button size="small" aria-label={`${t('inhibit.delete')} ${r.name}`} onClick={() => remove(r)}>
                                  {t('inhibit.delete')}
                                </Button>
                              )}
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
        <CompressionPanel />
      </div>
      {url.get('new') === '1' && write && <MergeForm close={() => setUrl({ new: undefined })} />}
      {editing && <MergeForm rule={editing} close={() => setEditing(null)} />}
      {history && <History rule={history} title={name(history)} write={write} close={() => setHistory(null)} />}
    </div>
  );
}

/** How many firings became how many things to handle, by day and by rule. */
function CompressionPanel() {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const days = url.get('days') === '14' ? 14 : 7;
  const query = useQuery({ queryKey: ['alerts', 'compression', days], queryFn: ({ signal }) => get<CompressionReport>('/alerts/compression', { days }, signal), placeholderData: keepPreviousData, refetchInterval: 60_000 });
  const ratio = (n: number) => (n > 0 ? `${Math.round(n * 10) / 10} : 1` : '–');
  return (
    <Panel
      title={t('compression.title')}
      id="compression"
      end={
        <span className="row" style={{ gap: 4 }}>
          {[7, 14].map((n) => (
            <button key={n} className="plain toggle" aria-pressed={days === n} onClick={() => setUrl({ days: n === 7 ? undefined : String(n) })}>
              {t('disposals.days', { n })}
            </button>
          ))}
        </span>
      }
    >
      <Loaded query={query} what="compression.title" lines={5} small>
        {(c) => {
          if (c.firings === 0) return <Empty small title={t('compression.none')} why={t('compression.noneWhy')} />;
          const most = Math.max(1, ...list(c.days).map((d) => d.firings));
          return (
            <>
              <div className="gauges" style={{ gridTemplateColumns: 'repeat(4, 1fr)' }}>
                {(
                  [
                    ['firings', number(c.firings, locale)],
                    ['alerts', number(c.alerts, locale)],
                    ['handled', number(c.incidents + c.alone, locale)],
                    ['ratio', ratio(c.ratio)],
                  ] as const
                ).map(([key, value]) => (
                  <div key={key}>
                    <div className="v" data-testid={`compression-${key}`}>
                      {value}
                    </div>
                    <div className="l">{t(`compression.${key}`)}</div>
                  </div>
                ))}
              </div>
              <div className="halves" style={{ marginTop: 12 }}>
                <DataTable
                  label={t('compression.byDay')}
                  rows={list(c.days)}
                  rowKey={(d) => d.day}
                  columns={[
                    { key: 'day', title: t('compression.day'), render: (d) => d.day.slice(5) },
                    { key: 'bar', title: '', width: '30%', render: (d) => <span className="daybar" aria-hidden><i style={{ width: `${(100 * d.firings) / most}%`, background: 'var(--accent)' }} /></span> },
                    { key: 'firings', title: t('compression.firings'), num: true, render: (d) => number(d.firings, locale) },
                    { key: 'handled', title: t('compression.handled'), num: true, render: (d) => number(d.incidents + d.alone, locale) },
                    { key: 'ratio', title: t('compression.ratio'), num: true, render: (d) => ratio(d.ratio) },
                  ]}
                />
                <DataTable
                  label={t('compression.byRule')}
                  rows={list(c.rules).slice(0, 15)}
                  rowKey={(r) => r.rule_id}
                  columns={[
                    { key: 'rule', title: t('compression.rule'), render: (r) => tx(r.title) || r.rule_id },
                    { key: 'firings', title: t('compression.firings'), num: true, render: (r) => number(r.firings, locale) },
                    { key: 'handled', title: t('compression.handled'), num: true, render: (r) => number(r.incidents + r.alone, locale) },
                    { key: 'ratio', title: t('compression.ratio'), num: true, render: (r) => ratio(r.ratio) },
                  ]}
                />
              </div>
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}

/** What a rule was before; each version can be put in force again. */
function History({ rule, title, write, close }: { rule: MergeRule; title: string; write: boolean; close: () => void }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['merge-rules', rule.id, 'versions'], queryFn: ({ signal }) => get<Page<MergeRuleVersion>>(`${path(rule)}/versions`, {}, signal) });
  return (
    <Modal open width={720} footer={null} title={`${t('notify.versions')} · ${title}`} onCancel={close}>
      <Loaded query={query} what="notify.versions" lines={3} small>
        {(d) =>
          list(d.items).length === 0 ? (
            <Empty small title={t('merge.noVersions')} />
          ) : (
            <DataTable
              label={t('notify.versions')}
              rows={list(d.items)}
              rowKey={(v) => String(v.version)}
              columns={[
                { key: 'v', title: '#', num: true, render: (v) => v.version },
                { key: 'at', title: t('notify.at'), render: (v) => (v.updated_at ? <When time={v.updated_at} /> : t('merge.shipped')) },
                { key: 'by', title: t('notify.by'), render: (v) => v.updated_by },
                { key: 'what', title: t('merge.by'), render: (v) => (v.deleted ? t('merge.deleted') : v.off ? t('merge.paused') : list(v.by).join(', ')) },
                {
                  key: 'do',
                  title: '',
                  num: true,
                  render: (v) =>
                    write && v.version !== rule.version && !v.deleted && (
                      <Button size="small" disabled={busy} onClick={() => void act(() => post(`${path(rule)}/restore`, { version: v.version }), { said: t('inhibit.restored', { x: title }), renew: RENEW }).then((ok) => ok && close())}>
                        {t('notify.restore')}
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
