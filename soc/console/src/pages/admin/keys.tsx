import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import type { MasterKey } from '../../api/access';
import { get, request } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { zh, type Key } from '../../locales/zh';
import { Ask } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { WhenFull } from '../../parts/time';

const KEYS = ['master-keys'] as const;

function sealedWith(k: MasterKey): number {
  return Object.values(k.sealed ?? {}).reduce((sum, n) => sum + n, 0);
}

/** Which master keys there are and what each seals; a new one at the push of a button. */
export default function Keys() {
  const { t, locale } = useSettings();
  const can = useCan();
  const client = useQueryClient();
  const { tell } = useAct();
  const [asking, setAsking] = useState(false);
  const query = useQuery({ queryKey: KEYS, queryFn: ({ signal }) => get<Page<MasterKey>>('/keys', {}, signal) });
  // Newest first: that one counts.
  const keys = [...list(query.data?.items)].reverse();
  const all = keys.reduce((sum, k) => sum + sealedWith(k), 0);
  return (
    <div className="page">
      <Head title={t('page.keys')} sub={query.data ? t('word.count', { n: keys.length }) : undefined}>
        {can('rotate-keys') && (
          <Button type="primary" disabled={!query.data} onClick={() => setAsking(true)}>
            {t('keys.rotate')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <p className="dim" style={{ margin: '0 0 12px' }}>
        {t('keys.why')}
      </p>
      <Panel flush>
        <Loaded query={query} what="keys.what" lines={4}>
          {() =>
            keys.length === 0 ? (
              <Empty title={t('keys.empty')} />
            ) : (
              <div style={{ overflowX: 'auto' }}>
                <DataTable
                  label={t('page.keys')}
                  rows={keys}
                  rowKey={(k) => k.id}
                  columns={[
                    { key: 'id', title: t('keys.id'), render: (k) => <span className="mono">{k.id}</span> },
                    {
                      key: 'state',
                      title: t('col.status'),
                      render: (k) => (
                        <span className="status">
                          <i className={`dot ${k.current ? 'ok' : 'off'}`} />
                          {t(k.current ? 'keys.current' : 'keys.old')}
                        </span>
                      ),
                    },
                    { key: 'created', title: t('keys.created'), render: (k) => <WhenFull time={k.created} /> },
                    { key: 'sealed', title: t('keys.sealed'), render: (k) => <Sealed of={k} /> },
                    { key: 'count', title: t('keys.count'), num: true, render: (k) => number(sealedWith(k), locale) },
                  ]}
                />
              </div>
            )
          }
        </Loaded>
      </Panel>
      {keys.length > 1 && (
        <p className="hint" style={{ margin: '8px 0 0' }}>
          {t('keys.dropOld')}
          <code>icewatch keys drop-old</code>
        </p>
      )}
      {asking && (
        <Ask
          title={t('keys.rotate')}
          why={
            <>
              <p style={{ margin: '0 0 8px' }}>{t('keys.rotateWhy', { n: all })}</p>
              <p style={{ margin: 0 }}>{t('keys.rotateOld')}</p>
            </>
          }
          ok={t('keys.rotate')}
          danger={false}
          close={() => setAsking(false)}
          submit={async () => {
            // Without a body, which the audit log would take for what was asked; the answer is the list as it is now.
            const res = await request('POST', '/keys/rotate');
            client.setQueryData(KEYS, (await res.json()) as Page<MasterKey>);
            tell({ said: t('keys.rotated') });
          }}
        />
      )}
    </div>
  );
}

function Sealed({ of: key }: { of: MasterKey }) {
  const { t, locale } = useSettings();
  const kinds = Object.entries(key.sealed ?? {}).sort(([, a], [, b]) => b - a);
  if (kinds.length === 0) return <span className="faint">{t(key.current ? 'keys.nothingYet' : 'keys.nothing')}</span>;
  return (
    <span className="tags">
      {kinds.map(([kind, n]) => (
        <span className="tag" key={kind} title={kind}>
          {`sealkind.${kind}` in zh ? t(`sealkind.${kind}` as Key) : kind} {number(n, locale)}
        </span>
      ))}
    </span>
  );
}
