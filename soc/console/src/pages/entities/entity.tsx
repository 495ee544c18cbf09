import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown } from 'antd';
import { Fragment, useMemo, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { itemPath, useWords } from '../../api/cmdb';
import type { EntityBehaviour, EntityHead, EntitySeen } from '../../api/entities';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { usePageTitle, useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { ENTITY_TYPES, entityPath, graphPath, wholePeriod, type EntityRef } from '../../logic/entity';
import { number } from '../../logic/format';
import { parseRange, rangeParams, withParams, type Range } from '../../logic/urlstate';
import { ConclusionMark } from '../../parts/conclusion';
import { askHead, headKey } from '../../parts/entitycard';
import { reportOf, usePart } from '../../parts/entities/ask';
import { Behaviour } from '../../parts/entities/behaviour';
import { History } from '../../parts/entities/history';
import { JudgeDialog, JudgedBy, Judgements } from '../../parts/entities/judgements';
import { Peers } from '../../parts/entities/peers';
import { Portrait } from '../../parts/entities/portrait';
import { Tickets } from '../../parts/entities/tickets';
import { TenantName } from '../../parts/names';
import { Panel } from '../../parts/page';
import { RangePicker } from '../../parts/range';
import { RiskMark } from '../../parts/risk';
import { Criticality } from '../../parts/severity';
import { Empty, Failed, Skeleton, Stale } from '../../parts/states';
import { Tabs, useTab } from '../../parts/tabs';
import { WhenFull } from '../../parts/time';
import { Entity } from '../../parts/token';

const SPANS = ['24h', '7d', '30d'];
const SPAN = '24h';
const TABS = ['behaviour', 'portrait', 'alerts', 'peers', 'history', 'judgements'] as const;

/** A day, week or month as a whole, from the calendar. */
const PERIODS = [
  ['entity.day', 'day', 0],
  ['entity.yesterday', 'day', 1],
  ['entity.week', 'week', 0],
  ['entity.month', 'month', 0],
] as const;

/** Everything that is known of one address, asset, account, file …: the security encyclopaedia. */
export default function EntityPage() {
  const { t } = useSettings();
  const { type = '', value = '' } = useParams();
  const [url] = useUrl();
  const known = ENTITY_TYPES.find((x) => x === type);
  const entity = useMemo<EntityRef | undefined>(() => (known && value ? { type: known, value, ...(url.get('zone') ? { zone: url.get('zone') as string } : {}) } : undefined), [known, value, url]);
  if (!entity) {
    return (
      <div className="page">
        <h1 className="visually-hidden">{t('page.entities')}</h1>
        <Empty title={t('state.notFound', { what: t('entity.what') })} why={t('entity.lead')}>
          <Link to="/entities">{t('page.entities')}</Link>
        </Empty>
      </div>
    );
  }
  return <Shown key={`${entity.type} ${entity.value} ${entity.zone ?? ''}`} entity={entity} />;
}

function Shown({ entity }: { entity: EntityRef }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const [judging, setJudging] = useState(false);
  const range = parseRange(url, SPAN);
  const about = useMemo(() => ({ entity, range: parseRange(url, SPAN) }), [entity, url]);
  const head = useQuery({ queryKey: headKey(entity), queryFn: askHead(entity), refetchInterval: 60_000 });
  const seen = usePart<EntitySeen>({ entity, range: { since: '9599h' } }, 'seen', {}, false);
  const tabs = TABS.map((k) => ({ key: k, title: t(`entity.tab.${k}`) }));
  const tab = useTab(tabs);
  const here = entityPath(entity).split('?')[0] as string;
  const toTab = (n: number) => () => navigate(`${here}?${withParams(url, { tab: n === 0 ? undefined : TABS[n] })}`);
  useKeys({ '1': toTab(0), '2': toTab(1), '3': toTab(2), '4': toTab(3), '5': toTab(4), '6': toTab(5), v: () => can('judge-entity') && setJudging(true) });
  const d = head.data;
  usePageTitle(`${d?.shown ?? entity.value} · ${t('page.entities')}`);
  const graph = graphPath(entity);
  const setRange = (r: Range) => setUrl(rangeParams(r, SPAN), true);
  const isPeriod = (r: { start: string; end: string }) => 'start' in range && range.start === r.start && range.end === r.end;
  if (head.error && !d) {
    return (
      <div className="page">
        <h1 className="sentence mono">{entity.value}</h1>
        <Failed error={head.error} what="entity.what" retry={() => void head.refetch()} />
      </div>
    );
  }
  return (
    <div className="page">
      <div className="head entity-head">
        <span className="tag strong">{t(`entity.type.${entity.type}`)}</span>
        <h1>{d?.shown ?? entity.value}</h1>
        {d?.internal !== undefined && <span className="tag">{t(d.internal ? 'entity.internal' : 'entity.external')}</span>}
        {entity.zone && <span className="tag">{t('entity.zone', { x: entity.zone })}</span>}
        {d?.judgement && <ConclusionMark of={d.judgement} tags />}
        <div className="end">
          {graph && can('graph-neighbours') && (
            <Link className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }} to={graph}>
              {t('entity.graph')}
            </Link>
          )}
          {can('report-entity') && (
            <Dropdown
              trigger={['click']}
              menu={{
                items: (['pdf', 'docx'] as const).map((f) => ({ key: f, label: <a href={reportOf(about, f, locale === 'en-US' ? 'en' : 'zh')} download>{t(f === 'pdf' ? 'entity.reportPdf' : 'entity.reportDocx')}</a> })),
              }}
            >
              <Button>{t('entity.report')} ▾</Button>
            </Dropdown>
          )}
          {can('judge-entity') && (
            <Button type="primary" onClick={() => setJudging(true)}>
              {t('entity.judge')}
            </Button>
          )}
        </div>
      </div>
      <div className="row wrap" style={{ margin: '0 0 12px', gap: 8 }}>
        <Tabs tabs={tabs} label={t('entity.tab')} />
        <div className="row" style={{ marginLeft: 'auto', gap: 6 }}>
          {PERIODS.map(([name, unit, back]) => {
            const r = wholePeriod(unit, back, new Date());
            return (
              <Button key={name} size="small" type={isPeriod(r) ? 'primary' : 'default'} aria-pressed={isPeriod(r)} onClick={() => setRange(r)}>
                {t(name)}
              </Button>
            );
          })}
          <RangePicker value={range} choices={SPANS} onChange={setRange} />
        </div>
      </div>
      <Stale query={head} />
      <div className="cols">
        <div style={{ minWidth: 0 }}>
          {tab === 'behaviour' && <Behaviour about={about} seen={seen} />}
          {tab === 'portrait' && <Portrait about={about} />}
          {tab === 'alerts' && <Tickets about={about} />}
          {tab === 'peers' && <Peers about={about} />}
          {tab === 'history' && <History about={about} />}
          {tab === 'judgements' && <Judgements about={about} judge={() => setJudging(true)} />}
        </div>
        <div className="stack" style={{ gap: 14 }}>
          {!d ? (
            <Panel title={t('entity.who')}>
              <Skeleton lines={5} />
            </Panel>
          ) : (
            <Who head={d} entity={entity} seen={seen} range={range} />
          )}
        </div>
      </div>
      {judging && <JudgeDialog entity={entity} head={d} close={() => setJudging(false)} />}
    </div>
  );
}

/** Who it is: the ledger's items, place, times, counts, judgement, other names. */
function Who({ head: d, entity, seen, range }: { head: EntityHead; entity: EntityRef; seen: ReturnType<typeof usePart<EntitySeen>>; range: Range }) {
  const { t, locale } = useSettings();
  const words = useWords();
  // The behaviour has it at hand, whichever part is shown.
  const place = usePart<EntityBehaviour>({ entity, range }, 'behaviour').data?.place;
  return (
    <>
      <Panel title={t('entity.who')} id="entity-who">
        {list(d.items).length === 0 && (
          <>
            <div>{t('entity.noItem')}</div>
            {['ip', 'device', 'asset', 'website'].includes(entity.type) && <div className="dim">{t('entity.noItemWhy')}</div>}
          </>
        )}
        {list(d.items).map((i) => (
          <dl className="facts" key={i.id}>
            <dt>{words.className(i.class)}</dt>
            <dd>
              <Link to={itemPath(i.id)}>{i.name || i.id}</Link>
            </dd>
            {i.score !== undefined && i.level && (
              <>
                <dt>{t('entity.risk')}</dt>
                <dd>
                  <Link to={`/portraits/${encodeURIComponent(i.id)}`}>
                    <RiskMark score={i.score} level={i.level} />
                  </Link>
                </dd>
              </>
            )}
            <dt>{t('col.tenant')}</dt>
            <dd>{i.tenant ? <TenantName slug={i.tenant} /> : '–'}</dd>
            {i.organisation_ref && (
              <>
                <dt>{t('entity.organisation')}</dt>
                <dd>
                  <Entity type="organisation" value={i.organisation_ref.id}>{i.organisation_ref.name}</Entity>
                </dd>
              </>
            )}
            {i.system_ref && i.system_ref.id !== i.id && (
              <>
                <dt>{t('entity.system')}</dt>
                <dd>
                  <Entity type="asset" value={i.system_ref.id}>{i.system_ref.name}</Entity>
                </dd>
              </>
            )}
            <dt>{t('entity.owner')}</dt>
            <dd>{i.owner || '–'}</dd>
            <dt>{t('alert.criticality')}</dt>
            <dd>
              <Criticality value={i.criticality} />
            </dd>
            {list(i.labels).length > 0 && (
              <>
                <dt>{t('entity.tags')}</dt>
                <dd>{list(i.labels).map((l) => <span className="tag" key={l}>{l}</span>)}</dd>
              </>
            )}
          </dl>
        ))}
        {!!d.members && <div className="dim">{t('entity.members', { n: number(d.members, locale) })}</div>}
        {d.partial && <div className="dim">{t('entity.partial')}</div>}
        <dl className="facts">
          {place && (
            <>
              <dt>{t('entity.place')}</dt>
              <dd>{[place.country || place.code, place.city].filter(Boolean).join(' · ')}</dd>
              {place.as && (
                <>
                  <dt>{t('entity.as')}</dt>
                  <dd>{place.as}</dd>
                </>
              )}
            </>
          )}
          {seen.data &&
            (seen.data.events === 0 ? (
              <>
                <dt>{t('entity.seen')}</dt>
                <dd className="dim">{t('entity.never')}</dd>
              </>
            ) : (
              <>
                <dt>{t('entity.everFirst')}</dt>
                <dd>
                  <WhenFull time={seen.data.first} />
                </dd>
                <dt>{t('entity.everLast')}</dt>
                <dd>
                  <WhenFull time={seen.data.last} />
                </dd>
              </>
            ))}
          <dt>{t('entity.openAlerts')}</dt>
          <dd data-testid="entity-open-alerts">{number(d.alerts_total, locale)}</dd>
          <dt>{t('entity.openIncidents')}</dt>
          <dd>{number(d.incidents_total, locale)}</dd>
        </dl>
      </Panel>
      {d.judgement && (
        <Panel title={t('entity.tab.judgements')}>
          <ConclusionMark of={d.judgement} tags />
          {d.judgement.note && <p className="pre" style={{ margin: '6px 0' }}>{d.judgement.note}</p>}
          <div className="dim">
            <JudgedBy of={d.judgement} /> · <WhenFull time={d.judgement.at} />
          </div>
        </Panel>
      )}
      {list(d.related).length > 0 && (
        <Panel title={t('entity.related')}>
          <dl className="facts">
            {list(d.related).map((e) => (
              <Fragment key={`${e.type} ${e.value}`}>
                <dt>{t(`entity.type.${e.type}`)}</dt>
                <dd>
                  <Entity {...e}>{e.type === 'asset' || e.type === 'organisation' ? list(d.items).find((i) => i.id === e.value)?.name || list(d.items).find((i) => i.organisation_ref?.id === e.value)?.organisation_ref?.name || e.value : e.value}</Entity>
                </dd>
              </Fragment>
            ))}
          </dl>
        </Panel>
      )}
    </>
  );
}
