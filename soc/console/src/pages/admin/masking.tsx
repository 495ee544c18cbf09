import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Form, Input, InputNumber, Radio, Select, Switch } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../../api/client';
import type { MaskingDraft, MaskingPreview, MaskingRule } from '../../api/masking';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled, useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { joined } from '../../logic/format';
import { Ask, FormDialog } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { RolesPicker, WordsInput } from '../../parts/pickers';
import { SearchBox } from '../../parts/search';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { useRoles } from '../../api/directory';

const RENEW = ['masking', 'masks'];
const pathOf = (r: { id: string }) => `/masking/rules/${encodeURIComponent(r.id)}`;

/** Masking rules (脱敏): what of the logs is hidden from whom, tried on samples before it counts. */
export default function Masking() {
  const { t, tx, locale } = useSettings();
  const { act } = useAct();
  const [url, setUrl] = useUrl();
  const text = url.get('q') ?? '';
  const enabled = url.get('enabled') ?? '';
  const [editing, setEditing] = useState<MaskingRule | 'new' | null>(null);
  const [removing, setRemoving] = useState<MaskingRule | null>(null);
  const roles = useRoles().data ?? [];
  const roleName = (id: string) => tx(roles.find((r) => r.id === id)?.name) || id;
  const query = useQuery({
    queryKey: ['masking', text, enabled],
    queryFn: async ({ signal }) => list((await get<Page<MaskingRule>>('/masking/rules', { text, enabled, limit: 200 }, signal)).items),
    placeholderData: keepPreviousData,
  });
  return (
    <div className="page">
      <Head title={t('page.masking')}>
        <Button type="primary" onClick={() => setEditing('new')}>
          {t('masking.new')}
        </Button>
      </Head>
      <p className="dim" style={{ margin: '-4px 0 10px' }}>
        {t('masking.why')}
      </p>
      <div className="filters" role="search">
        <SearchBox hint={t('masking.find')} />
        {(['true', 'false'] as const).map((v) => (
          <button key={v} className="plain toggle" aria-pressed={enabled === v} onClick={() => setUrl({ enabled: enabled === v ? undefined : v })}>
            {t(v === 'true' ? 'word.on' : 'word.off')}
          </button>
        ))}
      </div>
      <Stale query={query} />
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="page.masking" lines={8}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={t('masking.none')} />
            ) : (
              <DataTable
                label={t('page.masking')}
                rows={rows}
                rowKey={(r) => r.id}
                onRow={(r) => setEditing(r)}
                columns={[
                  {
                    key: 'name',
                    title: t('col.name'),
                    render: (r) => (
                      <>
                        <button className="plain link" onClick={() => setEditing(r)}>
                          <b style={{ fontWeight: 550 }}>{tx(r.name) || r.id}</b>
                        </button>{' '}
                        {r.builtin && <span className="tag">{t('masking.builtin')}</span>}
                        {r.description && <div className="dim">{r.description}</div>}
                      </>
                    ),
                  },
                  { key: 'fields', title: t('masking.where'), render: (r) => (list(r.fields).length === 0 ? <span className="nowrap">{t('masking.everywhere')}</span> : <span className="mono">{list(r.fields).join(', ')}</span>) },
                  { key: 'what', title: t('masking.what'), render: (r) => (r.pattern ? <code style={{ overflowWrap: 'anywhere' }}>{r.pattern}</code> : t('masking.whole')) },
                  { key: 'how', title: t('masking.how'), render: (r) => <span className="nowrap">{r.method === 'keep' ? t('masking.keepN', { a: r.first ?? 0, b: r.last ?? 0 }) : t(`masking.${r.method}`)}</span> },
                  { key: 'exempt', title: t('masking.exempt'), render: (r) => joined(list(r.exempt_roles).map(roleName), locale) || <span className="faint">{t('masking.nobody')}</span> },
                  {
                    key: 'on',
                    title: t('monitor.enabled'),
                    width: 90,
                    render: (r) => (
                      <Switch
                        size="small"
                        checked={r.enabled}
                        aria-label={`${t('monitor.enabled')}: ${tx(r.name)}`}
                        onChange={(on) => void act(() => post(`${pathOf(r)}/${on ? 'enable' : 'disable'}`), { said: t(on ? 'masking.enabled' : 'masking.disabled', { x: tx(r.name) }), renew: RENEW, undo: () => void act(() => post(`${pathOf(r)}/${on ? 'disable' : 'enable'}`), { renew: RENEW }) })}
                      />
                    ),
                  },
                  {
                    key: 'do',
                    title: '',
                    width: 70,
                    render: (r) =>
                      !r.builtin && (
                        <Button size="small" type="text" onClick={() => setRemoving(r)} aria-label={`${t('do.delete')}: ${tx(r.name)}`}>
                          {t('do.delete')}
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {editing && <RuleForm rule={editing === 'new' ? undefined : editing} close={() => setEditing(null)} />}
      {removing && (
        <Ask
          title={t('masking.delete', { x: tx(removing.name) })}
          why={t('masking.deleteWhy')}
          ok={t('do.delete')}
          close={() => setRemoving(null)}
          submit={() => act(() => del(pathOf(removing)), { said: t('masking.deleted', { x: tx(removing.name) }), renew: RENEW })}
        />
      )}
    </div>
  );
}

const FRESH: MaskingDraft = { name: { zh: '', en: '' }, description: '', enabled: false, fields: [], pattern: '', check: '', method: 'keep', first: 3, last: 4, exempt_roles: [] };

function RuleForm({ rule, close }: { rule?: MaskingRule; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  return (
    <FormDialog<MaskingDraft>
      title={rule ? t('masking.edit', { x: tx(rule.name) }) : t('masking.new')}
      ok={t('do.save')}
      width={620}
      initial={rule ?? FRESH}
      close={close}
      submit={async (v) => {
        const body = { ...FRESH, ...rule, ...v, fields: list(v.fields), exempt_roles: list(v.exempt_roles), pattern: v.pattern ?? '', check: v.check ?? '' };
        if (rule) await put(pathOf(rule), body);
        else await post('/masking/rules', body);
        tell({ said: t('masking.saved', { x: tx(body.name) }), renew: RENEW });
      }}
    >
      {(form) => (
        <>
          <div className="two">
            <Form.Item name={['name', 'zh']} label={t('masking.nameZh')} rules={[{ required: true, whitespace: true, message: t('save.needName') }]}>
              <Input autoFocus autoComplete="off" />
            </Form.Item>
            <Form.Item name={['name', 'en']} label={t('masking.nameEn')}>
              <Input autoComplete="off" />
            </Form.Item>
          </div>
          <Form.Item name="fields" label={t('masking.where')} extra={t('masking.whereWhy')}>
            <WordsInput placeholder="user.phone" />
          </Form.Item>
          <div className="two">
            <Form.Item name="pattern" label={t('masking.pattern')} extra={t('masking.patternWhy')}>
              <Input className="mono" autoComplete="off" spellCheck={false} />
            </Form.Item>
            <Form.Item name="check" label={t('masking.check')}>
              <Select options={(['', 'luhn', 'id-card'] as const).map((c) => ({ value: c, label: t(`maskcheck.${c || 'none'}`) }))} />
            </Form.Item>
          </div>
          <Form.Item name="method" label={t('masking.how')} style={{ marginBottom: 8 }}>
            <Radio.Group optionType="button" options={(['keep', 'full', 'hash'] as const).map((m) => ({ value: m, label: t(`masking.${m}`) }))} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a, b) => a.method !== b.method}>
            {() =>
              form.getFieldValue('method') === 'keep' && (
                <div className="row" style={{ marginBottom: 12 }}>
                  {t('masking.keepFirst')}
                  <Form.Item name="first" noStyle>
                    <InputNumber min={0} max={64} aria-label={t('masking.keepFirst')} style={{ width: 80 }} />
                  </Form.Item>
                  {t('masking.keepLast')}
                  <Form.Item name="last" noStyle>
                    <InputNumber min={0} max={64} aria-label={t('masking.keepLast')} style={{ width: 80 }} />
                  </Form.Item>
                </div>
              )
            }
          </Form.Item>
          <Form.Item name="exempt_roles" label={t('masking.exempt')}>
            <RolesPicker />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() => <Preview rule={{ ...FRESH, ...(form.getFieldsValue() as Partial<MaskingDraft>) }} />}
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

/** What the rule does to samples, as it is typed; nothing is saved for it. */
function Preview({ rule }: { rule: MaskingDraft }) {
  const { t } = useSettings();
  const [samples, setSamples] = useState('13812345678\n110101199003074514\nli.na@example.gov.cn');
  const asked = useSettled(JSON.stringify({ rule: { ...rule, name: { zh: rule.name?.zh || '–', en: rule.name?.en || '–' } }, samples: samples.split('\n').filter(Boolean) }), 300);
  const query = useQuery({ queryKey: ['mask-preview', asked], queryFn: () => post<MaskingPreview>('/masking/preview', JSON.parse(asked)), placeholderData: keepPreviousData, staleTime: 60_000, retry: false });
  return (
    <div className="halves" data-testid="mask-preview">
      <label>
        <span className="hint">{t('masking.samples')}</span>
        <Input.TextArea className="mono" rows={4} value={samples} onChange={(e) => setSamples(e.target.value)} />
      </label>
      <div>
        <span className="hint">{t('masking.seen')}</span>
        {query.error ? (
          <div className="notice warn" role="alert">
            {(query.error as Error).message}
          </div>
        ) : (
          <pre className="raw">
            {list(query.data?.items).map((x, i) => (
              <div key={i}>{x.changed ? <mark>{x.after}</mark> : x.after}</div>
            ))}
          </pre>
        )}
      </div>
    </div>
  );
}
