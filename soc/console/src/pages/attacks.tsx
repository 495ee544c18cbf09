import { useQuery } from '@tanstack/react-query';
import { Select } from 'antd';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import { DIRECTIONS, PHASES, THREATS, VERDICTS, type Attacks, type Facet, type Verdict } from '../api/judgement';
import { list } from '../api/types';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { number } from '../logic/format';
import { riskNames } from '../logic/risk';
import { parseRange, rangeParams, rangeQuery } from '../logic/urlstate';
import { VerdictMark, useTaxonomy } from '../parts/judgement';
import { Head, Panel, Updated } from '../parts/page';
import { RangePicker } from '../parts/range';
import { Empty, Failed, Skeleton, Stale } from '../parts/states';
import { When } from '../parts/time';

const SPANS = ['24h', '7d', '30d', '90d'];
const SPAN = '7d';
const ALL = 'open,acknowledged,closed';

/** Alerts by type of attack, with what tells attacks of a type apart. */
export default function AttacksPage() {
  const { t, tx, locale } = useSettings();
  const taxonomy = useTaxonomy();
  const [url, setUrl] = useUrl();
  const asked = parseRange(url, SPAN);
  const range = 'since' in asked ? asked : { since: SPAN };
  const fields = (url.get('fields') ?? '').split(',').filter(Boolean);
  const filter = { ...rangeQuery(range), fields: fields.join(',') };
  const query = useQuery({
    queryKey: ['attacks', JSON.stringify(filter)],
    queryFn: ({ signal }) => get<Attacks>('/attacks', filter, signal),
    refetchInterval: 30_000,
  });
  const d = query.data;
  const alertsLink = (params: Record<string, string>) => `/alerts?${new URLSearchParams({ status: ALL, since: range.since ?? SPAN, ...params })}`;
  const facets = (title: Key, param: string, values: readonly Facet[], known: readonly string[], prefix: string) => (
    <Panel title={t(title)}>
      {known.map((v) => {
        const n = values.find((f) => f.value === v)?.alerts ?? 0;
        return (
          <div key={v} className="row" style={{ padding: '2px 0' }}>
            <Link to={alertsLink({ [param]: v })}>{param === 'verdict' ? <VerdictMark value={v as Verdict} /> : t(`${prefix}.${v}` as Key)}</Link>
            <span style={{ marginLeft: 'auto' }}>{number(n, locale)}</span>
          </div>
        );
      })}
    </Panel>
  );
  return (
    <div className="page">
      <Head title={t('page.attacks')} sub={d ? t('alerts.count', { n: d.alerts }) : ''}>
        <Updated at={query.dataUpdatedAt} />
        <Select
          mode="tags"
          style={{ minWidth: 260 }}
          maxTagCount="responsive"
          placeholder={t('attacks.fields')}
          aria-label={t('attacks.fields')}
          value={fields}
          tokenSeparators={[',', ' ']}
          options={[...new Set(list(taxonomy?.attacks).flatMap((a) => a.fields))].sort().map((f) => ({ value: f, label: f }))}
          onChange={(v: string[]) => setUrl({ fields: v.join(',') || undefined })}
        />
        <RangePicker value={range} custom={false} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />
      </Head>
      <Stale query={query} />
      {!d ? (
        query.error ? (
          <Failed error={query.error} what="alerts.what" retry={() => void query.refetch()} />
        ) : (
          <Skeleton lines={12} />
        )
      ) : d.alerts === 0 ? (
        <Empty title={t('alerts.empty')} why={t('alerts.emptyWhy')} />
      ) : (
        <div className="cols">
          <div className="stack" style={{ gap: 14 }}>
            {d.attacks.map((g) => (
              <Panel
                key={g.attack}
                title={tx(g.name) || g.attack || t('attacks.none')}
                end={
                  <span className="row" style={{ gap: 10 }}>
                    {g.verdicts.filter((v) => VERDICTS.includes(v.value as Verdict)).map((v) => (
                      <span key={v.value} className="row" style={{ gap: 4 }}>
                        <VerdictMark value={v.value as Verdict} /> {number(v.alerts, locale)}
                      </span>
                    ))}
                    <span className="dim">
                      <When time={g.last_seen} age />
                    </span>
                    {g.attack ? <Link to={alertsLink({ attack: g.attack })}>{t('alerts.count', { n: g.alerts })}</Link> : <span>{t('alerts.count', { n: g.alerts })}</span>}
                  </span>
                }
              >
                {g.information.length === 0 ? (
                  <span className="dim">{t('attacks.noInformation')}</span>
                ) : (
                  <dl className="facts information">
                    {g.information.map((f) => (
                      <InformationRow key={f.field} field={f.field} values={f.values} locale={locale} />
                    ))}
                  </dl>
                )}
              </Panel>
            ))}
            {d.counted < d.alerts && <p className="dim">{t('attacks.counted', { n: d.counted })}</p>}
          </div>
          <div className="stack" style={{ gap: 14 }}>
            {facets('judged.verdict', 'verdict', d.verdicts, [...VERDICTS].reverse(), 'verdict')}
            {facets('judged.threat', 'threat', d.threats, THREATS, 'threat')}
            {facets('judged.phases', 'phase', d.phases, PHASES, 'phase')}
            {facets('judged.direction', 'direction', d.directions, DIRECTIONS, 'direction')}
            <Panel title={t('judged.risk')}>
              {d.risks.filter((r) => r.value).map((r) => (
                <div key={r.value} className="row" style={{ padding: '2px 0' }}>
                  <Link to={alertsLink({ risk: r.value })}>{riskNames(list(taxonomy?.risks), r.value.split('.')).map(tx).join(' › ')}</Link>
                  <span style={{ marginLeft: 'auto' }}>{number(r.alerts, locale)}</span>
                </div>
              ))}
            </Panel>
          </div>
        </div>
      )}
    </div>
  );
}

function InformationRow({ field, values, locale }: { field: string; values: Facet[]; locale: Parameters<typeof number>[1] }) {
  return (
    <>
      <dt className="mono">{field}</dt>
      <dd className="row wrap" style={{ gap: 6 }}>
        {values.map((v) => (
          <span key={v.value} className="tag" title={v.value}>
            <span className="ellipsis" style={{ maxWidth: 320 }}>
              {v.value}
            </span>
            <b>{number(v.alerts, locale)}</b>
          </span>
        ))}
      </dd>
    </>
  );
}
