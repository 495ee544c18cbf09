import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Progress, Select } from 'antd';
import { useCallback, useState } from 'react';
import { Link } from 'react-router-dom';
import type { Backtest as Kept, BacktestAlert, BacktestDay, BacktestFindings } from '../../api/backtests';
import { del, get, post, serverNow } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useFeedback } from '../../app/feedback';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { durationMs, parseRange } from '../../logic/urlstate';
import type { Key } from '../../locales/zh';
import { Chart, tooltip, type Colours } from '../chart';
import { Panel } from '../page';
import { Empty, Failed } from '../states';
import { When, WhenFull } from '../time';
import { Samples } from './trial';

const SPANS = ['24h', '168h', '720h', '2160h'] as const;

/** The shortest span that reaches as far back as the range in an address. */
export function spanFor(url: URLSearchParams): (typeof SPANS)[number] {
  const range = parseRange(url, '24h');
  const back = 'since' in range ? durationMs(range.since) : serverNow() - Date.parse(range.start);
  return SPANS.find((s) => back <= durationMs(s)) ?? '2160h';
}

interface Props {
  /** A rule in force, by its id; or what is written just now. */
  rule?: string;
  ruleText?: string;
  /** Suppressions, YAML: what of the firings they would have met. */
  suppression?: string;
  tenant?: string;
  ready?: boolean;
  /** How far back at first. */
  span?: (typeof SPANS)[number];
  /** Of a rule in force, results for this text alone. */
  text?: string;
  /** Figures and days alone. */
  brief?: boolean;
}

/** Judges the past by a rule, in the background: what it would have raised, day by day, before it is switched on. */
export function Backtest({ rule, ruleText, suppression, tenant, ready = true, span = '720h', text, brief = false }: Props) {
  const { t, locale } = useSettings();
  const can = useCan();
  const client = useQueryClient();
  const { failed } = useFeedback();
  const [since, setSince] = useState<string>(span);
  const [id, setId] = useState('');
  const [busy, setBusy] = useState(false);
  const kept = useQuery({
    enabled: can('list-backtests') && (!!rule || !!ruleText),
    queryKey: ['backtests', rule ?? ''],
    queryFn: async ({ signal }) => list((await get<Page<Kept>>('/backtests', rule ? { rule } : {}, signal)).items),
  });
  const of = ruleText || text;
  const earlier = list(kept.data).filter((k) => !of || k.request.source.trim() === of.trim());
  const shown = id || earlier[0]?.id || '';
  const one = useQuery({
    enabled: shown !== '',
    queryKey: ['backtests', 'one', shown],
    queryFn: ({ signal }) => get<Kept>(`/backtests/${encodeURIComponent(shown)}`, {}, signal),
    refetchInterval: (q) => (q.state.data && q.state.data.state !== 'queued' && q.state.data.state !== 'running' ? false : 1000),
  });
  if (!can('start-backtest')) return null;
  const b = shown ? one.data : undefined;
  const going = b?.state === 'queued' || b?.state === 'running';
  const act = async (work: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await work();
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
      void client.invalidateQueries({ queryKey: ['backtests'] });
    }
  };
  const start = () => act(async () => setId((await post<Kept>('/backtests', { ...(ruleText ? { source: ruleText } : rule ? { rule } : {}), ...(suppression ? { suppression } : {}), ...(tenant ? { tenant } : {}), since })).id));
  return (
    <Panel
      id="backtest"
      title={t('backtest.title')}
      end={
        <div className="row">
          {earlier.length > 1 && (
            <Select
              size="small"
              value={shown}
              aria-label={t('backtest.kept')}
              onChange={(v: string) => setId(v)}
              options={earlier.map((k) => ({ value: k.id, label: `${new Date(k.created_at).toLocaleString(locale)} · ${t(`backtest.${k.state}` as Key)}` }))}
            />
          )}
          <Select size="small" value={since} onChange={(v: string) => setSince(v)} options={SPANS.map((s) => ({ value: s, label: t('backtest.days', { n: parseInt(s, 10) / 24 }) }))} aria-label={t('backtest.over')} />
          {going ? (
            <Button size="small" disabled={busy} onClick={() => void act(() => post(`/backtests/${encodeURIComponent(shown)}/cancel`, {}))}>
              {t('backtest.cancel')}
            </Button>
          ) : (
            <>
              {b && (
                <Button
                  size="small"
                  disabled={busy}
                  onClick={() =>
                    void act(async () => {
                      await del(`/backtests/${encodeURIComponent(shown)}`);
                      setId('');
                    })
                  }
                >
                  {t('backtest.delete')}
                </Button>
              )}
              <Button size="small" type="primary" ghost disabled={!ready || busy} onClick={() => void start()} data-testid="start-backtest">
                {t('backtest.start')}
              </Button>
            </>
          )}
        </div>
      }
    >
      {!b && !one.error && <div className="dim">{t('backtest.why')}</div>}
      {one.error && <Failed error={one.error} what="backtest.what" retry={() => void one.refetch()} />}
      {b && going && (
        <div className="row" aria-live="polite">
          <Progress percent={Math.round(b.progress.share * 100)} size="small" style={{ maxWidth: 320 }} aria-label={t('backtest.title')} />
          <span className="dim">
            {t(`backtest.${b.state}` as Key)} · {t('backtest.events')} {number(b.progress.events, locale)} · {t('backtest.firings')} {number(b.progress.fired, locale)}
          </span>
        </div>
      )}
      {b && (b.state === 'failed' || b.state === 'cancelled') && (
        <div className="notice warn" role="alert">
          {t(`backtest.${b.state}` as Key)} {b.error}
        </div>
      )}
      {b?.findings && <Result f={b.findings} hushed={!!b.request.suppression} brief={brief} />}
    </Panel>
  );
}

function Result({ f, hushed, brief }: { f: BacktestFindings; hushed: boolean; brief: boolean }) {
  const { t, tx, locale } = useSettings();
  return (
    <div data-testid="backtest-result">
      <div className="statrow">
        <Figure name={t('backtest.firings')} value={number(f.occurrences, locale)} />
        <Figure name={t('backtest.alerts')} value={number(f.alerts, locale)} id="backtest-alerts" />
        {hushed && <Figure name={t('backtest.suppressed')} value={number(f.suppressed, locale)} />}
        <Figure name={t('backtest.joined')} value={number(f.joined, locale)} />
        <Figure name={t('backtest.cost')} value={t('backtest.costPer', { n: (f.cost.per_million * 1000).toFixed(1) })} />
        <Figure name={t('backtest.events')} value={number(f.events, locale)} />
        <Figure name={t('backtest.read')} value={number(f.read, locale)} />
        <Figure name={t('backtest.speed')} value={t('try.perSecond', { n: number(Math.round(f.cost.per_second), locale) })} />
      </div>
      <div className="dim">
        <WhenFull time={f.from} /> – <WhenFull time={f.to} />
      </div>
      {f.covered > f.from && (
        <div className="stale">
          {t('backtest.covered')} <WhenFull time={f.covered} />
        </div>
      )}
      {f.stopped && <div className="stale">{t(`backtest.stopped.${f.stopped}` as Key)}</div>}
      {f.held > 0 && <div className="stale">{t('backtest.held', { n: number(f.held, locale) })}</div>}
      {f.occurrences === 0 ? (
        <Empty small title={t('backtest.none')} why={t('backtest.noneWhy')} />
      ) : (
        <>
          <Days days={list(f.days)} hushed={hushed} />
          {!brief && (
            <>
              <Alerts items={list(f.list)} />
              <h3>{t('try.samples')}</h3>
              <Samples items={list(f.samples)} tx={tx} />
            </>
          )}
        </>
      )}
    </div>
  );
}

function Figure({ name, value, id }: { name: string; value: string; id?: string }) {
  return (
    <div className="figure">
      <span className="dim">{name}</span>
      <b data-testid={id}>{value}</b>
    </div>
  );
}

function Days({ days, hushed }: { days: readonly BacktestDay[]; hushed: boolean }) {
  const { t } = useSettings();
  const option = useCallback(
    (c: Colours) => {
      const names: [Key, (d: BacktestDay) => number][] = [
        ['backtest.firings', (d) => d.occurrences],
        ['backtest.alerts', (d) => d.alerts],
      ];
      if (hushed) names.push(['backtest.suppressed', (d) => d.suppressed]);
      return {
        tooltip: { trigger: 'axis', ...tooltip(c) },
        legend: { top: 0, textStyle: { color: c.dim } },
        grid: { left: 8, right: 8, top: 28, bottom: 4, containLabel: true },
        xAxis: { type: 'category', data: days.map((d) => d.date), axisLabel: { color: c.dim }, axisLine: { lineStyle: { color: c.line } } },
        yAxis: { type: 'value', minInterval: 1, axisLabel: { color: c.dim }, splitLine: { lineStyle: { color: c.border } } },
        series: names.map(([name, of], i) => ({ type: 'bar', name: t(name), data: days.map(of), itemStyle: { color: c.series[i] } })),
      };
    },
    [days, hushed, t],
  );
  return <Chart label={t('backtest.perDay')} option={option} height={190} />;
}

function Alerts({ items }: { items: readonly BacktestAlert[] }) {
  const { t, tx, locale } = useSettings();
  const [all, setAll] = useState(false);
  const rows = all ? items : items.slice(0, 10);
  return (
    <>
      <table className="data" aria-label={t('backtest.list')}>
        <thead>
          <tr>
            <th>{t('backtest.group')}</th>
            <th>{t('backtest.tenant')}</th>
            <th>{t('backtest.firings')}</th>
            <th>{t('backtest.last')}</th>
            <th>{t('backtest.incident')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((a) => (
            <tr key={a.tenant + a.key}>
              <td>
                {list(a.group)
                  .map((g) => `${g.field}=${g.value}`)
                  .join(' ') || tx(a.title)}
              </td>
              <td>{a.tenant}</td>
              <td>{number(a.occurrences, locale)}</td>
              <td>
                <When time={a.last} />
              </td>
              <td>
                {a.incident ? (
                  <Link to={`/incidents/${encodeURIComponent(a.incident.id)}`} title={t(`backtest.by.${a.incident.by}` as Key)}>
                    {tx(a.incident.title) || a.incident.id}
                  </Link>
                ) : (
                  <span className="faint">–</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {items.length > 10 && (
        <Button size="small" onClick={() => setAll(!all)}>
          {t(all ? 'backtest.fewer' : 'backtest.more', { n: items.length })}
        </Button>
      )}
    </>
  );
}
