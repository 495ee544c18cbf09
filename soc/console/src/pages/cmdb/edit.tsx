import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { useEffect, useMemo, useState, type ReactNode } from 'react';
import { useNavigate, useParams } from 'react-router-dom';
import { itemPath, useWords, type Class, type Item } from '../../api/cmdb';
import { ApiError, get, patch, post } from '../../api/client';
import { useTenants } from '../../api/queries';
import { list, type ImportError } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useRefusal } from '../../app/refusal';
import { useSettings } from '../../app/settings';
import { attributeGroups, clashes, fieldText, fieldsBody, type Clash } from '../../logic/cmdb';
import { ConflictTable } from '../../parts/cmdb/conflict';
import { fieldName } from '../../parts/cmdb/fieldname';
import { AttributeInput } from '../../parts/cmdb/inputs';
import { ItemPicker } from '../../parts/cmdb/itempicker';
import { range } from '../../parts/cmdb/checks';
import { RequestChange, needsApproval } from '../../parts/cmdb/request';
import { ClassTree } from '../../parts/cmdb/classtree';
import type { Upsert } from '../../parts/cmdb/upsert';
import { Refused } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { ModelWaits } from '../../parts/cmdb/waiting';
import { Failed, Skeleton } from '../../parts/states';

/** Makes an item, or changes one: a form that the class's model makes. */
export default function EditPage() {
  const { t } = useSettings();
  const { id = '' } = useParams();
  const [url, setUrl] = useUrl();
  const words = useWords();
  const query = useQuery({ enabled: id !== '', queryKey: ['cmdb', 'edit', id], queryFn: ({ signal }) => get<Item>(`/cmdb/items/${encodeURIComponent(id)}`, {}, signal), staleTime: Infinity, gcTime: 0, refetchOnWindowFocus: false });
  const cls = words.classOf(query.data?.class ?? url.get('class') ?? '');
  if (query.error) return <div className="page"><Failed error={query.error} what="cmdb.what" retry={() => void query.refetch()} /></div>;
  if (!words.model || (id && !query.data)) {
    return (
      <div className="page">
        <Head title={t(id ? 'page.cmdb.edit' : 'page.cmdb.new')} />
        {words.model ? <Skeleton lines={12} /> : <ModelWaits lines={12} />}
      </div>
    );
  }
  if (!cls || cls.abstract) {
    return (
      <div className="page">
        <Head title={t('page.cmdb.new')} sub={t('ci.chooseClass')} />
        <div className="panel classpanel" style={{ maxWidth: 420 }}>
          <ClassTree model={words.model} chosen="" choose={(c) => setUrl({ class: c })} marks={(n) => (words.classOf(n)?.abstract ? t('ci.model.abstract') : '')} />
        </div>
      </div>
    );
  }
  return <ItemForm key={`${id} ${cls.class}`} cls={cls} item={query.data} />;
}

function ItemForm({ cls, item }: { cls: Class; item?: Item }) {
  const { t, tx } = useSettings();
  const refusal = useRefusal();
  const words = useWords();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { tell, act } = useAct();
  const tenants = useTenants().data;
  const [base, setBase] = useState<Item>(item ?? ({ id: '', class: cls.class, name: '' } as Item));
  const [values, setValues] = useState<Record<string, string>>(() => (item ? {} : Object.fromEntries(list(cls.attributes).filter((a) => a.default).map((a) => [`attr.${a.name}`, a.default as string]))));
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [refused, setRefused] = useState<unknown>(null);
  const [clash, setClash] = useState<Clash[] | null>(null);
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);
  const value = (field: string) => values[field] ?? fieldText(base, field);
  const put = (field: string, text: string) => {
    setValues((v) => ({ ...v, [field]: text }));
    setErrors(({ [field]: _, ...rest }) => rest);
  };
  const dirty = useMemo(() => Object.fromEntries(Object.entries(values).filter(([f, v]) => v !== fieldText(base, f))), [values, base]);
  const changes = Object.keys(dirty).length;
  useEffect(() => {
    if (changes === 0) return undefined;
    const warn = (e: BeforeUnloadEvent) => e.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [changes]);
  const inform = (e: unknown) => {
    const rows = e instanceof ApiError && e.status === 422 ? (list(e.problem.errors) as unknown as ImportError[]) : [];
    const named = rows.filter((r) => r.column);
    setErrors(Object.fromEntries(named.map((r) => [r.column as string, refusal(r.message)])));
    setRefused(named.length > 0 && named.length === rows.length ? null : e);
    const first = named[0]?.column;
    if (first) setTimeout(() => document.getElementById(`f-${first}`)?.focus(), 0);
  };
  const after = (saved: Item) => {
    void client.invalidateQueries({ queryKey: ['cmdb'] });
    navigate(itemPath(saved.id));
  };
  const create = async () => {
    const body = { class: cls.class, ...fieldsBody(dirty) };
    // The server takes an item of a known key as a change of that one: a form for a new one must not.
    const look = await post<Upsert>('/cmdb/items/upsert?dry_run=true', { items: [body] });
    if (look.created === 0) {
      setErrors({ name: t('ci.keyHint', { x: keyNames(cls).map((k) => fieldName(k, words, t, cls.class)).join(t('ci.comma')) }) });
      return;
    }
    const saved = await post<Item>('/cmdb/items', body);
    tell({ said: t('ci.createdX', { x: saved.name }), renew: ['cmdb'] });
    after(saved);
  };
  const change = async () => {
    const saved = await patch<Item>(`/cmdb/items/${encodeURIComponent(base.id)}`, { ...fieldsBody(dirty), revision: base.revision });
    const before = Object.fromEntries(Object.keys(dirty).map((f) => [f, fieldText(base, f)]));
    tell({ said: t('ci.saved'), renew: ['cmdb'], undo: () => void act(() => patch(`/cmdb/items/${encodeURIComponent(base.id)}`, { ...fieldsBody(before), revision: saved.revision }), { said: t('ci.undone'), renew: ['cmdb'] }) });
    after(saved);
  };
  const save = async () => {
    setBusy(true);
    setRefused(null);
    setAsking(false);
    setErrors({});
    try {
      await (base.id ? change() : create());
    } catch (e) {
      if (base.id && e instanceof ApiError && e.status === 409 && list(e.problem.errors)[0]?.location === 'body.revision') await meet(e);
      else if (needsApproval(e)) setAsking(true);
      else inform(e);
    } finally {
      setBusy(false);
    }
  };
  /** Somebody else was faster: what he did, beside what is typed here. */
  const meet = async (e: ApiError) => {
    const told = list(e.problem.errors) as unknown as { location?: string; value?: { actor?: string; time?: string; before?: string; after?: string } }[];
    const since = told.filter((x) => x.location !== 'body.revision').map((x) => ({ field: (x.location ?? '').replace(/^body\./, ''), before: x.value?.before ?? '', after: x.value?.after ?? '', actor: x.value?.actor ?? '', time: x.value?.time ?? '' }));
    try {
      const now = await get<Item>(`/cmdb/items/${encodeURIComponent(base.id)}`);
      setClash(clashes(since, dirty, (f) => fieldText(base, f)));
      // What is typed stays; it now changes the item as it is.
      setValues(dirty);
      setBase(now);
    } catch (x) {
      setRefused(x instanceof ApiError && x.status === 404 ? new Error(t('ci.conflictGone')) : x);
    }
  };

  const addresses = cls.addresses && cls.addresses !== 'none';
  const field = (name: string, input: ReactNode, o: { required?: boolean; hint?: ReactNode; wide?: boolean } = {}) => (
    <div className={`labelled${o.wide ? ' wide' : ''}${dirty[name] !== undefined ? ' dirty' : ''}`} key={name}>
      <label htmlFor={`f-${name}`}>
        {fieldName(name, words, t, cls.class)}
        {o.required && (
          <span className="req" title={t('ci.required')} aria-label={t('ci.required')}>
            {' '}
            *
          </span>
        )}
        {keyNames(cls).includes(name) && <span className="tag iskey">{t('ci.key')}</span>}
      </label>
      {input}
      {errors[name] ? (
        <div className="bad" role="alert">
          {errors[name]}
        </div>
      ) : (
        o.hint && <div className="faint">{o.hint}</div>
      )}
    </div>
  );
  const plain = (name: string, hint?: string, required?: boolean) => field(name, <Input id={`f-${name}`} status={errors[name] ? 'error' : undefined} value={value(name)} onChange={(e) => put(name, e.target.value)} />, { hint, required });
  const wrong = Object.keys(errors).filter((f) => !isShown(f, cls));
  return (
    <form
      className="page itemform"
      onSubmit={(e) => {
        e.preventDefault();
        void save();
      }}
      onKeyDown={(e) => {
        if ((e.ctrlKey || e.metaKey) && e.key === 's') {
          e.preventDefault();
          void save();
        }
      }}
    >
      <Head title={base.id ? `${t('page.cmdb.edit')} · ${base.name}` : `${t('ci.new')}${words.className(cls.class)}`} sub={base.id ? words.className(cls.class) : undefined}>
        <Button onClick={() => navigate(base.id ? itemPath(base.id) : '/cmdb/items')}>{t('do.cancel')}</Button>
        <Button type="primary" htmlType="submit" loading={busy} disabled={changes === 0} title={changes === 0 ? t('ci.nothingChanged') : 'Ctrl+S'}>
          {t('ci.save')}
        </Button>
      </Head>
      <Refused error={refused} />
      {asking && <RequestChange items={[{ ...(base.id ? { id: base.id } : {}), class: cls.class, ...fieldsBody(dirty) }]} done={() => navigate(base.id ? itemPath(base.id) : `/cmdb/items?class=${cls.class}`)} />}
      {Object.keys(errors).length > 0 && (
        <div className="notice warn" role="status">
          {t('ci.errorsN', { n: Object.keys(errors).length })}
          {wrong.map((f) => (
            <div key={f}>
              {fieldName(f, words, t, cls.class)}: {errors[f]}
            </div>
          ))}
        </div>
      )}
      {clash && (
        <ConflictTable
          rows={clash}
          cls={cls.class}
          values={values}
          choose={(f, mine) => (mine === undefined ? setValues(({ [f]: _, ...rest }) => rest) : put(f, mine))}
        />
      )}
      <Panel title={t('ci.basics')}>
        <div className="fields">
          {plain('name', undefined, true)}
          {field(
            'tenant',
            <Select id="f-tenant" allowClear showSearch optionFilterProp="label" placeholder={t('ci.shared')} value={value('tenant') || undefined} onChange={(v?: string) => put('tenant', v ?? '')} options={list(tenants).map((x) => ({ value: x.slug, label: `${tx(x.name) || x.slug}` }))} />,
          )}
          {cls.class !== 'organisation' && field('organisation', <ItemPicker id="f-organisation" classes={['organisation']} value={value('organisation')} onChange={(v) => put('organisation', v)} />)}
          {cls.class === 'organisation' && field('organisation', <ItemPicker id="f-organisation" classes={['organisation']} value={value('organisation')} onChange={(v) => put('organisation', v)} />)}
          {cls.system && field('system', <ItemPicker id="f-system" classes={['business_system']} value={value('system')} onChange={(v) => put('system', v)} />)}
          {addresses && plain('zone', t('ci.zoneHint'))}
          {addresses && plain('addresses', t(cls.addresses === 'cidr' ? 'ci.cidrHint' : 'ci.addressHint'))}
          {cls.hostnames && plain('hostnames', t('ci.listHint'))}
          {field('criticality', <Select id="f-criticality" value={value('criticality') || undefined} placeholder="3" onChange={(v: string) => put('criticality', v)} options={['5', '4', '3', '2', '1'].map((v) => ({ value: v, label: v }))} />)}
          {plain('owner')}
          {field('labels', <Select id="f-labels" mode="tags" open={false} suffixIcon={null} value={value('labels').split(';').filter(Boolean)} onChange={(v: string[]) => put('labels', v.join(';'))} />)}
        </div>
      </Panel>
      {attributeGroups(cls, words.model).map((g) => (
        <Panel key={g.template} title={g.template ? tx(list(words.model?.templates).find((x) => x.name === g.template)?.title) || g.template : t('ci.attributes')}>
          <div className="fields">
            {g.attributes.map((a) =>
              field(`attr.${a.name}`, <AttributeInput id={`f-attr.${a.name}`} attribute={a} label={fieldName(`attr.${a.name}`, words, t, cls.class)} value={value(`attr.${a.name}`)} onChange={(v) => put(`attr.${a.name}`, v)} status={errors[`attr.${a.name}`] ? 'error' : undefined} />, {
                required: a.required,
                wide: a.type === 'table' || (a.max_length ?? 0) > 200,
                hint: a.type === 'text' && a.pattern ? t('ci.check.pattern', { x: a.pattern }) : range(t, a) || undefined,
              }),
            )}
          </div>
        </Panel>
      ))}
    </form>
  );
}

/** The fields that make an item one, as forms name them. */
function keyNames(cls: Class): string[] {
  const key = list(cls.key);
  return key.length === 0 ? ['name'] : key.map((k) => (k === 'name' || k === 'zone' ? k : `attr.${k}`));
}

function isShown(field: string, cls: Class): boolean {
  const m = /^attr\.(.+)$/.exec(field);
  return m ? list(cls.attributes).some((a) => a.name === m[1]) : ['name', 'tenant', 'organisation', 'criticality', 'owner', 'labels'].includes(field) || (field === 'system' && !!cls.system);
}
