import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { Suspense, lazy } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import { useTraceServices, type ServiceMap, type Within } from '../../api/traces';
import { list } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { duration, number } from '../../logic/format';
import { withParams } from '../../logic/urlstate';
import { Panel } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { ErrorCount } from '../../parts/traces/marks';

const Graph = lazy(() => import('../../parts/traces/graph'));

/** Who calls whom, how often, how fast, how well; a service chosen shows its neighbours alone. */
export function TraceMap({ within }: { within: Within }) {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const service = url.get('service') ?? '';
  const query = useQuery({
    queryKey: ['trace-map', within, service],
    queryFn: ({ signal }) => get<ServiceMap>('/traces/map', { ...within, service }, signal),
    placeholderData: keepPreviousData,
  });
  const services = useTraceServices(within);
  const toTraces = (name: string) => `/traces?${withParams(url, { tab: undefined, service: name })}`;
  return (
    <div className="stack">
      <Stale query={query} />
      {service && (
        <div className="filters" style={{ margin: 0 }}>
          <span className="chip">
            <span className="ellipsis">{t('map.only', { x: service })}</span>
            <button className="plain" aria-label={t('do.remove', { x: service })} onClick={() => setUrl({ service: undefined }, true)}>
              ✕
            </button>
          </span>
        </div>
      )}
      <div className="panel" data-testid="service-map">
        <Loaded query={query} what="map.what" lines={12}>
          {(map) =>
            list(map.nodes).length === 0 ? (
              <Empty title={t('map.empty')} why={t('map.emptyWhy')} />
            ) : (
              <>
                <div className="row wrap faint" style={{ padding: '8px 14px 0', fontSize: 12 }}>
                  <span>{t('map.label')}</span>
                  {map.share < 1 && <span className="tag">{t('map.share', { n: Math.max(1, Math.round(100 * map.share)) })}</span>}
                  {map.unresolved > 0 && <span className="tag">{t('map.unresolved', { n: map.unresolved })}</span>}
                </div>
                <Suspense fallback={<div style={{ height: 440 }} />}>
                  <Graph map={map} chosen={service} onNode={(name) => setUrl({ service: name === service ? undefined : name }, true)} />
                </Suspense>
              </>
            )
          }
        </Loaded>
      </div>
      {query.data && list(query.data.edges).length > 0 && (
        <Panel title={t('map.edges')} flush>
          <DataTable
            label={t('map.edges')}
            rows={[...list(query.data.edges)].sort((a, b) => b.calls - a.calls)}
            rowKey={(e) => `${e.parent} ${e.child}`}
            columns={[
              { key: 'parent', title: t('map.caller'), render: (e) => <b style={{ fontWeight: 550 }}>{e.parent}</b> },
              { key: 'child', title: t('map.callee'), render: (e) => e.child },
              { key: 'calls', title: t('map.calls'), num: true, render: (e) => number(e.calls, locale) },
              { key: 'errors', title: t('traces.errors'), num: true, render: (e) => <ErrorCount n={e.errors} of={e.calls} /> },
              { key: 'p50', title: t('map.p50'), num: true, render: (e) => duration(e.p50_ns, locale) },
              { key: 'p95', title: t('map.p95'), num: true, render: (e) => duration(e.p95_ns, locale) },
              { key: 'do', title: '', num: true, render: (e) => <Link to={toTraces(e.child)}>{t('map.traces')}</Link> },
            ]}
          />
        </Panel>
      )}
      {list(services.data).length > 0 && (
        <Panel title={t('traces.tab.services')} flush>
          <DataTable
            label={t('traces.tab.services')}
            rows={list(services.data)}
            rowKey={(s) => s.name}
            marked={service}
            columns={[
              {
                key: 'name',
                title: t('traces.service'),
                render: (s) => (
                  <button className="plain link" onClick={() => setUrl({ service: s.name }, true)}>
                    {s.name}
                  </button>
                ),
              },
              { key: 'spans', title: t('traces.spans'), num: true, render: (s) => number(s.spans, locale) },
              { key: 'errors', title: t('traces.errors'), num: true, render: (s) => <ErrorCount n={s.errors} of={s.spans} /> },
              { key: 'p50', title: t('map.p50'), num: true, render: (s) => duration(s.p50_ns, locale) },
              { key: 'p95', title: t('map.p95'), num: true, render: (s) => duration(s.p95_ns, locale) },
              { key: 'last', title: t('map.lastSeen'), num: true, render: (s) => <When time={s.last} age /> },
              {
                key: 'do',
                title: '',
                num: true,
                render: (s) => (
                  <Link to={toTraces(s.name)}>
                    <Button size="small">{t('map.traces')}</Button>
                  </Link>
                ),
              },
            ]}
          />
        </Panel>
      )}
    </div>
  );
}
