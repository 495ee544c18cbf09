import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Form, Input, InputNumber, Radio, Select, Switch } from 'antd';
import { useMemo, useState } from 'react';
import { del, get, post, put } from '../api/client';
import { processingDraft, type ProcessingDraft, type ProcessingPage, type ProcessingPreview, type ProcessingRule } from '../api/processing';
import { useCan, useTenants } from '../api/queries';
import type { Clause } from '../api/search';
import { list } from '../api/types';
import { useAct } from '../app/act';
import { useSettled, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { isGroup, isLeaf } from '../logic/clauses';
import { joined, number } from '../logic/format';
import { FormDialog } from '../parts/dialog';
import { useTenantName } from '../parts/names';
import { Head } from '../parts/page';
import { WordsInput } from '../parts/pickers';
import { useCatalogue } from '../parts/rules/fields';
import { ClickMode, OfferedOperators, useOperatorText } from '../parts/search/clickmode';
import { Empty, Loaded, Stale } from '../parts/states';
import { DataTable } from '../parts/table';
import { When } from '../parts/time';

const RENEW = ['processing'];
const at = (r: Pick<ProcessingRule, 'id'>) => `/processing-rules/${encodeURIComponent(r.id)}`;
const EVERYTHING: Clause = { join: 'all', clauses: [] };

/** What is done to events before they are stored: tagged, folded, left out. ?new=1 makes a rule, ?id= shows one. */
export default function Processing() {
  const { t, locale } = useSettings();
  const write = useCan()('create-processing-rule');
  const { act, busy } = useAct();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const query = useQuery({ queryKey: ['processing'], queryFn: ({ signal }) => get<ProcessingPage>('/processing-rules', {}, signal), placeholderData: keepPreviousData, refetchInterval: 15_000 });
  const rows = list(query.data?.items);
  const editing = url.get('new') ? 'new' : rows.find((r) => r.id === url.get('id'));
  useKeys({ n: () => write && setUrl({ new: '1' }) });
  const change = (r: ProcessingRule, to: Partial<ProcessingDraft>) => put(`${at(r)}?revision=${r.revision}`, processingDraft({ ...r, ...to }));
  const turn = (r: ProcessingRule, on: boolean) =>
    void act(() => change(r, { enabled: on }), {
      said: t(on ? 'processing.enabled' : 'processing.disabled', { x: r.name }),
      renew: RENEW,
      undo: () => void act(() => change({ ...r, revision: r.revision + 1 }, { enabled: !on }), { renew: RENEW }),
    });
  const remove = (r: ProcessingRule) =>
    void act(() => del(at(r)), {
      said: t('processing.deleted', { x: r.name }),
      renew: RENEW,
      undo: () => void act(() => post('/processing-rules', processingDraft(r)), { said: t('processing.restored', { x: r.name }), renew: RENEW }),
    });
  const order = (ids: string[]) => put('/processing-rules/order', { ids });
  const move = (r: ProcessingRule, by: number) => {
    const before = rows.map((x) => x.id);
    const next = before.filter((x) => x !== r.id);
    next.splice(before.indexOf(r.id) + by, 0, r.id);
    void act(() => order(next), { said: t('processing.moved'), renew: RENEW, undo: () => void act(() => order(before), { renew: RENEW }) });
  };
  return (
    <div className="page">
      <Head title={t('page.processing')} sub={t('processing.why')}>
        {write && (
          <Button type="primary" onClick={() => setUrl({ new: '1' })}>
            {t('processing.new')}
          </Button>
        )}
      </Head>
      <Stale query={query} />
      {query.data && query.data.folded + query.data.dropped > 0 && (
        <p className="dim">{t('processing.totals', { a: number(query.data.folded, locale), b: number(query.data.dropped, locale) })}</p>
      )}
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.processing" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('processing.none')} why={t('processing.noneWhy')}>
                {write && <Button onClick={() => setUrl({ new: '1' })}>{t('processing.new')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('page.processing')}
                rows={rows}
                rowKey={(r) => r.id}
                onRow={(r) => setUrl({ id: r.id })}
                columns={[
                  {
                    key: 'name',
                    title: t('col.name'),
                    render: (r) => (
                      <>
                        <button className="plain link" onClick={() => setUrl({ id: r.id })}>
                          <b style={{ fontWeight: 550, opacity: r.enabled ? 1 : 0.6 }}>{r.name}</b>
                        </button>
                        {r.description && <div className="dim">{r.description}</div>}
                      </>
                    ),
                  },
                  { key: 'when', title: t('processing.when'), render: (r) => <ConditionText clause={r.when} /> },
                  { key: 'does', title: t('processing.does'), render: (r) => <Does rule={r} /> },
                  { key: 'tenant', title: t('silence.tenants'), render: (r) => (r.tenant ? tenantName(r.tenant) : <span className="dim">{t('processing.forAll')}</span>) },
                  { key: 'applied', title: <span title={t('processing.appliedWhy')}>{t('processing.applied')}</span>, num: true, render: (r) => number(r.applied, locale) },
                  { key: 'by', title: t('processing.changed'), render: (r) => <When time={r.updated_at} /> },
                  { key: 'on', title: t('monitor.enabled'), width: 80, render: (r) => <Switch size="small" disabled={!write} checked={r.enabled} aria-label={`${t('monitor.enabled')}: ${r.name}`} onChange={(on) => turn(r, on)} /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (r) =>
                      write && (
                        <span className="row" style={{ justifyContent: 'flex-end' }}>
                          <Button size="small" type="text" disabled={busy || rows[0] === r} aria-label={t('processing.up', { x: r.name })} onClick={() => move(r, -1)}>
                            ↑
                          </Button>
                          <Button size="small" type="text" disabled={busy || rows.at(-1) === r} aria-label={t('processing.down', { x: r.name })} onClick={() => move(r, 1)}>
                            ↓
                          </Button>
                          <Button size="small" type="text" aria-label={`${t('do.delete')}: ${r.name}`} onClick={() => remove(r)}>
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
      {editing && write && <RuleForm key={editing === 'new' ? 'new' : editing.id} rule={editing === 'new' ? undefined : editing} operators={list(query.data?.operators)} close={() => setUrl({ new: undefined, id: undefined })} />}
    </div>
  );
}

/** One comparison as it is, several by their number. */
function ConditionText({ clause }: { clause: Clause }) {
  const { t } = useSettings();
  const leaves = leavesOf(clause, useOperatorText());
  if (leaves.length === 0) return <span className="dim">{t('processing.everything')}</span>;
  const shown = leaves.slice(0, 3);
  return (
    <span className="tags">
      {shown.map((x, i) => (
        <span key={i} className="tag mono">
          {x}
        </span>
      ))}
      {leaves.length > shown.length && <span className="dim">{t('processing.conditions', { n: leaves.length })}</span>}
    </span>
  );
}

function leavesOf(c: Clause, operator: (id: string) => string): string[] {
  if (isGroup(c)) return c.clauses.flatMap((x) => leavesOf(x, operator)).map((x) => (c.join === 'not' ? `! ${x}` : x));
  if (isLeaf(c)) return [`${c.field} ${operator(c.operator)} ${list(c.values).join(', ')}`.trim()];
  return [];
}

function Does({ rule }: { rule: ProcessingRule }) {
  const { t, locale } = useSettings();
  return (
    <span className="tags">
      {list(rule.tags).map((x) => (
        <span key={x} className="tag">
          {x}
        </span>
      ))}
      {list(rule.labels).map((x) => (
        <span key={x.name} className="tag mono">
          {x.name}={x.value}
        </span>
      ))}
      {rule.mask && <span className="dim">{t('processing.hides', { x: joined(list(rule.mask.fields), locale) || rule.mask.pattern })}</span>}
      {rule.fold && <span className="dim">{t('processing.folds', { x: joined(list(rule.fold.keys), locale), n: rule.fold.seconds })}</span>}
      {rule.drop && <b>{t('processing.drops')}</b>}
    </span>
  );
}

interface Values {
  name: string;
  description?: string;
  tenant: string;
  tags: string[];
  labels: { name: string; value: string }[];
  hide: boolean;
  mask: NonNullable<ProcessingDraft['mask']>;
  store: 'all' | 'fold' | 'drop';
  keys: string[];
  seconds: number;
}

const NO_MASK: Values['mask'] = { fields: [], pattern: '', check: '', method: 'keep', first: 3, last: 4 };

function RuleForm({ rule, operators, close }: { rule?: ProcessingRule; operators: readonly string[]; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const tenants = useTenants().data ?? [];
  const catalogue = useCatalogue();
  const fields = useMemo(() => [...catalogue.keys()], [catalogue]);
  const [when, setWhen] = useState<Clause>(rule?.when ?? EVERYTHING);
  const draft = (v: Values): ProcessingDraft => ({
    name: v.name ?? '',
    description: v.description ?? '',
    enabled: rule?.enabled ?? true,
    tenant: v.tenant ?? '',
    when,
    tags: v.tags ?? [],
    labels: (v.labels ?? []).filter((l) => l?.name || l?.value),
    mask: v.hide ? { ...NO_MASK, ...v.mask, fields: list(v.mask?.fields) } : null,
    fold: v.store === 'fold' ? { keys: v.keys ?? [], seconds: v.seconds ?? 60 } : null,
    drop: v.store === 'drop',
  });
  return (
    <FormDialog<Values>
      title={rule ? t('processing.edit', { x: rule.name }) : t('processing.new')}
      ok={t('do.save')}
      width={720}
      initial={{
        name: rule?.name ?? '',
        description: rule?.description ?? '',
        tenant: rule?.tenant ?? '',
        tags: list(rule?.tags).slice(),
        labels: list(rule?.labels).slice(),
        hide: !!rule?.mask,
        mask: rule?.mask ?? NO_MASK,
        store: rule?.drop ? 'drop' : rule?.fold ? 'fold' : 'all',
        keys: list(rule?.fold?.keys).slice(),
        seconds: rule?.fold?.seconds ?? 60,
      }}
      close={close}
      submit={async (v) => {
        const body = draft(v);
        if (rule) await put(`${at(rule)}?revision=${rule.revision}`, body);
        else await post('/processing-rules', body);
        tell({ said: t('processing.saved', { x: body.name }), renew: RENEW });
      }}
    >
      {(form) => (
        <>
          <div className="two">
            <Form.Item name="name" label={t('col.name')} rules={[{ required: true, whitespace: true, message: t('save.needName') }]}>
              <Input autoFocus autoComplete="off" maxLength={100} />
            </Form.Item>
            <Form.Item name="tenant" label={t('silence.tenants')}>
              <Select showSearch optionFilterProp="label" options={[{ value: '', label: t('processing.forAll') }, ...tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))]} />
            </Form.Item>
          </div>
          <Form.Item name="description" label={t('processing.description')}>
            <Input autoComplete="off" maxLength={1000} />
          </Form.Item>
          <Form.Item label={t('processing.when')}>
            <OfferedOperators.Provider value={operators}>
              <ClickMode clause={when} pipes="" fields={fields} asked={{ query: '*', start: '-24h', end: 'now', tenant: '', group: '' }} onChange={(c) => setWhen(c ?? EVERYTHING)} />
            </OfferedOperators.Provider>
          </Form.Item>
          <Form.Item name="tags" label={t('processing.tags')} extra={t('processing.tagsWhy')}>
            <WordsInput />
          </Form.Item>
          <Form.Item label={t('processing.labels')} extra={t('processing.labelsWhy')}>
            <Form.List name="labels">
              {(items, { add, remove }) => (
                <div className="stack" style={{ gap: 6 }}>
                  {items.map((i) => (
                    <div key={i.key} className="row">
                      <Form.Item name={[i.name, 'name']} noStyle>
                        <Input className="mono" style={{ width: 180 }} placeholder={t('processing.labelName')} aria-label={t('processing.labelName')} />
                      </Form.Item>
                      <Form.Item name={[i.name, 'value']} noStyle>
                        <Input placeholder={t('processing.labelValue')} aria-label={t('processing.labelValue')} />
                      </Form.Item>
                      <Button type="text" aria-label={t('do.delete')} onClick={() => remove(i.name)}>
                        ✕
                      </Button>
                    </div>
                  ))}
                  <Button size="small" style={{ alignSelf: 'flex-start' }} onClick={() => add({ name: '', value: '' })}>
                    {t('processing.addLabel')}
                  </Button>
                </div>
              )}
            </Form.List>
          </Form.Item>
          <Form.Item name="hide" label={t('processing.mask')} valuePropName="checked" extra={t('processing.maskWhy')} style={{ marginBottom: 8 }}>
            <Switch />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a: Values, b: Values) => a.hide !== b.hide || a.mask?.method !== b.mask?.method}>
            {() =>
              form.getFieldValue('hide') && (
                <>
                  <div className="two">
                    <Form.Item name={['mask', 'fields']} label={t('masking.where')} extra={t('processing.maskFieldsWhy')}>
                      <Select mode="tags" tokenSeparators={[',', ' ']} options={fields.map((f) => ({ value: f, label: f }))} />
                    </Form.Item>
                    <Form.Item name={['mask', 'pattern']} label={t('masking.pattern')} extra={t('masking.patternWhy')}>
                      <Input className="mono" autoComplete="off" spellCheck={false} />
                    </Form.Item>
                  </div>
                  <div className="row" style={{ marginBottom: 12 }}>
                    <Form.Item name={['mask', 'method']} noStyle>
                      <Radio.Group optionType="button" options={(['keep', 'full'] as const).map((m) => ({ value: m, label: t(`masking.${m}`) }))} />
                    </Form.Item>
                    {form.getFieldValue(['mask', 'method']) === 'keep' && (
                      <>
                        {t('masking.keepFirst')}
                        <Form.Item name={['mask', 'first']} noStyle>
                          <InputNumber min={0} max={64} aria-label={t('masking.keepFirst')} style={{ width: 80 }} />
                        </Form.Item>
                        {t('masking.keepLast')}
                        <Form.Item name={['mask', 'last']} noStyle>
                          <InputNumber min={0} max={64} aria-label={t('masking.keepLast')} style={{ width: 80 }} />
                        </Form.Item>
                      </>
                    )}
                  </div>
                </>
              )
            }
          </Form.Item>
          <Form.Item name="store" label={t('processing.store')} style={{ marginBottom: 8 }}>
            <Radio.Group optionType="button" options={(['all', 'fold', 'drop'] as const).map((m) => ({ value: m, label: t(m === 'all' ? 'processing.storeAll' : m === 'fold' ? 'processing.storeFold' : 'processing.storeDrop') }))} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a: Values, b: Values) => a.store !== b.store}>
            {() =>
              form.getFieldValue('store') === 'fold' ? (
                <div className="two">
                  <Form.Item name="keys" label={t('processing.keys')} extra={t('processing.keysWhy')} rules={[{ required: true, type: 'array', min: 1, message: t('processing.needKeys') }]}>
                    <Select mode="tags" tokenSeparators={[',', ' ']} options={fields.map((f) => ({ value: f, label: f }))} />
                  </Form.Item>
                  <Form.Item name="seconds" label={t('processing.seconds')} extra={t('processing.secondsWhy')}>
                    <InputNumber min={1} max={600} />
                  </Form.Item>
                </div>
              ) : (
                form.getFieldValue('store') === 'drop' && (
                  <div className="notice warn" role="note">
                    {t('processing.dropWhy')}
                  </div>
                )
              )
            }
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() => <Preview rule={draft(form.getFieldsValue() as Values)} />}
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

/** What the rule would have done, as it is made; nothing is saved for it. */
function Preview({ rule }: { rule: ProcessingDraft }) {
  const { t, locale } = useSettings();
  // A preview is of the condition and the folding: the rest may be missing yet.
  const tags = list(rule.tags).length > 0 ? rule.tags : ['preview'];
  const asked = useSettled(JSON.stringify({ rule: { ...processingDraft(rule), name: rule.name || '–', tags, labels: [], mask: null }, hours: 24 }), 500);
  const ready = !rule.fold || list(rule.fold.keys).length > 0;
  const query = useQuery({ queryKey: ['processing-preview', asked], enabled: ready, queryFn: () => post<ProcessingPreview>('/processing-rules/preview', JSON.parse(asked)), placeholderData: keepPreviousData, staleTime: 60_000, retry: false });
  const n = query.data;
  return (
    <div data-testid="processing-preview" aria-live="polite">
      <span className="hint">{t('processing.preview')}</span>
      {query.error ? (
        <div className="notice warn" role="alert">
          {(query.error as Error).message}
        </div>
      ) : (
        n && (
          <>
            <div>
              {n.events === 0
                ? t('processing.previewNone')
                : n.kept === n.events
                  ? t('processing.previewAll', { n: number(n.events, locale) })
                  : t('processing.previewKept', { n: number(n.events, locale), k: number(n.kept, locale), p: Math.floor((100 * (n.events - n.kept)) / n.events) })}
            </div>
            {list(n.sample).map((x, i) => (
              <pre key={i} className="raw">
                {String(x['event.original'] ?? x['message'] ?? JSON.stringify(x)).slice(0, 300)}
              </pre>
            ))}
          </>
        )
      )}
    </div>
  );
}
