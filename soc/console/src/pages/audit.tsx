import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { get } from '../api/client';
import { list, type AuditEntry, type Page } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';
import { Head } from '../parts/page';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { WhenFull } from '../parts/time';

export default function Audit() {
  const { t } = useSettings();
  const { failed } = useFeedback();
  const query = useQuery({ queryKey: ['audit'], queryFn: ({ signal }) => get<Page<AuditEntry>>('/audit', { limit: 100 }, signal) });
  const [more, setMore] = useState<{ rows: AuditEntry[]; next: string } | null>(null);
  const next = more ? more.next : (query.data?.next ?? '');
  const load = async () => {
    try {
      const page = await get<Page<AuditEntry>>('/audit', { limit: 100, cursor: next });
      setMore({ rows: [...(more?.rows ?? []), ...list(page.items)], next: page.next ?? '' });
    } catch (e) {
      failed(e);
    }
  };
  return (
    <div className="page">
      <Head title={t('page.audit')} />
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="audit.what" lines={12}>
          {(page) => {
            const rows = [...list(page.items), ...(more?.rows ?? [])];
            if (rows.length === 0) return <Empty title={t('audit.empty')} />;
            return (
              <>
                <DataTable
                  label={t('page.audit')}
                  rows={rows.map((r, i) => ({ ...r, i }))}
                  rowKey={(r) => `${r.time}-${r.i}`}
                  columns={[
                    { key: 'time', title: t('col.time'), width: 250, render: (r) => <WhenFull time={r.time} /> },
                    { key: 'actor', title: t('audit.actor'), render: (r) => r.actor || '–' },
                    { key: 'action', title: t('audit.action'), render: (r) => <span className="mono">{r.action}</span> },
                    {
                      key: 'object',
                      title: t('audit.object'),
                      render: (r) => (
                        <span style={{ overflowWrap: 'anywhere' }}>
                          {r.object || '–'} {r.detail && <span className="dim">{r.detail}</span>}
                        </span>
                      ),
                    },
                    { key: 'result', title: t('audit.result'), render: (r) => r.result },
                    { key: 'address', title: t('audit.address'), render: (r) => <span className="mono">{r.address || '–'}</span> },
                  ]}
                />
                {next && (
                  <div style={{ padding: 12, textAlign: 'center' }}>
                    <Button onClick={() => void load()}>{t('do.more')}</Button>
                  </div>
                )}
              </>
            );
          }}
        </Loaded>
      </div>
    </div>
  );
}
