import { useQuery } from '@tanstack/react-query';
import { AutoComplete, Input, Modal, Select } from 'antd';
import { useId, useMemo, useState } from 'react';
import { Link } from 'react-router-dom';
import { parse, stringify } from 'yaml';
import { get, post, put } from '../../api/client';
import { useCan, useMe, useTenants } from '../../api/queries';
import { suppressionBody, type Suppression, type SuppressionBody, type SuppressionPreview } from '../../api/suppressions';
import { list, type Page, type RuleInfo } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute, number } from '../../logic/format';
import { unfinished } from '../../logic/sigma/tree';
import { daysAhead, searchesOf, treeOf } from '../../logic/suppression';
import { Refused } from '../dialog';
import { Builder } from '../rules/builder';
import { useCatalogue } from '../rules/fields';
import { YamlEditor } from '../rules/yaml';
import { Failed } from '../states';
import { When } from '../time';

const PERIODS = [7, 30, 90, 180, 365];

/** Makes or changes a suppression, showing meanwhile what it would have met. */
export function SuppressionForm({ kept, draft, close }: { /** The one to be changed. */ kept?: Suppression; /** What it begins with. */ draft?: SuppressionBody; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const can = useCan();
  const me = useMe().data;
  const id = useId();
  const tenants = useTenants().data ?? [];
  const fields = useCatalogue();
  const [v, setV] = useState<SuppressionBody>(() => (kept ? suppressionBody(kept) : (draft ?? { name: '', reason: '', owner: me?.username ?? '', expires: daysAhead(90) })));
  const [tree, setTree] = useState(() => treeOf(v.detection));
  const [yaml, setYaml] = useState(() => (tree ? '' : stringify(v.detection)));
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const set = (part: Partial<SuppressionBody>) => setV({ ...v, ...part });
  const known = useQuery({ queryKey: ['rules'], queryFn: ({ signal }) => get<Page<RuleInfo>>('/rules', {}, signal), staleTime: 15_000 });
  const contacts = useQuery({ queryKey: ['contacts'], enabled: can('list-contact-points'), queryFn: ({ signal }) => get<Page<{ name: string }>>('/contact-points', {}, signal), staleTime: 60_000 });
  const ruleOptions = useMemo(() => list(known.data?.items).map((r) => ({ value: r.id, label: tx(r.title) || r.id })), [known.data, tx]);

  let broken = '';
  let detection: Record<string, unknown> | undefined;
  if (tree) detection = unfinished(tree).length === 0 ? searchesOf(tree) : undefined;
  else {
    try {
      detection = parse(yaml) as Record<string, unknown>;
    } catch (e) {
      broken = e instanceof Error ? e.message : String(e);
    }
  }
  const open = tree ? unfinished(tree).length > 0 && tree.items.length > 0 : broken !== '';
  const assets = { items: list(v.assets?.items), classes: list(v.assets?.classes), systems: list(v.assets?.systems) };
  const anyAsset = assets.items.length + assets.classes.length + assets.systems.length === 0;
  const body: SuppressionBody = { ...v, name: v.name.trim(), reason: v.reason.trim(), detection, assets: anyAsset ? undefined : assets, receiver: v.receiver || undefined };
  const says = !open && (detection !== undefined || (list(v.rules).length > 0 && (!anyAsset || list(v.tenants).length > 0)));
  const asking = JSON.stringify({ ...body, name: body.name || '-', reason: body.reason || '-', disabled: false, ...(kept ? { id: kept.id } : {}) });
  const asked = useSettled(asking, 500);
  const preview = useQuery({ queryKey: ['suppression-preview', asked], enabled: says, retry: false, staleTime: 30_000, queryFn: () => post<SuppressionPreview>('/suppressions/preview', JSON.parse(asked)) });
  const found = says && asked === asking ? preview.data : undefined;
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      if (kept) await put(`/suppressions/${encodeURIComponent(kept.id)}`, body);
      else await post('/suppressions', body);
      tell({ said: t('suppress.saved', { x: body.name }), renew: ['suppressions', 'alerts', 'alert'] });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const tags = (key: 'items' | 'classes' | 'systems') => (
    <label className="labelled">
      <span className="dim">{t(`suppress.${key}`)}</span>
      <Select mode="tags" open={false} suffixIcon={null} aria-label={t(`suppress.${key}`)} placeholder={t('suppress.anyAsset')} value={assets[key]} onChange={(names: string[]) => set({ assets: { ...assets, [key]: names } })} style={{ width: '100%' }} />
    </label>
  );
  return (
    <Modal open width={1180} title={kept ? t('suppress.edit', { x: kept.name }) : t('suppress.new')} okText={t('do.save')} okButtonProps={{ disabled: !says || body.name === '' || body.reason === '' }} confirmLoading={busy} cancelText={t('do.cancel')} maskClosable={false} onCancel={close} onOk={() => void send()}>
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <div className="stack">
          <label htmlFor={`${id}-name`}>
            <span className="dim">{t('suppress.name')}</span>
            <Input id={`${id}-name`} maxLength={200} value={v.name} onChange={(e) => set({ name: e.target.value })} />
          </label>
          <label htmlFor={`${id}-rules`}>
            <span className="dim">{t('suppress.rules')}</span>
            <Select id={`${id}-rules`} mode="multiple" allowClear placeholder={t('suppress.anyRule')} value={list(v.rules)} onChange={(rules: string[]) => set({ rules })} options={ruleOptions} optionFilterProp="label" style={{ width: '100%' }} />
          </label>
          <div className="two">
            {tags('items')}
            {tags('systems')}
          </div>
          <div className="two">
            {tags('classes')}
            {tenants.length > 1 && (
              <label className="labelled">
                <span className="dim">{t('silence.tenants')}</span>
                <Select mode="multiple" allowClear aria-label={t('silence.tenants')} placeholder={t('silence.allTenants')} value={list(v.tenants)} onChange={(slugs: string[]) => set({ tenants: slugs })} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />
              </label>
            )}
          </div>
          <div>
            <span className="dim">{t('suppress.condition')}</span> <span className="faint">{t('suppress.conditionWhy')}</span>
            {tree ? (
              <Builder tree={tree} fields={fields} change={setTree} />
            ) : (
              <>
                <div className="hint">{t('suppress.conditionYaml')}</div>
                <YamlEditor label={t('suppress.condition')} value={yaml} findings={[]} onChange={setYaml} />
                {broken && <div className="hint" role="alert">{t('suppress.yamlBroken', { x: broken })}</div>}
              </>
            )}
          </div>
          <label htmlFor={`${id}-why`}>
            <span className="dim">{t('suppress.reason')}</span>
            <Input.TextArea id={`${id}-why`} rows={2} maxLength={2000} placeholder={t('suppress.reasonHint')} value={v.reason} onChange={(e) => set({ reason: e.target.value })} />
          </label>
          <div className="two">
            <label className="labelled">
              <span className="dim">{t('suppress.owner')}</span>
              <Input maxLength={200} value={v.owner} onChange={(e) => set({ owner: e.target.value })} />
            </label>
            <label className="labelled">
              <span className="dim">{t('suppress.receiver')}</span>
              <AutoComplete allowClear aria-label={t('suppress.receiver')} placeholder={t('suppress.receiverNone')} value={v.receiver ?? ''} onChange={(x: string | undefined) => set({ receiver: x ?? '' })} options={list(contacts.data?.items).map((c) => ({ value: c.name }))} style={{ width: '100%' }} />
            </label>
          </div>
          <div className="row wrap">
            <span className="dim">{t('suppress.expires')}</span>
            {PERIODS.map((n) => (
              <button key={n} type="button" className="plain toggle" aria-pressed={v.expires === daysAhead(n)} onClick={() => set({ expires: daysAhead(n) })}>
                {t('suppress.days', { n })}
              </button>
            ))}
            <span className="faint">{t('suppress.endsOn', { x: absolute(v.expires) })}</span>
          </div>
        </div>
        <Impact says={says} found={found} error={preview.error} />
      </div>
    </Modal>
  );
}

function Impact({ says, found, error }: { says: boolean; found?: SuppressionPreview; error: unknown }) {
  const { t, tx, locale } = useSettings();
  const most = Math.max(1, ...list(found?.days).map((d) => d.firings));
  return (
    <section className="panel" data-testid="suppression-preview" style={{ maxHeight: 640, overflow: 'auto' }} aria-live="polite">
      <header>
        <h2>{t('suppress.preview')}</h2>
      </header>
      <div className="body">
        {!says ? (
          <span className="dim">{t('suppress.incompleteForm')}</span>
        ) : error ? (
          <Failed small error={error} what="silence.preview" />
        ) : !found ? (
          <b className="faint">…</b>
        ) : (
          <>
            <p style={{ marginTop: 0 }} data-testid="suppressed">
              {found.suppressed === 0 ? t('suppress.previewNone', { n: number(found.firings, locale) }) : t('suppress.previewN', { n: number(found.suppressed, locale), of: number(found.firings, locale), a: number(found.alerts, locale) })}
            </p>
            <div className="faint">{t('suppress.previewShort', { x: absolute(found.from) })}</div>
            {list(found.warnings).map((w) => (
              <div key={w.kind} className="stale" role="alert" style={{ marginTop: 6 }}>
                {tx(w.text)}{' '}
                {list(w.alerts)
                  .slice(0, 3)
                  .map((a) => (
                    <Link key={a} to={`/alerts/${encodeURIComponent(a)}`} target="_blank" className="mono">
                      {a.slice(0, 8)}{' '}
                    </Link>
                  ))}
              </div>
            ))}
            {found.unsure > 0 && <div className="faint">{t('suppress.unsure', { n: number(found.unsure, locale), alerts: number(found.unsure_alerts, locale) })}</div>}
            {found.already > 0 && <div className="faint">{t('suppress.already', { n: number(found.already, locale) })}</div>}
            {found.estimated && <div className="faint">{t('suppress.estimated')}</div>}
            {!found.complete && <div className="faint">{t('suppress.incomplete')}</div>}
            {found.suppressed > 0 && (
              <>
                <ul className="plainlist">
                  {list(found.days).map((d) => (
                    <li key={d.day} className="row">
                      <span className="faint nowrap">{d.day.slice(5, 10)}</span>
                      <span className="daybar grow" aria-hidden>
                        <i style={{ width: `${(100 * d.suppressed) / most}%`, background: 'var(--accent)' }} />
                      </span>
                      <span className="num">
                        {number(d.suppressed, locale)} / {number(d.firings, locale)}
                      </span>
                    </li>
                  ))}
                </ul>
                <h3>{t('suppress.byAsset')}</h3>
                <ul className="plainlist">
                  {list(found.assets)
                    .slice(0, 8)
                    .map((a) => (
                      <li key={a.id || a.name} className="row">
                        <span className="grow ellipsis">{a.name || '–'}</span>
                        <span className="faint">{a.system}</span>
                        <b className="num">×{number(a.suppressed, locale)}</b>
                      </li>
                    ))}
                </ul>
                <h3>{t('suppress.byRule')}</h3>
                <ul className="plainlist">
                  {list(found.rules)
                    .filter((r) => r.suppressed > 0)
                    .slice(0, 8)
                    .map((r) => (
                      <li key={r.id} className="row">
                        <span className="grow ellipsis">{tx(r.title) || r.id}</span>
                        <b className="num">
                          {number(r.suppressed, locale)} / {number(r.firings, locale)}
                        </b>
                      </li>
                    ))}
                </ul>
                <h3>{t('suppress.samples')}</h3>
                <ul className="plainlist">
                  {list(found.samples)
                    .slice(0, 8)
                    .map((s, i) => (
                      <li key={i}>
                        <div className="row">
                          <span className="grow ellipsis">
                            {tx(s.title)} {s.asset && <span className="dim">{s.asset}</span>}
                          </span>
                          <span className="faint nowrap">
                            <When time={s.at} />
                          </span>
                        </div>
                        <div className="faint mono ellipsis" title={Object.entries(s.fields).map(([k, x]) => `${k}=${x}`).join('\n')}>
                          {Object.entries(s.fields)
                            .map(([k, x]) => `${k}=${x}`)
                            .join('  ')}
                        </div>
                      </li>
                    ))}
                </ul>
              </>
            )}
          </>
        )}
      </div>
    </section>
  );
}
