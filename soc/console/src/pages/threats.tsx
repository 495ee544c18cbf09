import { useQuery } from '@tanstack/react-query';
import { Link, NavLink, Navigate, useParams } from 'react-router-dom';
import type { FindingFigures } from '../api/findings';
import { VERDICTS, type Facet, type Verdict } from '../api/judgement';
import { get } from '../api/client';
import { useCan } from '../api/queries';
import { THREAT_VIEWS, type NamedFacet, type ThreatFigures, type ThreatView, type ThreatViewName } from '../api/threats';
import { SEVERITIES, list, type Alert, type Page, type Severity } from '../api/types';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { absolute, number } from '../logic/format';
import { parseRange, rangeParams, withParams } from '../logic/urlstate';
import { VerdictMark, useTaxonomy } from '../parts/judgement';
import { useTenantName } from '../parts/names';
import { Head, Panel, Updated } from '../parts/page';
import { RangePicker } from '../parts/range';
import { SeverityMark, StatusMark } from '../parts/severity';
import { Empty, Failed, Loaded, Skeleton, Stale } from '../parts/states';
import { When } from '../parts/time';
import { Token } from '../parts/token';

const SPANS = ['24h', '7d', '30d', '90d'];
const SPAN = '7d';
const ALL = 'open,acknowledged,closed';

/** Threats by view: what the risk is, what its alerts are made of, and what to do. */
export default function ThreatsPage() {
  const { t, locale } = useSettings();
  const view = useParams().view as ThreatViewName | undefined;
  const [url, setUrl] = useUrl();
  const asked = parseRange(url, SPAN);
  const since = 'since' in asked ? asked.since : SPAN;
  const range = { since };
  const views = useQuery({ queryKey: ['threats', since], queryFn: ({ signal }) => get<Page<ThreatView>>('/threats', { since }, signal), refetchInterval: 30_000 });
  const sums = new Map(list(views.data?.items).map((v) => [v.view, v]));
  const search = withParams(new URLSearchParams(), rangeParams(range, SPAN)).toString();
  const to = (v: string) => `/threats/${v}${search ? `?${search}` : ''}`;
  if (!view || !THREAT_VIEWS.includes(view)) {
    // Where something is: the first view with grave alerts, else with any.
    if (!views.data) return <div className="page">{views.error ? <Failed error={views.error} what="threats.what" retry={() => void views.refetch()} /> : <Skeleton lines={12} />}</div>;
    const busy = THREAT_VIEWS.find((v) => (sums.get(v)?.grave ?? 0) > 0) ?? THREAT_VIEWS.find((v) => (sums.get(v)?.alerts ?? 0) > 0) ?? 'advanced';
    return <Navigate to={to(busy)} replace />;
  }
  return (
    <div className="page">
      <Head title={t(`threatview.${view}`)} sub={t('threats.lead')}>
        <Updated at={views.dataUpdatedAt} />
        <RangePicker value={range} custom={false} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />
      </Head>
      <Stale query={views} />
      <div className="threatdesk">
        <nav className="panel threatviews" aria-label={t('threats.views')}>
          {THREAT_VIEWS.map((v) => {
            const sum = sums.get(v);
            return (
              <NavLink key={v} to={to(v)} className={({ isActive }) => `row item${isActive ? ' on' : ''}`}>
                <span className="grow ellipsis">{t(`threatview.${v}`)}</span>
                {sum && sum.grave > 0 && (
                  <span className="tag hotmark" title={t('threats.grave')}>
                    ▲ {number(sum.grave, locale)}
                  </span>
                )}
                <span className="num">{sum ? number(sum.alerts, locale) : '–'}</span>
              </NavLink>
            );
          })}
        </nav>
        <View key={view} view={view} since={since} filter={sums.get(view)?.filter ?? {}} />
      </div>
    </div>
  );
}

function View({ view, since, filter }: { view: ThreatViewName; since: string; filter: Record<string, string> }) {
  const { t, tx } = useSettings();
  const taxonomy = useTaxonomy();
  const tenantName = useTenantName();
  const query = useQuery({ queryKey: ['threats', since, view], queryFn: ({ signal }) => get<ThreatFigures>(`/threats/${view}`, { since }, signal), refetchInterval: 30_000 });
  const alerts = (more: Record<string, string> = {}) => `/alerts?${new URLSearchParams({ status: ALL, since, ...filter, ...more })}`;
  const typeName = (id: string) => tx(list(taxonomy?.attacks).find((x) => x.id === id)?.name) || id || t('threats.noType');
  return (
    <div className="stack" style={{ gap: 14, minWidth: 0 }}>
      {query.data && query.data.alerts > 0 && <Numbers d={query.data} view={view} since={since} alerts={alerts} />}
      <div className="cols even">
        <Panel title={t('threats.risk')}>
          <p className="say">{t(`threatview.${view}.risk`)}</p>
        </Panel>
        <Panel title={t('threats.advice')}>
          <ol className="advice">
            {t(`threatview.${view}.advice`)
              .split('\n')
              .map((line) => (
                <li key={line}>{line}</li>
              ))}
          </ol>
        </Panel>
      </div>
      {view === 'availability' && <Uptime since={since} />}
      {view === 'exposure' && <Findings />}
      <Loaded query={query} what="threats.what" lines={10}>
        {(d) =>
          d.alerts === 0 ? (
            <div className="panel">
              <Empty title={t('threats.none')} why={t('threats.noneWhy')}>
                {since !== '90d' && <Link to={`/threats/${view}?since=90d`}>{t('range.90d')}</Link>}
                <Link to="/coverage">{t('page.coverage')}</Link>
              </Empty>
            </div>
          ) : (
            <>
              <Panel title={t('threats.course')} end={<Link to={view === 'attackers' ? `/attackers?since=${since}` : alerts()}>{t(view === 'attackers' ? 'threats.toAttackers' : 'threats.toAlerts')}</Link>}>
                <Course course={list(d.course)} />
              </Panel>
              <div className="threatpivots">
                <Facets title="col.severity" rows={SEVERITIES.flatMap((s) => list(d.severities).filter((f) => f.value === s))} shown={(f) => <SeverityMark level={f.value as Severity} />} to={(f) => alerts({ severity: f.value })} colour={(f) => `var(--${f.value})`} />
                <Facets title="judged.verdict" rows={list(d.verdicts)} shown={(f) => (VERDICTS.includes(f.value as Verdict) ? <VerdictMark value={f.value as Verdict} /> : t('threats.noVerdict'))} to={(f) => alerts({ verdict: f.value || 'none' })} />
                <Facets title="judged.phases" rows={list(d.phases)} shown={(f) => (f.value ? t(`phase.${f.value}` as Key) : t('threats.noPhase'))} to={(f) => (f.value ? alerts({ phase: f.value }) : undefined)} />
                <Facets title="threats.types" rows={list(d.attacks)} shown={(f) => typeName(f.value)} to={(f) => (f.value ? alerts({ attack: f.value }) : undefined)} />
                <Facets title="threats.by" masked={d.masked} rows={list(d.by)} shown={(f) => <Token field="source.ip" value={f.value} />} to={(f) => alerts({ attacker: f.value })} />
                <Facets title="threats.on" masked={d.masked} rows={list(d.on)} shown={(f) => <Token field="destination.ip" value={f.value} />} to={(f) => alerts({ victim: f.value })} />
                <Facets title="threats.systems" rows={list(d.systems)} shown={(f) => tx((f as NamedFacet).name) || f.value} to={(f) => alerts({ system: f.value })} />
                <Facets title="threats.tenants" rows={list(d.tenants)} shown={(f) => tenantName(f.value)} to={(f) => alerts({ tenant: f.value })} />
                <Facets title="threats.rules" rows={list(d.rules)} shown={(f) => tx((f as NamedFacet).name) || f.value} to={(f) => alerts({ rule: f.value })} />
              </div>
              {view !== 'attackers' && <Latest filter={{ status: ALL, since, ...filter }} />}
            </>
          )
        }
      </Loaded>
    </div>
  );
}

/** How much there is of a view, first of all. */
function Numbers({ d, view, since, alerts }: { d: ThreatFigures; view: ThreatViewName; since: string; alerts: (more?: Record<string, string>) => string }) {
  return (
    <div className="stats threatstats" data-testid="threat-stats">
      <Figure name="alerts" n={d.alerts} to={view === 'attackers' ? `/attackers?since=${since}` : alerts()} />
      <Figure name="open" n={d.open} to={view === 'attackers' ? `/attackers?since=${since}` : alerts({ status: 'open,acknowledged' })} />
      <Figure name="grave" n={d.grave} to={view === 'attackers' ? `/attackers?since=${since}` : alerts({ status: 'open,acknowledged', severity: 'critical,high' })} hot={d.grave > 0} />
      <Figure name="reached" n={d.reached} to={view === 'attackers' ? `/attackers?since=${since}` : alerts({ verdict: 'success,compromised' })} hot={d.reached > 0} />
      <Figure name="attackers" n={d.attackers} to={`/attackers?since=${since}`} />
      <Figure name="victims" n={d.victims} />
      <Figure name="events" n={d.events} />
      <Figure name="false" n={d.false_positives} />
    </div>
  );
}

function Figure({ name, n, to, hot }: { name: 'alerts' | 'open' | 'grave' | 'reached' | 'attackers' | 'victims' | 'events' | 'false'; n: number; to?: string; hot?: boolean }) {
  const { t, locale } = useSettings();
  const inside = (
    <>
      <span className="n" data-figure={name}>
        {number(n, locale)}
      </span>
      <span className="l">{t(`threats.${name}`)}</span>
    </>
  );
  return to ? (
    <Link to={to} className={`panel stat${hot ? ' hot' : ''}`}>
      {inside}
    </Link>
  ) : (
    <div className="panel stat">{inside}</div>
  );
}

/** One way to take the alerts apart: values with a bar and how many, each leading to its alerts. */
function Facets({ title, rows, shown, to, colour, masked }: { title: Key; rows: readonly Facet[]; shown: (f: Facet) => React.ReactNode; to: (f: Facet) => string | undefined; colour?: (f: Facet) => string; masked?: boolean }) {
  const { t, locale } = useSettings();
  const most = Math.max(1, ...rows.map((r) => r.alerts));
  return (
    <Panel title={t(title)}>
      {rows.length === 0 && <span className="faint">{t(masked ? 'threats.masked' : 'threats.noNumbers')}</span>}
      {rows.map((f) => {
        const link = to(f);
        const n = number(f.alerts, locale);
        return (
          <div key={f.value} className="facetline">
            <span className="ellipsis">{shown(f)}</span>
            <span className="track" aria-hidden="true">
              <i style={{ width: `${(f.alerts / most) * 100}%`, background: colour?.(f) }} />
            </span>
            {link ? (
              <Link className="num" to={link} aria-label={`${t(title)} ${f.value} ${n}`}>
                {n}
              </Link>
            ) : (
              <span className="num">{n}</span>
            )}
          </div>
        );
      })}
    </Panel>
  );
}

function Course({ course }: { course: ThreatFigures['course'] }) {
  const { t } = useSettings();
  const spells = list(course);
  const most = Math.max(1, ...spells.map((s) => s.alerts));
  const [first, last] = [spells[0], spells[spells.length - 1]];
  if (!first || !last || !spells[1]) return null;
  // The last part ends where one more would begin.
  const end = new Date(2 * Date.parse(last.from) - Date.parse(spells[spells.length - 2]?.from ?? last.from)).toISOString();
  return (
    <div className="course" role="img" aria-label={t('threats.courseLabel', { a: absolute(first.from), b: absolute(end), n: most })}>
      <div className="spells">
        {spells.map((s) => (
          <i key={s.from} title={`${absolute(s.from)}  ${s.alerts}`} style={{ height: s.alerts === 0 ? 1 : `${Math.max(6, (s.alerts / most) * 100)}%` }} className={s.alerts === 0 ? 'none' : ''} />
        ))}
      </div>
      <div className="row dim" style={{ justifyContent: 'space-between' }}>
        <span>{absolute(first.from)}</span>
        <span>{absolute(end)}</span>
      </div>
    </div>
  );
}

function Latest({ filter }: { filter: Record<string, string> }) {
  const { t, tx, locale } = useSettings();
  const query = useQuery({ queryKey: ['alerts', 'threat', JSON.stringify(filter)], queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { ...filter, sort: '-last_seen', limit: 8 }, signal), refetchInterval: 30_000 });
  return (
    <Panel title={t('threats.latest')} flush>
      <Loaded query={query} what="alerts.what" lines={4}>
        {(d) => (
          <div className="list" role="table" aria-label={t('threats.latest')}>
            {list(d.items).map((a) => (
              <div className="line" role="row" key={a.id} style={{ gridTemplateColumns: 'var(--sev-w) minmax(0,1fr) 52px var(--status-w) 70px' }}>
                <SeverityMark level={a.severity} />
                <span role="cell" style={{ minWidth: 0 }}>
                  <Link className="what ellipsis" to={`/alerts/${encodeURIComponent(a.id)}`} title={tx(a.title)}>
                    {tx(a.title)}
                  </Link>
                </span>
                <span className="num dim">×{number(a.count, locale)}</span>
                <StatusMark status={a.status} />
                <span className="num dim">
                  <When time={a.last_seen} age />
                </span>
              </div>
            ))}
          </div>
        )}
      </Loaded>
    </Panel>
  );
}

function Uptime({ since }: { since: string }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const query = useQuery({ enabled: can('get-sla-availability'), queryKey: ['availability', since], queryFn: ({ signal }) => get<{ systems: unknown[]; missed: number }>('/sla/availability', { since }, signal), retry: false });
  if (!query.data) return null;
  return (
    <Panel title={t('threats.uptime')} end={<Link to="/sla?tab=availability">{t('page.sla')}</Link>}>
      {t('threats.uptimeAll', { n: number(list(query.data.systems).length, locale), m: number(query.data.missed, locale) })}
    </Panel>
  );
}

function Findings() {
  const { t, locale } = useSettings();
  const can = useCan();
  const query = useQuery({ enabled: can('get-finding-figures'), queryKey: ['findings', 'figures'], queryFn: ({ signal }) => get<FindingFigures>('/finding-figures', {}, signal), retry: false });
  if (!query.data) return null;
  return (
    <Panel title={t('threats.findings')} end={<Link to="/findings">{t('page.findings')}</Link>}>
      {t('threats.findingsAll', { n: number(query.data.counting, locale), o: number(query.data.overdue, locale), a: number(query.data.attacked, locale) })}
    </Panel>
  );
}
