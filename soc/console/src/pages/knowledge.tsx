import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Input, Modal } from 'antd';
import { useEffect, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { del, get, post } from '../api/client';
import { KNOWLEDGE_RENEW, articlePath, type Article, type ArticleDetail, type ArticleVersion } from '../api/knowledge';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';
import { useAct } from '../app/act';
import { useSettled, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { ArticleText } from '../parts/knowledge/article';
import { ArticleForm } from '../parts/knowledge/form';
import { Head, Panel } from '../parts/page';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

/** The knowledge base: articles on the left, the chosen one beside them. ?q= searches, ?new=1 writes one. */
export default function Knowledge() {
  const { id = '' } = useParams();
  const { t, tx } = useSettings();
  const [url, setUrl] = useUrl();
  const write = useCan()('create-article');
  const q = url.get('q') ?? '';
  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => {
    if (settled !== q && settled === text.trim()) setUrl({ q: settled || undefined });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps
  const query = useQuery({ queryKey: ['knowledge', q], queryFn: ({ signal }) => get<Page<Article>>('/knowledge', { q }, signal), placeholderData: keepPreviousData });
  // Without a choice the first is open: an empty half of a page tells nothing.
  const chosen = id || (list(query.data?.items)[0]?.id ?? '');
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  return (
    <div className="page">
      <Head title={t('page.knowledge')} sub={t('knowledge.lead')}>
        <Input allowClear style={{ width: 220 }} aria-label={t('knowledge.search')} placeholder={t('knowledge.search')} value={text} onChange={(e) => setText(e.target.value)} />
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('knowledge.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      <div className="articles">
        <nav className="panel" aria-label={t('page.knowledge')} style={{ padding: 6, maxHeight: '78vh', overflow: 'auto' }}>
          <Loaded query={query} what="page.knowledge" lines={12} small>
            {(d) =>
              list(d.items).length === 0 ? (
                <Empty small title={t('knowledge.none')} why={t('knowledge.noneWhy')} />
              ) : (
                <ul className="articlelist">
                  {list(d.items).map((a) => (
                    <li key={a.id}>
                      <Link to={`${articlePath(a.id)}${q ? `?${new URLSearchParams({ q })}` : ''}`} aria-current={a.id === chosen ? 'page' : undefined}>
                        {tx(a.title) || a.id}
                        {(!a.shipped || a.version > 0) && <span className="tag">{t(a.shipped ? 'knowledge.changed' : 'knowledge.own')}</span>}
                      </Link>
                    </li>
                  ))}
                </ul>
              )
            }
          </Loaded>
        </nav>
        {chosen ? (
          <One key={chosen} id={chosen} write={write} />
        ) : (
          <section className="panel">
            <Empty title={t('knowledge.choose')} why={t('knowledge.chooseWhy')} />
          </section>
        )}
      </div>
      {url.get('new') === '1' && write && <ArticleForm close={() => setUrl({ new: undefined })} />}
    </div>
  );
}

function One({ id, write }: { id: string; write: boolean }) {
  const { t, tx } = useSettings();
  const navigate = useNavigate();
  const { act } = useAct();
  const [editing, setEditing] = useState(false);
  const [history, setHistory] = useState(false);
  const query = useQuery({ queryKey: ['article', id], queryFn: ({ signal }) => get<ArticleDetail>(articlePath(id), {}, signal) });
  const remove = (a: Article) =>
    void act(() => del(articlePath(id)), {
      said: t('knowledge.deleted', { x: tx(a.title) }),
      renew: ['knowledge'],
      undo: () => void act(() => post(`${articlePath(id)}/restore`, { version: a.version }), { said: t('knowledge.restored', { x: tx(a.title) }), renew: KNOWLEDGE_RENEW }),
    }).then((ok) => ok && navigate('/knowledge'));
  return (
    <Loaded query={query} what="knowledge.what" lines={10}>
      {(a) => (
        <Panel
          title={tx(a.title) || a.id}
          end={
            <span className="row">
              <span className="tag mono">{a.id}</span>
              <Button size="small" onClick={() => setHistory(true)}>
                {t('knowledge.history')}
              </Button>
              {write && !a.shipped && (
                <Button size="small" onClick={() => remove(a)}>
                  {t('inhibit.delete')}
                </Button>
              )}
              {write && (
                <Button size="small" type="primary" onClick={() => setEditing(true)}>
                  {t('do.edit')}
                </Button>
              )}
            </span>
          }
        >
          <ArticleText of={a} />
          <dl className="facts" style={{ marginTop: 12 }}>
            {list(a.tags).length > 0 && (
              <>
                <dt>{t('knowledge.tags')}</dt>
                <dd className="tags">
                  {list(a.tags).map((x) => (
                    <span key={x} className="tag">
                      # {x}
                    </span>
                  ))}
                </dd>
              </>
            )}
            {a.attack && (
              <>
                <dt>{t('knowledge.alerts')}</dt>
                <dd>
                  <Link to={`/alerts?${new URLSearchParams({ attack: a.id, status: 'open,acknowledged,closed' })}`}>{t('knowledge.ofAttack')}</Link>
                </dd>
              </>
            )}
            {list(a.rules).length > 0 && (
              <>
                <dt>{t('knowledge.rules')}</dt>
                <dd>
                  {list(a.rules).map((r) => (
                    <div key={r.id}>
                      <Link to={`/rules/${encodeURIComponent(r.id)}`}>{tx(r.title) || r.id}</Link>
                    </div>
                  ))}
                </dd>
              </>
            )}
          </dl>
          {editing && <ArticleForm article={a} close={() => setEditing(false)} />}
          {history && <History article={a} write={write} close={() => setHistory(false)} />}
        </Panel>
      )}
    </Loaded>
  );
}

function History({ article, write, close }: { article: Article; write: boolean; close: () => void }) {
  const { t, tx } = useSettings();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['article', article.id, 'versions'], queryFn: ({ signal }) => get<Page<ArticleVersion>>(`${articlePath(article.id)}/versions`, {}, signal) });
  const restore = (version: number) => post(`${articlePath(article.id)}/restore`, { version });
  return (
    <Modal open width={720} footer={null} title={`${t('knowledge.history')} · ${tx(article.title)}`} onCancel={close}>
      <Loaded query={query} what="knowledge.history" lines={3} small>
        {(d) => (
          <DataTable
            label={t('knowledge.history')}
            rows={list(d.items)}
            rowKey={(v) => String(v.version)}
            columns={[
              { key: 'v', title: '#', num: true, render: (v) => v.version },
              { key: 'at', title: t('notify.at'), render: (v) => (v.updated_at ? <When time={v.updated_at} /> : t('knowledge.shipped')) },
              { key: 'by', title: t('notify.by'), render: (v) => v.updated_by },
              { key: 'what', title: t('knowledge.steps'), render: (v) => (v.deleted ? t('merge.deleted') : list(v.steps).map(tx).join(' ')) },
              {
                key: 'do',
                title: '',
                num: true,
                render: (v) =>
                  write && v.version !== article.version && !v.deleted && (
                    <Button size="small" disabled={busy} onClick={() => void act(() => restore(v.version), { said: t('knowledge.restored', { x: tx(v.title) }), renew: KNOWLEDGE_RENEW, undo: () => void act(() => restore(article.version), { renew: KNOWLEDGE_RENEW }) }).then((ok) => ok && close())}>
                      {t('notify.restore')}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </Modal>
  );
}
