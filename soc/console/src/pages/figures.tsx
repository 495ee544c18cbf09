import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Select } from 'antd';
import { get, put } from '../api/client';
import { SEVERITIES, list, type List } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { download, tableCSV } from '../logic/export';
import { clock, number } from '../logic/format';
import { zoneName } from '../logic/zone';
import { useTenantName } from '../parts/names';
import { Head, Panel, Updated } from '../parts/page';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';

interface Tally {
  incidents: number;
  open: number;
  acknowledged: number;
  closed: number;
  breached: number;
  mtta_seconds: number;
  mttr_seconds: number;
  alerts: number;
  alerts_open: number;
  false_positives: number;
  events: number;
}
interface Figures {
  from: string;
  to: string;
  /** Not closed, whenever they opened. */
  backlog: number;
  total: Tally;
  /** Of the time of the same length before. */
  before: Tally;
  days: List<Tally & { day: string; closed_on: number }>;
  by: List<{ by: string; shares: List<Tally & { key: string; name?: string }> }>;
}
interface Preferences {
  refresh_seconds?: number;
}

const COUNTS = ['incidents', 'closed', 'breached', 'alerts', 'false_positives'] as const;
const MEANS = ['mtta_seconds', 'mttr_seconds'] as const;
const REFRESH = [0, 15, 60, 300] as const;
/** Dimensions of data-security events. */
const DATA = ['event_level', 'data_level', 'data_category', 'data_activity'];
const PREFERENCES = '/me/preferences/figures';

type Group = Figures['by'] extends List<infer G> ? G : never;
/** What happened in 7 or 14 days, beside the time before, by day and by all that tells incidents apart. */
export default function FiguresPage() {
  const { t, locale } = useSettings();
  const { failed } = useFeedback();
  const client = useQueryClient();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const days = url.get('days') === '14' ? 14 : 7;
  const preferences = useQuery({ queryKey: ['preferences', 'figures'], queryFn: ({ signal }) => get<Preferences>(PREFERENCES, {}, signal) });
  const refresh = preferences.data?.refresh_seconds ?? 60;
  const zone = zoneName();
  const query = useQuery({ queryKey: ['incidents', 'figures', days, zone], queryFn: ({ signal }) => get<Figures>('/incidents/figures', { days, zone }, signal), placeholderData: keepPreviousData, refetchInterval: refresh > 0 ? refresh * 1000 : false });
  const remember = async (seconds: number) => {
    try {
      await put(PREFERENCES, { ...preferences.data, refresh_seconds: seconds });
    } catch (e) {
      failed(e);
    } finally {
      void client.invalidateQueries({ queryKey: ['preferences', 'figures'] });
    }
  };
  const word = (prefix: string, key: string) => (`${prefix}.${key}` in zh ? t(`${prefix}.${key}` as Key) : key);
  const keyName = (by: string, s: { key: string; name?: string }) => {
    if (s.key === '*') return t('figures.rest');
    if (s.key === '') return t('figures.noneOf');
    if (s.name) return s.name.split('\n')[locale === 'en-US' ? 1 : 0] ?? s.name.split('\n')[0];
    if (by === 'severity') return word('sev', s.key);
    if (by === 'tenant') return tenantName(s.key);
    if (by === 'data_level') return t('data.level', { n: s.key });
    if (by === 'key_asset') return t(s.key === 'key' ? 'key.asset' : 'key.other');
    if (by === 'source') return word('figures.source', s.key);
    return by === 'status' || by === 'resolution' ? word(by, s.key) : s.key;
  };
  /** Severities and priorities in their own order, others as they come: the most first. */
  const ordered = <S extends { key: string }>(by: string, shares: readonly S[]) => {
    const order: readonly string[] = by === 'severity' ? SEVERITIES : by === 'priority' ? ['P1', 'P2', 'P3', 'P4'] : by === 'event_level' || by === 'data_level' ? ['9', '8', '7', '6', '5', '4', '3', '2', '1'] : [];
    return order.length === 0 ? shares : [...shares].sort((x, y) => (order.indexOf(x.key) + 1 || 9) - (order.indexOf(y.key) + 1 || 9));
  };
  const seconds = (n: number) => (n > 0 ? clock(n * 1000, locale) : '–');
  return (
    <div className="page">
      <Head title={t('page.figures')} sub={t('figures.lead', { n: days })}>
        <Updated at={query.dataUpdatedAt} />
        {[7, 14].map((n) => (
          <button key={n} className="plain toggle" aria-pressed={days === n} onClick={() => setUrl({ days: n === 7 ? undefined : String(n) })}>
            {t('disposals.days', { n })}
          </button>
        ))}
        <Select aria-label={t('figures.refresh')} style={{ width: 150 }} value={refresh} onChange={(n: number) => void remember(n)} options={[...new Set([...REFRESH, refresh])].sort((a, b) => a - b).map((n) => ({ value: n, label: n === 0 ? t('figures.noRefresh') : t('figures.every', { n }) }))} />
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.figures" lines={10}>
        {(f) => {
          const most = Math.max(1, ...list(f.days).map((d) => d.incidents));
          return (
            <div className="stack" style={{ gap: 14 }}>
              <div className="panel">
                <div className="gauges" style={{ gridTemplateColumns: 'repeat(auto-fit, minmax(120px, 1fr))', padding: 14 }}>
                  <div>
                    <div className="v">{number(f.backlog, locale)}</div>
                    <div className="l">{t('figures.backlog')}</div>
                  </div>
                  {COUNTS.map((k) => (
                    <div key={k}>
                      <div className="v">{number(f.total[k], locale)}</div>
                      <div className="l">{t(`figures.${k}`)}</div>
                      <div className="faint">{t('figures.before', { x: number(f.before[k], locale) })}</div>
                    </div>
                  ))}
                  {MEANS.map((k) => (
                    <div key={k}>
                      <div className="v">{seconds(f.total[k])}</div>
                      <div className="l">{t(`figures.${k}`)}</div>
                      <div className="faint">{t('figures.before', { x: seconds(f.before[k]) })}</div>
                    </div>
                  ))}
                </div>
              </div>
              <Panel title={t('figures.byDay')} flush>
                <DataTable
                  label={t('figures.byDay')}
                  rows={list(f.days)}
                  rowKey={(d) => d.day}
                  columns={[
                    { key: 'day', title: t('compression.day'), render: (d) => d.day },
                    { key: 'bar', title: '', width: '30%', render: (d) => <span className="daybar" aria-hidden><i style={{ width: `${(100 * d.incidents) / most}%`, background: 'var(--accent)' }} /></span> },
                    { key: 'n', title: t('figures.incidents'), num: true, render: (d) => number(d.incidents, locale) },
                    { key: 'closed', title: t('figures.closedOn'), num: true, render: (d) => number(d.closed_on, locale) },
                    { key: 'alerts', title: t('figures.alerts'), num: true, render: (d) => number(d.alerts, locale) },
                    { key: 'false', title: t('figures.false_positives'), num: true, render: (d) => number(d.false_positives, locale) },
                  ]}
                />
              </Panel>
              <DataEvents groups={list(f.by).filter((g) => DATA.includes(g.by))} days={days} word={word} keyName={keyName} ordered={ordered} seconds={seconds} />
              <div className="halves">
                {list(f.by)
                  .filter((g) => !DATA.includes(g.by))
                  .map((g) => (
                  <Panel key={g.by} title={word('figures.by', g.by)} flush>
                    {list(g.shares).length === 0 ? (
                      <Empty small title={t('figures.none')} />
                    ) : (
                      <DataTable
                        label={word('figures.by', g.by)}
                        rows={ordered(g.by, list(g.shares))}
                        rowKey={(s) => s.key}
                        columns={[
                          { key: 'key', title: word('figures.by', g.by), render: (s) => keyName(g.by, s) },
                          { key: 'n', title: t('figures.incidents'), num: true, render: (s) => number(s.incidents, locale) },
                          { key: 'closed', title: t('figures.closed'), num: true, render: (s) => number(s.closed, locale) },
                          { key: 'breached', title: t('figures.breached'), num: true, render: (s) => number(s.breached, locale) },
                          { key: 'mttr', title: t('figures.mttr_seconds'), num: true, render: (s) => seconds(s.mttr_seconds) },
                        ]}
                      />
                    )}
                  </Panel>
                ))}
              </div>
            </div>
          );
        }}
      </Loaded>
    </div>
  );
}

interface DataEventsProps {
  groups: readonly Group[];
  days: number;
  word: (prefix: string, key: string) => string;
  keyName: (by: string, s: { key: string; name?: string }) => string | undefined;
  ordered: <S extends { key: string }>(by: string, shares: readonly S[]) => readonly S[];
  seconds: (n: number) => string;
}

/** Data-security events by how their data is classified and graded, by the activity that they concern, and how fast they were answered. */
function DataEvents({ groups, days, word, keyName, ordered, seconds }: DataEventsProps) {
  const { t, locale } = useSettings();
  // Incidents about ungraded data are no such events.
  const shown = groups.map((g) => ({ ...g, shares: ordered(g.by, list(g.shares).filter((s) => g.by !== 'data_level' || (s.key !== '' && s.incidents > 0))) }));
  const some = shown.some((g) => g.shares.length > 0);
  const most = Math.max(1, ...shown.flatMap((g) => g.shares.map((s) => s.incidents)));
  const save = () =>
    download(
      `icewatch-data-events-${days}d.csv`,
      'text/csv',
      tableCSV([
        [t('figures.dimension'), t('figures.value'), t('figures.incidents'), t('figures.open'), t('figures.closed'), t('figures.breached'), 'mtta_seconds', 'mttr_seconds'],
        ...shown.flatMap((g) => g.shares.map((s) => [word('figures.by', g.by), keyName(g.by, s) ?? s.key, ...[s.incidents, s.open, s.closed, s.breached, s.mtta_seconds, s.mttr_seconds].map(String)])),
      ]),
    );
  return (
    <Panel title={t('figures.data')} id="data" end={some && <Button size="small" onClick={save}>{t('figures.csv')}</Button>}>
      <p className="dim" style={{ marginTop: 0 }}>{t('figures.dataWhy')}</p>
      {!some ? (
        <Empty small title={t('figures.dataNone')} why={t('figures.dataNoneWhy')} />
      ) : (
        <div className="halves">
          {shown.map((g) => (
            <div key={g.by} data-testid={`data-${g.by}`}>
              <DataTable
                label={word('figures.by', g.by)}
                rows={[...g.shares]}
                rowKey={(s) => s.key}
                columns={[
                  { key: 'key', title: word('figures.by', g.by), render: (s) => keyName(g.by, s) },
                  { key: 'bar', title: '', width: '22%', render: (s) => <span className="daybar" aria-hidden><i style={{ width: `${(100 * s.incidents) / most}%`, background: 'var(--accent)' }} /></span> },
                  { key: 'n', title: t('figures.incidents'), num: true, render: (s) => number(s.incidents, locale) },
                  { key: 'breached', title: t('figures.breached'), num: true, render: (s) => number(s.breached, locale) },
                  { key: 'mtta', title: t('figures.mtta_seconds'), num: true, render: (s) => seconds(s.mtta_seconds) },
                  { key: 'mttr', title: t('figures.mttr_seconds'), num: true, render: (s) => seconds(s.mttr_seconds) },
                ]}
              />
            </div>
          ))}
        </div>
      )}
    </Panel>
  );
}
