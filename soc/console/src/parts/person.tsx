import { useState } from 'react';
import type { Account } from '../api/access';
import { useNow } from '../app/hooks';
import { useT } from '../app/settings';
import { userState, type UserState } from '../logic/access';

/** A picture, or the first letter where there is none. */
export function Avatar({ user }: { user: Pick<Account, 'username' | 'display_name' | 'avatar_url'> }) {
  const name = user.display_name || user.username;
  const [broken, setBroken] = useState('');
  return (
    <span className="avatar" aria-hidden="true">
      {user.avatar_url && user.avatar_url !== broken ? <img src={user.avatar_url} alt="" onError={() => setBroken(user.avatar_url ?? '')} /> : [...name][0]?.toUpperCase()}
    </span>
  );
}

export function Person({ user }: { user: Pick<Account, 'username' | 'display_name' | 'avatar_url'> }) {
  return (
    <span className="person">
      <Avatar user={user} />
      <span className="ellipsis">
        <b>{user.display_name || user.username}</b> {user.display_name && <span className="dim">{user.username}</span>}
      </span>
    </span>
  );
}

const DOT: Record<UserState, string> = { ok: 'ok', disabled: 'off', locked: 'error', expired: 'off', early: 'off' };

export function UserStateMark({ user }: { user: Account }) {
  const t = useT();
  const state = userState(user, useNow(60));
  return (
    <span className="status" data-state={state}>
      <i className={`dot ${DOT[state]}`} />
      {t(`users.state.${state}`)}
    </span>
  );
}
