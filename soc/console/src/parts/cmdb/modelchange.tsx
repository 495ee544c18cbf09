import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Checkbox, Input, Modal, Progress } from 'antd';
import { useMemo, useState } from 'react';
import { useWords, type Model, type ModelDocument, type ModelPreview, type ModelRevision } from '../../api/cmdb';
import { get, post, put } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Ask, Refused } from '../dialog';
import { Skeleton } from '../states';
import { DataTable } from '../table';
import { WhenFull } from '../time';

/** The changes of the model, newest first. */
export function useRevisions() {
  return useQuery({
    queryKey: ['cmdb', 'revisions'],
    queryFn: async ({ signal }) => list((await get<Page<ModelRevision>>('/cmdb/model/revisions', {}, signal)).items),
    refetchInterval: (q) => (q.state.data?.some((r) => r.state === 'moving') ? 1_000 : false),
  });
}

/**
 * What administrators laid over the shipped model, and a change of it that is
 * being made: pages edit one definition, the change is looked at, then put in
 * force with all others of the document as they were.
 */
export function useModelDocument() {
  const { model } = useWords();
  const revisions = useRevisions();
  const can = useCan();
  return useMemo(() => {
    const inForce = list(revisions.data).find((r) => r.state === 'done');
    return { model, revision: inForce?.revision ?? 0, document: inForce?.document ?? ({} as ModelDocument), ready: !!model && !!revisions.data, editable: can('change-cmdb-model') && !model?.moving };
  }, [model, revisions.data, can]);
}

type Kind = 'classes' | 'dictionaries' | 'templates' | 'relation_types' | 'rules' | 'layers';
const nameOf = (x: unknown) => (x as { class?: string; name: string }).class ?? (x as { name: string }).name;

/** The document with one definition put in place of what it has of that name, or taken out. */
export function withDefinition(d: ModelDocument, kind: Kind, name: string, definition: unknown): ModelDocument {
  const kept = (list(d[kind] as unknown[]) as unknown[]).filter((x) => nameOf(x) !== name);
  return { ...d, [kind]: definition === null ? kept : [...kept, definition] };
}

/** Whether the document itself says something of a definition. */
export function overlaid(d: ModelDocument, kind: Kind, name: string): boolean {
  return (list(d[kind] as unknown[]) as unknown[]).some((x) => nameOf(x) === name);
}

/** A change of the model: what it would do to items, then the change itself. Items move in the background. */
export function ChangeDialog({ document, revision, comment = '', close }: { document: ModelDocument; revision: number; comment?: string; close: (done: boolean) => void }) {
  const { t } = useSettings();
  const words = useWords();
  const client = useQueryClient();
  const { tell, act } = useAct();
  const [said, setSaid] = useState(comment);
  const [clear, setClear] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const look = useQuery({ queryKey: ['cmdb', 'preview', document], queryFn: () => post<ModelPreview>('/cmdb/model/preview', { document }), gcTime: 0, retry: false });
  const p = look.data;
  const final = list(p?.failures).some((f) => f.final);
  const run = async () => {
    setBusy(true);
    setError(null);
    try {
      const r = await put<ModelRevision>('/cmdb/model', { document, revision, comment: said, clear_failing: clear || undefined });
      tell({ said: t('ci.change.accepted'), renew: ['cmdb'], undo: () => void act(() => post('/cmdb/model/undo', { revision: r.revision }), { said: t('ci.undone'), renew: ['cmdb'] }) });
      void client.invalidateQueries({ queryKey: ['cmdb', 'revisions'] });
      close(true);
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open width={680} title={t('ci.change.title')} okText={t('ci.change.apply')} cancelText={t('do.cancel')} onCancel={() => close(false)} onOk={() => void run()} confirmLoading={busy} okButtonProps={{ disabled: !p || (p.failed > 0 && (!clear || final)) }}>
      <div className="stack" style={{ gap: 10, paddingTop: 4 }} data-testid="modelchange">
        <Refused error={error ?? look.error} />
        {look.isPending && <Skeleton lines={3} />}
        {p && (
          <>
            <div role="status">{p.items === 0 ? t('ci.change.nothing') : t('ci.change.will', { n: p.items, m: p.changed })}</div>
            {list(p.effects).map((e) => (
              <div key={`${e.class} ${e.attribute ?? ''}`} className="dim">
                {t('ci.change.effect', { x: words.className(e.class), y: e.attribute ? words.attributeName(e.attribute, e.class) : t('ci.class'), n: e.items })}
              </div>
            ))}
            {p.failed > 0 && (
              <>
                <div className="notice warn" role="alert">
                  {t('ci.change.fails', { n: p.failed })}
                </div>
                <div style={{ maxHeight: 240, overflow: 'auto' }}>
                  <DataTable
                    label={t('ci.change.fails', { n: p.failed })}
                    rows={list(p.failures).slice(0, 200)}
                    rowKey={(f) => `${f.item.id} ${f.attribute}`}
                    columns={[
                      { key: 'item', title: t('ci.item'), render: (f) => f.item.name },
                      { key: 'attribute', title: t('ci.model.attribute'), render: (f) => words.attributeName(f.attribute, f.item.class) },
                      { key: 'value', title: t('ci.value'), render: (f) => <code>{f.value}</code> },
                      { key: 'message', title: t('cmdb.importMessage'), render: (f) => f.message },
                    ]}
                  />
                </div>
                {final ? (
                  <div className="bad">{t('ci.change.final')}</div>
                ) : (
                  <Checkbox checked={clear} onChange={(e) => setClear(e.target.checked)}>
                    {t('ci.change.clear')}
                  </Checkbox>
                )}
              </>
            )}
            <label className="labelled">
              {t('ci.change.comment')}
              <Input value={said} maxLength={1000} onChange={(e) => setSaid(e.target.value)} />
            </label>
          </>
        )}
      </div>
    </Modal>
  );
}

/** How far the items are on their way to another model. */
export function Moving({ model }: { model: Model }) {
  const { t } = useSettings();
  const m = model.moving;
  if (!m) return null;
  return (
    <div className="notice" role="status" data-testid="moving">
      <b>{t('ci.change.moving', { n: m.revision, m: m.moved, k: m.items })}</b>
      <Progress percent={m.items > 0 ? Math.floor((m.moved / m.items) * 100) : 0} size="small" />
      <div className="dim">{t('ci.change.movingWhy')}</div>
    </div>
  );
}

/** What became of the model: each change, and the undo of the newest. */
export function Revisions() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { tell } = useAct();
  const query = useRevisions();
  const [undoing, setUndoing] = useState<ModelRevision | null>(null);
  const [clear, setClear] = useState(false);
  const rows = list(query.data);
  const newest = rows.find((r) => r.state === 'done');
  if (query.isPending) return <Skeleton lines={4} />;
  if (rows.length === 0) return <div className="state small">{t('ci.model.revisionsNone')}</div>;
  return (
    <>
      <DataTable
        label={t('ci.model.tab.revisions')}
        rows={rows}
        rowKey={(r) => String(r.revision)}
        columns={[
          { key: 'revision', title: t('ci.f.revision'), num: true, width: 60, render: (r) => r.revision },
          { key: 'state', title: t('duty.note'), render: (r) => <span className={`tag${r.state === 'failed' ? ' warn' : ''}`}>{t(`ci.change.state.${r.state}`)}</span> },
          { key: 'comment', title: t('ci.change.comment'), render: (r) => <>{r.undoes ? t('ci.change.undoes', { n: r.undoes }) : r.comment || <span className="faint">–</span>}{r.message && <div className="bad">{r.message}</div>}</> },
          { key: 'items', title: t('ci.items'), num: true, render: (r) => `${number(r.changed, locale)} / ${number(r.items, locale)}` },
          { key: 'who', title: t('ci.who'), render: (r) => r.actor },
          { key: 'when', title: t('ci.when'), render: (r) => <WhenFull time={r.created_at} /> },
          {
            key: 'do',
            title: '',
            render: (r) =>
              r === newest && can('undo-cmdb-model') && !rows.some((x) => x.state === 'moving') ? (
                <Button size="small" onClick={() => setUndoing(r)}>
                  {t('ci.change.undo')}
                </Button>
              ) : null,
          },
        ]}
      />
      {undoing && (
        <Ask
          title={t('ci.change.undoTitle', { n: undoing.revision })}
          ok={t('ci.change.undo')}
          danger={false}
          why={
            <>
              <div>{t('ci.change.undoWhy')}</div>
              <Checkbox checked={clear} onChange={(e) => setClear(e.target.checked)}>
                {t('ci.change.clear')}
              </Checkbox>
            </>
          }
          submit={async () => {
            await post('/cmdb/model/undo', { revision: undoing.revision, clear_failing: clear || undefined });
            tell({ said: t('ci.change.accepted'), renew: ['cmdb'] });
          }}
          close={() => setUndoing(null)}
        />
      )}
    </>
  );
}
