import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Form, Input, Select } from 'antd';
import { useEffect, useState } from 'react';
import { Link } from 'react-router-dom';
import type { Unit } from '../../api/access';
import { del, get, patch, post, put, request } from '../../api/client';
import { useUnitName, useUnits } from '../../api/directory';
import { useCan } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import type { Key } from '../../locales/zh';
import { download } from '../../logic/export';
import { CSVImport } from '../../parts/csvimport';
import { Ask, FormDialog } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { WordsInput } from '../../parts/pickers';
import { ReachInput } from '../../parts/reach';
import { Empty, Loaded, Stale } from '../../parts/states';
import { UnitPicker, UnitTree } from '../../parts/unittree';

export const UNIT_KINDS = ['government', 'institution', 'enterprise', 'region', 'department', 'supporter'] as const;
const RENEW = ['units', 'users', 'reach', 'tenants'] as const;

/** The tree of organisations, and each one's facts. */
export default function Units() {
  const { t } = useSettings();
  const can = useCan();
  const client = useQueryClient();
  const { act, tell } = useAct();
  const [params, setUrl] = useUrl();
  const query = useUnits();
  const [dialog, setDialog] = useState<{ kind: 'new'; parent: string } | { kind: 'import' } | null>(null);
  const units = list(query.data);
  const chosen = units.find((u) => u.id === params.get('unit'));
  const exportAll = () =>
    act(async () => {
      const res = await request('GET', '/units/export');
      download('units.csv', 'text/csv;charset=utf-8', await res.blob());
    });
  return (
    <div className="page">
      <Head title={t('page.units')} sub={query.data ? t('word.count', { n: units.length }) : undefined}>
        {can('import-units') && <Button onClick={() => setDialog({ kind: 'import' })}>{t('do.import')}</Button>}
        {can('export-units') && units.length > 0 && <Button onClick={() => void exportAll()}>{t('do.export')}</Button>}
        {can('create-unit') && (
          <Button type="primary" onClick={() => setDialog({ kind: 'new', parent: chosen?.id ?? '' })}>
            {t('units.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <Loaded query={query} what="units.what" lines={8}>
        {() =>
          units.length === 0 ? (
            <Panel>
              <Empty title={t('units.empty')} why={t('units.emptyWhy')}>
                {can('create-unit') && (
                  <Button type="primary" onClick={() => setDialog({ kind: 'new', parent: '' })}>
                    {t('units.new')}
                  </Button>
                )}
                {can('import-units') && <Button onClick={() => setDialog({ kind: 'import' })}>{t('units.importTitle')}</Button>}
              </Empty>
            </Panel>
          ) : (
            <div className="withside wide">
              <aside className="panel side" aria-label={t('page.units')}>
                <UnitTree units={units} value={chosen?.id ?? ''} onPick={(id) => setUrl({ unit: id })} />
              </aside>
              {chosen ? <UnitDetail key={chosen.id} unit={chosen} addBelow={() => setDialog({ kind: 'new', parent: chosen.id })} /> : <Panel><Empty title={t('units.pick')} /></Panel>}
            </div>
          )
        }
      </Loaded>
      {dialog?.kind === 'new' && <UnitNew parent={dialog.parent} close={() => setDialog(null)} created={(u) => setUrl({ unit: u.id })} />}
      {dialog?.kind === 'import' && (
        <CSVImport
          title={t('units.importTitle')}
          path="/units/import"
          columns={['code', 'parent_code', 'name_zh', 'name_en', 'region', 'industry', 'kind', 'supports_code', 'labels']}
          example={['A01', '', '市大数据局', 'City data bureau', '320100', 'government', 'government', '', '']}
          close={() => setDialog(null)}
          imported={(a) => {
            tell({ said: t('import.done', { c: a.created, u: a.updated }), renew: RENEW });
            void client.invalidateQueries({ queryKey: ['units'] });
          }}
        />
      )}
    </div>
  );
}

interface Values {
  zh: string;
  en?: string;
  code?: string;
  parent?: string;
  region?: string;
  industry?: string;
  kind?: string;
  supports?: string;
  labels?: string[];
}

function body(v: Values) {
  return { name: { zh: v.zh, en: v.en ?? '' }, code: v.code ?? '', region: v.region ?? '', industry: v.industry ?? '', kind: v.kind ?? '', supports: v.supports ?? '', labels: v.labels ?? [] };
}

function Fields({ not }: { not?: string }) {
  const { t } = useSettings();
  return (
    <>
      <div className="two">
        <Form.Item name="zh" label={t('units.nameZh')} rules={[{ required: true, message: t('word.required', { x: t('units.name') }) }]}>
          <Input autoComplete="off" />
        </Form.Item>
        <Form.Item name="en" label={t('units.nameEn')}>
          <Input autoComplete="off" />
        </Form.Item>
        <Form.Item name="code" label={t('units.code')} tooltip={t('units.codeWhy')}>
          <Input autoComplete="off" />
        </Form.Item>
        <Form.Item name="kind" label={t('units.kind')}>
          <Select allowClear options={UNIT_KINDS.map((k) => ({ value: k, label: t(`unitkind.${k}` as Key) }))} />
        </Form.Item>
        <Form.Item name="region" label={t('units.region')} tooltip={t('units.regionWhy')}>
          <Input autoComplete="off" />
        </Form.Item>
        <Form.Item name="industry" label={t('units.industry')}>
          <Input autoComplete="off" />
        </Form.Item>
      </div>
      <Form.Item name="supports" label={t('units.supports')} tooltip={t('units.supportsWhy')}>
        <UnitPicker not={not} />
      </Form.Item>
      <Form.Item name="labels" label={t('units.labels')}>
        <WordsInput />
      </Form.Item>
    </>
  );
}

function UnitNew({ parent, close, created }: { parent: string; close: () => void; created: (u: Unit) => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  return (
    <FormDialog<Values>
      title={t('units.new')}
      ok={t('units.new')}
      width={560}
      initial={{ parent }}
      close={close}
      submit={async (v) => {
        const u = await post<Unit>('/units', { ...body(v), parent: v.parent ?? '' });
        tell({ said: t('units.created', { x: v.zh }), renew: RENEW });
        created(u);
      }}
    >
      <Form.Item name="parent" label={t('units.parent')}>
        <UnitPicker placeholder={t('units.top')} />
      </Form.Item>
      <Fields />
    </FormDialog>
  );
}

function UnitDetail({ unit, addBelow }: { unit: Unit; addBelow: () => void }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const { busy, act, tell } = useAct();
  const unitName = useUnitName();
  const [, setUrl] = useUrl();
  const [form] = Form.useForm<Values>();
  const [ceiling] = Form.useForm<{ ceiling: string }>();
  const [dialog, setDialog] = useState<'move' | 'delete' | null>(null);
  const name = tx(unit.name) || unit.id;
  const path = `/units/${encodeURIComponent(unit.id)}`;
  const detail = useQuery({ queryKey: ['units', unit.id], queryFn: ({ signal }) => get<Unit>(path, {}, signal) });
  const users = unit.users ?? detail.data?.users;
  const may = can('update-unit');
  const mayCeiling = can('set-unit-ceiling');
  useEffect(() => {
    form.setFieldsValue({ zh: unit.name.zh ?? '', en: unit.name.en ?? '', code: unit.code, region: unit.region, industry: unit.industry, kind: unit.kind || undefined, supports: unit.supports, labels: list(unit.labels) });
    ceiling.setFieldsValue({ ceiling: unit.ceiling ?? '' });
  }, [form, ceiling, unit]);
  const above = list(unit.path).slice(0, -1);
  const move = (to: string): Promise<boolean> =>
    act(() => patch(path, { parent: to }), { said: t('units.moved', { x: name, y: to ? unitName(to) : t('units.top') }), undo: () => void move(unit.parent ?? ''), renew: RENEW });
  return (
    <div className="stack">
      <Panel
        title={
          <span>
            {above.length > 0 && (
              <span className="chain" style={{ fontWeight: 400 }}>
                {above.map((id) => (
                  <span key={id}>
                    <Link to={`/admin/units?unit=${encodeURIComponent(id)}`}>{unitName(id)}</Link>
                  </span>
                ))}
                <span>{name}</span>
              </span>
            )}
            {above.length === 0 && name}
          </span>
        }
        end={
          <>
            {can('list-users') && <Link to={`/admin/users?unit=${encodeURIComponent(unit.id)}&below=0`}>{users === undefined ? t('units.usersLink') : t('units.users', { n: users })}</Link>}
            {can('create-unit') && (
              <Button size="small" onClick={addBelow}>
                {t('units.newBelow')}
              </Button>
            )}
            {may && (
              <Button size="small" onClick={() => setDialog('move')}>
                {t('units.move')}
              </Button>
            )}
            {can('delete-unit') && (
              <Button size="small" onClick={() => setDialog('delete')}>
                {t('do.delete')}
              </Button>
            )}
          </>
        }
      >
        <Form name="unit" form={form} layout="vertical" requiredMark={false} disabled={!may} style={{ maxWidth: 640 }} onFinish={(v) => void act(() => patch(path, body(v)), { said: t('units.saved', { x: v.zh }), renew: RENEW })}>
          <Fields not={unit.id} />
          {may && (
            <Button type="primary" htmlType="submit" loading={busy}>
              {t('do.save')}
            </Button>
          )}
        </Form>
      </Panel>
      <Panel title={t('units.ceiling')}>
        <Form
          name="ceiling"
          form={ceiling}
          disabled={!mayCeiling}
          style={{ maxWidth: 820 }}
          onFinish={(v) => void act(() => put(`${path}/ceiling`, { ceiling: v.ceiling.trim() }), { said: t('units.saved', { x: name }), renew: [...RENEW, 'user'] })}
        >
          <p className="dim" style={{ marginBottom: 8 }}>
            {t('units.ceilingWhy')}
          </p>
          {mayCeiling ? (
            <>
              <Form.Item name="ceiling" style={{ marginBottom: 10 }}>
                <ReachInput />
              </Form.Item>
              <Button type="primary" htmlType="submit" loading={busy}>
                {t('do.save')}
              </Button>
            </>
          ) : unit.ceiling ? (
            <code>{unit.ceiling}</code>
          ) : (
            <span className="dim">{t('units.noCeiling')}</span>
          )}
        </Form>
      </Panel>
      {dialog === 'move' && (
        <FormDialog<{ parent?: string }>
          title={t('units.moveTitle', { x: name })}
          ok={t('units.move')}
          initial={{ parent: unit.parent }}
          close={() => setDialog(null)}
          submit={async (v) => {
            if ((v.parent ?? '') !== (unit.parent ?? '')) await move(v.parent ?? '');
          }}
        >
          <p className="dim" style={{ marginBottom: 12 }}>
            {t('units.moveWhy')}
          </p>
          <Form.Item name="parent" label={t('units.parent')}>
            <UnitPicker not={unit.id} placeholder={t('units.top')} />
          </Form.Item>
        </FormDialog>
      )}
      {dialog === 'delete' && (
        <Ask
          title={t('units.delete')}
          why={t('units.deleteWhy')}
          ok={t('units.delete')}
          close={() => setDialog(null)}
          submit={async () => {
            await del(path);
            setUrl({ unit: unit.parent });
            tell({ said: t('units.deleted', { x: name }), renew: RENEW });
          }}
        />
      )}
    </div>
  );
}
