import { useQuery } from '@tanstack/react-query';
import { get } from '../../api/client';
import type { Exporter } from '../../api/flows';
import { list, type List } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

/** The devices that send flows, and what of it could not be read or never arrived. */
export function Exporters() {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['exporters'], queryFn: async ({ signal }) => list((await get<{ items: List<Exporter> }>('/flows/exporters', {}, signal)).items), refetchInterval: 10_000 });
  const bad = (n: number) => <span className={n > 0 ? 'strongest' : 'faint'}>{number(n, locale)}</span>;
  return (
    <>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="flows.exporters" lines={6}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('flows.noExporters')} why={t('flows.noneWhy')} />
            ) : (
              <DataTable
                label={t('flows.exporters')}
                rows={rows}
                rowKey={(x) => `${x.zone}|${x.exporter}|${x.kind}|${x.domain}`}
                columns={[
                  { key: 'exporter', title: t('flowby.exporter'), render: (x) => <b className="mono">{x.exporter}</b> },
                  { key: 'zone', title: t('cmdb.zone'), render: (x) => x.zone },
                  { key: 'kind', title: t('sources.kind'), render: (x) => ({ netflow5: 'NetFlow v5', netflow9: 'NetFlow v9', ipfix: 'IPFIX', sflow: 'sFlow' })[x.kind] ?? x.kind },
                  { key: 'domain', title: t('flows.domain'), num: true, render: (x) => String(x.domain) },
                  { key: 'flows', title: t('flowmetric.flows'), num: true, render: (x) => number(x.flows, locale) },
                  { key: 'sampling', title: t('flows.sampling'), num: true, render: (x) => (x.sampling > 1 ? `1:${number(x.sampling, locale)}` : '1:1') },
                  { key: 'templates', title: t('flows.templates'), num: true, render: (x) => number(x.templates, locale) },
                  { key: 'lost', title: t('flows.lost'), num: true, render: (x) => bad(x.lost) },
                  { key: 'waiting', title: t('flows.waiting'), num: true, render: (x) => bad(x.waiting) },
                  { key: 'undecoded', title: t('flows.undecoded'), num: true, render: (x) => bad(x.undecoded) },
                  { key: 'last', title: t('sources.lastSeen'), render: (x) => <When time={x.last_seen} age /> },
                ]}
              />
            )
          }
        </Loaded>
      </div>
    </>
  );
}
