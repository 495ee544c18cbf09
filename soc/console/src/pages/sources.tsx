import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown } from 'antd';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { BASE, del, get, post } from '../api/client';
import type { InputView } from '../api/inputs';
import { useCan } from '../api/queries';
import { list, type Page, type SourceHealth } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { WAYS, rowMatches, sourceRows, type SourceRow } from '../logic/inputs';
import { SourceDetail, SourceStateMark } from '../parts/inputs/detail';
import { InputImportDialog } from '../parts/inputs/importing';
import { useKindName } from '../parts/inputs/kindname';
import { InputWizard, inputPath } from '../parts/inputs/wizard';
import { TenantName } from '../parts/names';
import { Head, Updated } from '../parts/page';
import { SearchBox } from '../parts/search';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { When } from '../parts/time';

/** Every way in: how it fares, and what an administrator can do with the inputs among them. */
export default function Sources() {
  const { t, locale } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const { act } = useAct();
  const kindName = useKindName();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const way = WAYS.find((w) => w === url.get('way')) ?? null;
  const chosen = url.get('source') ?? '';
  const deleted = url.get('show') === 'deleted';
  const [copying, setCopying] = useState<InputView | null>(null);
  const [importing, setImporting] = useState(false);
  const configures = can('list-inputs');
  const makes = can('create-input');
  const health = useQuery({ queryKey: ['sources'], queryFn: ({ signal }) => get<Page<SourceHealth>>('/sources', {}, signal), refetchInterval: 5_000 });
  const kept = useQuery({ queryKey: ['inputs', deleted], enabled: configures, queryFn: ({ signal }) => get<Page<InputView>>('/inputs', { limit: 1000, deleted: deleted || undefined }, signal), placeholderData: keepPreviousData, refetchInterval: 5_000 });
  const inputs = list(kept.data?.items);
  const all = sourceRows(list(health.data?.items), deleted ? [] : inputs);
  const rows = all.filter((r) => rowMatches(r, q, way));
  const open = rows.find((r) => r.id === chosen);
  const editing = inputs.find((x) => x.id === url.get('edit'));
  const at = rows.findIndex((r) => r.id === chosen);
  const move = (to: number) => {
    const r = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (r) setUrl({ source: r.id });
  };
  useKeys({ j: () => move(at + 1), k: () => move(at - 1), Escape: () => setUrl({ source: undefined }), ...(makes ? { n: () => setUrl({ new: '1' }) } : {}), ...(makes && open?.of ? { e: () => setUrl({ edit: open.id }) } : {}) });

  const renew = ['inputs', 'sources'];
  const pause = (x: InputView, on: boolean) =>
    void act(() => post(`${inputPath(x)}/${on ? 'resume' : 'pause'}`), {
      said: t(on ? 'inputs.resumedOf' : 'inputs.pausedOf', { x: x.name }),
      undo: () => void act(() => post(`${inputPath(x)}/${on ? 'pause' : 'resume'}`), { renew }),
      renew,
    });
  const restore = (x: InputView) => act(() => post(`${inputPath(x)}/restore`), { said: t('inputs.restoredOf', { x: x.name }), renew });
  const remove = (x: InputView) => void act(() => del(inputPath(x)), { said: t('inputs.deletedOf', { x: x.name }), undo: () => void restore(x), renew });

  const doing: Column<SourceRow> = {
    key: 'do',
    title: '',
    num: true,
    render: (r) => {
      const x = r.of;
      if (!x || !makes) return r.way === 'http' ? <Link to="/connect">{t('page.connect')}</Link> : null;
      return (
        <span className="row" style={{ justifyContent: 'flex-end' }}>
          <Button size="small" onClick={() => pause(x, !x.enabled)}>
            {t(x.enabled ? 'inputs.pause' : 'inputs.resume')}
          </Button>
          <Dropdown
            trigger={['click']}
            menu={{
              items: [
                { key: 'edit', label: t('do.edit'), onClick: () => setUrl({ edit: x.id }) },
                { key: 'copy', label: t('inputs.copy'), onClick: () => setCopying(x) },
                ...(x.enabled ? [{ key: 'restart', label: t('inputs.restart'), onClick: () => void act(() => post(`${inputPath(x)}/restart`), { said: t('inputs.restarted', { x: x.name }), renew }) }] : []),
                { type: 'divider' as const },
                { key: 'delete', label: t('do.delete'), onClick: () => remove(x) },
              ],
            }}
          >
            <Button size="small" type="text" aria-label={t('do.actions', { x: x.name })}>
              ⋯
            </Button>
          </Dropdown>
        </span>
      );
    },
  };
  const warned = (n: number) => <span style={n ? { color: 'var(--medium)', fontWeight: 600 } : { color: 'var(--faint)' }}>{number(n, locale)}</span>;
  const columns: Column<SourceRow>[] = [
    {
      key: 'name',
      title: t('col.name'),
      render: (r) => (
        <>
          <button className="plain link" onClick={() => setUrl({ source: r.id })}>
            <b style={{ fontWeight: 550 }}>{r.name || r.id}</b>
          </button>
          <div className="faint ellipsis" style={{ maxWidth: 360 }} title={r.listen}>
            {kindName(r.kind)} · {t(`inputs.way.${r.way}`)}
            {r.listen && (
              <>
                {' '}
                · <span className="mono">{r.listen}</span>
              </>
            )}
          </div>
        </>
      ),
    },
    { key: 'state', title: t('sources.state'), render: (r) => <SourceStateMark row={r} /> },
    { key: 'tenant', title: t('inputs.tenant'), render: (r) => (r.tenant ? <TenantName slug={r.tenant} /> : <span className="faint">–</span>) },
    { key: 'rate', title: t('inputs.rate'), num: true, render: (r) => (r.rate ? t('inputs.perSecond', { n: number(Math.round(r.rate * 10) / 10, locale) }) : <span className="faint">0</span>) },
    { key: 'last', title: t('sources.lastSeen'), num: true, render: (r) => (r.last_seen && !r.last_seen.startsWith('0001-') ? <When time={r.last_seen} age /> : <span className="faint">{t('sources.never')}</span>) },
    { key: 'received', title: t('sources.received'), num: true, render: (r) => number(r.received, locale) },
    { key: 'rejected', title: t('sources.rejected'), num: true, render: (r) => warned(r.rejected) },
    { key: 'dropped', title: t('sources.dropped'), num: true, render: (r) => warned(r.dropped) },
    doing,
  ];
  return (
    <div className="page">
      <Head title={t('page.sources')} sub={t('inputs.lead')}>
        <Updated at={health.dataUpdatedAt} />
        {configures && (
          <Dropdown
            trigger={['click']}
            menu={{
              items: [
                { key: 'yaml', label: <a href={`${BASE}/inputs/export?format=yaml`} download>{t('do.export')} YAML</a> },
                { key: 'json', label: <a href={`${BASE}/inputs/export?format=json`} download>{t('do.export')} JSON</a> },
                ...(makes ? [{ key: 'import', label: t('do.import'), onClick: () => setImporting(true) }] : []),
                { key: 'deleted', label: t('inputs.deletedList'), onClick: () => setUrl({ show: 'deleted', source: undefined }) },
                { key: 'doors', label: t('inputs.doors'), onClick: () => navigate('/connect') },
              ],
            }}
          >
            <Button>{t('search.menu')} ▾</Button>
          </Dropdown>
        )}
        {makes && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('inputs.new')}
          </Button>
        )}
      </Head>
      {deleted && configures ? (
        <Deleted rows={inputs} ready={kept.data !== undefined && !kept.isPlaceholderData} restore={(x) => void restore(x)} back={() => setUrl({ show: undefined })} />
      ) : (
        <>
          <div className="filters" role="search">
            <SearchBox hint={t('inputs.find')} />
            {WAYS.map((w) => (
              <button key={w} className="plain toggle" aria-pressed={way === w} onClick={() => setUrl({ way: way === w ? undefined : w })}>
                {t(`inputs.way.${w}`)}
              </button>
            ))}
          </div>
          <Stale query={health} />
          <div className="withdetail">
            <div className="panel" style={{ overflowX: 'auto' }}>
              <Loaded query={health} what="sources.what">
                {() =>
                  all.length === 0 ? (
                    <Empty title={t('inputs.tenantEmpty')} why={t('inputs.tenantEmptyWhy')}>
                      {makes && <Button onClick={() => setUrl({ new: '1' })}>{t('inputs.new')}</Button>}
                    </Empty>
                  ) : rows.length === 0 ? (
                    <Empty title={t('inputs.none')} why={t('inputs.noneWhy')}>
                      {makes && <Button onClick={() => setUrl({ new: '1' })}>{t('inputs.new')}</Button>}
                    </Empty>
                  ) : (
                    <DataTable
                      label={t('page.sources')}
                      rows={rows}
                      rowKey={(r) => r.id}
                      marked={chosen}
                      onRow={(r) => setUrl({ source: r.id === chosen ? undefined : r.id })}
                      columns={open ? columns.filter((c) => !['received', 'rejected', 'last', 'tenant'].includes(c.key)) : columns}
                    />
                  )
                }
              </Loaded>
            </div>
            {open && <SourceDetail key={open.id} row={open} edit={open.of && makes ? () => setUrl({ edit: open.id }) : undefined} close={() => setUrl({ source: undefined })} />}
          </div>
        </>
      )}
      {makes && (url.get('new') === '1' || editing || copying) && (
        <InputWizard
          key={editing?.id ?? copying?.id ?? 'new'}
          input={editing ?? copying ?? undefined}
          copy={!editing && copying !== null}
          kind={url.get('kind')}
          choose={(kind) => setUrl({ kind })}
          close={(made) => {
            setCopying(null);
            setUrl({ new: undefined, kind: undefined, edit: undefined, ...(made ? { source: made.id } : {}) });
          }}
        />
      )}
      {importing && <InputImportDialog close={() => setImporting(false)} />}
    </div>
  );
}

/** Inputs that were deleted and can be brought back. */
function Deleted({ rows, ready, restore, back }: { rows: readonly InputView[]; ready: boolean; restore: (x: InputView) => void; back: () => void }) {
  const { t } = useSettings();
  const kindName = useKindName();
  return (
    <div className="panel">
      <header>
        <h2>{t('inputs.deletedList')}</h2>
        <span className="end">
          <Button size="small" onClick={back}>
            {t('inputs.back')}
          </Button>
        </span>
      </header>
      {ready && rows.length === 0 ? (
        <Empty title={t('inputs.deletedNone')} why={t('inputs.deletedWhy')} />
      ) : (
        <DataTable
          label={t('inputs.deletedList')}
          rows={rows}
          rowKey={(x) => x.id}
          columns={[
            { key: 'name', title: t('col.name'), render: (x) => <b style={{ fontWeight: 550 }}>{x.name}</b> },
            { key: 'kind', title: t('sources.kind'), render: (x) => kindName(x.kind) },
            { key: 'at', title: t('inputs.changed'), render: (x) => <When time={x.deleted_at} age /> },
            {
              key: 'do',
              title: '',
              num: true,
              render: (x) => (
                <Button size="small" onClick={() => restore(x)}>
                  {t('inputs.restore')}
                </Button>
              ),
            },
          ]}
        />
      )}
    </div>
  );
}
