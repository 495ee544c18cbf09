import { useQuery } from '@tanstack/react-query';
import { Input, InputNumber, Modal, Select } from 'antd';
import { useId, useState } from 'react';
import { post, put } from '../../api/client';
import { useTenants } from '../../api/queries';
import { SCENARIO_RENEW, scenarioBody, scenarioPath, type Scenario, type ScenarioBody, type ScenarioState } from '../../api/scenarios';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { linesOf, readCondition } from '../../logic/scenario';
import { Refused } from '../dialog';
import { ReachInput } from '../reach';
import { Empty, Failed } from '../states';
import { NO_CONDITION, ScenarioConditions } from './conditions';

const FRESH: ScenarioBody = { name: {}, any: [], days: 7 };

/** Makes or changes a scenario, showing meanwhile what it would hold now. */
export function ScenarioForm({ scenario, close }: { /** The one to be changed. */ scenario?: Scenario; close: () => void }) {
  const { t, tx, locale } = useSettings();
  const { tell, act } = useAct();
  const id = useId();
  const tenants = useTenants().data ?? [];
  const [v, setV] = useState<ScenarioBody>(() => (scenario ? scenarioBody(scenario) : FRESH));
  const [any, setAny] = useState(() => (list(v.any).length > 0 ? list(v.any).map((l) => list(l).map(readCondition)) : [[NO_CONDITION]]));
  const [risks, setRisks] = useState(() => list(v.risks).map((l) => list(l).map(readCondition)));
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const set = (part: Partial<ScenarioBody>) => setV({ ...v, ...part });
  const body: ScenarioBody = { ...v, name: { zh: v.name.zh?.trim() || undefined, en: v.name.en?.trim() || undefined }, any: linesOf(any), risks: linesOf(risks) };
  const ready = list(body.any).length > 0;
  const named = !!(body.name.zh || body.name.en);
  const now = JSON.stringify({ ...body, name: named ? body.name : { zh: '-' }, off: false });
  const asked = useSettled(now, 500);
  const preview = useQuery({ queryKey: ['scenario-preview', asked], enabled: ready, retry: false, queryFn: () => post<ScenarioState>('/scenarios/preview', JSON.parse(asked)) });
  const found = ready && asked === now ? preview.data?.figures : undefined;
  const name = tx(body.name);
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      if (scenario) await put(scenarioPath(scenario.id), body);
      else await post('/scenarios', body);
      tell({
        said: t('scenario.saved', { x: name }),
        renew: SCENARIO_RENEW,
        undo: scenario ? () => void act(() => post(`${scenarioPath(scenario.id)}/restore`, { version: scenario.version }), { said: t('scenario.restored', { x: name }), renew: SCENARIO_RENEW }) : undefined,
      });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open width={1040} title={scenario ? t('scenario.edit', { x: tx(scenario.name) }) : t('scenario.new')} okText={t('do.save')} okButtonProps={{ disabled: !ready || !named }} confirmLoading={busy} cancelText={t('do.cancel')} maskClosable={false} onCancel={close} onOk={() => void send()}>
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <div className="stack">
          <div className="two">
            <label className="labelled">
              <span className="dim">{t('scenario.nameZh')}</span>
              <Input maxLength={120} value={v.name.zh ?? ''} onChange={(e) => set({ name: { ...v.name, zh: e.target.value } })} />
            </label>
            <label className="labelled">
              <span className="dim">{t('scenario.nameEn')}</span>
              <Input maxLength={120} value={v.name.en ?? ''} onChange={(e) => set({ name: { ...v.name, en: e.target.value } })} />
            </label>
          </div>
          <label className="labelled">
            <span className="dim">{t('scenario.description')}</span>
            <Input maxLength={2000} value={(locale === 'en-US' ? v.description?.en : v.description?.zh) ?? ''} onChange={(e) => set({ description: { ...v.description, [locale === 'en-US' ? 'en' : 'zh']: e.target.value } })} />
          </label>
          <ScenarioConditions title={t('scenario.any')} why={t('scenario.anyWhy')} lines={any} set={setAny} least={1} />
          <ScenarioConditions title={t('scenario.risks')} why={t('scenario.risksWhy')} lines={risks} set={setRisks} />
        </div>
        <div className="stack">
          <div>
            <span className="dim">{t('scenario.objects')}</span>
            <ReachInput id={`${id}-objects`} value={v.objects ?? ''} onChange={(objects) => set({ objects })} />
          </div>
          <label className="labelled">
            <span className="dim">{t('scenario.itemsFilter')}</span>
            <Input className="mono" maxLength={4000} value={v.items ?? ''} onChange={(e) => set({ items: e.target.value })} />
            <span className="faint">{t('scenario.itemsWhy')}</span>
          </label>
          <div className="two">
            <label className="labelled">
              <span className="dim">{t('scenario.period')}</span>
              <InputNumber min={1} max={92} value={v.days ?? 7} onChange={(days) => set({ days: days ?? 7 })} />
            </label>
            <label className="labelled" htmlFor={`${id}-tags`}>
              <span className="dim">{t('scenario.tags')}</span>
              <Select id={`${id}-tags`} mode="tags" value={list(v.tags)} tokenSeparators={[',', '，']} onChange={(tags: string[]) => set({ tags })} style={{ width: '100%' }} />
            </label>
          </div>
          {tenants.length > 1 && (
            <label className="labelled" htmlFor={`${id}-tenants`}>
              <span className="dim">{t('silence.tenants')}</span>
              <Select id={`${id}-tenants`} mode="multiple" allowClear placeholder={t('silence.allTenants')} value={list(v.tenants)} onChange={(slugs: string[]) => set({ tenants: slugs })} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />
            </label>
          )}
          <div className="panel" style={{ padding: 12 }} aria-live="polite" data-testid="scenario-preview">
            {!ready ? (
              <Empty small title={t('scenario.preview')} why={t('scenario.previewNone')} />
            ) : preview.error && asked === now ? (
              <Failed small error={preview.error} what="scenario.preview" />
            ) : (
              <>
                <div className="dim" style={{ marginBottom: 6 }}>
                  {t('scenario.preview')}
                </div>
                <div className="gauges" style={{ gridTemplateColumns: 'repeat(4, 1fr)' }}>
                  {(
                    [
                      ['alerts', found?.alerts],
                      ['risks', found?.risks],
                      ['incidents', found?.incidents],
                      ['systems', found ? list(found.systems).length : undefined],
                    ] as const
                  ).map(([k, n]) => (
                    <div key={k}>
                      <div className="v">{found ? number(n ?? 0, locale) : '…'}</div>
                      <div className="l">{t(`scenario.${k}`)}</div>
                    </div>
                  ))}
                </div>
                {list(asked === now ? preview.data?.notes : undefined).map((x, i) => (
                  <div key={i} className="notice warn" style={{ marginTop: 8 }}>
                    {tx(x)}
                  </div>
                ))}
              </>
            )}
          </div>
        </div>
      </div>
    </Modal>
  );
}
