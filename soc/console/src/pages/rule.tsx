import { useQuery } from '@tanstack/react-query';
import { Button, Switch } from 'antd';
import { useEffect, useMemo, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { del, get, post } from '../api/client';
import { useCan } from '../api/queries';
import type { Rule, RuleVersion } from '../api/rules';
import { list, type Alert, type Page, type RuleInfo } from '../api/types';
import { useAct } from '../app/act';
import { copyText, useFeedback } from '../app/feedback';
import { usePageTitle, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { chainOf, member } from '../logic/sigma/chain';
import { Attack, eventsLink } from '../parts/alertparts';
import { Ask } from '../parts/dialog';
import { Panel } from '../parts/page';
import { ChainPicture } from '../parts/rules/chain';
import { Backtest } from '../parts/rules/backtest';
import { SwitchOn } from '../parts/rules/switchon';
import { Spark } from '../parts/rules/trial';
import { RuleConclusions } from '../parts/rules/conclusions';
import { Closings, useWindows } from '../parts/rules/windows';
import { SeverityMark, StatusMark } from '../parts/severity';
import { Empty, Failed, Loaded, Skeleton } from '../parts/states';
import { When } from '../parts/time';
import { SwitchOff, alertsOf, share } from './rules';

const RENEW = ['rules'];

export default function RulePage() {
  const { t, tx, locale } = useSettings();
  const { id = '' } = useParams();
  const navigate = useNavigate();
  const can = useCan();
  const { done, failed } = useFeedback();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const [off, setOff] = useState(false);
  const [on, setOn] = useState(false);
  const [removing, setRemoving] = useState(false);
  const path = `/rules/${encodeURIComponent(id)}`;
  const query = useQuery({ queryKey: ['rules', id], queryFn: ({ signal }) => get<Rule>(path, {}, signal), refetchInterval: 10_000 });
  const r = query.data;
  const alerts = useQuery({
    enabled: !!r,
    queryKey: ['rules', id, 'alerts'],
    queryFn: async ({ signal }) => list((await get<Page<Alert>>('/alerts', { rule: id, since: '720h', status: 'open,acknowledged,closed', limit: 8 }, signal)).items),
    refetchInterval: 5_000,
  });
  usePageTitle(r ? tx(r.title) || r.id : t('page.rules'));
  const windows = useWindows(r?.kind === 'correlation').data;
  const all = useQuery({ queryKey: ['rules'], queryFn: ({ signal }) => get<Page<RuleInfo>>('/rules', {}, signal), staleTime: 15_000 });
  const chain = useMemo(() => (r ? chainOf(member(r), list(all.data?.items).map(member)) : null), [r, all.data]);
  const found = alerts.data ?? [];
  const events = [...new Set(found.flatMap((a) => list(a.event_ids)))].slice(-200);
  const eventsAt = events.length > 0 ? eventsLink(events, found.map((a) => a.first_seen).sort()[0] as string, found.map((a) => a.last_seen).sort().at(-1) as string) : '';
  const going = url.get('go') === 'events';
  useEffect(() => {
    if (!going || !alerts.data) return;
    // From the list straight to the events; where there are none this page says so.
    if (eventsAt) navigate(eventsAt, { replace: true });
    else setUrl({ go: undefined });
  }, [going, alerts.data, eventsAt, navigate, setUrl]);
  useKeys({ e: () => r && navigate(`${path}/edit`), Escape: () => navigate('/rules') });
  if (!r) {
    return <div className="page">{query.error ? <Failed error={query.error} what="rules.what" retry={() => void query.refetch()} /> : <Skeleton lines={12} />}</div>;
  }
  const turn = (on: boolean, reason = '') =>
    act(() => post(`/rules/${on ? 'enable' : 'disable'}`, { ids: [r.id], reason }), {
      said: t(on ? 'rules.onN' : 'rules.offN', { n: 1 }),
      renew: RENEW,
      undo: () => void act(() => post(`/rules/${on ? 'disable' : 'enable'}`, { ids: [r.id] }), { renew: RENEW }),
    });
  const main = r.main || r.id;
  const source = r.file ?? r.source ?? '';
  return (
    <div className="page">
      <div className="row" style={{ marginBottom: 8 }}>
        <Link to="/rules">← {t('page.rules')}</Link>
        <div className="actions" style={{ marginLeft: 'auto' }}>
          {can('delete-rule') && r.origin === 'own' && (
            <Button onClick={() => setRemoving(true)} data-testid="delete-rule">
              {t('rules.delete')}
            </Button>
          )}
          <Button type="primary" onClick={() => navigate(`/rules/${encodeURIComponent(main)}/edit`)}>
            {t('rules.edit')} <kbd>e</kbd>
          </Button>
        </div>
      </div>
      <h1 className="sentence">{tx(r.title) || r.id}</h1>
      <div className="meta" style={{ marginBottom: 14 }}>
        {r.level && <SeverityMark level={r.level} />}
        <span className="status" data-testid="rule-status">
          <i className={`dot ${r.off ? 'off' : r.status === 'active' ? 'ok' : 'error'}`} />
          {t(r.off ? 'rules.disabled' : `rules.${r.status}`)}
        </span>
        <Switch size="small" disabled={!can('disable-rules') || busy} checked={!r.off} aria-label={t('rules.switchOne', { x: tx(r.title) || r.id })} onChange={(on) => (on ? setOn(true) : setOff(true))} />
        <span className="tag">{r.kind === 'correlation' ? t('alert.correlation') : t('alert.sigma')}</span>
        <span className="tag">{t(`rules.${r.origin ?? 'folder'}`)}</span>
        <Attack tactics={r.tactics} techniques={r.techniques} />
        {list(r.tags)
          .filter((x) => !x.toLowerCase().startsWith('attack.'))
          .map((x) => (
            <Link key={x} className="tag" to={`/rules?${new URLSearchParams({ tag: x })}`}>
              {x}
            </Link>
          ))}
        <Link to={alertsOf(r.id)}>{t('rules.alerts')}</Link>
        {eventsAt ? <Link to={eventsAt}>{t('rules.events')}</Link> : alerts.data && <span className="faint">{t('rules.noEvents')}</span>}
      </div>
      {r.status === 'rejected' && (
        <div className="stale" role="alert">
          <b>{t('rules.reason')}</b> {r.reason}
        </div>
      )}
      {r.off && (
        <div className="stale">
          {t('rules.offBy', { by: r.off.by })} <When time={r.off.at} /> {r.off.reason}
        </div>
      )}
      {r.throttle && (
        <div className="stale" role="alert">
          <b>{t('rules.throttled')}</b> {tx(r.throttle.reason)}
        </div>
      )}
      {r.off && <Backtest rule={r.id} />}
      <div className="cols">
        <div className="stack" style={{ gap: 14 }}>
          {tx(r.meaning) && (
            <Panel title={t('rules.meaning')}>
              <div className="meaning">{tx(r.meaning)}</div>
            </Panel>
          )}
          {chain && chain.nodes.length > 1 && all.data && (
            <Panel title={t('chain.title')} end={<span className="dim">{t('chain.why')}</span>}>
              <ChainPicture chain={chain} />
            </Panel>
          )}
          {!r.off && r.status === 'active' && <Backtest rule={r.id} />}
          <Panel
            title={
              <>
                {t('rules.source')}{' '}
                <span className="mono dim" style={{ fontWeight: 400 }}>
                  {r.path}
                  {r.line && r.origin !== 'own' ? `:${r.line}` : ''}
                </span>
              </>
            }
            end={
              <Button size="small" onClick={() => void copyText(source).then(() => done(t('do.copied')), failed)}>
                {t('do.copy')}
              </Button>
            }
          >
            <pre className="source">
              {source.split('\n').map((line, i) => (
                <span key={i} className={r.status === 'rejected' && r.line === i + 1 ? 'bad' : undefined}>
                  {line}
                  {'\n'}
                </span>
              ))}
            </pre>
          </Panel>
        </div>
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('rules.facts')}>
            <dl className="facts" style={{ paddingTop: 6 }}>
              <dt>{t('rules.hits')}</dt>
              <dd>{number(r.hits, locale)}</dd>
              <dt>{t('rules.trend')}</dt>
              <dd>
                <Spark values={list(r.trend)} wide title={t('rules.trendWhy', { x: list(r.trend).join(', ') })} />
              </dd>
              {r.cost ? (
                <>
                  <dt>{t('rules.cost')}</dt>
                  <dd title={t('rules.costWhy', { load: r.cost.load.toFixed(4) })}>{share(r.cost.share)}</dd>
                  <dt>{t('rules.selectivity')}</dt>
                  <dd title={t('rules.selectivityWhy', { asked: number(r.cost.asked, locale), hits: number(r.cost.hits, locale) })}>{r.cost.asked > 0 ? share(r.cost.selectivity) : '–'}</dd>
                  <dt>{t('rules.asked')}</dt>
                  <dd>{number(r.cost.asked, locale)}</dd>
                  <dt>{t('rules.lastHit')}</dt>
                  <dd>{r.cost.last_hit ? <When time={r.cost.last_hit} /> : <span className="faint">{t('rules.never')}</span>}</dd>
                </>
              ) : (
                r.status === 'active' && (
                  <>
                    <dt>{t('rules.cost')}</dt>
                    <dd className="faint">{t('rules.engineOff')}</dd>
                  </>
                )
              )}
              {windows && (
                <>
                  <dt>{t('windows.evicted')}</dt>
                  <dd data-testid="rule-evicted">{number(windows.evicted_by?.[r.id] ?? 0, locale)}</dd>
                </>
              )}
              {r.updated_at && (
                <>
                  <dt>{t('rules.updated')}</dt>
                  <dd>
                    {r.updated_by || t('rules.byHand')} <When time={r.updated_at} />
                  </dd>
                </>
              )}
            </dl>
          </Panel>
          <RuleConclusions rule={r.id} />
          {windows && (
            <Panel title={t('windows.closed')} id="closings">
              <Closings w={windows} rule={r.id} />
            </Panel>
          )}
          <Panel title={t('rules.recent')}>
            <Loaded query={alerts} what="alerts.what" lines={3} small>
              {(rows) =>
                rows.length === 0 ? (
                  <Empty small title={t('rules.noAlerts')} />
                ) : (
                  <ul className="plainlist" data-testid="rule-alerts">
                    {rows.map((a) => (
                      <li key={a.id} className="row">
                        <StatusMark status={a.status} />
                        <Link className="ellipsis grow" title={tx(a.title)} to={`/alerts/${encodeURIComponent(a.id)}`}>
                          {tx(a.title)}
                        </Link>
                        <When time={a.last_seen} />
                      </li>
                    ))}
                  </ul>
                )
              }
            </Loaded>
          </Panel>
          <Versions rule={r} main={main} />
        </div>
      </div>
      {off && <SwitchOff n={1} close={() => setOff(false)} submit={(reason) => void turn(false, reason)} />}
      {on && <SwitchOn rules={[r]} close={() => setOn(false)} submit={() => void turn(true)} />}
      {removing && (
        <Ask
          title={t('rules.deleteAsk', { x: tx(r.title) || r.id })}
          why={t('rules.deleteWhy')}
          ok={t('rules.delete')}
          close={() => setRemoving(false)}
          submit={async () => {
            const revision = r.revision ?? 0;
            await del(`/rules/${encodeURIComponent(main)}`);
            void act(() => Promise.resolve(), { said: t('rules.deleted', { x: tx(r.title) || r.id }), renew: RENEW, undo: () => void act(() => post(`/rules/${encodeURIComponent(main)}/restore`, { revision }), { renew: RENEW }) });
            navigate('/rules');
          }}
        />
      )}
    </div>
  );
}

/** What happened to the rule; each version can be put in force again. */
function Versions({ rule, main }: { rule: Rule; main: string }) {
  const { t } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const [open, setOpen] = useState(-1);
  const query = useQuery({ queryKey: ['rules', main, 'versions', rule.revision, rule.off?.at], queryFn: async ({ signal }) => list((await get<Page<RuleVersion>>(`/rules/${encodeURIComponent(main)}/versions`, {}, signal)).items) });
  return (
    <Panel title={t('rules.versions')} id="versions">
      <Loaded query={query} what="rules.versions" lines={3} small>
        {(rows) =>
          rows.length === 0 ? (
            <Empty small title={t('rules.noVersions')} />
          ) : (
            <ol className="timeline">
              {rows.map((v, i) => (
                <li key={i} data-action={v.action}>
                  <div className="t-head">
                    <b>
                      {v.revision ? `${t('rules.version', { n: v.revision })} · ` : ''}
                      {t(`rulever.${v.action}`)}
                    </b>
                    <span className="dim">{v.by}</span>
                    <When time={v.at} />
                  </div>
                  {v.note && <div className="t-text">{v.note}</div>}
                  {v.source && (
                    <div className="row" style={{ gap: 10 }}>
                      <button className="plain link" aria-expanded={open === i} onClick={() => setOpen(open === i ? -1 : i)}>
                        {t(open === i ? 'rules.hideText' : 'rules.showText')}
                      </button>
                      {can('restore-rule') && v.source !== rule.file && (
                        <button
                          className="plain link"
                          disabled={busy}
                          onClick={() =>
                            void act(() => post(`/rules/${encodeURIComponent(main)}/restore`, { revision: v.revision }), {
                              said: t('rules.restored', { x: t('rules.version', { n: v.revision ?? 0 }) }),
                              renew: RENEW,
                              undo: rule.revision ? () => void act(() => post(`/rules/${encodeURIComponent(main)}/restore`, { revision: rule.revision }), { renew: RENEW }) : undefined,
                            })
                          }
                        >
                          {t('rules.restoreTo', { n: v.revision ?? 0 })}
                        </button>
                      )}
                    </div>
                  )}
                  {open === i && <pre className="source small">{v.source}</pre>}
                </li>
              ))}
            </ol>
          )
        }
      </Loaded>
    </Panel>
  );
}
