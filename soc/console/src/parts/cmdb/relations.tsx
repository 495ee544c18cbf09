import { useInfiniteQuery } from '@tanstack/react-query';
import { Button, Form, Select } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { itemPath, useWords, type Item, type Relation } from '../../api/cmdb';
import { buildPath, del, get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { concrete } from '../../logic/cmdb';
import { FormDialog } from '../dialog';
import { Empty, Failed, Skeleton } from '../states';
import { When } from '../time';
import { ItemPicker } from './itempicker';

const LIMIT = 100;

export const relationPath = (from: string, type: string, to: string) => buildPath('/cmdb/relations', { from, type, to }).replace(/^\/api\/v1/, '');

/** An item's relations by their type: made and taken away here, where somebody made them by hand. */
export function RelationsView({ item }: { item: Item }) {
  const { t } = useSettings();
  const can = useCan();
  const words = useWords();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const [making, setMaking] = useState(false);
  const type = url.get('type') ?? '';
  const query = useInfiniteQuery({
    queryKey: ['cmdb', 'relations', item.id, type],
    queryFn: ({ pageParam, signal }) => get<Page<Relation>>(`/cmdb/items/${encodeURIComponent(item.id)}/relations`, { type, limit: LIMIT, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next || undefined,
  });
  const rows = list(query.data?.pages).flatMap((p) => list(p.items));
  const groups = new Map<string, Relation[]>();
  for (const r of rows) groups.set(`${r.type} ${r.forward}`, [...(groups.get(`${r.type} ${r.forward}`) ?? []), r]);
  const link = (r: Relation) => (r.forward ? { from: item.id, type: r.type, to: r.item.id } : { from: r.item.id, type: r.type, to: item.id });
  const origin = (o: string) => {
    const m = /^(rule|field)\.(.+)$/.exec(o);
    return m ? t(`ci.origin.${m[1] as 'rule' | 'field'}`, { x: m[1] === 'field' ? words.attributeName(m[2] as string, item.class) : (m[2] as string) }) : t('ci.origin.manual');
  };
  const unrelate = (r: Relation) => {
    const l = link(r);
    return act(() => del(relationPath(l.from, l.type, l.to)), { said: t('ci.unrelated'), renew: ['cmdb'], undo: () => void act(() => post('/cmdb/relations', { relations: [l] }), { said: t('ci.undone'), renew: ['cmdb'] }) });
  };
  return (
    <>
      <div className="filters" style={{ marginBottom: 8 }}>
        <Select allowClear showSearch optionFilterProp="label" aria-label={t('ci.relateType')} placeholder={t('ci.anyType')} value={type || undefined} onChange={(v?: string) => setUrl({ type: v })} options={list(words.model?.relation_types).map((r) => ({ value: r.name, label: words.typeName(r.name) }))} style={{ minWidth: 170 }} />
        {can('relate-cmdb-items') && (
          <Button type="primary" style={{ marginLeft: 'auto' }} onClick={() => setMaking(true)}>
            {t('ci.relate')}
          </Button>
        )}
      </div>
      {query.isPending ? (
        <Skeleton lines={6} />
      ) : query.error && rows.length === 0 ? (
        <Failed error={query.error} what="ci.relations" retry={() => void query.refetch()} />
      ) : rows.length === 0 ? (
        <div className="panel">
          <Empty title={t('ci.relationsNone')} why={t('ci.relationsNoneWhy')} />
        </div>
      ) : (
        [...groups].map(([key, members]) => {
          const first = members[0] as Relation;
          return (
            <section className="panel" key={key} style={{ marginBottom: 12 }} data-testid="relations">
              <header>
                <h2>{words.typeName(first.type, first.forward)}</h2>
                <span className="faint">{first.forward ? '→' : '←'}</span>
                <span className="end num">{members.length}</span>
              </header>
              <table className="data" aria-label={words.typeName(first.type, first.forward)}>
                <tbody>
                  {members.map((r) => (
                    <tr key={`${r.item.id} ${r.origin}`}>
                      <td>
                        <Link to={itemPath(r.item.id)}>{r.item.name || r.item.id}</Link>
                      </td>
                      <td className="dim" style={{ width: 150 }}>{words.className(r.item.class)}</td>
                      <td className="faint" style={{ width: 260 }}>
                        {origin(r.origin)} {r.origin === 'manual' && r.actor} <When time={r.created_at} />
                      </td>
                      <td style={{ width: 80, textAlign: 'right' }}>
                        {r.origin === 'manual' && can('unrelate-cmdb-items') && (
                          <Button size="small" onClick={() => void unrelate(r)}>
                            {t('ci.unrelate')}
                          </Button>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </section>
          );
        })
      )}
      {query.hasNextPage && (
        <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {t('do.more')}
        </Button>
      )}
      {making && <RelateDialog from={item} close={() => setMaking(false)} />}
    </>
  );
}

/** Relates an item to another, by a type that allows the two. */
export function RelateDialog({ from, to, close }: { from: { id: string; class: string; name: string }; to?: { id: string; class: string; name: string }; close: (made?: { from: string; type: string; to: string }) => void }) {
  const { t } = useSettings();
  const words = useWords();
  const { act, tell } = useAct();
  const may = (classes: readonly string[], cls: string) => classes.length === 0 || classes.some((c) => concrete(words.model, c).includes(cls));
  const choices = list(words.model?.relation_types).flatMap((r) => [
    ...(may(list(r.from), from.class) && (!to || may(list(r.to), to.class)) ? [{ value: `${r.name} forward`, label: words.typeName(r.name) }] : []),
    ...(may(list(r.to), from.class) && (!to || may(list(r.from), to.class)) ? [{ value: `${r.name} backward`, label: words.typeName(r.name, false) }] : []),
  ]);
  const wanted = (choice?: string) => {
    const [name = '', way] = (choice ?? '').split(' ');
    const r = words.typeOf(name);
    return r ? list(way === 'forward' ? r.to : r.from) : [];
  };
  return (
    <FormDialog<{ type: string; to: string }>
      title={`${t('ci.relateTitle')} · ${from.name}`}
      ok={t('ci.relate')}
      initial={{ to: to?.id }}
      close={() => undefined}
      cancel={() => close()}
      submit={async (v) => {
        const [type = '', way] = v.type.split(' ');
        const l = way === 'forward' ? { from: from.id, type, to: v.to } : { from: v.to, type, to: from.id };
        await post('/cmdb/relations', { relations: [l] });
        tell({ said: t('ci.related1'), renew: ['cmdb'], undo: () => void act(() => del(relationPath(l.from, l.type, l.to)), { said: t('ci.undone'), renew: ['cmdb'] }) });
        close(l);
      }}
    >
      {(form) => (
        <>
          <Form.Item name="type" label={t('ci.relateType')} rules={[{ required: true, message: t('ci.required') }]}>
            <Select showSearch autoFocus optionFilterProp="label" options={choices} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() =>
              to ? (
                <Form.Item label={t('ci.relateTo')}>
                  <b>{to.name}</b>
                </Form.Item>
              ) : (
                <Form.Item name="to" label={t('ci.relateTo')} rules={[{ required: true, message: t('ci.required') }]}>
                  <ItemPicker classes={wanted(form.getFieldValue('type') as string)} />
                </Form.Item>
              )
            }
          </Form.Item>
          {to && (
            <Form.Item name="to" hidden>
              <input />
            </Form.Item>
          )}
        </>
      )}
    </FormDialog>
  );
}
