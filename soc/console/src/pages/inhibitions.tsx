import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Switch } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post, put } from '../api/client';
import { useCan } from '../api/queries';
import type { Inhibition, Matcher } from '../api/silences';
import { list, type List, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { download } from '../logic/export';
import { joined } from '../logic/format';
import { matcherText } from '../logic/silence';
import { InhibitionForm, bodyOf } from '../parts/inhibitions/form';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { SearchBox } from '../parts/search';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

const RENEW = ['inhibitions', 'alerts', 'alert', 'incident'];

/** Rules by which one alert mutes others. ?new=1 makes one, ?sel=ID marks one. */
export default function Inhibitions() {
  const { t, locale } = useSettings();
  const write = useCan()('create-inhibition');
  const { act } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const q = (url.get('q') ?? '').toLowerCase();
  const [editing, setEditing] = useState<Inhibition | null>(null);
  const query = useQuery({ queryKey: ['inhibitions'], queryFn: ({ signal }) => get<Page<Inhibition>>('/inhibitions', {}, signal), placeholderData: keepPreviousData });
  const all = list(query.data?.items);
  const rows = all.filter((r) => !q || [r.name, r.description, r.updated_by, ...list(r.source).map(matcherText), ...list(r.target).map(matcherText)].some((x) => x?.toLowerCase().includes(q)));
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  const path = (r: Inhibition) => `/inhibitions/${encodeURIComponent(r.id)}`;
  const turn = (r: Inhibition, off: boolean) =>
    void act(() => put(path(r), { ...bodyOf(r), off }), {
      said: t(off ? 'inhibit.paused' : 'inhibit.resumed', { x: r.name }),
      renew: RENEW,
      undo: () => void act(() => put(path(r), { ...bodyOf(r), off: !off }), { renew: RENEW }),
    });
  const remove = (r: Inhibition) =>
    void act(() => del(path(r)), {
      said: t('inhibit.deleted', { x: r.name }),
      renew: RENEW,
      undo: () => void act(() => post(`${path(r)}/restore`), { said: t('inhibit.restored', { x: r.name }), renew: RENEW }),
    });
  return (
    <div className="page">
      <Head title={t('page.inhibitions')} sub={t('inhibit.lead')}>
        {all.length > 0 && <Button onClick={() => download('icewatch-inhibitions.json', 'application/json', JSON.stringify(rows, null, 2))}>{t('silence.export')}</Button>}
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('inhibit.new')}
          </Button>
        )}
      </Head>
      {all.length > 0 && (
        <div className="filters" role="search">
          <SearchBox hint={t('inhibit.find')} />
        </div>
      )}
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.inhibitions" lines={5}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t(all.length > 0 ? 'inhibit.noneFound' : 'inhibit.empty')} why={t('inhibit.emptyWhy')}>
                {all.length > 0 ? <Button onClick={() => setUrl({ q: undefined })}>{t('do.clear')}</Button> : write && <Button onClick={() => setUrl({ new: '1' })}>{t('inhibit.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.inhibitions')}
                rows={rows}
                rowKey={(r) => r.id}
                marked={url.get('sel') ?? undefined}
                columns={[
                  {
                    key: 'name',
                    title: t('inhibit.name'),
                    render: (r) => (
                      <>
                        <b style={{ opacity: r.off ? 0.6 : 1 }}>{r.name}</b>
                        {r.description && <div className="faint">{r.description}</div>}
                      </>
                    ),
                  },
                  { key: 'source', title: t('inhibit.source'), render: (r) => <Tags matchers={r.source} /> },
                  { key: 'target', title: t('inhibit.target'), render: (r) => <Tags matchers={r.target} /> },
                  { key: 'equal', title: t('inhibit.equal'), render: (r) => (list(r.equal).length > 0 ? <span className="mono">{list(r.equal).join(', ')}</span> : <span className="faint">{t('inhibit.equalNone')}</span>) },
                  { key: 'tenants', title: t('silence.tenants'), render: (r) => (list(r.tenants).length > 0 ? joined(list(r.tenants).map(tenantName), locale) : <span className="dim">{t('silence.allTenants')}</span>) },
                  {
                    key: 'by',
                    title: t('inhibit.changed'),
                    render: (r) => (
                      <span className="dim nowrap">
                        {r.updated_by} <When time={r.updated_at} />
                      </span>
                    ),
                  },
                  { key: 'on', title: t('col.status'), render: (r) => <Switch size="small" checked={!r.off} disabled={!write} aria-label={t('inhibit.force', { x: r.name })} onChange={(on) => turn(r, !on)} /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (r) =>
                      write && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" onClick={() => setEditing(r)}>
                            {t('do.edit')}
                          </Button>
                          <Button size="small" aria-label={`${t('inhibit.delete')} ${r.name}`} onClick={() => remove(r)}>
                            {t('inhibit.delete')}
                          </Button>
                        </span>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      <p className="faint">
        {t('inhibit.also')} <Link to="/silences">{t('page.silences')}</Link>
      </p>
      {url.get('new') === '1' && write && <InhibitionForm close={() => setUrl({ new: undefined })} />}
      {editing && <InhibitionForm rule={editing} close={() => setEditing(null)} />}
    </div>
  );
}

function Tags({ matchers }: { matchers: List<Matcher> }) {
  return (
    <span className="tags">
      {list(matchers).map((m, i) => (
        <span key={i} className="tag mono" title={matcherText(m)}>
          <span className="ellipsis" style={{ maxWidth: 260 }}>
            {matcherText(m)}
          </span>
        </span>
      ))}
    </span>
  );
}
