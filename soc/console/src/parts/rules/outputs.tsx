import { useQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { useEffect, useMemo, useRef, useState } from 'react';
import { get } from '../../api/client';
import { type Article } from '../../api/knowledge';
import { useCan } from '../../api/queries';
import type { CatalogueField } from '../../api/rules';
import { SEVERITIES, list, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { MOST_DEPTH, freshOutput, readKnowledge, readOutputs, shadowed, unready, writeKnowledge, writeOutputs, type ConditionalOutput } from '../../logic/sigma/outputs';
import { Builder } from './builder';

/** Articles of the knowledge base to choose from. */
function useArticles(): { value: string; label: string }[] {
  const { tx } = useSettings();
  const can = useCan();
  const found = useQuery({ queryKey: ['knowledge', ''], enabled: can('list-articles'), queryFn: ({ signal }) => get<Page<Article>>('/knowledge', {}, signal), staleTime: 60_000 }).data;
  return useMemo(() => list(found?.items).map((a) => ({ value: a.id, label: `${tx(a.title)} · ${a.id}` })), [found, tx]);
}

/** The article that a rule's alerts lead to. */
export function KnowledgePicker({ value, set }: { value: string; set: (id: string) => void }) {
  const { t } = useSettings();
  const options = useArticles();
  return <Select showSearch allowClear aria-label={t('outputs.knowledge')} placeholder={t('outputs.knowledgeWhy')} value={value || undefined} optionFilterProp="label" options={value && !options.some((o) => o.value === value) ? [...options, { value, label: value }] : options} onChange={(id: string | undefined) => set(id ?? '')} style={{ width: '100%' }} />;
}

/** What alerts say where that depends on the event: branches of if and else, each with conditions in any nesting. */
export function OutputsForm({ source, fields, set }: { source: string; fields: ReadonlyMap<string, CatalogueField>; set: (source: string) => void }) {
  const { t } = useSettings();
  const written = useMemo(() => readOutputs(source), [source]);
  // What is not finished yet is kept here alone; the YAML has what can be kept.
  const [draft, setDraft] = useState<ConditionalOutput[]>(written ?? []);
  const sent = useRef(source);
  useEffect(() => {
    if (source === sent.current) return;
    sent.current = source;
    setDraft(written ?? []);
  }, [source, written]);
  const knowledge = useMemo(() => readKnowledge(source), [source]);
  const open = draft.some(unready) || shadowed(draft);
  const change = (next: ConditionalOutput[]) => {
    setDraft(next);
    if (next.some(unready) || shadowed(next)) return;
    const out = writeOutputs(source, next);
    sent.current = out;
    if (out !== source) set(out);
  };
  return (
    <div className="stack" data-testid="outputs">
      <label className="field wide">
        <span className="dim">{t('outputs.knowledge')}</span>
        <KnowledgePicker value={knowledge} set={(id) => set(writeKnowledge(source, id))} />
      </label>
      {written === null ? (
        <div className="hint">{t('outputs.tooMuch')}</div>
      ) : (
        <>
          <div className="hint">{draft.length === 0 ? t('outputs.none') : t('outputs.why')}</div>
          <Branches list={draft} set={change} fields={fields} depth={1} at="" />
          {open && (
            <div className="hint" role="status">
              {t('outputs.unready')}
            </div>
          )}
        </>
      )}
    </div>
  );
}

function Branches({ list: outputs, set, fields, depth, at }: { list: ConditionalOutput[]; set: (l: ConditionalOutput[]) => void; fields: ReadonlyMap<string, CatalogueField>; depth: number; at: string }) {
  const { t } = useSettings();
  const put = (i: number, o: ConditionalOutput | null) => set(outputs.flatMap((x, k) => (k === i ? (o ? [o] : []) : [x])));
  const up = (i: number) => {
    const next = [...outputs];
    next.splice(i - 1, 0, ...next.splice(i, 1));
    set(next);
  };
  return (
    <>
      {outputs.map((o, i) => (
        <Branch key={i} of={o} first={i === 0} name={`${at}${i + 1}`} fields={fields} depth={depth} set={(x) => put(i, x)} up={i > 0 ? () => up(i) : undefined} />
      ))}
      <Button size="small" type="dashed" onClick={() => set([...outputs, freshOutput()])}>
        + {t(depth === 1 ? 'outputs.add' : 'outputs.then')}
      </Button>
    </>
  );
}

function Branch({ of: o, first, name, fields, depth, set, up }: { of: ConditionalOutput; first: boolean; name: string; fields: ReadonlyMap<string, CatalogueField>; depth: number; set: (o: ConditionalOutput | null) => void; up?: () => void }) {
  const { t } = useSettings();
  const articles = useArticles();
  const label = t('outputs.branch', { x: name });
  const text = (key: 'title' | 'advice', l: 'zh' | 'en', word: string) => <Input aria-label={`${label} ${word}`} placeholder={word} value={o[key][l] ?? ''} onChange={(e) => set({ ...o, [key]: { ...o[key], [l]: e.target.value } })} />;
  return (
    <section className="fgroup" aria-label={label} data-testid={`output-${name}`}>
      <div className="row">
        <b>{t(o.when ? (first ? 'outputs.if' : 'outputs.elseIf') : 'outputs.else')}</b>
        <span className="tag">{name}</span>
        <label className="row" style={{ gap: 4 }}>
          <input type="checkbox" checked={!o.when} onChange={(e) => set({ ...o, when: e.target.checked ? undefined : freshOutput().when })} />
          {t('outputs.always')}
        </label>
        <span className="grow" />
        {up && (
          <button type="button" className="plain" aria-label={`${t('outputs.up')} ${label}`} onClick={up}>
            ↑
          </button>
        )}
        <button type="button" className="plain x" aria-label={t('do.remove', { x: label })} onClick={() => set(null)}>
          ✕
        </button>
      </div>
      {o.when && <Builder tree={o.when} fields={fields} change={(when) => set({ ...o, when })} />}
      <div className="about">
        <label className="field">
          <span className="dim">{t('outputs.level')}</span>
          <Select aria-label={`${label} ${t('outputs.level')}`} value={o.level} onChange={(level: string) => set({ ...o, level })} options={[{ value: '', label: t('outputs.same') }, ...SEVERITIES.map((v) => ({ value: v, label: t(`sev.${v}`) }))]} />
        </label>
        <label className="field">
          <span className="dim">{t('outputs.knowledge')}</span>
          <Select showSearch allowClear aria-label={`${label} ${t('outputs.knowledge')}`} value={o.knowledge || undefined} optionFilterProp="label" options={articles} onChange={(id: string | undefined) => set({ ...o, knowledge: id ?? '' })} />
        </label>
        <label className="field wide">
          <span className="dim">{t('outputs.tags')}</span>
          <Select mode="tags" aria-label={`${label} ${t('outputs.tags')}`} value={o.tags} open={false} suffixIcon={null} tokenSeparators={[',', ' ']} onChange={(tags: string[]) => set({ ...o, tags })} />
        </label>
        <div className="wide two">
          {text('title', 'zh', t('outputs.titleZh'))}
          {text('title', 'en', t('outputs.titleEn'))}
        </div>
        <div className="wide two">
          {text('advice', 'zh', t('outputs.adviceZh'))}
          {text('advice', 'en', t('outputs.adviceEn'))}
        </div>
        <div className="field wide">
          <span className="dim">{t('outputs.fields')}</span>
          {o.fields.map((f, i) => {
            const change = (x: { name: string; value: string } | null) => set({ ...o, fields: o.fields.flatMap((y, k) => (k === i ? (x ? [x] : []) : [y])) });
            return (
              <div key={i} className="row" style={{ marginBottom: 4 }}>
                <Input className="mono" style={{ width: 300 }} addonBefore="icewatch.output." aria-label={`${label} ${t('outputs.fieldName')} ${i + 1}`} placeholder="grade" value={f.name} onChange={(e) => change({ ...f, name: e.target.value })} />
                <Input aria-label={`${label} ${t('outputs.fieldValue')} ${i + 1}`} placeholder={t('outputs.fieldValue')} value={f.value} onChange={(e) => change({ ...f, value: e.target.value })} />
                <button type="button" className="plain x" aria-label={t('do.remove', { x: f.name || t('outputs.fieldName') })} onClick={() => change(null)}>
                  ✕
                </button>
              </div>
            );
          })}
          <Button size="small" type="text" onClick={() => set({ ...o, fields: [...o.fields, { name: '', value: '' }] })}>
            + {t('outputs.addField')}
          </Button>
        </div>
      </div>
      {depth < MOST_DEPTH && (
        <div style={{ paddingLeft: 16 }}>
          <Branches list={o.then} set={(then) => set({ ...o, then })} fields={fields} depth={depth + 1} at={`${name}.`} />
        </div>
      )}
    </section>
  );
}
