import { useFollowed, type FollowedThing } from '../../api/cmdbkept';
import { put } from '../../api/client';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';

/** What the reader follows, kept by the server, and the switch of one thing. */
export function useFollowing(): { follows: (kind: FollowedThing['kind'], key: string) => boolean; toggle: (kind: FollowedThing['kind'], key: string) => void; all: FollowedThing[]; may: boolean } {
  const can = useCan();
  const { t } = useSettings();
  const { act } = useAct();
  const all = list(useFollowed().data);
  const follows = (kind: FollowedThing['kind'], key: string) => all.some((f) => f.kind === kind && f.key === key);
  const set = (kind: FollowedThing['kind'], key: string, follow: boolean) => put('/cmdb/followed', { kind, key, follow });
  const renew = ['cmdb-followed'];
  return {
    all,
    follows,
    may: can('follow-cmdb'),
    toggle: (kind, key) => {
      const on = follows(kind, key);
      void act(() => set(kind, key, !on), { said: on ? t('ci.unfollowed') : undefined, undo: on ? () => void act(() => set(kind, key, true), { renew }) : undefined, renew });
    },
  };
}

/** The star of one thing. */
export function Star({ kind, of, name }: { kind: FollowedThing['kind']; of: string; name: string }) {
  const { t } = useSettings();
  const { follows, toggle, may } = useFollowing();
  if (!may) return <span />;
  const on = follows(kind, of);
  return (
    <button type="button" className={`plain star${on ? ' on' : ''}`} aria-pressed={on} aria-label={`${t(on ? 'ci.following' : 'ci.follow')} ${name}`} title={t(on ? 'ci.following' : 'ci.follow')} onClick={() => toggle(kind, of)}>
      {on ? '★' : '☆'}
    </button>
  );
}
