import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Switch } from 'antd';
import { useMemo, useState } from 'react';
import { Link } from 'react-router-dom';
import { get, post, put } from '../api/client';
import { useCan } from '../api/queries';
import { SCENARIO_RENEW, scenarioBody, scenarioPath, type ScenarioState, type Share } from '../api/scenarios';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useFeedback } from '../app/feedback';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { download } from '../logic/export';
import { joined, number } from '../logic/format';
import { zoneName } from '../logic/zone';
import { changeOf } from '../logic/scenario';
import { Head, Updated } from '../parts/page';
import { DayBars } from '../parts/scenarios/bars';
import { ScenarioForm } from '../parts/scenarios/form';
import { ScenarioImport } from '../parts/scenarios/manage';
import { SeverityMark } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { TenantFilter } from '../parts/tenantfilter';

const DAYS = [1, 7, 30, 90];

/** Kinds of trouble, each watched as one: how much there is of each, and whom it concerns. ?days=, ?tenant=, ?off=1, ?new=1. */
export default function Scenarios() {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const write = useCan()('create-scenario');
  const { act } = useAct();
  const { done } = useFeedback();
  const [importing, setImporting] = useState(false);
  const days = DAYS.find((n) => String(n) === url.get('days')) ?? 7;
  const tenant = url.get('tenant') ?? '';
  const off = url.get('off') === '1';
  const query = useQuery({
    queryKey: ['scenarios', days, tenant, off],
    queryFn: ({ signal }) => get<Page<ScenarioState>>('/scenarios', { days, tenant, off: off || undefined, zone: zoneName() }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 60_000,
  });
  // What there is something of comes first; each half keeps its order.
  const all = list(query.data?.items);
  const rows = [...all.filter((s) => s.figures.alerts > 0), ...all.filter((s) => s.figures.alerts === 0)];
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  const [graded, regions] = useMemo(() => {
    const systems = new Map<string, Share>();
    const places = new Map<string, number>();
    for (const s of rows) {
      for (const x of list(s.figures.systems)) if (x.protection_level) systems.set(x.key, x);
      for (const x of list(s.figures.regions)) places.set(x.key, (places.get(x.key) ?? 0) + x.alerts);
    }
    return [[...systems.values()].sort((a, b) => (b.protection_level ?? 0) - (a.protection_level ?? 0)), [...places].sort((a, b) => b[1] - a[1])] as const;
  }, [query.data]); // eslint-disable-line react-hooks/exhaustive-deps
  const exported = async () => {
    const file = await get<{ yaml: string; count: number }>('/scenarios/export');
    if (file.count === 0) done(t('scenario.exportNone'));
    else download('icewatch-scenarios.yml', 'application/yaml', file.yaml);
  };
  const turn = (s: ScenarioState, on: boolean) =>
    void act(() => put(scenarioPath(s.id), { ...scenarioBody(s), off: !on }), {
      said: t(on ? 'scenario.turnedOn' : 'scenario.turnedOff', { x: tx(s.name) }),
      renew: SCENARIO_RENEW,
      undo: () => void act(() => post(`${scenarioPath(s.id)}/restore`, { version: s.version }), { renew: SCENARIO_RENEW }),
    });
  return (
    <div className="page">
      <Head title={t('page.scenarios')} sub={t('scenario.lead')}>
        <Updated at={query.dataUpdatedAt} />
        <TenantFilter value={tenant} onChange={(v) => setUrl({ tenant: v || undefined })} />
        {DAYS.map((n) => (
          <button key={n} className="plain toggle" aria-pressed={days === n} onClick={() => setUrl({ days: n === 7 ? undefined : String(n) })}>
            {t('scenario.days', { n })}
          </button>
        ))}
        <button className="plain toggle" aria-pressed={off} onClick={() => setUrl({ off: off ? undefined : '1' })}>
          {t('scenario.showOff')}
        </button>
        <Button onClick={() => void act(exported)}>{t('scenario.export')}</Button>
        {write && (
          <>
            <Button onClick={() => setImporting(true)}>{t('scenario.import')}</Button>
            <Button type="primary" onClick={() => setUrl({ new: '1' })}>
              {t('scenario.new')}
            </Button>
          </>
        )}
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.scenarios" lines={10}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t('scenario.empty')} why={t('scenario.emptyWhy')}>
              <Button onClick={() => setUrl({ off: '1' })}>{t('scenario.showOff')}</Button>
            </Empty>
          ) : (
            <div className="stack" style={{ gap: 14 }}>
              <section className="panel" style={{ padding: 14 }} aria-label={t('scenario.overall')}>
                <dl className="facts">
                  <dt>{t('scenario.graded')}</dt>
                  <dd className="tags">
                    {graded.length === 0 && <span className="dim">{t('scenario.none')}</span>}
                    {graded.slice(0, 12).map((x) => (
                      <Link key={x.key} className="tag" to={`/portraits/${encodeURIComponent(x.key)}`}>
                        {x.name || x.key} · {t('scenario.level', { n: x.protection_level ?? 0 })}
                      </Link>
                    ))}
                  </dd>
                  <dt>{t('scenario.regions')}</dt>
                  <dd className="tags">
                    {regions.length === 0 && <span className="dim">{t('scenario.none')}</span>}
                    {regions.slice(0, 12).map(([name, n]) => (
                      <span key={name} className="tag">
                        {name} <b>{number(n, locale)}</b>
                      </span>
                    ))}
                  </dd>
                </dl>
              </section>
              <div className="cards scenarios">
                {rows.map((s) => (
                  <Card key={s.id} of={s} days={days} turn={s.editable && write ? (on) => turn(s, on) : undefined} />
                ))}
              </div>
            </div>
          )
        }
      </Loaded>
      {url.get('new') === '1' && write && <ScenarioForm close={() => setUrl({ new: undefined })} />}
      {importing && <ScenarioImport close={() => setImporting(false)} />}
    </div>
  );
}

function Card({ of: s, days, turn }: { of: ScenarioState; days: number; turn?: (on: boolean) => void }) {
  const { t, tx, locale } = useSettings();
  const f = s.figures;
  const change = changeOf(f.alerts, f.before);
  const graded = list(f.systems).filter((x) => x.protection_level);
  return (
    <section className="panel" style={{ padding: 14, opacity: s.off ? 0.75 : 1 }} data-id={s.id} aria-label={tx(s.name)}>
      <div className="row">
        <h2 style={{ margin: 0, fontSize: 15 }}>
          <Link to={`/scenarios/${encodeURIComponent(s.id)}?days=${days}`}>{tx(s.name)}</Link>
        </h2>
        {f.severity && <SeverityMark level={f.severity} />}
        <span style={{ marginLeft: 'auto' }} className="row">
          {!s.shipped && <span className="tag">{t('scenario.own')}</span>}
          {turn && <Switch size="small" checked={!s.off} aria-label={`${t('scenario.on')} ${tx(s.name)}`} onChange={turn} />}
        </span>
      </div>
      <div className="gauges" style={{ gridTemplateColumns: 'repeat(4, 1fr)', margin: '10px 0 6px' }}>
        {(
          [
            ['alerts', f.alerts],
            ['incidents', f.incidents],
            ['risks', f.risks],
            ['succeeded', f.succeeded],
          ] as const
        ).map(([k, n]) => (
          <div key={k}>
            <div className="v">{number(n, locale)}</div>
            <div className="l">{t(`scenario.${k}`)}</div>
          </div>
        ))}
      </div>
      <DayBars figures={f} />
      <div className="faint" style={{ margin: '4px 0 8px' }}>
        {change === null ? (f.alerts > 0 ? t('scenario.fresh') : t('scenario.quiet')) : change === 0 ? t('scenario.same') : t(change > 0 ? 'scenario.more' : 'scenario.less', { n: number(Math.abs(change), locale) })}
      </div>
      {f.alerts > 0 && (
        <dl className="facts" style={{ gridTemplateColumns: 'max-content 1fr' }}>
          <Named title={t('scenario.graded')} list={graded.map((x) => `${x.name || x.key}（${t('scenario.level', { n: x.protection_level ?? 0 })}）`)} />
          <Named title={t('scenario.regions')} list={list(f.regions).map((x) => x.name || x.key)} />
          <Named title={t('scenario.riskyUnits')} list={list(f.units).filter(grave).map((x) => x.name || x.key)} />
          <Named title={t('scenario.riskyAccounts')} list={list(f.accounts).filter(grave).map((x) => x.key)} />
        </dl>
      )}
    </section>
  );
}

/** High risk is what was hit gravely, or by an attack that succeeded. */
export const grave = (x: Share) => x.succeeded > 0 || x.severity === 'high' || x.severity === 'critical';

function Named({ title, list: names }: { title: string; list: string[] }) {
  const { t, locale } = useSettings();
  return (
    <>
      <dt>{title}</dt>
      <dd className="ellipsis" title={joined(names, locale)}>
        {names.length > 0 ? joined(names.slice(0, 3), locale) + (names.length > 3 ? ` +${names.length - 3}` : '') : <span className="dim">{t('scenario.none')}</span>}
      </dd>
    </>
  );
}
