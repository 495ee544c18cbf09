import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Dropdown } from 'antd';
import { useState } from 'react';
import { BASE, del, get, post } from '../../api/client';
import { TARGET_KINDS, TARGET_STATES, type Target, type TargetTest } from '../../api/forwarding';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { clock, number } from '../../logic/format';
import { Ask } from '../../parts/dialog';
import { TargetDetail } from '../../parts/forwarding/detail';
import { TargetImportDialog } from '../../parts/forwarding/importing';
import { Rewind } from '../../parts/forwarding/rewind';
import { TargetStateMark } from '../../parts/forwarding/state';
import { TargetWizard } from '../../parts/forwarding/wizard';
import { Head, Updated } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable, type Column } from '../../parts/table';
import { When } from '../../parts/time';

export const targetPath = (x: Pick<Target, 'id'>) => `/forwarding/targets/${encodeURIComponent(x.id)}`;

/** Where logs and metrics are sent on to: how each target fares, and what can be done with it. */
export default function Forwarding() {
  const { t, locale } = useSettings();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const kind = TARGET_KINDS.find((k) => k === url.get('kind'));
  const state = TARGET_STATES.find((s) => s === url.get('state'));
  const chosen = url.get('target') ?? '';
  const [editing, setEditing] = useState<Target | null>(null);
  const [moving, setMoving] = useState<Target | null>(null);
  const [removing, setRemoving] = useState<Target | null>(null);
  const [importing, setImporting] = useState(false);
  const query = useQuery({
    queryKey: ['forward-targets', q, kind, state],
    queryFn: ({ signal }) => get<Page<Target>>('/forwarding/targets', { q, kind, state, limit: 500 }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 3_000,
  });
  const rows = list(query.data?.items);
  const open = rows.find((x) => x.id === chosen);
  const at = rows.findIndex((x) => x.id === chosen);
  const move = (to: number) => {
    const x = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (x) setUrl({ target: x.id });
  };
  useKeys({ j: () => move(at + 1), k: () => move(at - 1), n: () => setUrl({ new: '1' }), Escape: () => setUrl({ target: undefined }) });
  const pause = (x: Target) =>
    void act(() => post(`${targetPath(x)}/${x.status.state === 'paused' ? 'resume' : 'pause'}`), {
      said: t(x.status.state === 'paused' ? 'forward.resumed' : 'forward.paused', { x: x.name }),
      undo: () => void act(() => post(`${targetPath(x)}/${x.status.state === 'paused' ? 'pause' : 'resume'}`), { renew: ['forward-targets'] }),
      renew: ['forward-targets'],
    });
  const test = (x: Target) =>
    void act(
      async () => {
        const r = await post<TargetTest>(`${targetPath(x)}/test`);
        if (!r.ok) throw new Error(`${x.name}: ${r.error || r.detail}`);
      },
      { said: t('forward.testOkOf', { x: x.name }) },
    );
  const columns = (all: Column<Target>[]) => (open ? all.filter((c) => !['last', 'sent', 'rate'].includes(c.key)) : all);
  return (
    <div className="page">
      <Head title={t('page.forwarding')} sub={t('forward.lead')}>
        <Updated at={query.dataUpdatedAt} />
        <Dropdown
          trigger={['click']}
          menu={{
            items: [
              { key: 'yaml', label: <a href={`${BASE}/forwarding/export?format=yaml`} download>{t('do.export')} YAML</a> },
              { key: 'json', label: <a href={`${BASE}/forwarding/export?format=json`} download>{t('do.export')} JSON</a> },
              { key: 'import', label: t('do.import'), onClick: () => setImporting(true) },
            ],
          }}
        >
          <Button>{t('search.menu')} ▾</Button>
        </Dropdown>
        <Button type="primary" onClick={() => setUrl({ new: '1' })}>
          {t('forward.new')}
        </Button>
      </Head>
      <div className="filters" role="search">
        <SearchBox hint={t('forward.find')} />
        {TARGET_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: state === s ? undefined : s })}>
            {t(`forward.state.${s}`)}
          </button>
        ))}
        <span className="sep" aria-hidden="true" />
        {TARGET_KINDS.map((k) => (
          <button key={k} className="plain toggle" aria-pressed={kind === k} onClick={() => setUrl({ kind: kind === k ? undefined : k })}>
            {t(`forward.kind.${k}`)}
          </button>
        ))}
      </div>
      <Stale query={query} />
      <div className="withdetail">
        <div className="panel" style={{ overflowX: 'auto' }}>
          <Loaded query={query} what="forward.what" lines={6}>
            {() =>
              rows.length === 0 ? (
                <Empty title={t('forward.empty')} why={t('forward.emptyWhy')}>
                  <Button onClick={() => setUrl({ new: '1' })}>{t('forward.new')}</Button>
                </Empty>
              ) : (
                <DataTable
                  label={t('forward.what')}
                  rows={rows}
                  rowKey={(x) => x.id}
                  marked={chosen}
                  onRow={(x) => setUrl({ target: x.id === chosen ? undefined : x.id })}
                  columns={columns([
                    {
                      key: 'name',
                      title: t('forward.name'),
                      render: (x) => (
                        <>
                          <button className="plain link" onClick={() => setUrl({ target: x.id })}>
                            <b style={{ fontWeight: 550 }}>{x.name}</b>
                          </button>
                          <div className="faint ellipsis" style={{ maxWidth: 340 }} title={x.status.where}>
                            {t(`forward.kind.${x.kind}`)} · <span className="mono">{x.status.where}</span>
                          </div>
                        </>
                      ),
                    },
                    { key: 'state', title: t('col.status'), render: (x) => <TargetStateMark target={x} /> },
                    {
                      key: 'lag',
                      title: t('forward.lag'),
                      num: true,
                      render: (x) =>
                        x.status.lag_events > 0 ? (
                          <>
                            {number(x.status.lag_events, locale)}
                            <div className="faint">{clock(x.status.lag_seconds * 1000, locale)}</div>
                          </>
                        ) : (
                          <span className="faint">{t('forward.lagNone')}</span>
                        ),
                    },
                    { key: 'rate', title: t('forward.rate'), num: true, render: (x) => t('forward.perSecond', { n: number(x.status.rate, locale) }) },
                    { key: 'sent', title: t('forward.sent'), num: true, render: (x) => number(x.status.sent, locale) },
                    {
                      key: 'dead',
                      title: t('forward.dead'),
                      num: true,
                      render: (x) => <span style={x.status.dead_letters ? { color: 'var(--medium)', fontWeight: 600 } : { color: 'var(--faint)' }}>{number(x.status.dead_letters, locale)}</span>,
                    },
                    { key: 'last', title: t('forward.lastSent'), num: true, render: (x) => <When time={x.status.last_sent_at} age /> },
                    {
                      key: 'do',
                      title: '',
                      num: true,
                      render: (x) => (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" aria-label={t(x.status.state === 'paused' ? 'forward.resumeOf' : 'forward.pauseOf', { x: x.name })} onClick={() => pause(x)}>
                            {t(x.status.state === 'paused' ? 'forward.resume' : 'forward.pause')}
                          </Button>
                          <Dropdown
                            trigger={['click']}
                            menu={{
                              items: [
                                { key: 'edit', label: t('do.edit'), onClick: () => setEditing(x) },
                                { key: 'test', label: t('forward.test'), onClick: () => test(x) },
                                { key: 'rewind', label: t('forward.rewind'), onClick: () => setMoving(x) },
                                { type: 'divider' },
                                { key: 'delete', label: t('do.delete'), onClick: () => setRemoving(x) },
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
                  ])}
                />
              )
            }
          </Loaded>
        </div>
        {open && <TargetDetail key={open.id} target={open} edit={() => setEditing(open)} close={() => setUrl({ target: undefined })} />}
      </div>
      {(url.get('new') === '1' || editing) && (
        <TargetWizard
          target={editing ?? undefined}
          close={(made) => {
            setEditing(null);
            setUrl({ new: undefined, ...(made ? { target: made.id } : {}) });
          }}
        />
      )}
      {moving && <Rewind target={moving} close={() => setMoving(null)} />}
      {importing && <TargetImportDialog close={() => setImporting(false)} />}
      {removing && (
        <Ask
          title={t('forward.delete', { x: removing.name })}
          why={t('forward.deleteWhy')}
          ok={t('forward.delete', { x: removing.name })}
          name={removing.name}
          close={() => setRemoving(null)}
          submit={() => act(() => del(targetPath(removing)), { said: t('forward.deleted', { x: removing.name }), renew: ['forward-targets'] })}
        />
      )}
    </div>
  );
}
