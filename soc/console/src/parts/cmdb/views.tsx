import { Button, Dropdown, Form, Input, Select, type MenuProps } from 'antd';
import { useState } from 'react';
import { useViews, type View, type ViewQuery } from '../../api/cmdbkept';
import { buildPath, del, post, put } from '../../api/client';
import { useCan, useTenants } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../dialog';

/** Whether a view asks what the list asks now. */
function same(a: ViewQuery, b: ViewQuery): boolean {
  const key = (v: ViewQuery) => JSON.stringify([v.class ?? '', v.q ?? '', v.filter ?? '', v.sort ?? '', list(v.columns)]);
  return key(a) === key(b);
}

/** The lists that are kept under a name: opened, kept, renamed, shared, deleted and brought back. */
export function ViewMenu({ now, open }: { now: ViewQuery; open: (v: ViewQuery) => void }) {
  const { t } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const views = useViews();
  const [editing, setEditing] = useState<View | 'new' | null>(null);
  if (!can('list-cmdb-views')) return null;
  const all = list(views.data);
  const shown = all.find((v) => same(v.query, now));
  const renew = ['cmdb-views'];
  const remove = (v: View) =>
    act(() => del(`/cmdb/views/${v.id}`), {
      said: t('ci.view.deleted', { x: v.name }),
      undo: () => void act(() => post(`/cmdb/views/${v.id}/restore`), { said: t('ci.restoredDone'), renew }),
      renew,
    });
  const group = (title: string, some: readonly View[]): MenuProps['items'] =>
    some.length === 0 ? [] : [{ type: 'group', label: title, children: some.map((v) => ({ key: v.id, label: v.mine ? v.name : `${v.name} · ${v.owner}`, onClick: () => open(v.query) })) }];
  const items: MenuProps['items'] = [
    ...(group(t('ci.view.mine'), all.filter((v) => v.mine)) ?? []),
    ...(group(t('ci.view.shared'), all.filter((v) => !v.mine)) ?? []),
    ...(all.length === 0 ? [{ key: 'none', disabled: true, label: t('ci.view.none') }] : []),
    { type: 'divider' },
    ...(all.length > 0 ? ['csv', 'xlsx'].map((format) => ({ key: format, label: <a href={buildPath('/cmdb/views/export', { format })} download>{t('ci.view.export', { x: format.toUpperCase() })}</a> })) : []),
    ...(can('create-cmdb-view') ? [{ key: 'new', label: t('ci.view.keep'), onClick: () => setEditing('new') }] : []),
    ...(shown?.editable
      ? [
          { key: 'edit', label: t('ci.view.edit', { x: shown.name }), onClick: () => setEditing(shown) },
          { key: 'delete', label: t('ci.view.delete', { x: shown.name }), onClick: () => void remove(shown) },
        ]
      : []),
  ];
  return (
    <>
      <Dropdown trigger={['click']} menu={{ items, style: { maxHeight: 420, overflow: 'auto' } }}>
        <Button>{shown?.name ?? t('ci.view')} ▾</Button>
      </Dropdown>
      {editing && <ViewDialog view={editing === 'new' ? undefined : editing} now={now} close={() => setEditing(null)} />}
    </>
  );
}

function ViewDialog({ view, now, close }: { view?: View; now: ViewQuery; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const tenants = useTenants().data;
  return (
    <FormDialog<{ name: string; share: string }>
      title={view ? t('ci.view.edit', { x: view.name }) : t('ci.view.keep')}
      ok={t('ci.save')}
      initial={{ name: view?.name, share: view?.share ?? '' }}
      close={close}
      submit={async (v) => {
        const body = { name: v.name.trim(), share: v.share ?? '', query: view?.query ?? now };
        await (view ? put(`/cmdb/views/${view.id}`, { ...body, revision: view.revision }) : post('/cmdb/views', body));
        tell({ said: t('ci.saved'), renew: ['cmdb-views'] });
      }}
    >
      <Form.Item name="name" label={t('ci.f.name')} rules={[{ required: true, whitespace: true, message: t('ci.required') }]}>
        <Input autoFocus maxLength={80} />
      </Form.Item>
      <Form.Item name="share" label={t('ci.view.share')}>
        <Select
          showSearch
          optionFilterProp="label"
          options={[{ value: '', label: t('ci.view.own') }, { value: '*', label: t('ci.view.everybody') }, ...list(tenants).map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))]}
        />
      </Form.Item>
    </FormDialog>
  );
}
