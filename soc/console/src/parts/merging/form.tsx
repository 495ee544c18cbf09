import { useQuery } from '@tanstack/react-query';
import { Input, InputNumber, Modal, Select, Slider, Switch } from 'antd';
import { useId, useState } from 'react';
import { post, put } from '../../api/client';
import { mergeBody, type MergePreview, type MergeRule } from '../../api/merging';
import { useTenants } from '../../api/queries';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { whole } from '../../logic/silence';
import { Refused } from '../dialog';
import { LABELS, EMPTY, Matchers } from '../silences/matchers';
import { Failed } from '../states';
import { When } from '../time';

const FRESH = { name: '', description: '', off: false, matchers: [], by: ['alertname'], window: 900, similar: undefined, least: 2, tenants: [] } as ReturnType<typeof mergeBody>;

/** Makes or changes a merge rule, showing meanwhile what it would make of last week's alerts. */
export function MergeForm({ rule, close }: { /** The one to be changed. */ rule?: MergeRule; close: () => void }) {
  const { t, tx, locale } = useSettings();
  const { tell } = useAct();
  const id = useId();
  const tenants = useTenants().data ?? [];
  const [v, setV] = useState(() => (rule ? mergeBody(rule) : FRESH));
  const [matchers, setMatchers] = useState(list(v.matchers).length > 0 ? list(v.matchers) : [EMPTY]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const set = (part: Partial<typeof v>) => setV({ ...v, ...part });
  // One line that nobody has begun to fill in means all alerts.
  const untouched = matchers.every((m) => m.name === '' && m.value === '');
  const ready = (untouched || matchers.every(whole)) && (list(v.by).length > 0 || !!v.similar);
  const body = { ...v, name: v.name.trim(), description: v.description?.trim(), matchers: untouched ? [] : matchers };
  const now = JSON.stringify({ ...body, name: body.name || '-', off: false, ...(rule ? { id: rule.id } : {}) });
  const asked = useSettled(now, 400);
  const preview = useQuery({ queryKey: ['merge-preview', asked], enabled: ready, retry: false, queryFn: () => post<MergePreview>('/merge-rules/preview', JSON.parse(asked)) });
  const found = ready && asked === now ? preview.data : undefined;
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      if (rule) await put(`/merge-rules/${encodeURIComponent(rule.id)}`, body);
      else await post('/merge-rules', body);
      tell({ said: t('merge.saved', { x: body.name }), renew: ['merge-rules', 'alerts', 'incidents'] });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open width={980} title={rule ? t('merge.edit', { x: rule.name }) : t('merge.new')} okText={t('do.save')} okButtonProps={{ disabled: !ready || body.name === '' }} confirmLoading={busy} cancelText={t('do.cancel')} maskClosable={false} onCancel={close} onOk={() => void send()}>
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <div className="stack">
          <label htmlFor={`${id}-name`}>
            <span className="dim">{t('inhibit.name')}</span>
            <Input id={`${id}-name`} maxLength={200} placeholder={t('merge.nameHint')} value={v.name} onChange={(e) => set({ name: e.target.value })} />
          </label>
          <Matchers title={t('merge.which')} why={t('merge.whichWhy')} matchers={matchers} set={setMatchers} />
          <label htmlFor={`${id}-by`}>
            <span className="dim">{t('merge.by')}</span> <span className="faint">{t('merge.byWhy')}</span>
            <Select id={`${id}-by`} mode="tags" value={list(v.by)} onChange={(by: string[]) => set({ by })} options={LABELS.map((x) => ({ value: x }))} style={{ width: '100%' }} />
          </label>
          <div className="two">
            <label className="labelled">
              <span className="dim">{t('merge.window')}</span>
              <InputNumber min={1} max={10_080} value={Math.round(v.window / 60)} onChange={(n) => set({ window: (n ?? 15) * 60 })} />
            </label>
            <label className="labelled">
              <span className="dim">{t('merge.least')}</span>
              <InputNumber min={2} max={10_000} value={v.least} onChange={(n) => set({ least: n ?? 2 })} />
            </label>
          </div>
          <div>
            <label className="row">
              <Switch size="small" checked={!!v.similar} onChange={(on) => set({ similar: on ? { on: 'title', at_least: 0.6 } : undefined })} aria-label={t('merge.similar')} />
              <span>{t('merge.similar')}</span> <span className="faint">{t('merge.similarWhy')}</span>
            </label>
            {v.similar && (
              <div className="row">
                <Select aria-label={t('merge.similarOn')} style={{ width: 150 }} value={v.similar.on} onChange={(on: string) => set({ similar: { on, at_least: v.similar?.at_least ?? 0.6 } })} options={[{ value: 'title', label: t('merge.title') }, ...LABELS.map((x) => ({ value: x, label: x }))]} />
                <Slider style={{ flex: 1 }} min={0.1} max={1} step={0.05} value={v.similar.at_least} onChange={(at_least) => set({ similar: { on: v.similar?.on ?? 'title', at_least } })} />
                <b className="num">{Math.round(v.similar.at_least * 100)}%</b>
              </div>
            )}
          </div>
          {tenants.length > 1 && (
            <label htmlFor={`${id}-tenants`}>
              <span className="dim">{t('silence.tenants')}</span>
              <Select id={`${id}-tenants`} mode="multiple" allowClear placeholder={t('silence.allTenants')} value={list(v.tenants)} onChange={(slugs: string[]) => set({ tenants: slugs })} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />
            </label>
          )}
          <label htmlFor={`${id}-why`}>
            <span className="dim">{t('silence.comment')}</span>
            <Input id={`${id}-why`} maxLength={2000} value={v.description} onChange={(e) => set({ description: e.target.value })} />
          </label>
        </div>
        <section className="panel" data-testid="merge-preview" style={{ maxHeight: 520, overflow: 'auto' }} aria-live="polite">
          <header>
            <h2>{t('merge.preview', { n: found?.days ?? 7 })}</h2>
          </header>
          <div className="body">
            {!ready ? (
              <span className="dim">{t('merge.incomplete')}</span>
            ) : preview.error ? (
              <Failed small error={preview.error} what="silence.preview" />
            ) : !found ? (
              <b className="faint">…</b>
            ) : (
              <>
                <p style={{ marginTop: 0 }}>{found.matched === 0 ? t('merge.previewNone', { n: found.alerts }) : t('merge.previewN', { n: found.matched, g: found.groups })}</p>
                {found.matched > 0 && (
                  <div className="row" style={{ alignItems: 'baseline', gap: 8 }}>
                    <b style={{ fontSize: 20 }}>
                      {number(found.before, locale)} → {number(found.after, locale)}
                    </b>
                    <span className="dim">{t('merge.toHandle')}</span>
                    {found.ratio > 0 && <b style={{ marginLeft: 'auto' }}>{t('merge.ratio', { x: Math.round(found.ratio * 10) / 10 })}</b>}
                  </div>
                )}
                {found.truncated && <div className="faint">{t('merge.truncated')}</div>}
                <ul className="plainlist">
                  {list(found.samples).map((s, i) => (
                    <li key={i}>
                      <div className="row">
                        <b className="num">×{number(s.alerts, locale)}</b>
                        <span className="grow ellipsis" title={tx(s.title)}>
                          {tx(s.title)}
                        </span>
                        <span className="faint nowrap">
                          <When time={s.first_seen} /> – <When time={s.last_seen} />
                        </span>
                      </div>
                      <div className="faint mono ellipsis">
                        {Object.entries(s.by ?? {})
                          .map(([k, x]) => `${k}=${x}`)
                          .join('  ')}
                      </div>
                    </li>
                  ))}
                </ul>
              </>
            )}
          </div>
        </section>
      </div>
    </Modal>
  );
}
