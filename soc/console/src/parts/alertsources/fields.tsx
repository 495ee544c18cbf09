import { useQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { useState } from 'react';
import type { Setting } from '../../api/access';
import type { SourceField } from '../../api/alertsources';
import { get, put } from '../../api/client';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../dialog';
import { Loaded } from '../states';

const TYPES = ['text', 'number', 'time', 'ip', 'severity', 'status'] as const;
const FRESH: SourceField = { name: '', type: 'text', title: { zh: '', en: '' } };
const PATH = '/settings/alert-fields';

const putFields = (fields: SourceField[]) => put(PATH, { fields: fields.map(({ name, type, title }) => ({ name: name.trim(), type, title })) });

/** The fields that the operator added to the alert schema; mappings of sources may fill them, and alerts hold each as alert.NAME. */
export function FieldsDialog({ close }: { close: () => void }) {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['settings', 'alert-fields'], queryFn: ({ signal }) => get<Setting>(PATH, {}, signal) });
  const shipped = useQuery({ queryKey: ['alert-fields'], queryFn: ({ signal }) => get<Page<SourceField>>('/alert-sources/fields', undefined, signal) });
  const ready = { ...query, data: query.data && shipped.data ? { own: (query.data.value as { fields?: SourceField[] | null }).fields ?? [], shipped: list(shipped.data.items).filter((f) => !f.own) } : undefined, error: query.error ?? shipped.error };
  return (
    <Loaded query={ready} what="asource.ownFields" lines={2}>
      {(d) => <Editor before={d.own} shipped={d.shipped} close={close} title={t('asource.ownFields')} />}
    </Loaded>
  );
}

function Editor({ before, shipped, close, title }: { before: SourceField[]; shipped: SourceField[]; close: () => void; title: string }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const [fields, setFields] = useState(before.length > 0 ? before : [FRESH]);
  const change = (i: number, part: Partial<SourceField>) => setFields(fields.map((f, k) => (k === i ? { ...f, ...part } : f)));
  const submit = async () => {
    await putFields(fields.filter((f) => f.name.trim() !== ''));
    tell({ said: t('asource.fieldsSaved'), renew: ['settings', 'alert-fields'], undo: () => void putFields(before).then(() => tell({ renew: ['settings', 'alert-fields'] })) });
  };
  return (
    <FormDialog title={title} ok={t('do.save')} width={760} submit={submit} close={close}>
      <p className="dim" style={{ marginTop: 0 }}>
        {t('asource.ownFieldsWhy')}
      </p>
      {fields.map((f, i) => (
        <div key={i} className="row" style={{ marginBottom: 6 }}>
          <Input className="mono" style={{ width: 150 }} maxLength={64} aria-label={t('asource.fieldName')} placeholder="ticket_no" value={f.name} onChange={(e) => change(i, { name: e.target.value })} />
          <Select style={{ width: 110 }} aria-label={t('asource.fieldType')} value={f.type} onChange={(type: string) => change(i, { type })} options={TYPES.map((x) => ({ value: x, label: t(`asource.type.${x}`) }))} />
          <Input style={{ flex: 1 }} maxLength={100} aria-label={t('sla.nameZh')} placeholder={t('sla.nameZh')} value={f.title.zh} onChange={(e) => change(i, { title: { ...f.title, zh: e.target.value } })} />
          <Input style={{ flex: 1 }} maxLength={100} aria-label={t('sla.nameEn')} placeholder={t('sla.nameEn')} value={f.title.en} onChange={(e) => change(i, { title: { ...f.title, en: e.target.value } })} />
          <button type="button" className="plain faint" aria-label={t('do.remove', { x: f.name })} onClick={() => setFields(fields.filter((_, k) => k !== i))}>
            ✕
          </button>
        </div>
      ))}
      <Button size="small" type="dashed" onClick={() => setFields([...fields, FRESH])}>
        + {t('asource.addField')}
      </Button>
      <details style={{ marginTop: 12 }}>
        <summary className="dim">{t('asource.shippedFields', { n: shipped.length })}</summary>
        <dl className="facts">
          {shipped.map((f) => (
            <div key={f.name} style={{ display: 'contents' }}>
              <dt className="mono">{f.name}</dt>
              <dd>{tx(f.title)}</dd>
            </div>
          ))}
        </dl>
      </details>
    </FormDialog>
  );
}
