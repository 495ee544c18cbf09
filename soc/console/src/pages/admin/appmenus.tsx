import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Radio, Select } from 'antd';
import { useState } from 'react';
import { get, put } from '../../api/client';
import { useRoleName } from '../../api/directory';
import type { Application, AppMenu } from '../../api/federation';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../../parts/dialog';
import { Panel } from '../../parts/page';
import { RolesPicker } from '../../parts/pickers';

interface Entry {
  key: string;
  zh: string;
  en?: string;
  path?: string;
  kind: 'menu' | 'button';
  parent?: string;
  roles?: string[];
}

/** Every entry with its depth and the key above it, in the order of the tree. */
const flat = (menus: AppMenu[], depth = 0, parent = ''): { menu: AppMenu; depth: number; parent: string }[] =>
  menus.flatMap((menu) => [{ menu, depth, parent }, ...flat(list(menu.children), depth + 1, menu.key)]);

const without = (menus: AppMenu[], key: string): AppMenu[] => menus.filter((m) => m.key !== key).map((m) => ({ ...m, children: without(list(m.children), key) }));

const within = (menus: AppMenu[], parent: string, entry: AppMenu): AppMenu[] =>
  parent === '' ? [...menus, entry] : menus.map((m) => ({ ...m, children: m.key === parent ? [...list(m.children), entry] : within(list(m.children), parent, entry) }));

/** The menus and buttons that the application shows, and to which roles. */
export function Menus({ app }: { app: Application }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const roleName = useRoleName();
  const { busy, act, tell } = useAct();
  const [adding, setAdding] = useState(false);
  const path = `/applications/${encodeURIComponent(app.id)}/menus/all`;
  const query = useQuery({ queryKey: ['application', app.id, 'menus'], queryFn: async ({ signal }) => list((await get<Page<AppMenu>>(path, {}, signal)).items), enabled: can('get-application-menus') });
  if (!query.data) return null;
  const menus = query.data;
  const rows = flat(menus);
  const may = can('set-application-menus');
  const keep = (items: AppMenu[]) => put(path, { items });
  const renew = ['application'] as const;
  return (
    <Panel
      title={t('apps.menus')}
      end={
        may && (
          <Button size="small" onClick={() => setAdding(true)}>
            {t('apps.menuNew')}
          </Button>
        )
      }
    >
      {rows.length === 0 && <p className="dim">{t('apps.menusNone')}</p>}
      <div className="stack">
        {rows.map(({ menu, depth }) => (
          <div key={menu.key} className="row wrap" style={{ paddingInlineStart: depth * 20 }}>
            <b style={{ fontWeight: 550 }}>{tx(menu.title) || menu.key}</b>
            <span className="dim">{t(`apps.kind.${menu.kind}`)}</span>
            <code className="grow">{menu.path}</code>
            <span className="dim">{list(menu.roles).map(roleName).join('、') || t('apps.menuAll')}</span>
            {may && (
              <Button size="small" disabled={busy} onClick={() => void act(() => keep(without(menus, menu.key)), { said: t('apps.saved', { x: tx(app.name) }), undo: () => void act(() => keep(menus), { renew }), renew })}>
                {t('do.delete')}
              </Button>
            )}
          </div>
        ))}
      </div>
      {adding && (
        <FormDialog<Entry>
          title={t('apps.menuNew')}
          ok={t('do.save')}
          initial={{ kind: 'menu' }}
          close={() => setAdding(false)}
          submit={async (v) => {
            await keep(within(menus, v.parent ?? '', { key: v.key, title: { zh: v.zh, en: v.en ?? '' }, path: v.path ?? '', kind: v.kind, roles: v.roles ?? [], children: [] }));
            tell({ said: t('apps.saved', { x: tx(app.name) }), renew });
          }}
        >
          <Form.Item name="kind">
            <Radio.Group options={(['menu', 'button'] as const).map((x) => ({ value: x, label: t(`apps.kind.${x}`) }))} />
          </Form.Item>
          <Form.Item name="key" label={t('apps.menuKey')} rules={[{ required: true, message: t('word.required', { x: t('apps.menuKey') }) }]}>
            <Input autoComplete="off" spellCheck={false} />
          </Form.Item>
          <div className="two">
            <Form.Item name="zh" label={t('apps.nameZh')} rules={[{ required: true, message: t('word.required', { x: t('apps.nameZh') }) }]}>
              <Input />
            </Form.Item>
            <Form.Item name="en" label={t('apps.nameEn')}>
              <Input />
            </Form.Item>
            <Form.Item name="path" label={t('apps.menuPath')}>
              <Input spellCheck={false} />
            </Form.Item>
            <Form.Item name="parent" label={t('apps.menuParent')}>
              <Select allowClear options={rows.filter((r) => r.menu.kind === 'menu').map((r) => ({ value: r.menu.key, label: tx(r.menu.title) || r.menu.key }))} />
            </Form.Item>
          </div>
          <Form.Item name="roles" label={t('apps.menuRoles')}>
            <RolesPicker />
          </Form.Item>
        </FormDialog>
      )}
    </Panel>
  );
}
