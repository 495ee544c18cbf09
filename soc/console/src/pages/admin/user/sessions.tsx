import { useQuery } from '@tanstack/react-query';
import type { Account, Device, Factors, Habits, Session } from '../../../api/access';
import { del, get } from '../../../api/client';
import { all } from '../../../api/directory';
import { list } from '../../../api/types';
import { useAct } from '../../../app/act';
import { useT } from '../../../app/settings';
import { Panel } from '../../../parts/page';
import { DeviceTable, HabitView, SessionTable } from '../../../parts/sessions';
import { Loaded } from '../../../parts/states';

/** Where a user is signed in, what proves who it is, and what is usual for this account. */
export function UserSessions({ user }: { user: Account }) {
  const t = useT();
  const { act } = useAct();
  const path = `/users/${encodeURIComponent(user.id)}`;
  const sessions = useQuery({ queryKey: ['sessions', user.id], queryFn: ({ signal }) => all<Session>('/sessions', { user: user.id }, signal), refetchInterval: 15_000 });
  const factors = useQuery({ queryKey: ['factors', user.id], queryFn: ({ signal }) => get<Factors>(`${path}/factors`, {}, signal) });
  const devices = useQuery({ queryKey: ['devices', user.id], queryFn: ({ signal }) => all<Device>(`${path}/devices`, {}, signal) });
  const habits = useQuery({ queryKey: ['habits', user.id], queryFn: ({ signal }) => get<Habits>(`${path}/accesses`, {}, signal) });
  return (
    <div className="stack">
      <Panel title={t('sessions.open')} flush>
        <Loaded query={sessions} what="sessions.what" lines={2} small>
          {(rows) => <SessionTable sessions={rows} who={false} end={(s) => act(() => del(`/sessions/${encodeURIComponent(s.id)}`), { said: t('sessions.ended'), renew: ['sessions'] })} />}
        </Loaded>
      </Panel>
      <Panel title={t('factors.what')}>
        <Loaded query={factors} what="factors.what" lines={2} small>
          {(f) =>
            !f.totp.enabled && list(f.webauthn).length === 0 ? (
              <span className="dim">
                {t('factors.none')} {f.required && `· ${t('factors.required')}`}
              </span>
            ) : (
              <dl className="facts">
                <dt>{t('factors.totp')}</dt>
                <dd>{f.totp.enabled ? t('factors.totpOn') : t('word.none')}</dd>
                <dt>{t('factors.webauthn')}</dt>
                <dd>{list(f.webauthn).map((k) => k.name).join(', ') || t('word.none')}</dd>
                <dt>{t('factors.recovery')}</dt>
                <dd>{t('factors.left', { n: f.recovery_codes_left ?? 0 })}</dd>
              </dl>
            )
          }
        </Loaded>
      </Panel>
      <Panel title={t('devices.what')} flush>
        <Loaded query={devices} what="devices.what" lines={2} small>
          {(rows) => <DeviceTable devices={rows} />}
        </Loaded>
      </Panel>
      <Panel title={t('habits.what')} flush>
        <Loaded query={habits} what="habits.what" lines={3} small>
          {(h) => <HabitView habits={h} />}
        </Loaded>
      </Panel>
    </div>
  );
}
