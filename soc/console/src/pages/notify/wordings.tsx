import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Select } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import type { ContactKind, Wording, WordingHelp, WordingPreview, Words } from '../../api/notify';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { Empty, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const PARTS = ['title', 'plain', 'markdown'] as const;

/** Titles and texts of notifications. ?new=1 makes a wording. */
export default function Wordings() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const [editing, setEditing] = useState<Wording | null>(null);
  const query = useQuery({ queryKey: ['wordings'], queryFn: ({ signal }) => get<Page<Wording>>('/wordings', {}, signal) });
  const kinds = useQuery({ queryKey: ['contact-kinds'], staleTime: Infinity, queryFn: ({ signal }) => get<Page<ContactKind>>('/contact-kinds', {}, signal) });
  const rows = list(query.data?.items);
  const write = can('put-wording');
  const kindName = (k: string) => (k === '' ? t('notify.allKinds') : (list(kinds.data?.items).find((x) => x.name === k)?.[locale === 'zh-CN' ? 'zh' : 'en'] ?? k));
  const remove = (w: Wording) =>
    void act(() => del('/wordings', { name: w.name, language: w.language, kind: w.kind }), {
      said: t('notify.removed', { x: w.name }),
      renew: ['wordings'],
      undo: () => void act(() => put('/wordings', { name: w.name, language: w.language, kind: w.kind, text: w.text }), { said: t('notify.restored'), renew: ['wordings'] }),
    });
  return (
    <div className="page">
      <Head title={t('page.wordings')} sub={t('notify.wordingsLead')}>
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('notify.newWording')}
          </Button>
        )}
      </Head>
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.wordings" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('notify.noWordings')} why={t('notify.noWordingsWhy')} />
            ) : (
              <DataTable
                label={t('page.wordings')}
                rows={rows}
                rowKey={(w) => String(w.version)}
                columns={[
                  { key: 'name', title: t('notify.name'), render: (w) => w.name },
                  { key: 'language', title: t('notify.language'), render: (w) => (w.language === 'zh' ? '中文' : 'English') },
                  { key: 'kind', title: t('notify.kind'), render: (w) => kindName(w.kind) },
                  { key: 'by', title: t('notify.by'), render: (w) => w.by },
                  { key: 'at', title: t('notify.at'), render: (w) => <When time={w.at} /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (w) =>
                      write && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" onClick={() => setEditing(w)}>
                            {t('do.edit')}
                          </Button>
                          <Button size="small" onClick={() => remove(w)}>
                            {t('do.delete')}
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
      {(editing || url.get('new') === '1') && (
        <WordingForm
          wording={editing ?? undefined}
          kinds={['', ...list(kinds.data?.items).map((k) => k.name)].map((k) => ({ value: k, label: kindName(k) }))}
          close={() => {
            setEditing(null);
            setUrl({ new: undefined });
          }}
        />
      )}
    </div>
  );
}

type Values = { name: string; language: 'zh' | 'en'; kind: string; text: Words };

function WordingForm({ wording: w, kinds, close }: { wording?: Wording; kinds: { value: string; label: string }[]; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const [preview, setPreview] = useState<WordingPreview | null>(null);
  const [incident, setIncident] = useState('');
  const help = useQuery({ queryKey: ['wording-help'], staleTime: Infinity, queryFn: ({ signal }) => get<WordingHelp>('/wordings/help', {}, signal) });
  return (
    <FormDialog<Values>
      title={w ? w.name : t('notify.newWording')}
      ok={t('do.save')}
      width={760}
      initial={w ?? { language: 'zh', kind: '', text: { title: '', plain: '', markdown: '' } }}
      submit={async (v) => {
        const key = w ?? v;
        await put('/wordings', { name: key.name, language: key.language, kind: key.kind, text: v.text });
        tell({ said: t('notify.saved'), renew: ['wordings'] });
      }}
      close={close}
    >
      {(form) => (
        <>
          {!w && (
            <>
              <Form.Item name="name" label={t('notify.name')} extra={t('notify.nameWhy')} rules={[{ required: true, pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, message: t('notify.nameWhy') }]}>
                <Input autoFocus />
              </Form.Item>
              <Form.Item name="language" label={t('notify.language')}>
                <Select options={[{ value: 'zh', label: '中文' }, { value: 'en', label: 'English' }]} />
              </Form.Item>
              <Form.Item name="kind" label={t('notify.kind')}>
                <Select options={kinds} />
              </Form.Item>
              <Button disabled={!help.data} onClick={() => help.data && form.setFieldValue('text', help.data.defaults[form.getFieldValue('language') as 'zh' | 'en'])}>
                {t('notify.useDefault')}
              </Button>
            </>
          )}
          {PARTS.map((p) => (
            <Form.Item key={p} name={['text', p]} label={t(`notify.part.${p}`)}>
              <Input.TextArea className="mono" rows={p === 'title' ? 2 : 6} placeholder={t('notify.wordingDefault')} />
            </Form.Item>
          ))}
          <div className="row">
            <Input aria-label={t('notify.previewIncident')} placeholder={t('notify.previewIncident')} value={incident} onChange={(e) => setIncident(e.target.value)} style={{ width: 260 }} />
            <Button
              onClick={() => {
                const v = form.getFieldsValue() as Values;
                post<WordingPreview>('/wordings/preview', { language: w?.language ?? v.language, text: { title: v.text.title ?? '', plain: v.text.plain ?? '', markdown: v.text.markdown ?? '' }, incident }).then(setPreview, (e: unknown) =>
                  setPreview({ title: '', plain: '', markdown: '', html: '', error: { part: 'title', line: 0, reason: e instanceof Error ? e.message : String(e) } }),
                );
              }}
            >
              {t('notify.preview')}
            </Button>
          </div>
          {preview?.error && (
            <div className="notice warn" role="alert">
              {t('notify.errorAt', { part: t(`notify.part.${preview.error.part}` as 'notify.part.title'), n: preview.error.line, why: preview.error.reason })}
            </div>
          )}
          {preview && !preview.error && (
            <div role="status">
              {PARTS.map((p) => (
                <pre key={p} style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
                  {preview[p]}
                </pre>
              ))}
            </div>
          )}
          {help.data && (
            <details>
              <summary>
                {t('notify.functions')}, {t('notify.variables')}
              </summary>
              <p className="mono">{list(help.data.functions).join(' ')}</p>
              <pre style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>{JSON.stringify(help.data.data, null, 2)}</pre>
            </details>
          )}
        </>
      )}
    </FormDialog>
  );
}
