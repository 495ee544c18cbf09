import { useQueryClient } from '@tanstack/react-query';
import { Button } from 'antd';
import { createContext, useCallback, useContext, useMemo, useState, type ReactNode } from 'react';
import { seeAs } from '../api/client';
import { useT } from './settings';

const Context = createContext<{ username: string; see: (username: string) => void }>({ username: '', see: () => undefined });

/** Lets a security administrator read the pages as somebody else would see them. Ends with the page. */
export function SeeAsProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [username, setUsername] = useState('');
  const see = useCallback(
    (name: string) => {
      seeAs(name);
      setUsername(name);
      void client.invalidateQueries();
    },
    [client],
  );
  const value = useMemo(() => ({ username, see }), [username, see]);
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

export const useSeeAs = () => useContext(Context);

/** Says so on every page, for as long as it lasts. */
export function SeeAsBar() {
  const t = useT();
  const { username, see } = useSeeAs();
  if (!username) return null;
  return (
    <div className="seeas" role="status">
      <span aria-hidden="true">◉</span>
      {t('reach.seeing', { x: username })}
      <Button size="small" onClick={() => see('')}>
        {t('reach.stop')}
      </Button>
    </div>
  );
}
