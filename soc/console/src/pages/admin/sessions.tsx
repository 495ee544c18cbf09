import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import type { Lock, Session } from '../../api/access';
import { del } from '../../api/client';
import { all } from '../../api/directory';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useT } from '../../app/settings';
import { Head, Panel, Updated } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { SessionTable } from '../../parts/sessions';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';
import { When } from '../../parts/time';
import { Token } from '../../parts/token';

/** Who is signed in now, and who is locked out. */
export default function Sessions() {
  const t = useT();
  const tabs = [
    { key: 'sessions' as const, title: t('sessions.open') },
    { key: 'locks' as const, title: t('sessions.locks') },
  ];
  const tab = useTab(tabs);
  return (
    <div className="page">
      <Head title={t('page.sessions')} />
      <Tabs tabs={tabs} label={t('page.sessions')} />
      {tab === 'sessions' ? <Open /> : <Locks />}
    </div>
  );
}

function Open() {
  const t = useT();
  const { act } = useAct();
  const [params] = useUrl();
  const q = (params.get('q') ?? '').toLowerCase();
  const query = useQuery({ queryKey: ['sessions'], queryFn: ({ signal }) => all<Session>('/sessions', {}, signal), refetchInterval: 10_000 });
  return (
    <>
      <div className="filters">
        <SearchBox hint={t('sessions.filterUser')} />
        <Updated at={query.dataUpdatedAt} />
      </div>
      <Stale query={query} />
      <Panel flush>
        <Loaded query={query} what="sessions.what" lines={6}>
          {(rows) => (
            <SessionTable
              who
              sessions={rows.filter((s) => !q || `${s.username ?? ''} ${s.address ?? ''} ${s.client ?? ''}`.toLowerCase().includes(q))}
              end={(s) => act(() => del(`/sessions/${encodeURIComponent(s.id)}`), { said: t('sessions.ended'), renew: ['sessions'] })}
            />
          )}
        </Loaded>
      </Panel>
    </>
  );
}

function Locks() {
  const t = useT();
  const { busy, act } = useAct();
  const query = useQuery({ queryKey: ['locks'], queryFn: ({ signal }) => all<Lock>('/locks', {}, signal), refetchInterval: 10_000 });
  return (
    <Panel flush>
      <Loaded query={query} what="sessions.locks" lines={4}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title={t('sessions.noLocks')} why={t('sessions.noLocksWhy')} />
          ) : (
            <DataTable
              label={t('sessions.locks')}
              rows={rows}
              rowKey={(l) => l.id}
              columns={[
                { key: 'kind', title: t('locks.kind'), render: (l) => t(`locks.${l.kind}`) },
                { key: 'account', title: t('sessions.user'), render: (l) => l.account || '–' },
                { key: 'address', title: t('sessions.address'), render: (l) => (l.address ? <Token field="source.ip" value={l.address} /> : '–') },
                { key: 'failures', title: t('locks.failures'), num: true, render: (l) => l.failures },
                { key: 'until', title: t('locks.until'), num: true, render: (l) => (l.locked_until && Date.parse(l.locked_until) > Date.now() ? <When time={l.locked_until} /> : <span className="faint">{t('locks.counting')}</span>) },
                { key: 'last', title: t('locks.last'), num: true, render: (l) => <When time={l.last_at} age /> },
                {
                  key: 'do',
                  title: '',
                  num: true,
                  render: (l) => (
                    <Button size="small" disabled={busy} onClick={() => void act(() => del(`/locks/${encodeURIComponent(l.id)}`), { said: t('locks.unlocked'), renew: ['locks', 'users', 'user'] })}>
                      {t('locks.unlock')}
                    </Button>
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
