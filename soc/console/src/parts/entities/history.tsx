import type { EntityHistory } from '../../api/entities';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { ChangeTable } from '../cmdb/changelist';
import { Panel } from '../page';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { Token } from '../token';
import { usePart, type About } from './ask';
import { Files } from './files';

/** What an entity was called, and how the ledger changed. */
export function History({ about }: { about: About }) {
  const { t, locale } = useSettings();
  const query = usePart<EntityHistory>(about, 'history');
  return (
    <>
      <Stale query={query} />
      <Loaded query={query} what="entity.part" lines={8}>
        {(d) => (
          <div className="stack" style={{ gap: 14 }}>
            <Panel title={t('entity.names')} end={<Files about={about} list="names" />} flush id="entity-names">
              {list(d.names).length === 0 ? (
                <Empty small title={t('entity.noNames')} />
              ) : (
                <DataTable
                  label={t('entity.names')}
                  rows={list(d.names)}
                  rowKey={(n) => `${n.field} ${n.value}`}
                  columns={[
                    { key: 'field', title: t('entity.field'), width: 190, render: (n) => <span className="mono dim">{n.field}</span> },
                    { key: 'value', title: t('entity.value'), render: (n) => <Token field={n.field} value={n.value} /> },
                    { key: 'n', title: t('entity.events'), num: true, width: 90, render: (n) => number(n.events, locale) },
                    { key: 'first', title: t('col.firstSeen'), width: 130, render: (n) => <When time={n.first} /> },
                    { key: 'last', title: t('col.lastSeen'), width: 130, render: (n) => <When time={n.last} /> },
                  ]}
                />
              )}
            </Panel>
            <Panel title={t('entity.changes')} end={<Files about={about} list="changes" />}>
              {list(d.changes).length === 0 ? (
                <span className="dim">{t('entity.noChanges')}</span>
              ) : (
                <ol className="timeline">
                  {list(d.changes).map((h) => (
                    <li key={h.id} className={h.action === 'created' ? 'k-created' : ''}>
                      <div className="t-head">
                        <b>{h.name}</b>
                        <span className="dim">{t(`ci.${h.action}`)}</span>
                        <span className="dim">{h.actor}</span>
                        <When time={h.time} />
                      </div>
                      {h.action !== 'created' && <ChangeTable changes={list(h.changes)} cls={h.class} />}
                    </li>
                  ))}
                </ol>
              )}
            </Panel>
          </div>
        )}
      </Loaded>
    </>
  );
}
