import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useRef } from 'react';
import { BASE, del, get, post, upload } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { useSettings } from '../../app/settings';
import { bytes } from '../../logic/format';
import { Drop } from '../drop';
import { Panel } from '../page';
import { Empty, Loaded } from '../states';
import { DataTable, type Column } from '../table';
import { When } from '../time';

interface Attachment {
  id: number;
  name: string;
  size: number;
  type: string;
  added_by: string;
  added_at: string;
  removed_by?: string;
  removed_at?: string;
}

/** Bytes of one file that the server takes. */
const MOST = 20 << 20;

/** The files of an item: added, fetched, taken away and brought back. */
export function FilesView({ id }: { id: string }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const { failed } = useFeedback();
  const input = useRef<HTMLInputElement>(null);
  const path = `/cmdb/items/${encodeURIComponent(id)}/attachments`;
  const renew = ['cmdb'];
  const query = useQuery({ queryKey: ['cmdb', 'attachments', id], queryFn: async ({ signal }) => list((await get<Page<Attachment>>(path, {}, signal)).items) });
  const add = async (files: Iterable<File>) => {
    for (const f of files) {
      if (f.size > MOST) failed(new Error(t('ci.files.tooLarge', { x: f.name, n: bytes(MOST, locale) })));
      else await act(() => upload(path, { name: f.name }, f, 'application/octet-stream'), { said: t('ci.files.added', { x: f.name }), renew });
    }
  };
  const restore = (f: Attachment) => act(() => post(`${path}/${f.id}/restore`), { said: t('ci.files.restored', { x: f.name }), renew });
  const remove = (f: Attachment) => act(() => del(`${path}/${f.id}`), { said: t('ci.files.removed', { x: f.name }), undo: () => void restore(f), renew });
  const columns = (gone: boolean): Column<Attachment>[] => [
    { key: 'name', title: t('ci.files.name'), render: (f) => (gone ? <span className="dim">{f.name}</span> : <a href={`${BASE}${path}/${f.id}`} download={f.name}>{f.name}</a>) },
    { key: 'size', title: t('ci.files.size'), num: true, width: 110, render: (f) => bytes(f.size, locale) },
    { key: 'by', title: t('ci.files.by'), width: 150, render: (f) => (gone ? f.removed_by : f.added_by) },
    { key: 'at', title: t(gone ? 'ci.files.goneAt' : 'ci.files.at'), width: 150, render: (f) => <When time={(gone ? f.removed_at : f.added_at) ?? f.added_at} /> },
    {
      key: 'do',
      title: '',
      num: true,
      width: 90,
      render: (f) =>
        can(gone ? 'restore-cmdb-attachment' : 'remove-cmdb-attachment') && (
          <Button size="small" disabled={busy} aria-label={`${t(gone ? 'ci.files.restore' : 'ci.files.remove')} ${f.name}`} onClick={() => void (gone ? restore(f) : remove(f))}>
            {t(gone ? 'ci.files.restore' : 'ci.files.remove')}
          </Button>
        ),
    },
  ];
  return (
    <Loaded query={query} what="ci.files.what" lines={4}>
      {(files) => {
        const here = files.filter((f) => !f.removed_at);
        const gone = files.filter((f) => f.removed_at);
        return (
          <div className="stack" style={{ gap: 14 }}>
            {can('add-cmdb-attachment') && (
              <Drop chooser={input} multiple busy={busy} label={t('ci.files.add')} take={(files) => void add(files)}>
                {t('ci.files.add')}
                <div className="faint">{t('ci.files.kinds')}</div>
              </Drop>
            )}
            <section className="panel">
              {here.length === 0 ? (
                <Empty small title={t('ci.files.none')} why={t('ci.files.noneWhy')}>
                  {can('add-cmdb-attachment') && <Button onClick={() => input.current?.click()}>{t('ci.files.choose')}</Button>}
                </Empty>
              ) : (
                <DataTable label={t('ci.files.what')} rows={here} rowKey={(f) => String(f.id)} columns={columns(false)} />
              )}
            </section>
            {gone.length > 0 && (
              <Panel title={t('ci.files.gone')} end={<span className="faint">{t('ci.files.goneWhy')}</span>} flush>
                <DataTable label={t('ci.files.gone')} rows={gone} rowKey={(f) => String(f.id)} columns={columns(true)} />
              </Panel>
            )}
          </div>
        );
      }}
    </Loaded>
  );
}
