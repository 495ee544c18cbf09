import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useState } from 'react';
import { del, get, post } from '../../api/client';
import type { Explained } from '../../api/inputs';
import { PACK_CLASSES, ownPath, packPath, type OwnPack, type PackInfo, type PackText, type PackVersion, type Packs, type Unread } from '../../api/parsers';
import { useCan, useMe } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { draftPack } from '../../logic/inputs';
import { Refused } from '../dialog';
import { TenantName } from '../names';
import { SearchBox } from '../search';
import { Empty, Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import type { Beginning } from './editor';
import { Reading } from './reading';

type Make = (b: Beginning) => void;

/** Whether the caller may make packs: they read everybody's lines. */
export function useMakesPacks(): boolean {
  const can = useCan();
  const me = useMe().data;
  return can('put-own-pack') && me?.all_tenants === true;
}

/** The packs in force, with what each reads. */
export function PacksTab({ make }: { make: Make }) {
  const { t, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const q = (url.get('q') ?? '').toLowerCase();
  const cls = PACK_CLASSES.find((c) => c === url.get('class'));
  const chosen = url.get('pack') ?? '';
  const query = useQuery({ queryKey: ['packs'], queryFn: ({ signal }) => get<Packs>('/parsers', {}, signal) });
  const match = (p: PackInfo) => (!cls || p.class === cls) && (q === '' || `${p.id} ${p.vendor} ${p.product} ${list(p.logs).map((l) => l.id).join(' ')}`.toLowerCase().includes(q));
  const from = (p: PackInfo) => (p.source === 'builtin' || p.source === 'own' ? t(`parsers.from.${p.source}`) : p.source);
  return (
    <Loaded query={query} what="parsers.what" lines={8}>
      {(data) => {
        const rows = list(data.items).filter(match);
        const open = rows.find((p) => p.id === chosen);
        const problems = list(data.problems);
        return (
          <>
            {problems.length > 0 && (
              <div className="notice warn" role="alert">
                <b>{t('parsers.problems', { n: problems.length })}</b>
                <ul>
                  {problems.slice(0, 20).map((p, i) => (
                    <li key={i}>
                      <code>
                        {p.path}
                        {p.line ? `:${p.line}` : ''}
                      </code>{' '}
                      {p.reason}
                    </li>
                  ))}
                </ul>
              </div>
            )}
            <div className="filters" role="search">
              <SearchBox hint={t('parsers.find')} />
              {PACK_CLASSES.map((c) => (
                <button key={c} className="plain toggle" aria-pressed={cls === c} onClick={() => setUrl({ class: cls === c ? undefined : c })}>
                  {t(`parsers.class.${c}`)}
                </button>
              ))}
              <span className="faint">{t('parsers.count', { p: number(data.products, locale), n: number(data.log_types, locale) })}</span>
            </div>
            <div className="withdetail">
              <div className="panel" style={{ overflowX: 'auto' }}>
                {rows.length === 0 ? (
                  <Empty title={t('parsers.none')} why={t('parsers.noneWhy')} />
                ) : (
                  <DataTable
                    label={t('parsers.what')}
                    rows={rows}
                    rowKey={(p) => p.id}
                    marked={chosen}
                    onRow={(p) => setUrl({ pack: p.id === chosen ? undefined : p.id })}
                    columns={[
                      {
                        key: 'product',
                        title: t('parsers.product'),
                        render: (p) => (
                          <>
                            <button className="plain link" onClick={() => setUrl({ pack: p.id })}>
                              <b style={{ fontWeight: 550 }}>
                                {p.product.startsWith(p.vendor) ? p.product : `${p.vendor} ${p.product}`}
                              </b>
                            </button>
                            <div className="faint mono">{p.id}</div>
                          </>
                        ),
                      },
                      { key: 'class', title: t('parsers.class'), render: (p) => t(`parsers.class.${p.class}`) },
                      { key: 'types', title: t('parsers.types'), num: true, render: (p) => number(list(p.logs).length, locale) },
                      { key: 'from', title: t('parsers.from'), render: from },
                    ]}
                  />
                )}
              </div>
              {open && <PackDetail key={open.id} pack={open} make={make} close={() => setUrl({ pack: undefined })} />}
            </div>
          </>
        );
      }}
    </Loaded>
  );
}

function PackDetail({ pack: p, make, close }: { pack: PackInfo; make: Make; close: () => void }) {
  const { t } = useSettings();
  const makes = useMakesPacks();
  const [line, setLine] = useState('');
  const text = useQuery({ queryKey: ['pack', p.id], queryFn: ({ signal }) => get<PackText>(packPath(p.id), {}, signal) });
  const read = useQuery({ queryKey: ['explain', line], enabled: line !== '', queryFn: () => post<Explained>('/parsers/explain', { line }) });
  return (
    <aside className="panel drawer" aria-label={p.id} data-testid="pack" style={{ width: 560 }}>
      <header>
        <h2>{p.id}</h2>
        <span className="end">
          {makes && text.data && (
            <Button size="small" onClick={() => make({ id: text.data.origin === 'own' ? p.id : `own/${p.product.toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^-|-$/g, '') || 'pack'}`, source: text.data.source, samples: text.data.samples, revision: 0 })}>
              {t('parsers.copy')}
            </Button>
          )}
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body stack">
        <a href={p.reference} target="_blank" rel="noreferrer noopener">
          {t('parsers.reference')}
        </a>
        <details open={list(p.logs).length <= 12}>
          <summary className="dim">
            {t('parsers.types')} · {list(p.logs).length}
          </summary>
          <table className="data fieldlist">
            <tbody>
              {list(p.logs).map((l) => (
                <tr key={l.id}>
                  <th scope="row">{l.name}</th>
                  <td className="mono faint">{l.dataset}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
        <Loaded query={text} what="parsers.what" small lines={4}>
          {(x) => (
            <>
              {x.samples && (
                <section>
                  <h3>{t('parsers.samples')}</h3>
                  <p className="faint">{t('parsers.trySample')}</p>
                  <ul className="rolelist samples">
                    {x.samples
                      .split('\n')
                      .filter((s) => s.trim() !== '')
                      .slice(0, 50)
                      .map((s, i) => (
                        <li key={i}>
                          <button className="plain mono ellipsis" title={s} aria-pressed={line === s} onClick={() => setLine(line === s ? '' : s)} style={{ maxWidth: 510, textAlign: 'left' }}>
                            {s}
                          </button>
                          {line === s && read.data && <Reading line={s} read={read.data} />}
                        </li>
                      ))}
                  </ul>
                </section>
              )}
              <details>
                <summary className="dim">{t('parsers.text')}</summary>
                <pre className="pem" style={{ overflow: 'auto', maxHeight: 420 }}>
                  {x.source}
                </pre>
              </details>
            </>
          )}
        </Loaded>
      </div>
    </aside>
  );
}

const MOST = 20;

/** Lines that are pasted, each as it is read. */
export function ExplainTab() {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const [text, setText] = useState(url.get('line') ?? '');
  const [read, setRead] = useState<{ line: string; read: Explained }[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const lines = text.split('\n').filter((l) => l.trim() !== '');
  const explain = async () => {
    setBusy(true);
    setError(null);
    try {
      const some = lines.slice(0, MOST);
      const out = await Promise.all(some.map((line) => post<Explained>('/parsers/explain', { line })));
      setRead(some.map((line, i) => ({ line, read: out[i] as Explained })));
      setUrl({ line: some.length === 1 && (some[0] ?? '').length < 1500 ? some[0] : undefined });
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="panel">
      <div className="body stack">
        <label className="dim" htmlFor="paste">
          {t('parsers.paste')}
        </label>
        <textarea
          id="paste"
          className="pem"
          rows={5}
          spellCheck={false}
          value={text}
          placeholder="<38>Nov 26 21:00:00 web-01 sshd[712]: Failed password for root from 203.0.113.7 port 52144 ssh2"
          onChange={(e) => setText(e.target.value)}
          onKeyDown={(e) => {
            if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) void explain();
          }}
        />
        <div className="row">
          <Button type="primary" loading={busy} disabled={lines.length === 0} onClick={() => void explain()}>
            {t('parsers.explain')}
          </Button>
          <span className="faint">{t('parsers.explainWhy')}</span>
        </div>
        <Refused error={error} />
        {lines.length > MOST && read.length === MOST && <div className="notice">{t('parsers.explainMax')}</div>}
        <div data-testid="explained">
          {read.map((r, i) => (
            <Reading key={i} line={r.line} read={r.read} small={read.length > 1} />
          ))}
        </div>
      </div>
    </div>
  );
}

/** The lines that no pack reads, by source, and what could read them. */
export function UnreadTab({ make }: { make: Make }) {
  const { t, locale } = useSettings();
  const makes = useMakesPacks();
  const [openAt, setOpenAt] = useState('');
  const query = useQuery({ queryKey: ['unread-logs'], queryFn: ({ signal }) => get<Page<Unread>>('/parsers/unread', {}, signal), refetchInterval: 10_000 });
  const key = (u: Unread) => [u.tenant, u.peer, u.file, u.program].join('|');
  const name = (u: Unread) => (u.program || u.file?.split('/').pop() || 'pack').toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '') || 'pack';
  const from = (u: Unread): Beginning => ({ id: `own/${name(u)}`, revision: 0, samples: `${list(u.examples).join('\n')}\n`, source: draftPack('own', name(u), list(u.drafts).slice(0, 20)) });
  return (
    <Loaded query={query} what="parsers.tab.unread" lines={5}>
      {(page) => {
        const rows = list(page.items);
        if (rows.length === 0) return <div className="panel"><Empty title={t('parsers.unreadNone')} why={t('parsers.unreadNoneWhy')} /></div>;
        const open = rows.find((u) => key(u) === openAt);
        return (
          <div className="withdetail">
            <div className="panel" style={{ overflowX: 'auto' }}>
              <DataTable
                label={t('parsers.tab.unread')}
                rows={rows}
                rowKey={key}
                marked={openAt}
                onRow={(u) => setOpenAt(key(u) === openAt ? '' : key(u))}
                columns={[
                  {
                    key: 'source',
                    title: t('parsers.source'),
                    render: (u) => (
                      <>
                        <button className="plain link mono" onClick={() => setOpenAt(key(u))}>
                          {[u.peer, u.file, u.program].filter(Boolean).join(' · ') || '–'}
                        </button>
                        <div className="faint mono ellipsis" style={{ maxWidth: 520 }}>
                          {list(u.examples)[0]}
                        </div>
                      </>
                    ),
                  },
                  { key: 'tenant', title: t('inputs.tenant'), render: (u) => (u.tenant ? <TenantName slug={u.tenant} /> : '–') },
                  { key: 'lines', title: t('parsers.lines'), num: true, render: (u) => number(u.lines, locale) },
                  { key: 'last', title: t('parsers.last'), num: true, render: (u) => <When time={u.last} age /> },
                ]}
              />
            </div>
            {open && (
              <aside className="panel drawer" aria-label={t('parsers.tab.unread')} data-testid="unread" style={{ width: 560 }}>
                <header>
                  <h2>{[open.peer, open.file, open.program].filter(Boolean).join(' · ')}</h2>
                  <span className="end">
                    {makes && list(open.examples).length > 0 && (
                      <Button size="small" type="primary" onClick={() => make(from(open))}>
                        {t('parsers.makeFrom')}
                      </Button>
                    )}
                    <Button type="text" size="small" onClick={() => setOpenAt('')} aria-label={t('do.close')}>
                      ✕
                    </Button>
                  </span>
                </header>
                <div className="body stack">
                  {list(open.examples).length === 0 && <p className="dim">{t('parsers.unreadMasked')}</p>}
                  {list(open.examples).length > 0 && (
                    <section>
                      <h3>{t('parsers.examples')}</h3>
                      {list(open.examples).map((x, i) => (
                        <pre key={i} className="pem" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere', marginBottom: 6 }}>
                          {x}
                        </pre>
                      ))}
                    </section>
                  )}
                  {list(open.drafts).length > 0 && (
                    <section>
                      <h3>{t('parsers.drafts')}</h3>
                      {list(open.drafts).map((d, i) => (
                        <div key={i} style={{ marginBottom: 6 }}>
                          <code style={{ overflowWrap: 'anywhere' }}>{d.pattern}</code> <span className="faint">{t('parsers.draftReads', { n: number(d.lines, locale) })}</span>
                        </div>
                      ))}
                    </section>
                  )}
                </div>
              </aside>
            )}
          </div>
        );
      }}
    </Loaded>
  );
}

/** The packs that were made here, their versions, and those that were deleted. */
export function OwnTab({ make }: { make: Make }) {
  const { t } = useSettings();
  const { act } = useAct();
  const makes = useMakesPacks();
  const [url, setUrl] = useUrl();
  const chosen = url.get('pack') ?? '';
  const query = useQuery({ queryKey: ['own-packs'], enabled: makes, queryFn: ({ signal }) => get<Page<PackVersion>>('/parsers/own', {}, signal) });
  const gone = useQuery({ queryKey: ['own-packs', 'deleted'], enabled: makes, queryFn: ({ signal }) => get<Page<PackVersion>>('/parsers/own', { deleted: true }, signal) });
  const renew = ['own-packs', 'packs', 'own-pack'];
  const restore = (id: string, revision: number) => act(() => post(`${ownPath(id)}/restore`, { revision }), { said: t('parsers.restored', { x: id, n: revision }), renew });
  const remove = (v: PackVersion) => void act(() => del(ownPath(v.pack)), { said: t('parsers.deleted', { x: v.pack }), undo: () => void restore(v.pack, v.revision), renew });
  if (!makes) return <div className="panel"><Empty title={t('parsers.ownNone')} why={t('parsers.ownCity')} /></div>;
  return (
    <Loaded query={query} what="parsers.tab.own" lines={4}>
      {(page) => {
        const rows = list(page.items);
        return (
          <div className="withdetail">
            <div className="stack" style={{ flex: 1, minWidth: 0 }}>
              <div className="panel" style={{ overflowX: 'auto' }}>
                {rows.length === 0 ? (
                  <Empty title={t('parsers.ownNone')} why={t('parsers.ownNoneWhy')}>
                    <Button onClick={() => make({ id: '', source: '', samples: '', revision: 0 })}>{t('parsers.new')}</Button>
                  </Empty>
                ) : (
                  <DataTable
                    label={t('parsers.tab.own')}
                    rows={rows}
                    rowKey={(v) => v.pack}
                    marked={chosen}
                    onRow={(v) => setUrl({ pack: v.pack === chosen ? undefined : v.pack })}
                    columns={[
                      {
                        key: 'pack',
                        title: t('parsers.product'),
                        render: (v) => (
                          <button className="plain link mono" onClick={() => setUrl({ pack: v.pack })}>
                            {v.pack}
                          </button>
                        ),
                      },
                      { key: 'revision', title: t('parsers.revision'), num: true, render: (v) => v.revision },
                      { key: 'by', title: t('parsers.changed'), render: (v) => <>{v.by} <span className="faint"><When time={v.at} age /></span></> },
                      { key: 'note', title: t('parsers.note'), render: (v) => v.note || <span className="faint">–</span> },
                      {
                        key: 'do',
                        title: '',
                        num: true,
                        render: (v) => (
                          <span className="row" style={{ justifyContent: 'flex-end' }}>
                            <Button size="small" onClick={() => make({ id: v.pack, source: v.source, samples: v.samples, revision: v.revision })}>
                              {t('do.edit')}
                            </Button>
                            <Button size="small" onClick={() => remove(v)}>
                              {t('do.delete')}
                            </Button>
                          </span>
                        ),
                      },
                    ]}
                  />
                )}
              </div>
              {list(gone.data?.items).length > 0 && (
                <section className="panel">
                  <header>
                    <h2>{t('parsers.deletedOnes')}</h2>
                  </header>
                  <ul className="body rolelist">
                    {list(gone.data?.items).map((v) => (
                      <li key={v.pack} className="row">
                        <span className="mono">{v.pack}</span>
                        <Button size="small" style={{ marginLeft: 'auto' }} onClick={() => void restore(v.pack, v.revision)}>
                          {t('inputs.restore')}
                        </Button>
                      </li>
                    ))}
                  </ul>
                </section>
              )}
            </div>
            {rows.some((v) => v.pack === chosen) && <Versions id={chosen} restore={(n) => void restore(chosen, n)} close={() => setUrl({ pack: undefined })} />}
          </div>
        );
      }}
    </Loaded>
  );
}

function Versions({ id, restore, close }: { id: string; restore: (revision: number) => void; close: () => void }) {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['own-pack', id], queryFn: ({ signal }) => get<OwnPack>(ownPath(id), {}, signal) });
  return (
    <aside className="panel drawer" aria-label={id} data-testid="own-pack" style={{ width: 480 }}>
      <header>
        <h2>{t('parsers.versions')}</h2>
        <span className="end">
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body">
        <Loaded query={query} what="parsers.versions" small lines={4}>
          {(own) => (
            <ol className="rolelist">
              {list(own.versions).map((v) => (
                <li key={v.revision}>
                  <div className="row">
                    <b>{v.revision}</b> {t(`parsers.action.${v.action}`)} <span className="faint">{v.by} <When time={v.at} age /></span>
                    {v.revision !== own.revision && v.action !== 'deleted' && (
                      <Button size="small" style={{ marginLeft: 'auto' }} onClick={() => restore(v.revision)}>
                        {t('parsers.restore')}
                      </Button>
                    )}
                  </div>
                  {v.note && <div className="dim">{v.note}</div>}
                  <details>
                    <summary className="faint">{t('parsers.text')}</summary>
                    <pre className="pem" style={{ overflow: 'auto', maxHeight: 300 }}>{v.source}</pre>
                  </details>
                </li>
              ))}
            </ol>
          )}
        </Loaded>
      </div>
    </aside>
  );
}
