import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Modal } from 'antd';
import { get, post, type Query } from '../api/client';
import { list, type List, type Page, type Resolution } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { useRefreshCases } from './acting';
import { Empty, Loaded } from './states';
import { DataTable } from './table';
import { When } from './time';

/** An action on all alerts of a filter, as it was carried out. Times are Unix milliseconds. */
export interface Bulk {
  id: string;
  at: number;
  actor: string;
  action: 'acknowledge' | 'assign' | 'close' | 'reopen' | 'tag' | 'untag';
  detail?: string;
  changed: number;
  refused: number;
  undone_at?: number;
  undone_by?: string;
}
export type BulkBody = { action: Bulk['action']; assignee?: string; resolution?: Resolution; comment?: string; tag?: string };

/** Carries one action out on every alert of a filter, shown or not, with its way back. */
export function useBulk() {
  const { t } = useSettings();
  const { done, failed } = useFeedback();
  const client = useQueryClient();
  const refresh = useRefreshCases();
  const renew = () => {
    refresh();
    void client.invalidateQueries({ queryKey: ['bulks'] });
  };
  const undo = async (id: string) => {
    try {
      const r = await post<Bulk & { left: number }>(`/alerts/bulk/${encodeURIComponent(id)}/undo`);
      done(r.left > 0 ? t('bulk.undoneLeft', { n: r.changed - r.left, left: r.left }) : t('bulk.undone', { n: r.changed }));
    } catch (e) {
      failed(e);
    } finally {
      renew();
    }
  };
  /** expected is how many alerts the reader was told that there are: the server does nothing where there are more. */
  const run = async (filter: Query, body: BulkBody, expected: number) => {
    try {
      const r = await post<Bulk>('/alerts/bulk', { ...body, expected }, filter);
      done(r.refused > 0 ? t('bulk.doneRefused', { n: r.changed, m: r.refused }) : t('bulk.done', { n: r.changed }), () => void undo(r.id));
      return true;
    } catch (e) {
      failed(e);
      return false;
    } finally {
      renew();
    }
  };
  return { run, undo };
}

/** The reader's latest actions on many alerts; each can still be undone. */
export function Bulks({ close }: { close: () => void }) {
  const { t, locale } = useSettings();
  const { undo } = useBulk();
  const query = useQuery({ queryKey: ['bulks'], queryFn: ({ signal }) => get<{ items: List<Bulk> } & Partial<Page<Bulk>>>('/alerts/bulk', {}, signal) });
  return (
    <Modal open width={720} title={t('bulk.latest')} footer={null} onCancel={close}>
      <Loaded query={query} what="bulk.latest" lines={4} small>
        {(d) =>
          list(d.items).length === 0 ? (
            <Empty small title={t('bulk.none')} why={t('bulk.noneWhy')} />
          ) : (
            <DataTable
              label={t('bulk.latest')}
              rows={list(d.items)}
              rowKey={(b) => b.id}
              columns={[
                { key: 'at', title: t('bulk.at'), render: (b) => <When time={new Date(b.at).toISOString()} /> },
                { key: 'action', title: t('bulk.action'), render: (b) => `${t(`bulk.do.${b.action}`)}${b.detail ? ` ${b.action === 'close' ? t(`resolution.${b.detail as Resolution}`) : b.detail}` : ''}` },
                { key: 'n', title: t('bulk.changed'), num: true, render: (b) => number(b.changed, locale) },
                { key: 'refused', title: t('bulk.refused'), num: true, render: (b) => number(b.refused, locale) },
                {
                  key: 'undo',
                  title: '',
                  num: true,
                  render: (b) =>
                    b.undone_at ? (
                      <span className="faint">{t('bulk.isUndone', { x: b.undone_by ?? '' })}</span>
                    ) : (
                      <Button size="small" disabled={b.changed === 0} onClick={() => void undo(b.id)}>
                        {t('do.undo')}
                      </Button>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Modal>
  );
}
