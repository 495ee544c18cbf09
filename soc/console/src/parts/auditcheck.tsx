import { useQuery } from '@tanstack/react-query';
import { Button, Spin } from 'antd';
import { Link } from 'react-router-dom';
import type { AuditCheck, Forwarding } from '../api/audit';
import { get } from '../api/client';
import { useCan } from '../api/queries';
import { list } from '../api/types';
import { useT } from '../app/settings';
import { Panel } from './page';
import { Empty, Failed, Loaded } from './states';
import { DataTable } from './table';
import { When } from './time';

/** Has the server recompute the whole chain, and says what came of it. */
export function Verify({ close }: { close: () => void }) {
  const t = useT();
  const query = useQuery({ queryKey: ['audit', 'verify'], queryFn: ({ signal }) => get<AuditCheck>('/audit/verify', {}, signal), gcTime: 0, staleTime: Infinity, retry: false });
  const x = query.data;
  return (
    <div className={`notice ${x && !x.ok ? 'warn' : 'good'}`} role="status" data-testid="verify" data-ok={x?.ok}>
      <div className="row">
        <div className="grow">
          {query.isPending ? (
            <>
              <Spin size="small" /> {t('audit.verifying')}
            </>
          ) : query.error ? (
            <Failed error={query.error} what="audit.what" small retry={() => void query.refetch()} />
          ) : x?.ok ? (
            <>
              <b>✓ {t('audit.good', { n: x.records })}</b>
              <div className="dim">
                {!!x.unsigned && <>{t('audit.goodUnsigned', { n: x.unsigned })} · </>}
                {t('audit.checkpoints')} {x.checkpoints ?? 0} · {t('audit.head')} <code>{(x.head ?? '').slice(0, 16)}…</code>
                {list(x.keys).length > 0 && (
                  <>
                    {' '}
                    · {t('audit.keys')} <code>{list(x.keys).map((k) => k.id).join(', ')}</code>
                  </>
                )}
              </div>
            </>
          ) : (
            <>
              <b>⚠ {t('audit.broken')}</b>
              <ul>
                {list(x?.breaks).map((b, i) => (
                  <li key={i}>
                    {t('audit.brokenAt', { n: b.seq, p: t(`audit.place.${b.place}`), x: b.reason })} <Link to={`/admin/audit?since=90d&q=${b.seq}`}>{t('do.open')}</Link>
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
        <Button type="text" size="small" aria-label={t('do.close')} onClick={close}>
          ✕
        </Button>
      </div>
    </div>
  );
}

const DOT = { ok: 'ok', retrying: 'error', off: 'off' } as const;

/** Where the log is sent on to, and how far each receiver is. */
export function Forward() {
  const t = useT();
  const can = useCan();
  const query = useQuery({ queryKey: ['audit', 'forward'], queryFn: ({ signal }) => get<Forwarding>('/audit/forward', {}, signal), refetchInterval: 10_000 });
  return (
    <Panel flush>
      <Loaded query={query} what="audit.forward" lines={3}>
        {(f) =>
          list(f.targets).length === 0 ? (
            <Empty title={t('audit.forwardOff')}>{can('audit') && <Link to="/admin/settings?setting=audit-forward">{t('page.settings')}</Link>}</Empty>
          ) : (
            <DataTable
              label={t('audit.forward')}
              rows={list(f.targets)}
              rowKey={(x) => x.name}
              columns={[
                { key: 'name', title: t('col.name'), render: (x) => <b style={{ fontWeight: 550 }}>{x.name}</b> },
                { key: 'kind', title: t('sources.kind'), render: (x) => x.kind },
                { key: 'address', title: t('audit.address'), render: (x) => <span className="mono">{x.address || '–'}</span> },
                {
                  key: 'state',
                  title: t('col.status'),
                  render: (x) => (
                    <span>
                      <span className="status">
                        <i className={`dot ${DOT[x.state]}`} /> {x.state}
                      </span>
                      {x.error && <div style={{ color: 'var(--medium)' }}>{x.error}</div>}
                    </span>
                  ),
                },
                { key: 'lag', title: t('audit.forwardLag', { n: '' }), num: true, render: (x) => t('audit.forwardLag', { n: x.lag ?? 0 }) },
                { key: 'last', title: t('col.lastSeen'), num: true, render: (x) => <When time={x.last_sent} age /> },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
