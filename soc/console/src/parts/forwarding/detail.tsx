import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { BASE, get, post } from '../../api/client';
import type { DeadLetter, Target } from '../../api/forwarding';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { bytes, clock, joined, number } from '../../logic/format';
import { fieldIs } from '../../logic/logsql';
import { Ask } from '../dialog';
import { useTenantName } from '../names';
import { Loaded } from '../states';
import { DataTable } from '../table';
import { When, WhenFull } from '../time';
import { TargetStateMark } from './state';

/** All of one target: what it sends, how far it is, and what was refused for good. */
export function TargetDetail({ target: x, edit, close }: { target: Target; edit: () => void; close: () => void }) {
  const { t, locale } = useSettings();
  const tenantName = useTenantName();
  const s = x.status;
  return (
    <aside className="panel drawer" aria-label={x.name} data-testid="target" style={{ width: 520 }}>
      <header>
        <h2>{x.name}</h2>
        <span className="end">
          <Button size="small" onClick={edit}>
            {t('do.edit')}
          </Button>
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body stack">
        <TargetStateMark target={x} whole />
        {x.description && <p className="dim">{x.description}</p>}
        <dl className="facts">
          <dt>{t('forward.to')}</dt>
          <dd>
            {t(`forward.kind.${x.kind}`)} <code>{s.where}</code>
          </dd>
          <dt>{t('forward.filter')}</dt>
          <dd>{x.filter ? <code>{x.filter}</code> : t('forward.all')}</dd>
          <dt>{t('forward.tenants')}</dt>
          <dd>{x.tenant ? joined(x.tenant.split(',').map(tenantName), locale) : t('forward.all')}</dd>
          <dt>{t('forward.owner')}</dt>
          <dd>{x.owner?.username || '–'}</dd>
          <dt>{t('forward.sent')}</dt>
          <dd>
            {number(s.sent, locale)} <span className="faint">{bytes(s.sent_bytes, locale)} · {t('forward.perSecond', { n: number(s.rate, locale) })}</span>
          </dd>
          {s.repeated > 0 && (
            <>
              <dt>{t('forward.repeated')}</dt>
              <dd>{number(s.repeated, locale)}</dd>
            </>
          )}
          <dt>{t('forward.lag')}</dt>
          <dd>{s.lag_events > 0 ? `${number(s.lag_events, locale)} · ${clock(s.lag_seconds * 1000, locale)}` : t('forward.lagNone')}</dd>
          <dt>{t('forward.positionAt')}</dt>
          <dd>
            <WhenFull time={s.position_at} />
          </dd>
        </dl>
        <DeadLetters target={x} />
      </div>
    </aside>
  );
}

function DeadLetters({ target: x }: { target: Target }) {
  const { t } = useSettings();
  const { act } = useAct();
  const path = `/forwarding/targets/${encodeURIComponent(x.id)}/dead-letters`;
  const [ids, setIds] = useState<Set<string>>(new Set());
  const [discarding, setDiscarding] = useState<{ ids?: number[]; all?: boolean } | null>(null);
  const query = useQuery({
    queryKey: ['dead-letters', x.id, x.status.dead_letters],
    queryFn: ({ signal }) => get<Page<DeadLetter>>(path, { limit: 100 }, signal),
    placeholderData: keepPreviousData,
  });
  const renew = ['dead-letters', 'forward-targets'];
  const some = () => (ids.size > 0 ? { ids: [...ids].map(Number) } : { all: true });
  const [busy, setBusy] = useState(false);
  const retry = async () => {
    setBusy(true);
    let said = { n: 0, m: 0 };
    await act(async () => {
      const r = await post<{ done: number; failed: number }>(`${path}/retry`, some());
      said = { n: r.done, m: r.failed };
      if (r.done === 0 && r.failed > 0) throw new Error(t('forward.retried', said));
    }, { renew });
    setIds(new Set());
    setBusy(false);
  };
  return (
    <section>
      <div className="row" style={{ marginBottom: 6 }}>
        <h3>
          {t('forward.dead')} {x.status.dead_letters > 0 && x.status.dead_letters}
        </h3>
        {x.status.dead_letters > 0 && (
          <span className="row" style={{ marginLeft: 'auto' }}>
            <Button size="small" loading={busy} onClick={() => void retry()}>
              {ids.size > 0 ? t('forward.retryN', { n: ids.size }) : t('forward.retryAll')}
            </Button>
            <Button size="small" onClick={() => setDiscarding(some())}>
              {ids.size > 0 ? t('forward.discardN', { n: ids.size }) : t('forward.discardAll')}
            </Button>
            <a href={`${BASE}${path}/export`} download>
              {t('do.export')}
            </a>
          </span>
        )}
      </div>
      <Loaded query={query} what="forward.dead" small lines={3}>
        {(page) =>
          list(page.items).length === 0 ? (
            <span className="faint">
              {t('forward.deadNone')}
            </span>
          ) : (
            <>
              <p className="faint">{t('forward.deadWhy')}</p>
              <DataTable
                label={t('forward.dead')}
                rows={list(page.items)}
                rowKey={(d) => String(d.id)}
                choice={{ ids, set: setIds, name: (d) => d.event }}
                columns={[
                  { key: 'reason', title: t('forward.deadReason'), render: (d) => <span style={{ overflowWrap: 'anywhere' }}>{d.reason}</span> },
                  {
                    key: 'event',
                    title: t('forward.deadEvent'),
                    render: (d) => (
                      <Link className="mono" to={`/search?${new URLSearchParams({ query: fieldIs('event.id', d.event), since: '30d' })}`} title={d.event}>
                        {d.event}
                      </Link>
                    ),
                  },
                  { key: 'at', title: t('forward.deadAt'), num: true, render: (d) => <When time={d.at} age /> },
                ]}
              />
            </>
          )
        }
      </Loaded>
      {discarding && (
        <Ask
          title={discarding.all ? t('forward.discardAll') : t('forward.discardN', { n: discarding.ids?.length ?? 0 })}
          why={t('forward.discardWhy', { x: x.name })}
          ok={discarding.all ? t('forward.discardAll') : t('forward.discardN', { n: discarding.ids?.length ?? 0 })}
          close={() => setDiscarding(null)}
          submit={async () => {
            await act(() => post(`${path}/discard`, discarding), { said: t('forward.discarded', { n: discarding.ids?.length ?? x.status.dead_letters }), renew });
            setIds(new Set());
          }}
        />
      )}
    </section>
  );
}
