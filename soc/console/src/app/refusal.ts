import { useCallback } from 'react';
import type { NoticeState } from '../api/notices';
import type { Status } from '../api/types';
import { zh, type Key } from '../locales/zh';
import { joined } from '../logic/format';
import { refusalZh } from '../logic/refusals';
import { refusedMove } from '../logic/transitions';
import { useSettings } from './settings';

/** What an error or a sentence of the server says, in the reader's language where it is one that the console knows. */
export function useRefusal(): (error: unknown) => string {
  const { t, locale } = useSettings();
  return useCallback(
    (error) => {
      const text = error instanceof Error ? error.message : String(error);
      const since = /^finding: conflict: something happened to (\S+) since$/.exec(text);
      if (since?.[1]) return t('finding.happenedSince', { x: since[1] });
      const m = refusedMove(text);
      if (!m) return (locale === 'zh-CN' ? refusalZh(text) : undefined) ?? text;
      const name = (s: string) => (m.of === 'notice' ? t(`notice.state.${s as NoticeState}`) : t(`status.${s as Status}`));
      const role = (id: string) => (`role.${id}` in zh ? t(`role.${id}` as Key) : id);
      const move = { x: name(m.from), y: name(m.to) };
      return m.roles.length > 0 ? t('move.onlyRoles', { ...move, z: joined(m.roles.map(role), locale) }) : t('move.onlyAdmin', move);
    },
    [t, locale],
  );
}
