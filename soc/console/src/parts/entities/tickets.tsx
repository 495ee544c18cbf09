import { Link } from 'react-router-dom';
import { list, type Alert, type Incident, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { VerdictMark } from '../judgement';
import { TenantName } from '../names';
import { Panel } from '../page';
import { SeverityMark, StatusMark } from '../severity';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { Token } from '../token';
import { usePart, type About } from './ask';
import { Files } from './files';
import { RolePicker, useRole } from './portrait';

/** The alerts and incidents that an entity is in. */
export function Tickets({ about }: { about: About }) {
  const { t, tx, locale } = useSettings();
  const role = useRole();
  const alerts = usePart<Page<Alert>>(about, 'alerts', { role, limit: 100 }, 30_000);
  const incidents = usePart<Page<Incident>>(about, 'incidents', { limit: 50 }, 30_000);
  return (
    <div className="stack" style={{ gap: 14 }}>
      <div>
        <RolePicker />
      </div>
      <Panel title={`${t('entity.alerts')}${alerts.data ? ` ${number(alerts.data.total, locale)}` : ''}`} end={<Files about={about} list="alerts" role={role} />} flush id="entity-alerts">
        <Stale query={alerts} />
        <Loaded query={alerts} what="alerts.what" lines={6} small>
          {(page) =>
            list(page.items).length === 0 ? (
              <Empty small title={t('entity.noAlerts')} why={t('entity.noAlertsWhy')} />
            ) : (
              <DataTable<Alert>
                label={t('entity.alerts')}
                rows={list(page.items)}
                rowKey={(a) => a.id}
                columns={[
                  { key: 'severity', title: t('col.severity'), width: 84, render: (a) => <SeverityMark level={a.severity} /> },
                  { key: 'title', title: t('entity.alerts'), render: (a) => <Link to={`/alerts/${encodeURIComponent(a.id)}`}>{tx(a.title)}</Link> },
                  { key: 'verdict', title: t('entity.verdicts'), width: 90, render: (a) => <VerdictMark value={a.verdict} /> },
                  { key: 'from', title: t('judged.attacker'), render: (a) => a.attacker?.ip && <Token field="source.ip" value={a.attacker.ip} /> },
                  { key: 'to', title: t('judged.victim'), render: (a) => a.victim?.ip && <Token field="destination.ip" value={a.victim.ip} /> },
                  { key: 'tenant', title: t('col.tenant'), render: (a) => <TenantName slug={a.tenant} /> },
                  { key: 'count', title: t('entity.events'), num: true, width: 70, render: (a) => number(a.count, locale) },
                  { key: 'status', title: t('entity.states'), width: 100, render: (a) => <StatusMark status={a.status} /> },
                  { key: 'last', title: t('col.lastSeen'), num: true, width: 110, render: (a) => <When time={a.last_seen} /> },
                ]}
              />
            )
          }
        </Loaded>
      </Panel>
      <Panel title={`${t('entity.incidents')}${incidents.data ? ` ${number(incidents.data.total, locale)}` : ''}`} end={<Files about={about} list="incidents" />} flush id="entity-incidents">
        <Stale query={incidents} />
        <Loaded query={incidents} what="entity.part" lines={3} small>
          {(page) =>
            list(page.items).length === 0 ? (
              <div className="dim" style={{ padding: '4px 14px 10px' }}>–</div>
            ) : (
              <DataTable<Incident>
                label={t('entity.incidents')}
                rows={list(page.items)}
                rowKey={(x) => x.id}
                columns={[
                  { key: 'severity', title: t('col.severity'), width: 84, render: (x) => <SeverityMark level={x.severity} /> },
                  { key: 'id', title: t('entity.incidents'), render: (x) => <Link to={`/incidents/${encodeURIComponent(x.id)}`}>{`${x.id} ${tx(x.title)}`}</Link> },
                  { key: 'alerts', title: t('entity.alerts'), num: true, width: 70, render: (x) => number(x.alert_count, locale) },
                  { key: 'status', title: t('entity.states'), width: 100, render: (x) => <StatusMark status={x.status} /> },
                  { key: 'last', title: t('col.lastSeen'), num: true, width: 110, render: (x) => <When time={x.last_seen} /> },
                ]}
              />
            )
          }
        </Loaded>
      </Panel>
    </div>
  );
}
