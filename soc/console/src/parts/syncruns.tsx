import { useQuery } from '@tanstack/react-query';
import { Button, Progress } from 'antd';
import { useState } from 'react';
import { get, post } from '../api/client';
import type { IdentityProvider, SyncRun } from '../api/federation';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useSettings } from '../app/settings';
import { Panel } from './page';
import { Empty, Loaded } from './states';
import { DataTable } from './table';
import { WhenFull } from './time';

const DOT: Record<SyncRun['state'], string> = { running: 'open', ok: 'ok', refused: 'error', failed: 'error', interrupted: 'off' };

/** The runs of a directory's sync: start one, watch it, read what it did. */
export function SyncRuns({ provider: p }: { provider: IdentityProvider }) {
  const { t } = useSettings();
  const { busy, act } = useAct();
  const [open, setOpen] = useState('');
  const path = `/identity-providers/${encodeURIComponent(p.id)}`;
  const query = useQuery({
    queryKey: ['syncs', p.id],
    queryFn: async ({ signal }) => list((await get<Page<SyncRun>>(`${path}/syncs`, { limit: 50 }, signal)).items),
    refetchInterval: (q) => (q.state.data?.some((r) => r.state === 'running') ? 1_000 : 15_000),
  });
  const running = query.data?.some((r) => r.state === 'running');
  const start = (dry: boolean) => act(() => post(`${path}/sync`, { dry_run: dry, full: true }), { renew: ['syncs', 'identity-providers', 'users', 'units'] });
  const shown = query.data?.find((r) => r.id === open);
  return (
    <Panel
      title={t('idp.runs')}
      flush
      end={
        <>
          <Button size="small" disabled={busy || running} title={t('idp.dryRunWhy')} onClick={() => void start(true)}>
            {t('idp.dryRun')}
          </Button>
          <Button size="small" type="primary" disabled={busy || running} onClick={() => void start(false)}>
            {t('idp.syncNow')}
          </Button>
        </>
      }
    >
      <Loaded query={query} what="idp.runs" lines={3} small>
        {(rows) =>
          rows.length === 0 ? (
            <Empty small title={t('idp.noRuns')} />
          ) : (
            <DataTable
              label={t('idp.runs')}
              rows={rows}
              rowKey={(r) => r.id}
              marked={open}
              onRow={(r) => setOpen(open === r.id ? '' : r.id)}
              columns={[
                { key: 'at', title: t('col.time'), width: 240, render: (r) => <WhenFull time={r.started_at} /> },
                {
                  key: 'state',
                  title: t('col.status'),
                  render: (r) => (
                    <span className="status">
                      <i className={`dot ${DOT[r.state]}`} />
                      {t(`idp.run.${r.state}`)} {r.dry_run && <span className="tag">{t('idp.dryRun')}</span>}
                    </span>
                  ),
                },
                {
                  key: 'what',
                  title: t('do.details'),
                  render: (r) =>
                    r.state === 'running' ? (
                      <span className="row">
                        <Progress percent={r.progress?.read ? Math.round(((r.progress.done ?? 0) / r.progress.read) * 100) : 0} size="small" style={{ width: 160 }} showInfo={false} />
                        {t('idp.run.progress', { d: r.progress?.done ?? 0, r: r.progress?.read ?? 0 })}
                      </span>
                    ) : (
                      <span>
                        {r.detail && <div style={{ color: 'var(--medium)' }}>{r.detail}</div>}
                        {r.report &&
                          t('idp.run.sum', {
                            r: r.report.users_read ?? 0,
                            c: r.report.users_created ?? 0,
                            u: r.report.users_changed ?? 0,
                            d: r.report.users_disabled ?? 0,
                            n: r.report.units_read ?? 0,
                          })}{' '}
                        {list(r.problems).length > 0 && <span className="tag strong">{t('idp.run.problems', { n: list(r.problems).length })}</span>}
                      </span>
                    ),
                },
                { key: 'by', title: t('grants.by'), render: (r) => r.by || '–' },
              ]}
            />
          )
        }
      </Loaded>
      {shown && (list(shown.changes).length > 0 || list(shown.problems).length > 0) && (
        <div style={{ padding: '10px 14px' }}>
          {list(shown.problems).map((x, i) => (
            <div key={i}>
              ⚠ <code>{x.object}</code> {x.problem}
            </div>
          ))}
          {list(shown.changes).length > 0 && (
            <>
              <b>{t('idp.run.changes', { n: list(shown.changes).length })}</b>
              {list(shown.changes).map((x, i) => (
                <div key={i}>
                  <span className="tag">{x.change}</span> <code>{x.object}</code> <span className="dim">{x.detail}</span>
                </div>
              ))}
            </>
          )}
        </div>
      )}
    </Panel>
  );
}
