import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Drawer, Dropdown, Input, Segmented, Select } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { del, get, post, request } from '../../api/client';
import type { PastSearch, SavedSearch } from '../../api/search';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { download } from '../../logic/export';
import { pastParams, savedParams } from '../../logic/saved';
import { useGroupChoices, useGroupName } from './groups';
import { ImportDialog } from './importing';
import { SaveDialog, contentOf } from './save';
import { Empty, Loaded } from '../states';
import { When } from '../time';

type Shown = 'saved' | 'history';
const id = (s: { id: string | number }) => encodeURIComponent(s.id);

/** Searches to take up again: those that were saved, by folder and log group, and one's own past ones. */
export function SavedDrawer({ show, setShow, close, open }: { show: Shown; setShow: (s: Shown) => void; close: () => void; open: (params: Record<string, string | undefined>) => void }) {
  const { t } = useSettings();
  const [text, setText] = useState('');
  const q = useSettled(text, 200);
  return (
    <Drawer open onClose={close} width={520} title={<Segmented<Shown> value={show} onChange={setShow} options={[{ value: 'saved', label: t('saved.title') }, { value: 'history', label: t('saved.history') }]} />} styles={{ body: { padding: 0 } }}>
      <div style={{ padding: '10px 14px' }}>
        <Input allowClear autoFocus placeholder={t('saved.find')} aria-label={t('saved.find')} value={text} onChange={(e) => setText(e.target.value)} />
      </div>
      {show === 'saved' ? <Saved q={q} open={open} /> : <History q={q} open={open} />}
    </Drawer>
  );
}

function Saved({ q, open }: { q: string; open: (params: Record<string, string | undefined>) => void }) {
  const { t } = useSettings();
  const { act } = useAct();
  const [mine, setMine] = useState(false);
  const [group, setGroup] = useState<string>();
  const [editing, setEditing] = useState<SavedSearch | null>(null);
  const [importing, setImporting] = useState(false);
  const exportAll = () =>
    void act(async () => {
      const res = await request('GET', '/saved-searches/export', { query: { format: 'yaml' }, accept: '*/*' });
      download('saved-searches.yaml', 'application/yaml', await res.blob());
    });
  const groupName = useGroupName();
  const groups = useGroupChoices();
  const query = useQuery({
    queryKey: ['saved', q, mine, group],
    queryFn: async ({ signal }) => list((await get<Page<SavedSearch>>('/saved-searches', { q, mine: mine || undefined, group, limit: 500 }, signal)).items),
    placeholderData: keepPreviousData,
  });
  return (
    <>
      <div className="row" style={{ padding: '0 14px 8px' }}>
        <Select allowClear aria-label={t('groups.one')} placeholder={t('groups.any')} value={group} onChange={setGroup} options={groups} style={{ width: 220 }} popupMatchSelectWidth={false} />
        <Checkbox checked={mine} onChange={(e) => setMine(e.target.checked)}>
          {t('saved.mine')}
        </Checkbox>
        <span className="grow" />
        <Button size="small" type="text" onClick={exportAll}>
          {t('do.export')}
        </Button>
        <Button size="small" type="text" onClick={() => setImporting(true)}>
          {t('do.import')}
        </Button>
      </div>
      <Loaded query={query} what="saved.title" lines={8}>
        {(all) => {
          if (all.length === 0) return <Empty title={t('saved.none')} why={t('saved.noneWhy')} />;
          const folders = [...new Set(all.map((s) => s.folder ?? ''))].sort();
          return (
            <div data-testid="saved">
              {folders.map((f) => (
                <section key={f}>
                  <h3 className="faint folder">{f || t('saved.top')}</h3>
                  {all
                    .filter((s) => (s.folder ?? '') === f)
                    .map((s) => (
                      <div className="savedrow" key={s.id}>
                        <button className="plain grow" onClick={() => open(savedParams(s))}>
                          <b>{s.name}</b>
                          {s.description && <span className="dim"> {s.description}</span>}
                          <code className="ellipsis">{s.query || '*'}</code>
                          <span className="faint">
                            {t(`visibility.${s.visibility}`)}
                            {s.group && ` · ${groupName(s.group)}`}
                            {!s.mine && s.owner && ` · ${s.owner.name || s.owner.username}`}
                          </span>
                        </button>
                        <Dropdown
                          trigger={['click']}
                          menu={{
                            items: [
                              { key: 'edit', label: t('do.edit'), disabled: !s.editable, onClick: () => setEditing(s) },
                              { key: 'copy', label: t('saved.copy'), onClick: () => void act(() => post(`/saved-searches/${id(s)}/copy`), { said: t('saved.copied', { x: s.name }), renew: ['saved'] }) },
                              { key: 'monitor', label: <Link to={`/search/monitors?new=1&search=${id(s)}`}>{t('saved.monitor')}</Link> },
                              {
                                key: 'delete',
                                disabled: !s.editable,
                                label: t('saved.delete'),
                                onClick: () => {
                                  void act(() => del(`/saved-searches/${id(s)}`), {
                                    said: t('saved.deleted', { x: s.name }),
                                    undo: () => void act(() => post('/saved-searches', contentOf(s)), { renew: ['saved'] }),
                                    renew: ['saved'],
                                  });
                                },
                              },
                            ],
                          }}
                        >
                          <Button type="text" size="small" aria-label={t('do.actions', { x: s.name })}>
                            ⋯
                          </Button>
                        </Dropdown>
                      </div>
                    ))}
                </section>
              ))}
            </div>
          );
        }}
      </Loaded>
      {editing && <SaveDialog saved={editing} close={() => setEditing(null)} />}
      {importing && <ImportDialog title={t('saved.import')} path="/saved-searches/import" conflicts renew={['saved']} close={() => setImporting(false)} />}
    </>
  );
}

function History({ q, open }: { q: string; open: (params: Record<string, string | undefined>) => void }) {
  const { t } = useSettings();
  const { act } = useAct();
  const query = useQuery({ queryKey: ['search-history', q], queryFn: async ({ signal }) => list((await get<Page<PastSearch>>('/me/search-history', { q, limit: 200 }, signal)).items), placeholderData: keepPreviousData });
  return (
    <Loaded query={query} what="saved.history" lines={8}>
      {(all) =>
        all.length === 0 ? (
          <Empty title={t('saved.noHistory')} why={t('saved.noHistoryWhy')} />
        ) : (
          <div data-testid="history">
            <div className="row" style={{ padding: '0 14px 6px' }}>
              <span className="faint grow">{t('saved.historyWhy')}</span>
              <button className="plain link" onClick={() => void act(() => del('/me/search-history'), { said: t('saved.cleared'), renew: ['search-history'] })}>
                {t('saved.clear')}
              </button>
            </div>
            {all.map((p) => (
              <div className="savedrow" key={p.id}>
                <button className="plain grow" onClick={() => open(pastParams(p))}>
                  <code className="ellipsis">{p.query || '*'}</code>
                  <span className="faint">
                    <When time={p.last_at} age /> · {t('saved.times', { n: p.count })}
                    {p.rows !== undefined && ` · ${t('saved.rows', { n: p.rows })}`}
                  </span>
                </button>
                <Button type="text" size="small" aria-label={t('do.remove', { x: p.query || '*' })} onClick={() => void act(() => del(`/me/search-history/${id(p)}`), { renew: ['search-history'] })}>
                  ✕
                </Button>
              </div>
            ))}
          </div>
        )
      }
    </Loaded>
  );
}
