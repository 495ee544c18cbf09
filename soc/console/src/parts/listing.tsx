import type { UseQueryResult } from '@tanstack/react-query';
import { Button } from 'antd';
import type { ReactNode } from 'react';
import { list, type Page } from '../api/types';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { Loaded, Stale } from './states';

/** The frame of a list: what it shows while it loads, has failed, is forbidden, empty or out of date, and the way to its pages (?cursor=). */
export function Listing<T>({ query, what, lines = 6, empty, children }: { query: UseQueryResult<Page<T>>; what: Key; lines?: number; empty: ReactNode; children: (rows: readonly T[]) => ReactNode }) {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const cursor = url.get('cursor') ?? '';
  return (
    <>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what={what} lines={lines}>
          {(d) => (
            <>
              {list(d.items).length === 0 ? empty : children(list(d.items))}
              {(cursor || d.next) && (
                <div className="row" style={{ padding: 8 }}>
                  {cursor && <Button onClick={() => setUrl({ cursor: undefined })}>{t('vuln.first')}</Button>}
                  {d.next && <Button onClick={() => setUrl({ cursor: d.next }, true)}>{t('vuln.more')}</Button>}
                </div>
              )}
            </>
          )}
        </Loaded>
      </div>
    </>
  );
}
