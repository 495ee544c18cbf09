import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown } from 'antd';
import { useState } from 'react';
import { SOURCE_KINDS, SOURCE_STATES, type AlertSource, type NewSource } from '../api/alertsources';
import { BASE, del, get, post } from '../api/client';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { SourceDetail, sourcePath } from '../parts/alertsources/detail';
import { FieldsDialog } from '../parts/alertsources/fields';
import { SourceForm, useTemplates } from '../parts/alertsources/form';
import { SourceImport } from '../parts/alertsources/importing';
import { SourceStateMark } from '../parts/alertsources/state';
import { Templates } from '../parts/alertsources/templates';
import { TokenTold } from '../parts/alertsources/told';
import { Ask } from '../parts/dialog';
import { useTenantName } from '../parts/names';
import { Head, Updated } from '../parts/page';
import { SearchBox } from '../parts/search';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

/** Systems whose alerts are taken in: how each fares, what it sent, and what could not be read. */
export default function AlertSources() {
  const { t, locale, tx } = useSettings();
  const { act } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const kind = SOURCE_KINDS.find((k) => k === url.get('kind'));
  const state = SOURCE_STATES.find((s) => s === url.get('state'));
  const removed = url.get('removed') === '1';
  const chosen = url.get('source') ?? '';
  const [editing, setEditing] = useState<{ source: AlertSource; sample?: string } | null>(null);
  const [told, setTold] = useState<NewSource | null>(null);
  const [removing, setRemoving] = useState<AlertSource | null>(null);
  const [renewing, setRenewing] = useState<AlertSource | null>(null);
  const can = useCan();
  const [dialog, setDialog] = useState<'import' | 'templates' | 'fields' | null>(null);
  const templates = list(useTemplates().data?.items);
  const query = useQuery({
    queryKey: ['alert-sources', q, kind, state, removed],
    queryFn: ({ signal }) => get<Page<AlertSource>>('/alert-sources', { q, kind, state, removed: removed || undefined, limit: 500 }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 5_000,
  });
  const rows = list(query.data?.items);
  const open = rows.find((x) => x.id === chosen);
  const at = rows.findIndex((x) => x.id === chosen);
  const move = (to: number) => {
    const x = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (x) setUrl({ source: x.id });
  };
  useKeys({ j: () => move(at + 1), k: () => move(at - 1), n: () => setUrl({ new: '1' }), Escape: () => setUrl({ source: undefined }) });
  const renew = ['alert-sources'];
  const enable = (x: AlertSource, on: boolean) =>
    void act(() => post(`${sourcePath(x)}/${on ? 'enable' : 'disable'}`), {
      said: t(on ? 'asource.enabled' : 'asource.disabled', { x: x.name }),
      undo: () => void act(() => post(`${sourcePath(x)}/${on ? 'disable' : 'enable'}`), { renew }),
      renew,
    });
  const restore = (x: AlertSource) => act(() => post(`${sourcePath(x)}/restore`), { said: t('asource.restored', { x: x.name }), renew });
  const templateName = (id: string) => tx(templates.find((k) => k.id === id)?.title) || id;
  return (
    <div className="page">
      <Head title={t('page.alertsources')} sub={t('asource.lead')}>
        <Updated at={query.dataUpdatedAt} />
        <Button onClick={() => setDialog('templates')}>{t('asource.templates')}</Button>
        <Dropdown
          trigger={['click']}
          menu={{
            items: [
              { key: 'export', label: <a href={`${BASE}/alert-sources/export`} download="alert-sources.yaml">{t('do.export')} YAML</a> },
              { key: 'import', label: t('do.import'), onClick: () => setDialog('import') },
              ...(can('configure') ? [{ key: 'fields', label: t('asource.ownFields'), onClick: () => setDialog('fields') }] : []),
            ],
          }}
        >
          <Button>{t('search.menu')} ▾</Button>
        </Dropdown>
        <Button type="primary" onClick={() => setUrl({ new: '1' })}>
          {t('asource.new')}
        </Button>
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('asource.find')} />
        {SOURCE_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`asource.state.${s}`)}
          </button>
        ))}
        <span className="sep" aria-hidden="true" />
        {SOURCE_KINDS.map((k) => (
          <button key={k} className="plain toggle" aria-pressed={kind === k} onClick={() => setUrl({ kind: kind === k ? undefined : k })}>
            {t(`asource.kind.${k}`)}
          </button>
        ))}
        <span className="sep" aria-hidden="true" />
        <button className="plain toggle" aria-pressed={removed} onClick={() => setUrl({ removed: removed ? undefined : '1', source: undefined })}>
          {t('asource.removed')}
        </button>
      </div>
      <Stale query={query} />
      <div className="withdetail">
        <div className="panel" style={{ overflowX: 'auto' }}>
          <Loaded query={query} what="asource.what" lines={6}>
            {() =>
              rows.length === 0 ? (
                removed ? (
                  <Empty title={t('asource.removedNone')} />
                ) : (
                  <Empty title={t('asource.empty')} why={t('asource.emptyWhy')}>
                    <Button onClick={() => setUrl({ new: '1' })}>{t('asource.new')}</Button>
                  </Empty>
                )
              ) : (
                <DataTable
                  label={t('asource.what')}
                  rows={rows}
                  rowKey={(x) => x.id}
                  marked={chosen}
                  onRow={(x) => !removed && setUrl({ source: x.id === chosen ? undefined : x.id })}
                  columns={[
                    {
                      key: 'name',
                      title: t('asource.name'),
                      render: (x) => (
                        <>
                          <button className="plain link" onClick={() => !removed && setUrl({ source: x.id })}>
                            <b style={{ fontWeight: 550 }}>{x.builtin && x.id === 'rules' ? t('asource.builtin.rules') : x.name}</b>
                          </button>
                          <div className="faint ellipsis" style={{ maxWidth: 320 }}>
                            {x.builtin ? t('asource.builtin') : `${t(`asource.kind.${x.kind}`)} · ${templateName(x.template)}`}
                          </div>
                        </>
                      ),
                    },
                    { key: 'tenant', title: t('asource.tenant'), render: (x) => <span className={x.tenant ? undefined : 'faint'} style={{ whiteSpace: 'nowrap' }}>{x.tenant ? tenantName(x.tenant) : t('asource.byItem')}</span> },
                    { key: 'state', title: t('col.status'), render: (x) => (removed ? <When time={x.removed_at} /> : <SourceStateMark source={x} />) },
                    ...(open
                      ? []
                      : [
                          { key: 'messages', title: t('asource.messages'), num: true, render: (x: AlertSource) => number(x.health.messages, locale) },
                          { key: 'alerts', title: t('asource.firing'), num: true, render: (x: AlertSource) => (x.builtin && x.id === 'rules' ? <span className="faint">–</span> : number(x.health.firing, locale)) },
                          { key: 'last', title: t('asource.last'), num: true, render: (x: AlertSource) => <When time={x.health.last_at} age /> },
                        ]),
                    {
                      key: 'dead',
                      title: t('asource.dead'),
                      num: true,
                      render: (x) => <span style={x.health.dead_letters ? { color: 'var(--medium)', fontWeight: 600 } : { color: 'var(--faint)' }}>{number(x.health.dead_letters, locale)}</span>,
                    },
                    {
                      key: 'do',
                      title: '',
                      num: true,
                      render: (x) =>
                        x.builtin ? null : removed ? (
                          <Button size="small" onClick={() => void restore(x)}>
                            {t('asource.restore')}
                          </Button>
                        ) : (
                          <Dropdown
                            trigger={['click']}
                            menu={{
                              items: [
                                { key: 'edit', label: t('do.edit'), onClick: () => setEditing({ source: x }) },
                                { key: 'on', label: t(x.enabled ? 'asource.disable' : 'asource.enable'), onClick: () => enable(x, !x.enabled) },
                                ...(x.kind === 'kafka' || x.kind === 'events' ? [] : [{ key: 'token', label: t('asource.renew'), onClick: () => setRenewing(x) }]),
                                { type: 'divider' as const },
                                { key: 'delete', label: t('do.delete'), onClick: () => setRemoving(x) },
                              ],
                            }}
                          >
                            <Button size="small" type="text" aria-label={t('do.actions', { x: x.name })} onClick={(e) => e.stopPropagation()}>
                              ⋯
                            </Button>
                          </Dropdown>
                        ),
                    },
                  ]}
                />
              )
            }
          </Loaded>
        </div>
        {open && !removed && <SourceDetail key={open.id} source={open} edit={(sample) => setEditing({ source: open, sample })} close={() => setUrl({ source: undefined })} />}
      </div>
      {(url.get('new') === '1' || editing) && (
        <SourceForm
          source={editing?.source}
          first={editing?.sample}
          close={(made) => {
            setEditing(null);
            setUrl({ new: undefined, ...(made ? { source: made.source.id } : {}) });
            if (made && made.source.kind !== 'kafka' && made.source.kind !== 'events') setTold(made);
          }}
        />
      )}
      {told && <TokenTold made={told} template={templates.find((k) => k.id === told.source.template)} close={() => setTold(null)} />}
      {dialog === 'import' && <SourceImport close={() => setDialog(null)} />}
      {dialog === 'fields' && <FieldsDialog close={() => setDialog(null)} />}
      {dialog === 'templates' && <Templates close={() => setDialog(null)} />}
      {renewing && (
        <Ask
          title={t('asource.renew')}
          why={t('asource.renewWhy')}
          ok={t('asource.renew')}
          close={() => setRenewing(null)}
          submit={async () => {
            const made = await post<NewSource>(`${sourcePath(renewing)}/token`);
            setTold(made);
          }}
        />
      )}
      {removing && (
        <Ask
          title={t('asource.delete', { x: removing.name })}
          why={t('asource.deleteWhy')}
          ok={t('asource.delete', { x: removing.name })}
          close={() => setRemoving(null)}
          submit={() => act(() => del(sourcePath(removing)), { said: t('asource.deleted', { x: removing.name }), undo: () => void restore(removing), renew })}
        />
      )}
    </div>
  );
}
