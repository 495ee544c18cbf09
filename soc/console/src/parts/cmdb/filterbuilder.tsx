import { Button, Input, Select } from 'antd';
import type { ReactNode } from 'react';
import { useWords, type Attribute } from '../../api/cmdb';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { concrete } from '../../logic/cmdb';
import { operatorsFor, type Condition, type Filter, type Group, type Has, type Operator, type Step } from '../../logic/cmdbfilter';
import type { Key } from '../../locales/zh';
import { ItemPicker } from './itempicker';

const COMMON: readonly [field: string, type: string][] = [
  ['name', 'text'],
  ['class', 'enum'],
  ['tenant', 'text'],
  ['zone', 'text'],
  ['owner', 'text'],
  ['criticality', 'integer'],
  ['address', 'text'],
  ['hostname', 'text'],
  ['label', 'text'],
  ['system', 'reference'],
  ['organisation', 'reference'],
  ['created', 'date'],
  ['updated', 'date'],
  ['id', 'text'],
];
export const emptyCondition = (): Condition => ({ kind: 'condition', of: '', field: '', op: '=', values: [''] });
const emptyStep = (): Step => ({ types: [], forward: true, backward: true, min: 1, max: 1, classes: [] });

/** The attributes that a class, or any class, has. */
function useAttributes(cls: string): Attribute[] {
  const words = useWords();
  const classes = cls ? concrete(words.model, cls) : list(words.model?.classes).map((c) => c.class);
  const out = new Map<string, Attribute>();
  for (const c of classes) for (const a of list(words.classOf(c)?.attributes)) if (!out.has(a.name)) out.set(a.name, a);
  return [...out.values()];
}

/** A filter built by hand: groups of AND and OR, conditions by the type of the field, and what related items must be. */
export function FilterBuilder({ value, onChange, cls }: { value: Filter; onChange: (f: Filter) => void; cls: string }) {
  // The top is always a group, so that there is something to add to.
  const top: Group = value.kind === 'and' || value.kind === 'or' ? value : { kind: 'and', kids: [value] };
  return <GroupBox group={top} onChange={onChange} cls={cls} depth={0} />;
}

function GroupBox({ group, onChange, cls, depth, remove }: { group: Group; onChange: (f: Filter) => void; cls: string; depth: number; remove?: () => void }) {
  const { t } = useSettings();
  const set = (i: number, f: Filter | null) => onChange({ ...group, kids: group.kids.flatMap((k, j) => (j === i ? (f ? [f] : []) : [k])) });
  const add = (f: Filter) => onChange({ ...group, kids: [...group.kids, f] });
  return (
    <div className="fgroup" role="group" aria-label={t(`ci.${group.kind}`)}>
      <div className="row" style={{ gap: 6 }}>
        <Select size="small" aria-label={t('ci.filter')} value={group.kind} onChange={(kind: 'and' | 'or') => onChange({ ...group, kind })} options={(['and', 'or'] as const).map((k) => ({ value: k, label: t(`ci.${k}`) }))} />
        <Button size="small" onClick={() => add(emptyCondition())}>
          + {t('ci.addCondition')}
        </Button>
        <Button size="small" onClick={() => add({ kind: 'has', steps: [emptyStep()] })}>
          + {t('ci.addRelated')}
        </Button>
        {depth < 4 && (
          <Button size="small" onClick={() => add({ kind: group.kind === 'and' ? 'or' : 'and', kids: [emptyCondition()] })}>
            + {t('ci.addGroup')}
          </Button>
        )}
        {remove && <Remove act={remove} />}
      </div>
      {group.kids.map((k, i) => (
        <Row key={i} value={k} onChange={(f) => set(i, f)} cls={cls} depth={depth} />
      ))}
    </div>
  );
}

function Remove({ act }: { act: () => void }) {
  const { t } = useSettings();
  return (
    <button className="plain x" aria-label={t('do.delete')} title={t('do.delete')} onClick={act}>
      ✕
    </button>
  );
}

function Row({ value, onChange, cls, depth }: { value: Filter; onChange: (f: Filter | null) => void; cls: string; depth: number }) {
  const { t } = useSettings();
  const negated = value.kind === 'not';
  const inner: Filter = negated ? value.kid : value;
  const put = (f: Filter | null) => onChange(f && negated ? { kind: 'not', kid: f } : f);
  const not = (
    <button className="plain toggle" aria-pressed={negated} onClick={() => onChange(negated ? inner : { kind: 'not', kid: inner })}>
      {t('ci.not')}
    </button>
  );
  if (inner.kind === 'and' || inner.kind === 'or') {
    return (
      <div className="frow">
        {not}
        <GroupBox group={inner} onChange={put} cls={cls} depth={depth + 1} remove={() => onChange(null)} />
      </div>
    );
  }
  if (inner.kind === 'has') return <HasRow value={inner} onChange={put} depth={depth} not={not} />;
  if (inner.kind === 'not') return <Row value={inner.kid} onChange={(f) => put(f && { kind: 'not', kid: f })} cls={cls} depth={depth} />;
  return <ConditionRow value={inner as Condition} onChange={put} cls={cls} not={not} />;
}

function ConditionRow({ value, onChange, cls, not }: { value: Condition; onChange: (f: Filter | null) => void; cls: string; not: ReactNode }) {
  const { t } = useSettings();
  const words = useWords();
  const attributes = useAttributes(value.of === 'system' ? 'business_system' : value.of === 'organisation' ? 'organisation' : cls);
  const common = COMMON.find(([f]) => f === value.field);
  const attribute = common ? undefined : (attributes.find((a) => a.name === value.field) ?? words.attributeOf(value.field));
  const type = common?.[1] ?? attribute?.type ?? 'text';
  const change = (part: Partial<Condition>) => onChange({ ...value, ...part });
  return (
    <div className="frow">
      {not}
      <Select
        size="small"
        aria-label={t('ci.ofItem')}
        value={value.of}
        onChange={(of: Condition['of']) => change({ of })}
        options={[
          { value: '', label: t('ci.ofItem') },
          { value: 'system', label: t('ci.ofSystem') },
          { value: 'organisation', label: t('ci.ofOrganisation') },
        ]}
        popupMatchSelectWidth={false}
      />
      <Select
        size="small"
        showSearch
        aria-label={t('ci.field')}
        placeholder={t('ci.field')}
        value={value.field || undefined}
        onChange={(field: string) => {
          const of = COMMON.find(([f]) => f === field)?.[1] ?? attributes.find((a) => a.name === field)?.type ?? 'text';
          change({ field, op: operatorsFor(of).includes(value.op) ? value.op : (operatorsFor(of)[0] as Operator), values: [''] });
        }}
        optionFilterProp="search"
        style={{ width: 180 }}
        popupMatchSelectWidth={260}
        options={[
          { label: t('ci.common'), options: COMMON.map(([f]) => ({ value: f, label: t(`ci.f.${f}` as Key), search: `${f} ${t(`ci.f.${f}` as Key)}` })) },
          { label: t('ci.attributes'), options: attributes.map((a) => ({ value: a.name, label: words.attributeName(a.name, cls), search: `${a.name} ${words.attributeName(a.name, cls)}` })) },
        ]}
      />
      <Select size="small" aria-label={t('ci.operator')} value={value.op} onChange={(op: Operator) => change({ op, values: op === 'exists' ? [] : op === 'in' ? value.values.filter(Boolean) : [value.values[0] ?? ''] })} popupMatchSelectWidth={false} style={{ minWidth: 92 }} options={operatorsFor(type).map((o) => ({ value: o, label: t(`ci.op.${o}`) }))} />
      {value.op !== 'exists' && <ValueInput type={type} field={value.field} attribute={attribute} many={value.op === 'in'} values={value.values} onChange={(values) => change({ values })} />}
      <Remove act={() => onChange(null)} />
    </div>
  );
}

function ValueInput({ type, field, attribute, many, values, onChange }: { type: string; field: string; attribute?: Attribute; many: boolean; values: string[]; onChange: (v: string[]) => void }) {
  const { t, tx } = useSettings();
  const words = useWords();
  const label = t('ci.value');
  const one = values[0] ?? '';
  if (field === 'class' || type === 'enum') {
    const dictionary = list(words.model?.dictionaries).find((d) => d.name === attribute?.dictionary);
    const options = field === 'class' ? list(words.model?.classes).map((c) => ({ value: c.class, label: words.className(c.class) })) : dictionary ? list(dictionary.values).map((v) => ({ value: v.value, label: tx(v) || v.value })) : list(attribute?.values).map((v) => ({ value: v, label: v }));
    return <Select size="small" aria-label={label} showSearch optionFilterProp="label" mode={many ? 'multiple' : undefined} value={(many ? values.filter(Boolean) : one || undefined) as string & string[]} onChange={(v: string & string[]) => onChange(Array.isArray(v) ? v : [v])} options={options} style={{ minWidth: 170 }} popupMatchSelectWidth={false} />;
  }
  if (type === 'reference') {
    const classes = field === 'system' ? ['business_system'] : field === 'organisation' ? ['organisation'] : [attribute?.class ?? '', ...list(attribute?.classes)].filter(Boolean);
    return (
      <span style={{ width: 220 }}>
        <ItemPicker label={label} classes={classes} multiple={many} value={many ? values.filter(Boolean) : one} onChange={(v) => onChange(Array.isArray(v) ? v : [v])} />
      </span>
    );
  }
  if (type === 'boolean')
    return (
      <Select
        size="small"
        aria-label={label}
        value={one || undefined}
        onChange={(v: string) => onChange([v])}
        options={[
          { value: 'true', label: t('ci.yes') },
          { value: 'false', label: t('ci.no') },
        ]}
        style={{ minWidth: 80 }}
      />
    );
  if (many) return <Select size="small" aria-label={label} mode="tags" value={values.filter(Boolean)} onChange={(v: string[]) => onChange(v)} style={{ minWidth: 200 }} open={false} suffixIcon={null} />;
  return <Input size="small" aria-label={label} type={type === 'date' ? 'date' : 'text'} inputMode={type === 'integer' || type === 'decimal' ? 'decimal' : undefined} value={one} onChange={(e) => onChange([e.target.value])} style={{ width: 190 }} />;
}

function HasRow({ value, onChange, depth, not }: { value: Has; onChange: (f: Filter | null) => void; depth: number; not: ReactNode }) {
  const { t } = useSettings();
  const words = useWords();
  const types = list(words.model?.relation_types);
  const set = (i: number, s: Step | null) => {
    const steps = value.steps.flatMap((x, j) => (j === i ? (s ? [s] : []) : [x]));
    onChange(steps.length > 0 ? { ...value, steps } : null);
  };
  return (
    <div className="frow wrap">
      {not}
      <span className="dim">{t('ci.related')}</span>
      {value.steps.map((s, i) => {
        const way = s.forward && s.backward ? 'both' : s.forward ? 'forward' : 'backward';
        return (
          <div className="fstep" key={i}>
            <Select
              size="small"
              aria-label={t('ci.operator')}
              value={way}
              onChange={(w: string) => set(i, { ...s, forward: w !== 'backward', backward: w !== 'forward' })}
              options={[
                { value: 'forward', label: t('ci.toThem') },
                { value: 'backward', label: t('ci.fromThem') },
                { value: 'both', label: t('ci.eitherWay') },
              ]}
              popupMatchSelectWidth={false}
            />
            <Select size="small" mode="multiple" aria-label={t('ci.relations')} placeholder={t('ci.anyType')} value={s.types} onChange={(v: string[]) => set(i, { ...s, types: v })} options={types.map((r) => ({ value: r.name, label: words.typeName(r.name) }))} optionFilterProp="label" style={{ minWidth: 130 }} popupMatchSelectWidth={false} />
            <Select size="small" mode="multiple" aria-label={t('ci.classes')} placeholder={t('ci.anyClass')} value={s.classes} onChange={(v: string[]) => set(i, { ...s, classes: v })} options={list(words.model?.classes).map((c) => ({ value: c.class, label: words.className(c.class) }))} optionFilterProp="label" style={{ minWidth: 130 }} popupMatchSelectWidth={false} />
            {s.filter ? (
              <GroupBox
                group={s.filter.kind === 'and' || s.filter.kind === 'or' ? s.filter : { kind: 'and', kids: [s.filter] }}
                onChange={(f) => set(i, { ...s, filter: (f.kind === 'and' || f.kind === 'or') && f.kids.length === 0 ? undefined : f })}
                cls={s.classes[0] ?? ''}
                depth={depth + 1}
              />
            ) : (
              depth < 4 && (
                <Button size="small" onClick={() => set(i, { ...s, filter: { kind: 'and', kids: [emptyCondition()] } })}>
                  {t('ci.where')} …
                </Button>
              )
            )}
            {value.steps.length > 1 && <Remove act={() => set(i, null)} />}
          </div>
        );
      })}
      <Button size="small" aria-label={t('ci.addRelated')} title={t('ci.addRelated')} onClick={() => onChange({ ...value, steps: [...value.steps, emptyStep()] })}>
        →
      </Button>
      <Remove act={() => onChange(null)} />
    </div>
  );
}
