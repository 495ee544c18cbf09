import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { quoted } from '../../logic/cmdbfilter';
import { download, tableCSV } from '../../logic/export';
import { number } from '../../logic/format';
import { MOST, allItems, apply, edits, takeBack, type Edit } from '../../parts/cmdb/upsert';
import { Ask, FormDialog } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';

interface Label {
  label: string;
  items: number;
}

/** The labels of items: how many carry each; renamed, merged and taken off here. */
export default function Labels() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act, tell } = useAct();
  const [url] = useUrl();
  const [renaming, setRenaming] = useState<Label | null>(null);
  const [removing, setRemoving] = useState<Label | null>(null);
  const query = useQuery({ queryKey: ['cmdb', 'labels'], queryFn: async ({ signal }) => list((await get<Page<Label>>('/cmdb/labels', {}, signal)).items) });
  const q = (url.get('q') ?? '').toLowerCase();
  const rows = list(query.data).filter((l) => l.label.toLowerCase().includes(q));
  /** Changes a label on all that carry it: all or none, with the way back. */
  const relabel = async (label: string, to: string) => {
    const items = await allItems({ filter: `label = ${quoted(label)}` }, MOST);
    if (items.length > MOST) throw new Error(t('ci.labelTooMany', { n: MOST }));
    const plan: Edit[] = edits(items, 'labels', (before) => [...new Set(before.split(';').map((x) => (x === label ? to : x)))].filter(Boolean).join(';'));
    if (plan.length > 0) await apply(plan, false);
    tell({ said: t('ci.bulkDone', { n: plan.length }), renew: ['cmdb'], undo: () => void act(() => takeBack(plan), { said: t('ci.undone'), renew: ['cmdb'] }) });
  };
  return (
    <div className="page">
      <Head title={t('page.cmdb.labels')} sub={t('ci.labelsLead')}>
        <Button disabled={rows.length === 0} onClick={() => download('icewatch-cmdb-labels.csv', 'text/csv', tableCSV([[t('ci.label'), t('ci.items')], ...rows.map((r) => [r.label, String(r.items)])]))}>
          {t('ci.exportCsv')}
        </Button>
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('ci.label')} />
      </div>
      <Stale query={query} />
      <div className="panel">
        <Loaded query={query} what="page.cmdb.labels" lines={8}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('ci.labelsNone')} why={t('ci.labelsNoneWhy')}>
                <Link to="/cmdb/items">{t('page.cmdb.items')}</Link>
              </Empty>
            ) : (
              <DataTable
                label={t('page.cmdb.labels')}
                rows={rows}
                rowKey={(l) => l.label}
                columns={[
                  { key: 'label', title: t('ci.label'), render: (l) => <span className="tag">{l.label}</span> },
                  { key: 'items', title: t('ci.items'), num: true, width: 120, render: (l) => <Link to={`/cmdb/items?${new URLSearchParams({ filter: `label = ${quoted(l.label)}` })}`}>{number(l.items, locale)}</Link> },
                  {
                    key: 'do',
                    title: '',
                    width: 220,
                    render: (l) =>
                      can('upsert-cmdb-items') && (
                        <span className="row" style={{ gap: 6, justifyContent: 'flex-end' }}>
                          <Button size="small" onClick={() => setRenaming(l)}>
                            {t('ci.labelRename')}
                          </Button>
                          <Button size="small" onClick={() => setRemoving(l)}>
                            {t('ci.labelRemove')}
                          </Button>
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {renaming && (
        <FormDialog<{ to: string }> title={`${t('ci.labelRename')} · ${renaming.label}`} ok={t('ci.bulkDo', { n: renaming.items })} initial={{ to: renaming.label }} submit={(v) => relabel(renaming.label, v.to.trim())} close={() => setRenaming(null)}>
          <Form.Item name="to" label={t('ci.labelNew')} extra={t('ci.labelMergeWhy')} rules={[{ required: true, whitespace: true, message: t('ci.required') }]}>
            <Input autoFocus maxLength={64} />
          </Form.Item>
        </FormDialog>
      )}
      {removing && <Ask title={`${t('ci.labelRemove')} · ${removing.label}`} why={t('ci.labelRemoveWhy', { n: removing.items })} ok={t('ci.labelRemove')} danger={false} submit={() => relabel(removing.label, '')} close={() => setRemoving(null)} />}
    </div>
  );
}
