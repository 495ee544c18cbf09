import { Button, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { post, put } from '../../api/client';
import { KNOWLEDGE_RENEW, articleBody, articlePath, type Article, type ArticleBody } from '../../api/knowledge';
import { list, type Text } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { Refused } from '../dialog';

/** Writes or changes an article. */
export function ArticleForm({ article, close }: { article?: Article; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell, act } = useAct();
  const navigate = useNavigate();
  const [id, setId] = useState(article?.id ?? '');
  const [v, setV] = useState<ArticleBody>(() => (article ? articleBody(article) : { title: {}, verify: [{}], steps: [{}] }));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const set = (part: Partial<ArticleBody>) => setV({ ...v, ...part });
  const filled = (l?: readonly Text[] | null) => list(l as Text[]).filter((x) => x.zh?.trim() || x.en?.trim());
  const body: ArticleBody = { ...v, verify: filled(v.verify), steps: filled(v.steps) };
  const ready = !!(v.title.zh?.trim() || v.title.en?.trim()) && /^[a-z0-9][a-z0-9._-]{0,99}$/.test(id);
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      if (article) await put(articlePath(id), body);
      else await post('/knowledge', { ...body, id });
      tell({
        said: t('knowledge.saved', { x: tx(v.title) }),
        renew: KNOWLEDGE_RENEW,
        undo: article ? () => void act(() => post(`${articlePath(id)}/restore`, { version: article.version }), { said: t('knowledge.restored', { x: tx(article.title) }), renew: KNOWLEDGE_RENEW }) : undefined,
      });
      close();
      if (!article) navigate(articlePath(id));
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const both = (label: string, value: Text | undefined, put: (x: Text) => void, rows = 1) => (
    <div className="two">
      {(['zh', 'en'] as const).map((l) => (
        <label key={l} className="labelled">
          <span className="dim">
            {label} · {t(`knowledge.${l}`)}
          </span>
          {rows === 1 ? <Input value={value?.[l] ?? ''} onChange={(e) => put({ ...value, [l]: e.target.value })} /> : <Input.TextArea rows={rows} value={value?.[l] ?? ''} onChange={(e) => put({ ...value, [l]: e.target.value })} />}
        </label>
      ))}
    </div>
  );
  const lines = (key: 'verify' | 'steps') => {
    const rows = list(v[key]);
    return (
      <fieldset className="matchers">
        <legend>{t(`knowledge.${key}`)}</legend>
        {rows.map((x, i) => (
          <div key={i} className="row" style={{ alignItems: 'flex-start', marginBottom: 6 }}>
            {(['zh', 'en'] as const).map((l) => (
              <Input.TextArea key={l} rows={2} aria-label={`${t(`knowledge.${key}`)} ${t('knowledge.line', { n: i + 1 })} ${t(`knowledge.${l}`)}`} placeholder={t(`knowledge.${l}`)} value={x[l] ?? ''} onChange={(e) => set({ [key]: rows.map((y, k) => (k === i ? { ...y, [l]: e.target.value } : y)) })} />
            ))}
            <button type="button" className="plain x" aria-label={t('do.remove', { x: `${t(`knowledge.${key}`)} ${t('knowledge.line', { n: i + 1 })}` })} onClick={() => set({ [key]: rows.filter((_, k) => k !== i) })}>
              ✕
            </button>
          </div>
        ))}
        <Button size="small" type="dashed" onClick={() => set({ [key]: [...rows, {}] })}>
          + {t('knowledge.addLine')}
        </Button>
      </fieldset>
    );
  };
  return (
    <Modal open width={920} title={article ? t('knowledge.edit', { x: tx(article.title) }) : t('knowledge.new')} okText={t('do.save')} okButtonProps={{ disabled: !ready }} confirmLoading={busy} cancelText={t('do.cancel')} maskClosable={false} onCancel={close} onOk={() => void send()}>
      <Refused error={error} />
      <div className="stack">
        {!article && (
          <label className="labelled">
            <span className="dim">{t('knowledge.id')}</span>
            <Input className="mono" maxLength={100} placeholder="our-bastion" value={id} onChange={(e) => setId(e.target.value.trim())} />
          </label>
        )}
        {both(t('knowledge.title'), v.title, (title) => set({ title }))}
        {both(t('knowledge.summary'), v.summary, (summary) => set({ summary }), 2)}
        {lines('verify')}
        {lines('steps')}
        {both(t('knowledge.notes'), v.notes, (notes) => set({ notes }), 2)}
        <label className="labelled">
          <span className="dim">{t('knowledge.contacts')}</span>
          <Input value={v.contacts ?? ''} onChange={(e) => set({ contacts: e.target.value })} />
        </label>
        <div className="two">
          <label className="labelled">
            <span className="dim">{t('knowledge.references')}</span>
            <Select mode="tags" aria-label={t('knowledge.references')} value={list(v.references)} open={false} suffixIcon={null} tokenSeparators={[' ']} placeholder="https://" onChange={(references: string[]) => set({ references })} style={{ width: '100%' }} />
          </label>
          <label className="labelled">
            <span className="dim">{t('knowledge.tags')}</span>
            <Select mode="tags" aria-label={t('knowledge.tags')} value={list(v.tags)} open={false} suffixIcon={null} tokenSeparators={[',', '，']} onChange={(tags: string[]) => set({ tags })} style={{ width: '100%' }} />
          </label>
        </div>
      </div>
    </Modal>
  );
}
