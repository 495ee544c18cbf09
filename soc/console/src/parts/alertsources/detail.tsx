import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { BASE, get, post } from '../../api/client';
import type { AlertSource, SourceMessage } from '../../api/alertsources';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { clock, number } from '../../logic/format';
import { Ask } from '../dialog';
import { useTenantName } from '../names';
import { Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { useTemplates } from './form';
import { SourceStateMark } from './state';

export const sourcePath = (x: Pick<AlertSource, 'id'>) => `/alert-sources/${encodeURIComponent(x.id)}`;

/** All of one source: how it fares, what came last, and what waits to be mapped. */
export function SourceDetail({ source: x, edit, close }: { source: AlertSource; edit: (sample?: string) => void; close: () => void }) {
  const { t, tx, locale } = useSettings();
  const tenantName = useTenantName();
  const h = x.health;
  const template = list(useTemplates().data?.items).find((k) => k.id === x.template);
  return (
    <aside className="panel drawer" aria-label={x.name} data-testid="alert-source" style={{ width: 560 }}>
      <header>
        <h2>{x.name}</h2>
        <span className="end">
          {!x.builtin && (
            <Button size="small" onClick={() => edit()}>
              {t('do.edit')}
            </Button>
          )}
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body stack">
        <SourceStateMark source={x} whole />
        {x.description && <p className="dim">{x.description}</p>}
        <dl className="facts">
          {template && (
            <>
              <dt>{t('asource.template')}</dt>
              <dd>
                {tx(template.title)} <span className="faint">v{template.version}</span>
              </dd>
            </>
          )}
          <dt>{t('asource.tenant')}</dt>
          <dd>{x.tenant ? tenantName(x.tenant) : t('asource.byItem')}</dd>
          {x.kafka && (
            <>
              <dt>{t('asource.topics')}</dt>
              <dd className="mono">
                {x.kafka.topics.join(', ')} @ {x.kafka.brokers.join(', ')}
              </dd>
            </>
          )}
          {x.events && (
            <>
              <dt>{t('asource.filter')}</dt>
              <dd>
                <code>{x.events.filter}</code>
              </dd>
            </>
          )}
          <dt>{t('asource.messages')}</dt>
          <dd>
            {number(h.messages, locale)} {h.every_seconds ? <span className="faint">{t('asource.every', { x: clock(h.every_seconds * 1000, locale) })}</span> : null}
          </dd>
          <dt>{t('asource.alerts')}</dt>
          <dd>
            {number(h.alerts, locale)} <span className="faint">{t('asource.firing')} {number(h.firing, locale)}</span>
          </dd>
          <dt>{t('asource.last')}</dt>
          <dd>
            <When time={h.last_at} age />
          </dd>
        </dl>
        {!x.builtin && <Messages source={x} failed edit={edit} />}
        {!x.builtin && <Messages source={x} edit={edit} />}
      </div>
    </aside>
  );
}

/** Messages of a source: those that wait, or the last ones. */
function Messages({ source: x, failed = false, edit }: { source: AlertSource; failed?: boolean; edit: (sample?: string) => void }) {
  const { t } = useSettings();
  const { act } = useAct();
  const path = `${sourcePath(x)}/messages`;
  const [ids, setIds] = useState<Set<string>>(new Set());
  const [discarding, setDiscarding] = useState(false);
  const query = useQuery({
    queryKey: ['alert-messages', x.id, failed, x.health.messages, x.health.dead_letters],
    queryFn: ({ signal }) => get<Page<SourceMessage>>(path, { limit: failed ? 100 : 20, state: failed ? 'failed' : undefined }, signal),
    placeholderData: keepPreviousData,
  });
  const renew = ['alert-messages', 'alert-sources'];
  const some = () => (ids.size > 0 ? { ids: [...ids].map(Number) } : {});
  const replay = () => {
    let said = '';
    void act(
      async () => {
        const r = await post<{ done: number; failed: number }>(`${path}/replay`, some());
        said = t('asource.replayed', { n: r.done, m: r.failed });
        if (r.done === 0) throw new Error(said);
      },
      { renew },
    ).then(() => setIds(new Set()));
  };
  const rows = list(query.data?.items);
  return (
    <section>
      <div className="row" style={{ marginBottom: 6 }}>
        <h3>{t(failed ? 'asource.dead' : 'asource.recent')}</h3>
        {rows.length > 0 && (
          <span className="row" style={{ marginLeft: 'auto' }}>
            {failed && (
              <>
                <Button size="small" onClick={replay}>
                  {ids.size > 0 ? t('asource.replayN', { n: ids.size }) : t('asource.replay')}
                </Button>
                <Button size="small" onClick={() => setDiscarding(true)}>
                  {ids.size > 0 ? t('asource.discardN', { n: ids.size }) : t('asource.discard')}
                </Button>
              </>
            )}
            <a href={`${BASE}${path}/export?limit=1000${failed ? '&state=failed' : ''}`} download={`${x.name}.ndjson`}>
              {t('do.export')}
            </a>
          </span>
        )}
      </div>
      <Loaded query={query} what="asource.messages" small lines={3}>
        {() =>
          rows.length === 0 ? (
            <span className="faint">{t(failed ? 'asource.deadNone' : 'asource.recentNone')}</span>
          ) : (
            <>
              {failed && <p className="faint">{t('asource.deadWhy')}</p>}
              <DataTable
                label={t(failed ? 'asource.dead' : 'asource.recent')}
                rows={rows}
                rowKey={(m) => String(m.id)}
                choice={failed ? { ids, set: setIds, name: (m) => String(m.id) } : undefined}
                columns={[
                  { key: 'at', title: t('asource.last'), render: (m) => <When time={m.last_at} /> },
                  {
                    key: 'body',
                    title: t('asource.messages'),
                    render: (m) => (
                      <>
                        {list(m.reasons).map((why) => (
                          <div key={why} style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>
                            {why}
                          </div>
                        ))}
                        <div className="mono faint ellipsis" style={{ maxWidth: 280 }} title={m.body.slice(0, 4000)}>
                          {m.body.slice(0, 200)}
                        </div>
                        {m.times > 1 && <span className="faint">{t('asource.times', { n: m.times })}</span>}
                      </>
                    ),
                  },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (m) =>
                      m.binary ? null : (
                        <button className="plain link" style={{ whiteSpace: 'nowrap' }} onClick={() => edit(m.body)}>
                          {t('asource.useSample')}
                        </button>
                      ),
                  },
                ]}
              />
            </>
          )
        }
      </Loaded>
      {discarding && (
        <Ask
          title={ids.size > 0 ? t('asource.discardN', { n: ids.size }) : t('asource.discard')}
          why={t('asource.discardWhy')}
          ok={ids.size > 0 ? t('asource.discardN', { n: ids.size }) : t('asource.discard')}
          close={() => setDiscarding(false)}
          submit={async () => {
            await act(() => post(`${path}/discard`, some()), { said: t('asource.discarded'), renew });
            setIds(new Set());
          }}
        />
      )}
    </section>
  );
}
