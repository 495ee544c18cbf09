import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Form, Input, Tooltip } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, patch, post } from '../../api/client';
import { exporting, type Export, type ExportLimits } from '../../api/search';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { bytes, number } from '../../logic/format';
import { Ask, FormDialog } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { ExportState, fileOf } from '../../parts/search/exporting';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const STATES = ['queued', 'running', 'done', 'failed', 'cancelled', 'expired'] as const;

/** One's own exports and kept results: how far they are, the files, and what room is left for more. */
export default function Exports() {
  const { t, locale } = useSettings();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const kept = url.get('kept') === '1';
  const state = STATES.find((s) => s === url.get('state'));
  const [removing, setRemoving] = useState<Export | null>(null);
  const [naming, setNaming] = useState<Export | null>(null);
  const query = useQuery({
    queryKey: ['exports', q, kept, state],
    queryFn: async ({ signal }) => list((await get<Page<Export>>('/exports', { q, kept: kept || undefined, state, limit: 200 }, signal)).items),
    placeholderData: keepPreviousData,
    refetchInterval: (x) => ((x.state.data ?? []).some(exporting) ? 1000 : 15_000),
  });
  const limits = useQuery({ queryKey: ['export-limits'], queryFn: ({ signal }) => get<ExportLimits>('/exports/limits', {}, signal), refetchInterval: 15_000 }).data;
  const path = (x: Export) => `/exports/${encodeURIComponent(x.id)}`;
  const RENEW = ['exports', 'export-limits'];
  return (
    <div className="page">
      <Head title={t('page.exports')} sub={limits && t('exports.room', { n: limits.files, m: limits.owner_files, b: bytes(limits.bytes, locale), c: bytes(limits.owner_bytes, locale) })} />
      <div className="filters" role="search">
        <SearchBox hint={t('exports.find')} />
        {STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`exportstate.${s}`)}
          </button>
        ))}
        <button className="plain toggle" aria-pressed={kept} onClick={() => setUrl({ kept: kept ? undefined : '1' })}>
          {t('exports.kept')}
        </button>
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.exports" lines={8}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('exports.none')} why={t('exports.noneWhy')}>
                <Link to="/search">{t('page.search')}</Link>
              </Empty>
            ) : (
              <DataTable
                label={t('page.exports')}
                rows={rows}
                rowKey={(x) => x.id}
                columns={[
                  {
                    key: 'name',
                    title: t('col.name'),
                    render: (x) => (
                      <>
                        <b style={{ fontWeight: 550 }}>{x.name}</b> {x.kept && <span className="tag">{t('exports.isKept')}</span>} {x.origin?.startsWith('monitor:') && <span className="tag">{t('exports.byMonitor')}</span>}
                        <div>
                          <Link className="mono dim" to={`/search?${new URLSearchParams({ query: x.query, start: x.start, end: x.end, tenant: x.tenant ?? '', group: x.group ?? '' })}`}>
                            {x.query || '*'}
                          </Link>
                        </div>
                      </>
                    ),
                  },
                  { key: 'format', title: t('export.format'), width: 80, render: (x) => t(`format.${x.format}`) },
                  { key: 'state', title: t('col.status'), width: 260, render: (x) => <ExportState job={x} /> },
                  { key: 'created', title: t('exports.created'), width: 120, render: (x) => <When time={x.created_at} age /> },
                  { key: 'expires', title: t('exports.expires'), width: 120, render: (x) => (x.expires_at ? <When time={x.expires_at} age /> : <span className="faint">{t('exports.never')}</span>) },
                  {
                    key: 'do',
                    title: '',
                    width: 190,
                    render: (x) => (
                      <span className="row" style={{ justifyContent: 'flex-end' }}>
                        {x.state === 'done' && (
                          <Tooltip title={bytes(x.bytes, locale)}>
                            <Button size="small" type="primary" href={fileOf(x)} download>
                              {t('export.download')}
                            </Button>
                          </Tooltip>
                        )}
                        {exporting(x) && (
                          <Button size="small" onClick={() => void act(() => post(`${path(x)}/cancel`), { said: t('exports.cancelled', { x: x.name }), renew: RENEW })}>
                            {t('export.cancel')}
                          </Button>
                        )}
                        <Dropdown
                          trigger={['click']}
                          menu={{
                            items: [
                              { key: 'keep', label: t(x.kept ? 'exports.unkeep' : 'exports.keep'), disabled: x.state !== 'done', onClick: () => void act(() => patch(path(x), { kept: !x.kept }), { said: t('exports.changed', { x: x.name }), renew: RENEW }) },
                              { key: 'name', label: t('exports.rename'), onClick: () => setNaming(x) },
                              { key: 'delete', label: t('do.delete'), disabled: exporting(x), onClick: () => setRemoving(x) },
                            ],
                          }}
                        >
                          <Button size="small" type="text" aria-label={t('do.actions', { x: x.name })}>
                            ⋯
                          </Button>
                        </Dropdown>
                      </span>
                    ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {removing && (
        <Ask
          title={t('exports.delete', { x: removing.name })}
          why={t('exports.deleteWhy', { n: number(removing.rows, locale) })}
          ok={t('do.delete')}
          close={() => setRemoving(null)}
          submit={() => act(() => del(path(removing)), { said: t('exports.deleted', { x: removing.name }), renew: RENEW })}
        />
      )}
      {naming && (
        <FormDialog<{ name: string }>
          title={t('exports.rename')}
          ok={t('do.save')}
          initial={{ name: naming.name }}
          close={() => setNaming(null)}
          submit={async (v) => {
            await patch(path(naming), { name: v.name.trim() });
            await act(async () => undefined, { renew: RENEW });
          }}
        >
          <Form.Item name="name" label={t('col.name')} rules={[{ required: true, whitespace: true, message: t('save.needName') }]}>
            <Input autoFocus maxLength={128} />
          </Form.Item>
        </FormDialog>
      )}
    </div>
  );
}
