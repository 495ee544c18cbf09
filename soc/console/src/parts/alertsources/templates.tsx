import { useQuery } from '@tanstack/react-query';
import { Button, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { del, get, put } from '../../api/client';
import type { SourceTemplate } from '../../api/alertsources';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { Refused } from '../dialog';
import { When } from '../time';
import { useTemplates } from './form';

/** The templates: those of the suite to read, ours to change, each change a version. */
export function Templates({ close }: { close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const all = list(useTemplates().data?.items);
  const [id, setId] = useState('');
  const [text, setText] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const query = useQuery({ queryKey: ['alert-template', id], enabled: id !== '', queryFn: ({ signal }) => get<SourceTemplate>(`/alert-sources/templates/${encodeURIComponent(id)}`, undefined, signal) });
  const one = query.data;
  const shown = text ?? one?.yaml ?? '';
  const attempt = async (f: () => Promise<unknown>, said: string) => {
    setError(null);
    try {
      await f();
      tell({ said, renew: ['alert-templates', 'alert-template', 'alert-sources'] });
      setText(null);
    } catch (e) {
      setError(e);
    }
  };
  return (
    <Modal open width={900} title={t('asource.templates')} onCancel={close} footer={null}>
      <Refused error={error} />
      <div className="stack">
        <Select
          aria-label={t('asource.template')}
          showSearch
          optionFilterProp="label"
          value={id || undefined}
          placeholder={t('asource.template')}
          onChange={(v: string) => {
            setId(v);
            setText(null);
          }}
          options={all.map((x) => ({ value: x.id, label: `${tx(x.title) || x.id} · v${x.version}${x.own ? ` · ${t('asource.templateOwn')}` : ''}` }))}
        />
        {one && (
          <>
            <Input.TextArea aria-label={t('asource.template')} className="mono" spellCheck={false} rows={22} value={shown} onChange={(e) => setText(e.target.value)} />
            <div className="row wrap">
              {!one.own && text === null && (
                <Button onClick={() => setText(shown.replace(/^id: .*$/m, `id: my-${one.id}`).replace(/^version: .*$/m, 'version: 1'))}>{t('asource.templateNew')}</Button>
              )}
              <Button type="primary" disabled={text === null || text === one.yaml} onClick={() => void attempt(() => put('/alert-sources/templates', { yaml: shown }), t('asource.templateSaved', { x: one.id }))}>
                {t('asource.templateSave')}
              </Button>
              {one.own && <Button onClick={() => void attempt(async () => {
                await del(`/alert-sources/templates/${encodeURIComponent(one.id)}`);
                setId('');
              }, t('asource.deleted', { x: one.id }))}>{t('asource.templateDelete')}</Button>}
              {one.reference && (
                <a href={one.reference} target="_blank" rel="noreferrer">
                  {t('asource.reference')}
                </a>
              )}
            </div>
            {list(one.versions).length > 0 && (
              <section>
                <h3>{t('asource.templateVersions')}</h3>
                {list(one.versions).map((v) => (
                  <div key={v.version} className="row">
                    <button className="plain link" onClick={() => setText(v.yaml ?? '')}>
                      v{v.version}
                    </button>
                    <span className="faint">{v.by}</span>
                    <When time={v.at} />
                  </div>
                ))}
              </section>
            )}
          </>
        )}
      </div>
    </Modal>
  );
}
