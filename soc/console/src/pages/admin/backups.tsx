import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Progress } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post } from '../../api/client';
import type { Backup, BackupJob, Backups } from '../../api/storage';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { bytes, clock, number } from '../../logic/format';
import { Ask } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When, WhenFull } from '../../parts/time';

const RENEW = ['backups', 'conditions'];

/** The suite's backups: the last good one, what runs, the schedule. Restoring is the command line's: it needs the suite to stand still. */
export default function BackupsPage() {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const [removing, setRemoving] = useState<Backup | null>(null);
  const query = useQuery({ queryKey: ['backups'], queryFn: ({ signal }) => get<Backups>('/backups', {}, signal), refetchInterval: (q) => (q.state.data?.running ? 1_000 : 10_000) });
  const b = query.data;
  return (
    <div className="page">
      <Head title={t('page.backups')}>
        {b?.configured && (
          <Button type="primary" disabled={!!b.running} loading={busy} onClick={() => void act(() => post('/backups'), { said: t('backups.started'), renew: RENEW })}>
            {t('backups.start')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="page.backups" lines={8}>
        {(d) =>
          !d.configured ? (
            <Panel>
              <Empty title={t('backups.unset')} why={t('backups.unsetWhy')}>
                <code className="cmd">backup: {'{'} dir: /mnt/backup {'}'}</code>
              </Empty>
            </Panel>
          ) : (
            <div className="stack">
              {d.problem && (
                <div className="notice warn" role="alert">
                  {d.problem}
                </div>
              )}
              <Summary backups={d} />
              {d.running && <Running job={d.running} />}
              {!d.running && d.last && d.last.state !== 'succeeded' && (
                <div className="notice warn" role="alert">
                  {t(`backupkind.${d.last.kind}`)} {d.last.name}: {t(`backupstate.${d.last.state}`)} {d.last.error}
                </div>
              )}
              <div className="panel" style={{ overflowX: 'auto' }}>
                {list(d.items).length === 0 ? (
                  <Empty title={t('backups.none')} why={t('backups.noneWhy')} />
                ) : (
                  <DataTable
                    label={t('page.backups')}
                    rows={list(d.items)}
                    rowKey={(x) => x.name}
                    columns={[
                      {
                        key: 'name',
                        title: t('col.name'),
                        render: (x) => (
                          <>
                            <b className="mono">{x.name}</b>
                            <div className="faint">
                              {x.trigger && t(`backuptrigger.${x.trigger}`)} {x.by}
                            </div>
                          </>
                        ),
                      },
                      { key: 'state', title: t('col.status'), render: (x) => <BackupState backup={x} /> },
                      { key: 'when', title: t('backups.finished'), render: (x) => <WhenFull time={x.finished} /> },
                      { key: 'took', title: t('backups.took'), num: true, render: (x) => (x.started && x.finished ? clock(Date.parse(x.finished) - Date.parse(x.started), locale) : '–') },
                      { key: 'rows', title: t('storage.events'), num: true, render: (x) => <Events backup={x} /> },
                      { key: 'bytes', title: t('backups.holds'), num: true, render: (x) => (x.fault ? '–' : bytes(x.bytes ?? 0, locale)) },
                      { key: 'copied', title: t('backups.copied'), num: true, render: (x) => (x.fault ? '–' : bytes(x.copied_bytes ?? 0, locale)) },
                      { key: 'stored', title: t('backups.stored'), num: true, render: (x) => (x.fault ? '–' : <span title={t('backups.storedWhy')}>{bytes(x.stored_bytes ?? 0, locale)}</span>) },
                      {
                        key: 'do',
                        title: '',
                        render: (x) => (
                          <Dropdown
                            trigger={['click']}
                            menu={{
                              items: [
                                { key: 'verify', label: t('backups.verify'), disabled: !!d.running, onClick: () => void act(() => post(`/backups/${encodeURIComponent(x.name)}/verify`), { said: t('backups.verifying', { x: x.name }), renew: RENEW }) },
                                { key: 'delete', label: t('do.delete'), disabled: !!d.running, onClick: () => setRemoving(x) },
                              ],
                            }}
                          >
                            <Button size="small" type="text" aria-label={t('do.actions', { x: x.name })}>
                              ⋯
                            </Button>
                          </Dropdown>
                        ),
                      },
                    ]}
                  />
                )}
              </div>
              <p className="hint">
                {t('backups.restore')} <code>icewatch restore --from {d.dir}</code>
              </p>
            </div>
          )
        }
      </Loaded>
      {removing && (
        <Ask
          title={t('backups.delete', { x: removing.name })}
          why={t('backups.deleteWhy')}
          ok={t('do.delete')}
          name={removing.name}
          close={() => setRemoving(null)}
          submit={() => act(() => del(`/backups/${encodeURIComponent(removing.name)}`), { said: t('backups.deleted', { x: removing.name }), renew: RENEW })}
        />
      )}
    </div>
  );
}

function Summary({ backups: b }: { backups: Backups }) {
  const { t, locale } = useSettings();
  const good = list(b.items).find((x) => !x.fault && list(x.damaged).length === 0);
  return (
    <div className="stats" style={{ margin: 0 }}>
      <div className={`panel stat${b.overdue || !good ? ' hot' : ''}`}>
        <span className="n">{good ? <When time={good.finished} age /> : t('backups.never')}</span>
        <span className="l">{t('backups.lastGood')}</span>
      </div>
      <div className="panel stat">
        <span className="n">{b.schedule.enabled && b.next_run ? <When time={b.next_run} age /> : t('word.off')}</span>
        <span className="l">{t('backups.next')}</span>
        <div>
          <code>{b.schedule.cron}</code> · {t('backups.keep', { n: b.schedule.keep })} · <Link to="/admin/settings?setting=backup">{t('backups.schedule')}</Link>
        </div>
      </div>
      <div className="panel stat">
        <span className="n">{bytes(b.free_bytes, locale)}</span>
        <span className="l">{t('backups.free', { x: b.dir })}</span>
      </div>
      <div className="panel stat">
        <span className="n">{t(b.encrypted ? 'backups.encrypted' : 'backups.plain')}</span>
        <span className="l">{t('backups.encryption')}</span>
      </div>
    </div>
  );
}

function Running({ job }: { job: BackupJob }) {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const known = job.bytes_total > 0;
  const left = known && job.rate > 0 ? ((job.bytes_total - job.bytes_done) / job.rate) * 1000 : NaN;
  return (
    <Panel
      title={`${t(`backupkind.${job.kind}`)} ${job.name}`}
      end={
        <Button size="small" loading={busy} onClick={() => void act(() => del('/backups/job'), { said: t('backups.cancelling'), renew: RENEW })}>
          {t('do.cancel')}
        </Button>
      }
    >
      <Progress percent={known ? Math.floor((100 * job.bytes_done) / job.bytes_total) : 0} showInfo={known} status="active" />
      <div className="dim" role="status">
        {t(`backupphase.${job.phase}`)} · {t('backups.progress', { n: job.files_done, m: job.files_total, b: bytes(job.bytes_done, locale) })} · {bytes(job.rate, locale)}/s
        {!Number.isNaN(left) && ` · ${t('backups.left', { x: clock(left, locale) })}`}
      </div>
    </Panel>
  );
}

/**
 * How many events a backup holds: what could be searched at its start. Of these the
 * newest may not be in the lake's files yet, but in the copy of the bus, from which a
 * suite that starts on the backup stores them.
 */
function Events({ backup: x }: { backup: Backup }) {
  const { t, locale } = useSettings();
  const all = list(x.tenants).reduce((n, y) => n + y.events, 0);
  if (x.fault) return <>–</>;
  if (all === 0) return <span title={t('backups.inFilesWhy')}>{number(x.rows, locale)}</span>;
  return (
    <span title={t('backups.eventsWhy')}>
      {number(all, locale)}
      {(x.rows ?? 0) < all && <div className="faint nowrap">{t('backups.inFiles', { n: number(x.rows, locale) })}</div>}
    </span>
  );
}

function BackupState({ backup: x }: { backup: Backup }) {
  const { t } = useSettings();
  const damaged = list(x.damaged);
  if (x.fault || damaged.length > 0)
    return (
      <span className="late" title={x.fault || damaged.join('\n')}>
        {t('backups.damaged', { n: Math.max(1, damaged.length) })}
      </span>
    );
  return (
    <span className="status">
      <span className={`dot ${x.verified ? 'ok' : 'open'}`} />
      {x.verified ? (
        <>
          {t('backups.verified')} <When time={x.verified} age />
        </>
      ) : (
        t('backups.unverified')
      )}
    </span>
  );
}
