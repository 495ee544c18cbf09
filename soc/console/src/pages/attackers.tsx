import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { buildPath, get } from '../api/client';
import { list, type List, type Page, type Severity } from '../api/types';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { joined, number } from '../logic/format';
import { riskNames } from '../logic/risk';
import { parseRange, rangeParams, rangeQuery } from '../logic/urlstate';
import { useTaxonomy } from '../parts/judgement';
import { useTenantName } from '../parts/names';
import { Head, Updated } from '../parts/page';
import { RangePicker } from '../parts/range';
import { SeverityMark } from '../parts/severity';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';
import { Token } from '../parts/token';

const SPANS = ['24h', '7d', '30d', '90d'];
const SPAN = '7d';
const ALL = 'open,acknowledged,closed';

interface Attacker {
  attacker: string;
  alerts: number;
  /** Events behind its alerts. */
  events: number;
  open: number;
  acknowledged: number;
  closed: number;
  false_positives: number;
  severity: Severity;
  risks: List<string>;
  attacks: List<string>;
  tenants: List<string>;
  first_seen: string;
  last_seen: string;
}

/** Who attacks, and how far it is handled; each leads to its alerts, where all can be handled at once. */
export default function Attackers() {
  const { t, tx, locale } = useSettings();
  const taxonomy = useTaxonomy();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const asked = parseRange(url, SPAN);
  const range = 'since' in asked ? asked : { since: SPAN };
  const filter = rangeQuery(range);
  const query = useQuery({ queryKey: ['alerts', 'attackers', JSON.stringify(filter)], queryFn: ({ signal }) => get<Page<Attacker>>('/attackers', { ...filter, limit: 200 }, signal), refetchInterval: 30_000 });
  const alertsOf = (a: Attacker, more: Record<string, string> = {}) => `/alerts?${new URLSearchParams({ attacker: a.attacker, status: ALL, since: range.since ?? SPAN, ...more })}`;
  const typeName = (id: string) => tx(list(taxonomy?.attacks).find((x) => x.id === id)?.name) || id;
  return (
    <div className="page">
      <Head title={t('page.attackers')} sub={t('attackers.lead')}>
        <Updated at={query.dataUpdatedAt} />
        <RangePicker value={range} custom={false} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />
        <a className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }} href={buildPath('/attackers.csv', filter)} download>
          {t('attackers.export')}
        </a>
      </Head>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.attackers" lines={8}>
          {(d) =>
            list(d.items).length === 0 ? (
              <Empty title={t('attackers.none')} why={t('attackers.noneWhy')}>
                <Link to="/attackers?since=90d">{t('range.90d')}</Link>
              </Empty>
            ) : (
              <DataTable<Attacker>
                label={t('page.attackers')}
                rows={list(d.items)}
                rowKey={(a) => a.attacker}
                columns={[
                  { key: 'severity', title: t('col.severity'), render: (a) => <SeverityMark level={a.severity} /> },
                  { key: 'who', title: t('judged.attacker'), render: (a) => <span className="nowrap"><Token field="source.ip" value={a.attacker} /></span> },
                  { key: 'alerts', title: t('attackers.alerts'), num: true, render: (a) => <Link to={alertsOf(a)}>{number(a.alerts, locale)}</Link> },
                  { key: 'events', title: t('attackers.events'), num: true, render: (a) => number(a.events, locale) },
                  { key: 'open', title: t('attackers.open'), num: true, render: (a) => (a.open > 0 ? <Link to={alertsOf(a, { status: 'open' })}>{number(a.open, locale)}</Link> : <span className="faint">0</span>) },
                  { key: 'closed', title: t('attackers.closed'), num: true, render: (a) => number(a.acknowledged + a.closed, locale) },
                  { key: 'false', title: t('attackers.false'), num: true, render: (a) => number(a.false_positives, locale) },
                  {
                    key: 'types',
                    title: t('attackers.types'),
                    render: (a) => {
                      const risks = list(a.risks).map((r) => riskNames(list(taxonomy?.risks), r.split('.')).map(tx).join(' › '));
                      return <span title={joined(risks, locale)}>{joined(list(a.attacks).map(typeName), locale) || <span className="faint">–</span>}</span>;
                    },
                  },
                  { key: 'tenants', title: t('col.tenant'), render: (a) => joined(list(a.tenants).map(tenantName), locale) },
                  { key: 'first', title: t('col.firstSeen'), num: true, render: (a) => <When time={a.first_seen} /> },
                  { key: 'last', title: t('col.lastSeen'), num: true, render: (a) => <When time={a.last_seen} age /> },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </div>
  );
}
