import { Button, Checkbox, Form, Input, InputNumber, Select } from 'antd';
import { ATTRIBUTE_TYPES, useWords, type Attribute, type AttributeType, type Cardinality, type Class, type RelationRule, type RelationType } from '../../api/cmdb';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { FormDialog } from '../dialog';

const NAME = /^[a-z][a-z0-9_]{0,62}$/;

/** The two names of a definition, and what it is called in files and queries. */
function NameFields({ known }: { known: boolean }) {
  const { t } = useSettings();
  return (
    <div className="fields">
      <Form.Item name="name" label={t('ci.model.name')} extra={known ? undefined : t('ci.model.nameHint')} rules={[{ required: true, pattern: NAME, message: t('ci.model.nameHint') }]}>
        <Input className="mono" disabled={known} autoFocus={!known} />
      </Form.Item>
      <Form.Item name="zh" label={t('ci.model.zh')} rules={[{ required: true, whitespace: true, message: t('ci.required') }]}>
        <Input />
      </Form.Item>
      <Form.Item name="en" label={t('ci.model.en')}>
        <Input />
      </Form.Item>
    </div>
  );
}

export function ClassesField({ name, label, required }: { name: string; label: string; required?: boolean }) {
  const { t } = useSettings();
  const words = useWords();
  return (
    <Form.Item name={name} label={label} rules={required ? [{ required: true, message: t('ci.required') }] : []}>
      <Select mode="multiple" allowClear placeholder={t('ci.rule.any')} optionFilterProp="label" options={list(words.model?.classes).map((c) => ({ value: c.class, label: words.className(c.class) }))} />
    </Form.Item>
  );
}

interface AttributeForm extends Omit<Attribute, 'title' | 'values' | 'columns'> {
  zh: string;
  en?: string;
  valuesText?: string;
  columnsText?: string;
}

/** One attribute: its type, and what makes a value of it a good one. */
export function AttributeDialog({ attribute, others, done, close }: { attribute?: Attribute; others: readonly Attribute[]; done: (a: Attribute) => void; close: () => void }) {
  const { t } = useSettings();
  const words = useWords();
  const columns = list(attribute?.columns);
  return (
    <FormDialog<AttributeForm>
      title={attribute ? `${t('ci.model.attribute')} · ${attribute.name}` : t('ci.model.addAttribute')}
      ok={t('ci.change.preview')}
      width={640}
      initial={attribute ? { ...attribute, zh: attribute.title?.zh ?? '', en: attribute.title?.en, valuesText: list(attribute.values).join('\n'), columnsText: columns.map((c) => `${c.name} ${c.type}`).join('\n') } : { type: 'text' }}
      submit={async (v) => {
        const { zh, en, valuesText = '', columnsText = '', ...rest } = v;
        const kept = new Map(columns.map((c) => [c.name, c]));
        const a: Attribute = { ...attribute, ...rest, title: { zh, en: en ?? '' } };
        a.values = a.type === 'enum' && !a.dictionary ? valuesText.split('\n').map((x) => x.trim()).filter(Boolean) : undefined;
        a.columns =
          a.type === 'table'
            ? columnsText
                .split('\n')
                .map((x) => x.trim().split(/\s+/))
                .filter((x) => x[0])
                .map(([name = '', type = 'text']) => ({ ...kept.get(name), name, type: type as AttributeType }))
            : undefined;
        done(Object.fromEntries(Object.entries(a).filter(([, x]) => x !== undefined && x !== null && x !== '' && x !== false && !(Array.isArray(x) && x.length === 0))) as unknown as Attribute);
        return Promise.resolve();
      }}
      close={close}
    >
      {(form) => (
        <>
          <NameFields known={!!attribute} />
          <Form.Item name="type" label={t('ci.model.type')}>
            <Select options={ATTRIBUTE_TYPES.map((x) => ({ value: x, label: t(`ci.model.type.${x}`) }))} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a: AttributeForm, b: AttributeForm) => a.type !== b.type || a.dictionary !== b.dictionary}>
            {() => {
              const type = form.getFieldValue('type') as AttributeType;
              return (
                <div className="fields">
                  {type === 'text' && (
                    <>
                      <Form.Item name="pattern" label={t('ci.model.pattern')}>
                        <Input className="mono" />
                      </Form.Item>
                      <Form.Item name="max_length" label={t('ci.model.maxLength')}>
                        <InputNumber min={0} style={{ width: '100%' }} />
                      </Form.Item>
                    </>
                  )}
                  {(type === 'integer' || type === 'decimal') && (
                    <>
                      <Form.Item name="min" label={t('ci.model.min')}>
                        <InputNumber style={{ width: '100%' }} />
                      </Form.Item>
                      <Form.Item name="max" label={t('ci.model.max')}>
                        <InputNumber style={{ width: '100%' }} />
                      </Form.Item>
                    </>
                  )}
                  {type === 'enum' && (
                    <>
                      <Form.Item name="dictionary" label={t('ci.model.dictionary')}>
                        <Select allowClear showSearch optionFilterProp="label" options={list(words.model?.dictionaries).map((d) => ({ value: d.name, label: d.title?.zh ? `${d.title.zh} · ${d.name}` : d.name }))} />
                      </Form.Item>
                      {form.getFieldValue('dictionary') ? (
                        <Form.Item name="open" valuePropName="checked" label=" ">
                          <Checkbox>{t('ci.model.open')}</Checkbox>
                        </Form.Item>
                      ) : (
                        <Form.Item name="valuesText" label={t('ci.model.values')}>
                          <Input.TextArea rows={3} />
                        </Form.Item>
                      )}
                    </>
                  )}
                  {type === 'reference' && (
                    <>
                      <Form.Item name="class" hidden>
                        <Input />
                      </Form.Item>
                      <ClassesField name="classes" label={t('ci.model.refClasses')} />
                      <Form.Item name="relation" label={t('ci.model.relation')}>
                        <Select allowClear options={list(words.model?.relation_types).map((r) => ({ value: r.name, label: words.typeName(r.name) }))} />
                      </Form.Item>
                    </>
                  )}
                  {type === 'table' && (
                    <Form.Item name="columnsText" label={t('ci.model.columns')}>
                      <Input.TextArea className="mono" rows={3} />
                    </Form.Item>
                  )}
                </div>
              );
            }}
          </Form.Item>
          <div className="fields">
            <Form.Item name="default" label={t('ci.model.default')}>
              <Input />
            </Form.Item>
            <Form.Item name="renamed_from" label={t('ci.model.renamed')}>
              <Select allowClear options={others.filter((o) => o.name !== attribute?.name).map((o) => ({ value: o.name, label: o.name }))} />
            </Form.Item>
            <Form.Item name="required" valuePropName="checked" label=" ">
              <Checkbox>{t('ci.model.required')}</Checkbox>
            </Form.Item>
            <Form.Item name="multiple" valuePropName="checked" label=" ">
              <Checkbox>{t('ci.model.multiple')}</Checkbox>
            </Form.Item>
          </div>
        </>
      )}
    </FormDialog>
  );
}

interface ClassForm {
  name: string;
  zh: string;
  en?: string;
  layer?: string;
  extends?: string;
  abstract?: boolean;
  addresses?: Class['addresses'];
  hostnames?: boolean;
  system?: boolean;
  key?: string[];
  templates?: string[];
}

/** A class without its attributes: a new one, or what may be changed of one. */
export function ClassDialog({ cls, own, parent, layer, overlay, done, close }: { cls?: Class; own: boolean; parent?: string; layer?: string; overlay?: Class; done: (c: Class) => void; close: () => void }) {
  const { t, tx } = useSettings();
  const words = useWords();
  const model = words.model;
  const keys = ['name', 'zone', ...list(cls?.attributes).map((a) => a.name)];
  return (
    <FormDialog<ClassForm>
      title={cls ? `${t('ci.edit')} · ${words.className(cls.class)}` : t(parent ? 'ci.model.addSub' : 'ci.model.add')}
      ok={t('ci.change.preview')}
      width={640}
      initial={cls ? { name: cls.class, zh: cls.name?.zh, en: cls.name?.en, layer: cls.layer, extends: cls.extends, abstract: cls.abstract, addresses: cls.addresses || 'none', hostnames: cls.hostnames, system: cls.system, key: list(cls.key), templates: list(cls.templates) } : { extends: parent, layer, addresses: parent ? undefined : 'none', system: !parent }}
      submit={(v) => {
        const title = { zh: v.zh, en: v.en ?? '' };
        const had = new Set(list(cls?.templates));
        const c: Class = own
          ? { ...overlay, class: v.name, name: title, layer: v.layer, extends: v.extends, abstract: v.abstract || undefined, addresses: v.addresses, hostnames: v.hostnames || undefined, system: v.system || undefined, key: v.key?.length ? v.key : undefined, templates: v.templates }
          : { ...overlay, class: v.name, name: title, layer: v.layer, key: v.key?.length ? v.key : undefined, templates: [...list(overlay?.templates), ...(v.templates ?? []).filter((x) => !had.has(x))] };
        done(JSON.parse(JSON.stringify(c)) as Class);
        return Promise.resolve();
      }}
      close={close}
    >
      <NameFields known={!!cls} />
      <div className="fields">
        <Form.Item name="layer" label={t('ci.model.layer')}>
          <Select allowClear options={list(model?.layers).map((l) => ({ value: l.name, label: tx(l.title) || l.name }))} />
        </Form.Item>
        <Form.Item name="extends" label={t('ci.model.extends')}>
          <Select allowClear disabled={!!cls && !own} showSearch optionFilterProp="label" options={list(model?.classes).filter((c) => c.class !== cls?.class).map((c) => ({ value: c.class, label: words.className(c.class) }))} />
        </Form.Item>
        <Form.Item name="templates" label={t('ci.model.templates')}>
          <Select mode="multiple" options={list(model?.templates).map((x) => ({ value: x.name, label: tx(x.title) || x.name }))} />
        </Form.Item>
        {cls && (
          <Form.Item name="key" label={t('ci.model.key')}>
            <Select mode="multiple" placeholder={t('ci.model.keyDefault')} options={keys.map((k) => ({ value: k, label: k === 'name' || k === 'zone' ? t(`ci.f.${k}`) : words.attributeName(k, cls.class) }))} />
          </Form.Item>
        )}
        {own && (
          <>
            <Form.Item name="addresses" label={t('ci.model.addresses')}>
              <Select allowClear options={(['none', 'ip', 'cidr'] as const).map((a) => ({ value: a, label: t(`ci.model.addresses.${a}`) }))} />
            </Form.Item>
            <Form.Item name="hostnames" valuePropName="checked" label=" ">
              <Checkbox>{t('ci.model.hostnames')}</Checkbox>
            </Form.Item>
            <Form.Item name="system" valuePropName="checked" label=" ">
              <Checkbox>{t('ci.model.system')}</Checkbox>
            </Form.Item>
            <Form.Item name="abstract" valuePropName="checked" label=" ">
              <Checkbox>{t('ci.model.abstract')}</Checkbox>
            </Form.Item>
          </>
        )}
      </div>
    </FormDialog>
  );
}

interface TypeForm {
  name: string;
  zh: string;
  en?: string;
  reverseZh?: string;
  reverseEn?: string;
  from?: string[];
  to?: string[];
  cardinality?: Cardinality;
  impact?: RelationType['impact'];
}
export const CARDINALITIES = ['one_to_one', 'one_to_many', 'many_to_one', 'many_to_many'] as const;
export const IMPACTS = ['none', 'forward', 'backward', 'both'] as const;

/** A type of relations: between which classes, how many, and where a failure goes. */
export function RelationTypeDialog({ type, from, to, done, close }: { type?: RelationType; from?: string; to?: string; done: (r: RelationType) => void; close: () => void }) {
  const { t } = useSettings();
  return (
    <FormDialog<TypeForm>
      title={type ? `${t('ci.edit')} · ${type.name}` : t('ci.rule.newType')}
      ok={t('ci.change.preview')}
      width={640}
      initial={type ? { name: type.name, zh: type.title?.zh, en: type.title?.en, reverseZh: type.reverse?.zh, reverseEn: type.reverse?.en, from: list(type.from), to: list(type.to), cardinality: type.cardinality || 'many_to_many', impact: type.impact || 'none' } : { from: from ? [from] : [], to: to ? [to] : [], cardinality: 'many_to_many', impact: 'none' }}
      submit={(v) => {
        done({ name: v.name, title: { zh: v.zh, en: v.en ?? '' }, reverse: { zh: v.reverseZh ?? '', en: v.reverseEn ?? '' }, from: v.from ?? [], to: v.to ?? [], cardinality: v.cardinality, impact: v.impact });
        return Promise.resolve();
      }}
      close={close}
    >
      <NameFields known={!!type} />
      <div className="fields">
        <Form.Item name="reverseZh" label={`${t('ci.rule.reverse')} · ${t('ci.model.zh')}`}>
          <Input />
        </Form.Item>
        <Form.Item name="reverseEn" label={`${t('ci.rule.reverse')} · ${t('ci.model.en')}`}>
          <Input />
        </Form.Item>
        <ClassesField name="from" label={t('ci.rule.from')} />
        <ClassesField name="to" label={t('ci.rule.to')} />
        <Form.Item name="cardinality" label={t('ci.rule.cardinality')}>
          <Select options={CARDINALITIES.map((c) => ({ value: c, label: t(`ci.rule.c.${c}`) }))} />
        </Form.Item>
        <Form.Item name="impact" label={t('ci.rule.impact')}>
          <Select options={IMPACTS.map((c) => ({ value: c, label: t(`ci.rule.i.${c}`) }))} />
        </Form.Item>
      </div>
    </FormDialog>
  );
}

interface RuleForm {
  name: string;
  zh: string;
  en?: string;
  type: string;
  from: string[];
  to: string[];
  where: { from: string; op: 'equal' | 'within'; to: string }[];
}
const RULE_FIELDS = ['name', 'zone', 'owner', 'address', 'hostname', 'label'] as const;

/** A rule that relates items by what they say. */
export function RuleDialog({ rule, done, close }: { rule?: RelationRule; done: (r: RelationRule) => void; close: () => void }) {
  const { t } = useSettings();
  const words = useWords();
  const fields = [...RULE_FIELDS.map((f) => ({ value: f as string, label: t(`ci.f.${f}`) })), ...[...new Set(list(words.model?.classes).flatMap((c) => list(c.attributes).map((a) => a.name)))].sort().map((a) => ({ value: a, label: words.attributeName(a) }))];
  return (
    <FormDialog<RuleForm>
      title={rule ? `${t('ci.edit')} · ${rule.name}` : t('ci.rule.newRule')}
      ok={t('ci.rule.preview')}
      width={700}
      initial={rule ? { ...rule, zh: rule.title?.zh, en: rule.title?.en, from: list(rule.from), to: list(rule.to), where: list(rule.where) } : { where: [{ from: '', op: 'equal', to: '' }] }}
      submit={(v) => {
        done({ name: v.name, title: { zh: v.zh, en: v.en ?? '' }, type: v.type, from: v.from, to: v.to, where: v.where, ...(rule?.off ? { off: true } : {}) });
        return Promise.resolve();
      }}
      close={close}
    >
      <NameFields known={!!rule} />
      <div className="fields">
        <Form.Item name="type" label={t('ci.rule.type')} rules={[{ required: true, message: t('ci.required') }]}>
          <Select showSearch optionFilterProp="label" options={list(words.model?.relation_types).map((r) => ({ value: r.name, label: words.typeName(r.name) }))} />
        </Form.Item>
        <ClassesField name="from" label={t('ci.rule.from')} required />
        <ClassesField name="to" label={t('ci.rule.to')} required />
      </div>
      <div className="labelled">
        <span>{t('ci.rule.where')}</span>
        <Form.List name="where">
          {(rows, { add, remove }) => (
            <>
              {rows.map((r) => (
                <div className="row" key={r.key} style={{ gap: 6 }}>
                  <Form.Item name={[r.name, 'from']} rules={[{ required: true, message: t('ci.required') }]} style={{ flex: 1, marginBottom: 4 }}>
                    <Select showSearch optionFilterProp="label" aria-label={t('ci.rule.from')} options={fields} />
                  </Form.Item>
                  <Form.Item name={[r.name, 'op']} style={{ width: 130, marginBottom: 4 }}>
                    <Select
                      aria-label={t('ci.operator')}
                      options={[
                        { value: 'equal', label: t('ci.rule.equal') },
                        { value: 'within', label: t('ci.rule.within') },
                      ]}
                    />
                  </Form.Item>
                  <Form.Item name={[r.name, 'to']} rules={[{ required: true, message: t('ci.required') }]} style={{ flex: 1, marginBottom: 4 }}>
                    <Select showSearch optionFilterProp="label" aria-label={t('ci.rule.to')} options={fields} />
                  </Form.Item>
                  {rows.length > 1 && (
                    <button type="button" className="plain x" aria-label={t('do.delete')} onClick={() => remove(r.name)}>
                      ✕
                    </button>
                  )}
                </div>
              ))}
              <Button size="small" onClick={() => add({ from: '', op: 'equal', to: '' })}>
                + {t('ci.rule.addWhere')}
              </Button>
            </>
          )}
        </Form.List>
      </div>
    </FormDialog>
  );
}

/** A name in two languages, for layers, templates and dictionaries. */
export function NamedDialog({ title, done, close }: { title: string; done: (v: { name: string; title: { zh: string; en: string } }) => void; close: () => void }) {
  const { t } = useSettings();
  return (
    <FormDialog<{ name: string; zh: string; en?: string }>
      title={title}
      ok={t('ci.change.preview')}
      submit={(v) => {
        done({ name: v.name, title: { zh: v.zh, en: v.en ?? '' } });
        return Promise.resolve();
      }}
      close={close}
    >
      <NameFields known={false} />
    </FormDialog>
  );
}
