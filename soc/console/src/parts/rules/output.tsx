import { Input, Select } from 'antd';
import { useMemo } from 'react';
import type { CatalogueField } from '../../api/rules';
import { useSettings } from '../../app/settings';
import { readOutput, writeOutput, type Output } from '../../logic/sigma/output';

/** What the rule's alerts say: a sentence with values of fields, advice, how firings are grouped, which fields are shown. */
export function OutputForm({ source, fields, set }: { source: string; fields: ReadonlyMap<string, CatalogueField>; set: (source: string) => void }) {
  const { t } = useSettings();
  const o = useMemo(() => readOutput(source), [source]);
  const options = useMemo(() => [...fields.values()].map((f) => ({ value: f.name, label: f.name })), [fields]);
  const change = <K extends keyof Output>(key: K, value: Output[K]) => set(writeOutput(source, key, value));
  /** Puts the place of a field at the end of a sentence. */
  const insert = (key: 'sentenceZh' | 'sentenceEn', name: string) => change(key, `${o[key]}{${name}}`);
  const sentence = (key: 'sentenceZh' | 'sentenceEn') => (
    <label className="field wide">
      <span className="dim">{t(`output.${key}`)}</span>
      <span className="row">
        <Input value={o[key]} onChange={(e) => change(key, e.target.value)} aria-label={t(`output.${key}`)} placeholder="{user.name} … {source.ip}" />
        <Select style={{ width: 190 }} showSearch value={null} placeholder={t('output.insert')} aria-label={`${t('output.insert')} ${t(`output.${key}`)}`} options={options} onChange={(name: string | null) => name && insert(key, name)} />
      </span>
    </label>
  );
  return (
    <div className="about" data-testid="output">
      {sentence('sentenceZh')}
      {sentence('sentenceEn')}
      <label className="field wide">
        <span className="dim">{t('output.description')}</span>
        <Input.TextArea rows={2} value={o.description} onChange={(e) => change('description', e.target.value)} aria-label={t('output.description')} />
      </label>
      <label className="field wide">
        <span className="dim">{t('output.adviceZh')}</span>
        <Input.TextArea rows={2} value={o.adviceZh} onChange={(e) => change('adviceZh', e.target.value)} aria-label={t('output.adviceZh')} />
      </label>
      <label className="field wide">
        <span className="dim">{t('output.adviceEn')}</span>
        <Input.TextArea rows={2} value={o.adviceEn} onChange={(e) => change('adviceEn', e.target.value)} aria-label={t('output.adviceEn')} />
      </label>
      <label className="field wide">
        <span className="dim">{t('output.groupBy')}</span>
        <Select mode="tags" value={o.groupBy} options={options} onChange={(v: string[]) => change('groupBy', v)} aria-label={t('output.groupBy')} placeholder={t('output.groupByWhy')} />
      </label>
      <label className="field wide">
        <span className="dim">{t('output.fields')}</span>
        <Select mode="tags" value={o.fields} options={options} onChange={(v: string[]) => change('fields', v)} aria-label={t('output.fields')} />
      </label>
    </div>
  );
}
