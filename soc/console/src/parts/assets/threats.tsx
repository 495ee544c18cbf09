import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Alert, type Incident, type List } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { useAlertActions } from '../acting';
import { KeyMark } from '../keymark';
import { SeverityMark, StatusMark } from '../severity';
import { Loaded } from '../states';
import { When } from '../time';

interface Threats {
  alerts: List<Alert>;
  alerts_total: number;
  incidents: List<Incident>;
  incidents_total: number;
  items: number;
  partial?: boolean;
}

/** The latest open incidents and alerts of an asset, a system or all of a unit; alerts are acknowledged and closed here, the rest a click away. */
export function Threats({ id, limit = 5 }: { id: string; limit?: number }) {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const key = ['alerts', 'threats', id, limit];
  const query = useQuery({ queryKey: key, queryFn: ({ signal }) => get<Threats>(`/cmdb/items/${encodeURIComponent(id)}/threats`, { limit }, signal), refetchInterval: 15_000 });
  const act = useAlertActions(() => void query.refetch());
  return (
    <Loaded query={query} what="portrait.monitoring" lines={3} small>
      {(x) =>
        x.alerts_total + x.incidents_total === 0 ? (
          <span className="dim">{t('threats.none')}</span>
        ) : (
          <div className="threats">
            {x.partial && <div className="dim">{t('threats.partial', { n: number(x.items, locale) })}</div>}
            {list(x.incidents).map((i) => (
              <div className="threat" key={i.id}>
                <SeverityMark level={i.severity} />
                <Link className="ellipsis" to={`/incidents/${encodeURIComponent(i.id)}`} title={tx(i.title)}>
                  <KeyMark of={i} />
                  {t('portrait.incident')} {tx(i.title)}
                </Link>
                <StatusMark status={i.status} />
                <span className="faint nowrap">
                  <When time={i.last_seen} age />
                </span>
                <span />
              </div>
            ))}
            {list(x.alerts).map((a) => (
              <div className="threat" key={a.id}>
                <SeverityMark level={a.severity} />
                <Link className="ellipsis" to={`/alerts/${encodeURIComponent(a.id)}`} title={tx(a.title)}>
                  <KeyMark of={a} />
                  {tx(a.title)}
                </Link>
                <StatusMark status={a.status} />
                <span className="faint nowrap">
                  <When time={a.last_seen} age />
                </span>
                {can('respond') ? (
                  <span className="row nowrap" style={{ gap: 6 }}>
                    {a.status === 'open' && (
                      <button type="button" className="plain link" onClick={() => void act.acknowledge([a.id])}>
                        {t('threats.ack')}
                      </button>
                    )}
                    <button type="button" className="plain link" onClick={() => void act.close([a.id], 'false_positive', '')}>
                      {t('threats.false')}
                    </button>
                  </span>
                ) : (
                  <span />
                )}
              </div>
            ))}
            {(x.alerts_total > list(x.alerts).length || x.incidents_total > list(x.incidents).length) && <div className="faint">{t('threats.more', { n: number(x.alerts_total, locale), m: number(x.incidents_total, locale) })}</div>}
          </div>
        )
      }
    </Loaded>
  );
}
